//! What settles a call, and as what.

use ringback::call::{
    policy::Plan,
    record::{CallRecord, CallState, FetchReason, Promise, Settled},
};
use serde_json::json;

use super::{Life, all, data, default_plan, denied, ended, failed, output, promises, report, rest, stamped, summary, transcript};

const ON: Option<Promise> = Some(Promise::On);
const OFF: Option<Promise> = Some(Promise::Off);

/// Is a call settled by this report alone?
fn at_once(parts: Vec<CallRecord>) -> Option<Settled> {
    let mut life = Life::new(default_plan());
    life.hears(0, all(std::iter::once(report()).chain(parts)));
    assert_eq!(life.settled().is_none(), life.pending.is_some(), "either settled or to be fetched");
    life.settled()
}

#[test]
fn a_report_that_leaves_nothing_to_be_fetched_settles_at_once() {
    let complete = Some(Settled::Complete);
    let long = || transcript(51);
    for (parts, expected, why) in [
        (vec![long(), summary()], complete, "promises unknown: a summary suffices"),
        (vec![long(), data()], complete, "structured data suffices"),
        (vec![long(), output("o", &json!(false))], complete, "an output suffices"),
        (vec![long()], None, "none of the three"),
        (vec![transcript(50), summary()], None, "50 characters are no conversation"),
        (vec![summary()], None, "no transcript"),
        (vec![long(), output("o", &json!(null))], None, "an output without a result is none"),
        (vec![long(), summary(), promises(ON, None, &[])], complete, "promised and there"),
        (vec![long(), data(), promises(ON, None, &[])], None, "something else than promised"),
        (vec![long(), summary(), promises(ON, ON, &[])], None, "one of two promised"),
        (vec![long(), summary(), data(), promises(ON, ON, &[])], complete, "both"),
        (vec![long(), summary(), promises(ON, OFF, &[])], complete, "the other is off"),
        (vec![long(), data(), promises(OFF, ON, &[])], complete, "the other is off"),
        (vec![long(), summary(), promises(None, OFF, &[])], complete, "unknown but for the data, which is off"),
        (vec![long(), output("a", &json!(1)), promises(None, None, &["a", "b"])], None, "one output of two"),
        (vec![long(), output("a", &json!(1)), output("b", &json!(null)), promises(None, None, &["a", "b"])], None, "one has no result"),
        (vec![long(), output("a", &json!(1)), output("b", &json!(0)), promises(OFF, OFF, &["a", "b"])], complete, "both outputs"),
        (vec![transcript(1), promises(OFF, None, &[])], complete, "explicitly nothing, and a transcript"),
        (vec![transcript(1), promises(OFF, OFF, &[])], complete, "explicitly nothing, and a transcript"),
        (vec![promises(OFF, OFF, &[])], None, "explicitly nothing, but no transcript yet"),
        (vec![transcript(50), promises(None, OFF, &[])], None, "a summary may still come"),
    ] {
        assert_eq!(at_once(parts), expected, "{why}");
    }
}

#[test]
fn the_transcript_must_be_the_reports_own() {
    let mut overheard = transcript(60);
    overheard.transcript.as_mut().unwrap().authoritative = false;
    assert_eq!(at_once(vec![overheard, summary()]), None, "what was heard before the report may be cut short");
}

#[test]
fn a_call_that_nobody_picked_up_settles_at_once() {
    let mut life = Life::new(default_plan());
    life.hears(0, CallRecord { started_at: None, ..report() });
    assert_eq!((life.settled(), life.pending), (Some(Settled::Complete), None));
    for picked_up in [
        CallRecord { heard_live: true, ..CallRecord::default() },
        CallRecord { duration_seconds: stamped(0.5), ..CallRecord::default() },
        transcript(5),
        CallRecord { started_at: stamped(super::START), ..CallRecord::default() },
    ] {
        let mut life = Life::new(default_plan());
        life.hears(0, all([CallRecord { started_at: None, ..report() }, picked_up]));
        assert_eq!(life.settled(), None);
    }
    let mut rung_out = Life::new(default_plan());
    rung_out.hears(0, CallRecord { duration_seconds: stamped(0.0), started_at: None, ..report() });
    assert_eq!(rung_out.settled(), Some(Settled::Complete), "0 seconds are no conversation");
}

#[test]
fn without_a_key_or_without_delays_a_report_settles_as_it_comes() {
    let keyless = Plan { can_ask: false, ..default_plan() };
    let never = Plan { delays: Vec::new(), ..default_plan() };
    for plan in [keyless, never] {
        let mut life = Life::new(plan);
        life.hears(0, CallRecord { state: CallState::InProgress, ..CallRecord::default() });
        assert_eq!(life.settled(), None, "not before there is a result");
        life.hears(1_000, report());
        assert_eq!((life.settled(), life.pending), (Some(Settled::Complete), None));
    }
}

#[test]
fn nothing_settles_without_a_result() {
    let mut life = Life::new(default_plan());
    life.hears(0, all([transcript(900), summary(), CallRecord { state: CallState::Ended, ..CallRecord::default() }]));
    assert_eq!(life.settled(), None);
    life.fetches(denied(), CallRecord::default());
    assert_eq!(life.settled(), None);
}

#[test]
fn an_answer_that_says_ended_settles_when_the_promised_is_there() {
    let mut life = Life::new(default_plan());
    life.hears(0, all([report(), promises(ON, None, &["o"])]));
    life.fetches(ended("1"), all([rest(), summary(), output("o", &json!(null))]));
    assert_eq!(life.settled(), None, "the output is still to come");
    life.fetches(ended("2"), all([rest(), output("o", &json!("yes"))]));
    assert_eq!((life.settled(), life.pending), (Some(Settled::Complete), None));
}

#[test]
fn nothing_promised_needs_one_answer_even_without_a_transcript() {
    let mut life = Life::new(default_plan());
    life.hears(0, all([report(), promises(OFF, None, &[])]));
    assert_eq!(life.settled(), None);
    life.fetches(ended("1"), rest());
    assert_eq!(life.settled(), Some(Settled::Complete));
}

#[test]
fn two_equal_answers_20_seconds_apart_settle() {
    let mut life = Life::new(default_plan());
    life.hears(0, report());
    for _ in 0..3 {
        life.fetches(ended("same"), rest());
        assert_eq!(life.settled(), None, "3, 8 and 16 s after the report: 13 s between first and last");
    }
    life.fetches(ended("same"), rest());
    assert_eq!(life.settled(), Some(Settled::Complete), "28 s between first and last");
    assert_eq!(life.fetches, 4, "the last delay is spared");
}

#[test]
fn answers_that_change_or_tell_no_time_are_not_equal() {
    for stamps in [["1", "2", "3", "4", "5"], ["", "", "", "", ""]] {
        let mut life = Life::new(default_plan());
        life.hears(0, report());
        for stamp in &stamps[..4] {
            life.fetches(ended(stamp), rest());
            assert_eq!(life.settled(), None);
        }
        life.fetches(ended(stamps[4]), rest());
        assert_eq!(life.settled(), Some(Settled::Complete), "the last delay is spent, and Vapi did answer");
    }
}

#[test]
fn after_the_last_delay_it_is_complete_if_vapi_ever_said_ended() {
    let mut life = Life::new(default_plan());
    life.hears(0, report());
    life.fetches(ended("1"), rest());
    assert_eq!(life.fails_on(9), [5, 8, 15, 30]);
    assert_eq!(life.settled(), Some(Settled::Complete));
    let mut unheard = Life::new(default_plan());
    unheard.hears(0, report());
    assert_eq!(unheard.fails_on(9), [3, 5, 8, 15, 30]);
    assert_eq!((unheard.settled(), unheard.pending), (Some(Settled::FetchFailed), None));
}

#[test]
fn live_answers_and_404s_settle_nothing_until_the_last_delay() {
    use ringback::call::record::FetchOutcome::{Live, Unknown};
    for outcome in [Live, Unknown] {
        let mut life = Life::new(default_plan());
        life.hears(0, report());
        for _ in 0..4 {
            life.fetches(outcome.clone(), CallRecord::default());
            assert_eq!(life.settled(), None);
        }
        life.fetches(outcome, CallRecord::default());
        assert_eq!(life.settled(), Some(Settled::FetchFailed));
    }
}

#[test]
fn a_refused_key_settles_at_once_and_a_later_answer_completes() {
    let mut life = Life::new(default_plan());
    life.hears(0, all([report(), transcript(90)]));
    life.fetches(denied(), CallRecord::default());
    assert_eq!((life.settled(), life.pending), (Some(Settled::FetchFailed), None));
    life.is_asked_for(FetchReason::Enrich).fetches(denied(), CallRecord::default());
    assert_eq!((life.settled(), life.pending), (Some(Settled::FetchFailed), None), "still refused at the next start");
    life.is_asked_for(FetchReason::Enrich).fetches(ended("1"), rest());
    assert_eq!((life.settled(), life.pending), (Some(Settled::Complete), None), "the answer says ended; what it lacks will not come");
}

#[test]
fn a_late_report_improves_and_leaves_settled() {
    let mut life = Life::new(default_plan());
    life.hears(0, report());
    life.fails_on(9);
    assert_eq!(life.settled(), Some(Settled::FetchFailed));
    life.hears(60_000, all([report(), transcript(90)]));
    assert_eq!((life.settled(), life.pending), (Some(Settled::FetchFailed), None), "not enough");
    life.hears(60_000, all([report(), transcript(90), summary()]));
    assert_eq!((life.settled(), life.pending), (Some(Settled::Complete), None), "complete wins over fetch_failed");
    life.hears(60_000, report());
    assert_eq!((life.settled(), life.pending), (Some(Settled::Complete), None), "and stays");
}

#[test]
fn a_deleted_call_is_left_alone() {
    let mut life = Life::new(default_plan());
    life.hears(0, report());
    life.hears(0, CallRecord { deleted_at: Some(super::START), ..CallRecord::default() });
    assert_eq!((life.settled(), life.pending), (None, None));
}

#[test]
fn a_failed_fetch_after_an_answer_keeps_what_the_answer_settled() {
    let mut life = Life::new(default_plan());
    life.hears(0, report());
    life.fetches(failed(), CallRecord::default());
    life.fetches(ended("1"), all([rest(), summary()]));
    assert_eq!(life.settled(), Some(Settled::Complete));
    life.is_asked_for(FetchReason::Manual).fetches(failed(), CallRecord::default());
    assert_eq!((life.settled(), life.pending), (Some(Settled::Complete), None));
}
