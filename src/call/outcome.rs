//! How a call turned out: ordered rules over Vapi's `endedReason`, then the SIP status where the reason alone cannot tell.
//!
//! `endedReason` is an open set of some 600 words that Vapi keeps adding to, so the rules match parts of words, and their order is the
//! meaning: a busy line is told from a broken one before the broad rules for errors are reached. Rules `U1` to `U9` are for reasons
//! that nobody has listed yet. `tests/fixtures/ended-reasons.tsv` lists every reason known, with what must come out.

use Matcher::{Exact, Infix, Prefix, PrefixAndInfix, Suffix};
use OutcomeKind::{Busy, Canceled, Completed, Error, NoAnswer, Timeout, Unknown, Voicemail};

/// How a call turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// It was picked up and came to an end.
    Completed,
    /// It rang, or was heard, but nobody took part.
    NoAnswer,
    /// The line was engaged.
    Busy,
    /// A mailbox answered.
    Voicemail,
    /// It was cut off after silence or at the longest duration allowed.
    Timeout,
    /// It was called off.
    Canceled,
    /// Something failed.
    Error,
    /// The reason says nothing that is known.
    Unknown,
}

impl OutcomeKind {
    /// The `outcome.kind` that pollers see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Completed => "completed",
            NoAnswer => "no_answer",
            Busy => "busy",
            Voicemail => "voicemail",
            Timeout => "timeout",
            Canceled => "canceled",
            Error => "error",
            Unknown => "unknown",
        }
    }
}

/// Whose doing it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Vapi's own.
    Vapi,
    /// That of a model, voice or transcriber which Vapi hires.
    Provider,
    /// That of settings, keys or quotas of whoever placed the call.
    Config,
    /// That of the phone network or carrier.
    Transport,
    /// The person at the other end.
    Customer,
    /// The assistant.
    Assistant,
    /// The reason does not say.
    Unknown,
}

impl Fault {
    /// The `outcome.fault` that pollers see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vapi => "vapi",
            Self::Provider => "provider",
            Self::Config => "config",
            Self::Transport => "transport",
            Self::Customer => "customer",
            Self::Assistant => "assistant",
            Self::Unknown => "unknown",
        }
    }
}

/// What the rules say about one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// How it turned out.
    pub kind: OutcomeKind,
    /// Whose doing that was.
    pub fault: Fault,
    /// The rule that said so: an id of the table below, or of [`refine`].
    pub rule: &'static str,
}

/// Where in a reason the words of a rule must stand. One of them suffices.
enum Matcher {
    Exact(&'static [&'static str]),
    Prefix(&'static [&'static str]),
    Suffix(&'static [&'static str]),
    Infix(&'static [&'static str]),
    /// It begins with the first and holds one of the others.
    PrefixAndInfix(&'static str, &'static [&'static str]),
}

impl Matcher {
    fn matches(&self, reason: &str) -> bool {
        match self {
            Exact(words) => words.contains(&reason),
            Prefix(words) => words.iter().any(|word| reason.starts_with(word)),
            Suffix(words) => words.iter().any(|word| reason.ends_with(word)),
            Infix(words) => words.iter().any(|word| reason.contains(word)),
            PrefixAndInfix(prefix, words) => reason.starts_with(prefix) && words.iter().any(|word| reason.contains(word)),
        }
    }
}

struct Rule {
    matcher: Matcher,
    verdict: Verdict,
}

const fn rule(rule: &'static str, matcher: Matcher, kind: OutcomeKind, fault: Fault) -> Rule {
    Rule { matcher, verdict: Verdict { kind, fault, rule } }
}

/// The table: the first rule that matches decides.
const RULES: [Rule; 42] = [
    rule("V1", Exact(&["voicemail"]), Voicemail, Fault::Customer),
    rule("B1", Exact(&["customer-busy"]), Busy, Fault::Customer),
    rule("N1", Exact(&["customer-did-not-answer"]), NoAnswer, Fault::Customer),
    rule("C1", Prefix(&["customer-ended-call"]), Completed, Fault::Customer),
    rule("C2", Prefix(&["assistant-ended-call", "assistant-said-", "assistant-forwarded-"]), Completed, Fault::Assistant),
    rule("C3", Exact(&["assistant-request-returned-forwarding-phone-number"]), Completed, Fault::Config),
    rule("T1", Exact(&["silence-timed-out"]), Timeout, Fault::Customer),
    rule("T2", Prefix(&["exceeded-max-duration"]), Timeout, Fault::Config),
    rule("X1", Prefix(&["manually-cancel", "scheduled-call-deleted", "call-deleted"]), Canceled, Fault::Config),
    // Vapi files these SIP answers under "error", though the phone did ring.
    rule("B2", Infix(&["outbound-sip-486", "outbound-sip-600"]), Busy, Fault::Customer),
    rule("N2", Infix(&["outbound-sip-408", "outbound-sip-480", "outbound-sip-487", "outbound-sip-603"]), NoAnswer, Fault::Customer),
    rule("N3", Prefix(&["call.ringing.sip-inbound-caller-hungup"]), NoAnswer, Fault::Customer),
    rule("N4", Infix(&["did-not-give-microphone", "did-not-receive-customer-audio"]), NoAnswer, Fault::Customer),
    rule("H1", Prefix(&["call.ringing.hook-executed-"]), Completed, Fault::Config),
    rule("H2", Prefix(&["call.ending.hook-executed-"]), Error, Fault::Assistant),
    // Busy or unanswered here is the operator to whom the call was to go, not the customer.
    rule("F1", Infix(&["warm-transfer-assistant-cancel"]), Error, Fault::Assistant),
    rule("F2", Prefix(&["call.forwarding."]), Error, Fault::Transport),
    rule("F3", Infix(&["transfer-failed", "error-warm-transfer"]), Error, Fault::Transport),
    rule("B3", Suffix(&["-busy"]), Busy, Fault::Customer),
    rule("C4", Suffix(&["-completed-call", "-completed"]), Completed, Fault::Transport),
    rule("E1", Infix(&SIP_REFUSALS), Error, Fault::Config),
    rule("E2", Exact(&["twilio-reported-customer-misdialed"]), Error, Fault::Config),
    rule("E3", Infix(&["providerfault-transport", "get-transport"]), Error, Fault::Transport),
    rule("E4", Infix(&["error-vapifault-"]), Error, Fault::Vapi),
    rule("E4b", Infix(&["pipeline-error-vapi-", "-vapi-voice-disabled"]), Error, Fault::Vapi),
    rule("E5", Prefix(&["worker-", "assistant-join-timed-out"]), Error, Fault::Vapi),
    rule("E6", Infix(&["outbound-sip", "-sip-", "twilio-", "vonage-"]), Error, Fault::Transport),
    rule("E7", Exact(&["phone-call-provider-closed-websocket"]), Error, Fault::Transport),
    rule("E8", Prefix(&["phone-call-provider-bypass"]), Error, Fault::Config),
    rule("E9", Prefix(&["call.start.", "call-start-error", "assistant-request-", "assistant-not-"]), Error, Fault::Config),
    rule("E10", Infix(&OWN_SERVICES), Error, Fault::Config),
    rule("E11", Infix(&["error-providerfault-"]), Error, Fault::Provider),
    rule("E12", PrefixAndInfix("pipeline-error-", &ACCOUNT_TROUBLE), Error, Fault::Config),
    rule("E13", Prefix(&["pipeline-error-", "call.in-progress.error-pipeline-"]), Error, Fault::Provider),
    rule("U1", Infix(&["error", "fail", "fault"]), Error, Fault::Unknown),
    rule("U2", Infix(&["voicemail", "answering-machine"]), Voicemail, Fault::Customer),
    rule("U3", Infix(&["busy"]), Busy, Fault::Customer),
    rule("U4", Infix(&["did-not-answer", "no-answer", "unanswered", "not-answered", "declined"]), NoAnswer, Fault::Customer),
    rule("U5", Infix(&["timed-out", "timeout", "max-duration"]), Timeout, Fault::Config),
    rule("U6", Infix(&["cancel", "deleted"]), Canceled, Fault::Config),
    rule("U7", Infix(&REFUSED_OR_BROKEN), Error, Fault::Unknown),
    rule("U8", Infix(&CAME_TO_AN_END), Completed, Fault::Unknown),
];

/// The last rule: no other matched.
const UNHEARD_OF: Verdict = Verdict { kind: Unknown, fault: Fault::Unknown, rule: "U9" };

/// E1: the carrier refuses the account or the number.
const SIP_REFUSALS: [&str; 5] = ["outbound-sip-401", "outbound-sip-403", "outbound-sip-404", "outbound-sip-407", "outbound-sip-484"];

/// E10: models, voices and transcribers that the caller brought along.
const OWN_SERVICES: [&str; 5] = ["custom-llm", "custom-voice", "custom-transcriber", "error-pipeline-ws-model", "no-available-llm-model"];

/// E12: HTTP statuses and words with which a provider refuses the caller's key, quota or settings.
#[rustfmt::skip]
const ACCOUNT_TROUBLE: [&str; 28] = [
    "-400-", "-401-", "-403-", "-404-", "-429-",
    "unauthorized", "invalid", "api-key", "credential", "quota", "credits", "paid", "payment",
    "requested-upgrade", "blocked-", "not-found", "not-fine-tuned", "not-allowed", "missing", "disabled-by-owner",
    "out-of-characters", "professional-voices", "max-character", "auth-failed", "rate-limited",
    "must-be-a-valid", "word-boost", "no-such-model",
];

/// U7: something was refused, or broke.
#[rustfmt::skip]
const REFUSED_OR_BROKEN: [&str; 10] = [
    "invalid", "not-found", "not-valid", "rejected", "disconnected",
    "died", "shutdown", "misdialed", "unauthorized", "forbidden",
];

/// U8: somebody hung up, or the call went on elsewhere.
const CAME_TO_AN_END: [&str; 8] = ["ended-call", "completed", "end-call", "forwarded", "transferred", "hook-executed", "hangup", "hung-up"];

/// What the table says about a reason; case and surrounding space do not matter. An empty reason is `unknown` by rule `U9`.
///
/// ```
/// use ringback::call::outcome::{OutcomeKind, classify};
/// let verdict = classify("customer-did-not-answer");
/// assert_eq!((verdict.kind, verdict.rule), (OutcomeKind::NoAnswer, "N1"));
/// ```
#[must_use]
pub fn classify(ended_reason: &str) -> Verdict {
    let reason = ended_reason.trim().to_ascii_lowercase();
    RULES.iter().find(|rule| rule.matcher.matches(&reason)).map_or(UNHEARD_OF, |rule| rule.verdict)
}

/// Lets the SIP status of the phone leg decide where the table says error/transport or `unknown`; any other verdict stands.
///
/// The rule becomes `SIP-` and the status (`SIP-486`), or `SIP-5xx` for all of 500 to 599. A status that means neither busy, nor nobody
/// there, nor no such number, nor a broken server (RFC 3261, section 21) changes nothing.
#[must_use]
pub fn refine(verdict: Verdict, sip_status: Option<i64>) -> Verdict {
    let open = verdict.kind == Unknown || (verdict.kind == Error && verdict.fault == Fault::Transport);
    sip_status.filter(|_| open).and_then(sip_verdict).unwrap_or(verdict)
}

fn sip_verdict(sip_status: i64) -> Option<Verdict> {
    let (kind, fault, rule) = match sip_status {
        486 => (Busy, Fault::Customer, "SIP-486"),
        600 => (Busy, Fault::Customer, "SIP-600"),
        408 => (NoAnswer, Fault::Customer, "SIP-408"),
        480 => (NoAnswer, Fault::Customer, "SIP-480"),
        487 => (NoAnswer, Fault::Customer, "SIP-487"),
        603 => (NoAnswer, Fault::Customer, "SIP-603"),
        404 => (Error, Fault::Config, "SIP-404"),
        410 => (Error, Fault::Config, "SIP-410"),
        484 => (Error, Fault::Config, "SIP-484"),
        604 => (Error, Fault::Config, "SIP-604"),
        500..=599 => (Error, Fault::Transport, "SIP-5xx"),
        _ => return None,
    };
    Some(Verdict { kind, fault, rule })
}

/// The `status` of a call that has a result: its kind in the five words pollers know. An unknown kind counts as completed if the
/// person at the other end said anything, else as an error.
#[must_use]
pub fn status(kind: OutcomeKind, user_spoke: bool) -> &'static str {
    match kind {
        Busy | NoAnswer => NoAnswer.as_str(),
        Unknown if user_spoke => Completed.as_str(),
        Canceled | Error | Unknown => Error.as_str(),
        Completed | Voicemail | Timeout => kind.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{any, proptest};

    use super::{
        Fault,
        OutcomeKind::{Busy, Canceled, Completed, Error, NoAnswer, Timeout, Unknown, Voicemail},
        RULES, Verdict, classify, refine, status,
    };

    /// Every reason Vapi lists, with what must come out: reason, class, fault, rule.
    fn listed() -> impl Iterator<Item = [&'static str; 4]> {
        include_str!("../../tests/fixtures/ended-reasons.tsv").lines().skip(1).map(|line| {
            let mut cells = line.split('\t');
            std::array::from_fn(|_| cells.next().expect("four cells"))
        })
    }

    fn said(reason: &str) -> [&'static str; 3] {
        let Verdict { kind, fault, rule } = classify(reason);
        [kind.as_str(), fault.as_str(), rule]
    }

    #[test]
    fn every_listed_reason_comes_out_as_listed() {
        assert_eq!(listed().count(), 595);
        for [reason, class, fault, rule] in listed() {
            assert_eq!(said(reason), [class, fault, rule], "{reason}");
        }
    }

    #[test]
    fn rules_have_ids_of_their_own() {
        let ids: BTreeSet<_> = RULES.iter().map(|rule| rule.verdict.rule).collect();
        assert_eq!(ids.len(), RULES.len());
        assert!(!ids.contains("U9"));
    }

    #[test]
    fn reasons_nobody_listed_fall_to_the_last_rules() {
        for (reason, expected) in [
            ("some-new-fault", ["error", "unknown", "U1"]),
            ("left-on-answering-machine", ["voicemail", "customer", "U2"]),
            ("line-was-busy-again", ["busy", "customer", "U3"]),
            ("customer-declined", ["no_answer", "customer", "U4"]),
            ("ring-timeout", ["timeout", "config", "U5"]),
            ("campaign-canceled", ["canceled", "config", "U6"]),
            ("number-not-valid", ["error", "unknown", "U7"]),
            ("hangup", ["completed", "unknown", "U8"]),
            ("call-transferred-elsewhere", ["completed", "unknown", "U8"]),
            ("the-moon-was-full", ["unknown", "unknown", "U9"]),
            ("", ["unknown", "unknown", "U9"]),
            (" \t\n", ["unknown", "unknown", "U9"]),
        ] {
            assert_eq!(said(reason), expected, "{reason:?}");
        }
    }

    #[test]
    fn rules_that_no_listed_reason_reaches_work_too() {
        for (reason, expected) in [
            ("call.in-progress.error-providerfault-outbound-sip-486-busy-here", ["busy", "customer", "B2"]),
            ("twilio-reported-busy", ["busy", "customer", "B3"]),
            ("pipeline-error-acme-429-slow-down", ["error", "config", "E12"]),
            ("pipeline-error-acme-4290-slow-down", ["error", "provider", "E13"]),
            ("x-pipeline-error-acme-429-slow-down", ["error", "unknown", "U1"]),
        ] {
            assert_eq!(said(reason), expected, "{reason:?}");
        }
    }

    #[test]
    fn case_and_surrounding_space_do_not_matter() {
        for [reason, class, fault, rule] in listed() {
            assert_eq!(said(&format!("  {}\n", reason.to_uppercase())), [class, fault, rule], "{reason}");
        }
    }

    #[test]
    fn a_sip_status_decides_what_the_reason_leaves_open() {
        let failed = classify("call.in-progress.error-sip-outbound-call-failed-to-connect");
        assert_eq!((failed.kind, failed.fault), (Error, Fault::Transport));
        for open in [failed, classify("")] {
            for (sip, kind, fault, rule) in [
                (486, Busy, Fault::Customer, "SIP-486"),
                (600, Busy, Fault::Customer, "SIP-600"),
                (408, NoAnswer, Fault::Customer, "SIP-408"),
                (480, NoAnswer, Fault::Customer, "SIP-480"),
                (487, NoAnswer, Fault::Customer, "SIP-487"),
                (603, NoAnswer, Fault::Customer, "SIP-603"),
                (404, Error, Fault::Config, "SIP-404"),
                (410, Error, Fault::Config, "SIP-410"),
                (484, Error, Fault::Config, "SIP-484"),
                (604, Error, Fault::Config, "SIP-604"),
                (500, Error, Fault::Transport, "SIP-5xx"),
                (599, Error, Fault::Transport, "SIP-5xx"),
            ] {
                assert_eq!(refine(open, Some(sip)), Verdict { kind, fault, rule }, "{sip}");
            }
            for silent in [None, Some(0), Some(-486), Some(200), Some(403), Some(499), Some(601), Some(i64::MAX)] {
                assert_eq!(refine(open, silent), open, "{silent:?}");
            }
        }
    }

    #[test]
    fn a_sip_status_overrules_nothing_that_is_clear() {
        for reason in ["customer-ended-call", "voicemail", "call.start.error-get-customer", "some-new-fault", "twilio-completed"] {
            assert_eq!(refine(classify(reason), Some(486)), classify(reason), "{reason}");
        }
    }

    #[test]
    fn pollers_see_five_words() {
        for (kind, word) in [
            (Completed, "completed"),
            (NoAnswer, "no_answer"),
            (Busy, "no_answer"),
            (Voicemail, "voicemail"),
            (Timeout, "timeout"),
            (Canceled, "error"),
            (Error, "error"),
        ] {
            assert_eq!([status(kind, false), status(kind, true)], [word, word]);
        }
        assert_eq!([status(Unknown, false), status(Unknown, true)], ["error", "completed"]);
    }

    proptest! {
        #[test]
        fn any_text_gets_a_verdict(reason in any::<String>(), words in "[a-z4.-]{0,40}", sip in any::<Option<i64>>(), spoke: bool) {
            for text in [&reason, &words] {
                let verdict = refine(classify(text), sip);
                assert!(["completed", "no_answer", "voicemail", "timeout", "error"].contains(&status(verdict.kind, spoke)));
            }
        }
    }
}
