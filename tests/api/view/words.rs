//! Transcript, messages, lines, errors.

use std::collections::{BTreeMap, BTreeSet};

use ringback::call::{
    field::Longest,
    record::{CallRecord, Fetch, FetchOutcome, FetchReason, Line, Message, Speaker},
    time::Millis,
};
use serde_json::json;

use super::{full, picked_up, report, words};
use crate::support::bodies::{facts, rest_facts};

fn lines(said: &[(i64, Speaker, &str)]) -> CallRecord {
    let lines: BTreeSet<Line> =
        said.iter().map(|(at, role, text)| Line { sent_at: Some(Millis(*at)), role: *role, text: (*text).to_owned() }).collect();
    CallRecord { lines, ..CallRecord::default() }
}

fn artifact(text: &str, said: &[&str], authoritative: bool) -> CallRecord {
    let message = |words: &&str| Message {
        role: Speaker::Bot,
        message: (*words).to_owned(),
        time: None,
        end_time: None,
        duration: None,
        seconds_from_start: None,
    };
    CallRecord {
        transcript: Some(Longest { value: text.to_owned(), authoritative, sent_at: None }),
        messages: Some(Longest { value: said.iter().map(message).collect(), authoritative, sent_at: None }),
        ..CallRecord::default()
    }
}

#[test]
fn lines_heard_live_read_like_vapis_transcript() {
    let shown = full([lines(&[(3, Speaker::User, " Two. "), (1, Speaker::Bot, "One."), (3, Speaker::Bot, "Also two.")])]);
    assert_eq!(shown["transcript"], "AI: One.\nAI: Also two.\nUser: Two.\n");
    let said: Vec<_> =
        shown["messages"].as_array().unwrap().iter().map(|it| (it["role"].as_str().unwrap(), it["time"].as_i64().unwrap())).collect();
    assert_eq!(said, [("bot", 1), ("bot", 3), ("user", 3)]);
    assert_eq!(shown["outcome"]["userSpoke"], true);
    assert_eq!(shown["outcome"]["connected"], true);
}

#[test]
fn of_lines_and_an_early_artifact_the_longer_is_shown() {
    let heard = lines(&[(1, Speaker::Bot, "One."), (2, Speaker::User, "Two.")]);
    let shorter = full([heard.clone(), artifact("AI: One.\n", &["One."], false)]);
    assert_eq!(shorter["transcript"], "AI: One.\nUser: Two.\n");
    assert_eq!(shorter["messages"].as_array().unwrap().len(), 2);
    let longer = full([heard.clone(), artifact("AI: One. And very much more than that.\n", &["One.", "And", "more"], false)]);
    assert_eq!(longer["transcript"], "AI: One. And very much more than that.\n");
    assert_eq!(longer["messages"].as_array().unwrap().len(), 3);
    let mixed = full([heard, artifact("AI: One. And very much more than that.\n", &["One."], false)]);
    assert_eq!(mixed["transcript"], "AI: One. And very much more than that.\n", "each by itself");
    assert_eq!(mixed["messages"][1]["message"], "Two.");
}

#[test]
fn a_report_is_shown_though_more_was_heard_live() {
    let heard = lines(&[(1, Speaker::Bot, "One."), (2, Speaker::User, "Two."), (3, Speaker::User, "Three.")]);
    let shown = full([heard.clone(), artifact("AI: Hm.\n", &["Hm."], true)]);
    assert_eq!((shown["transcript"].as_str(), shown["messages"].as_array().unwrap().len()), (Some("AI: Hm.\n"), 1));
    let without_messages = full([heard, CallRecord { messages: None, ..artifact("AI: Hm.\n", &[], true) }]);
    assert_eq!((without_messages["transcript"].as_str(), without_messages["messages"].as_array().unwrap().len()), (Some("AI: Hm.\n"), 3));
}

#[test]
fn system_prompts_and_tools_are_no_messages() {
    let shown = full([facts("end-of-call-report")]);
    let roles: Vec<_> = shown["messages"].as_array().unwrap().iter().map(|it| it["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["bot", "user", "bot", "user"]);
    assert!(!shown.to_string().contains("system prompt"));
}

fn fetches(outcomes: &[FetchOutcome]) -> CallRecord {
    let note = |(at, outcome): (usize, &FetchOutcome)| {
        let fetch = Fetch { at: Millis(1_000 * i64::try_from(at).unwrap()), reason: FetchReason::Enrich, outcome: outcome.clone() };
        (format!("f{at}"), fetch)
    };
    CallRecord { fetches: outcomes.iter().enumerate().map(note).collect::<BTreeMap<_, _>>(), ..CallRecord::default() }
}

#[test]
fn the_error_is_that_of_the_latest_fetch_else_vapis_own() {
    let failed = FetchOutcome::Failed { error: "Vapi answered 503".to_owned() };
    let ended = FetchOutcome::Ended { updated_at: String::new() };
    let words_of = |error: &str| CallRecord { ended_message: words(error), ..CallRecord::default() };
    let broken = || CallRecord { ended_message: words("No line."), ..report("call.start.error-get-transport") };
    let of = |parts: Vec<CallRecord>| {
        let shown = full(parts);
        (
            shown["error"].as_str().unwrap().to_owned(),
            shown["fetchError"].as_str().unwrap().to_owned(),
            shown["fetchAttempts"].as_u64().unwrap(),
        )
    };
    let text = |error: &str, fetch_error: &str, attempts| (error.to_owned(), fetch_error.to_owned(), attempts);
    assert_eq!(of(vec![broken()]), text("No line.", "", 0));
    assert_eq!(of(vec![broken(), fetches(std::slice::from_ref(&failed))]), text("Vapi answered 503", "Vapi answered 503", 1));
    assert_eq!(of(vec![broken(), fetches(&[failed.clone(), ended.clone()])]), text("No line.", "", 2), "the latest succeeded");
    assert_eq!(of(vec![report("customer-ended-call"), words_of("Bye.")]), text("", "", 0), "nothing went wrong");
    assert_eq!(of(vec![report("customer-ended-call"), fetches(&[ended, FetchOutcome::Unknown])]), {
        text("Vapi knows no such call (404)", "Vapi knows no such call (404)", 2)
    });
    assert_eq!(of(vec![words_of("No line.")]), text("", "", 0), "not before there is a result");
}

#[test]
fn fetched_at_is_the_latest_success() {
    let failed = FetchOutcome::Failed { error: "x".to_owned() };
    let shown =
        full([fetches(&[FetchOutcome::Live, FetchOutcome::Ended { updated_at: String::new() }, failed.clone(), FetchOutcome::Unknown])]);
    assert_eq!(shown["fetchedAt"], "1970-01-01T00:00:01.000Z");
    assert_eq!(full([fetches(&[failed])])["fetchedAt"], json!(null));
}

#[test]
fn data_status_tells_how_complete_the_copy_is() {
    use ringback::call::record::Settled;
    let settled = |how| CallRecord { settled: Some(how), ..CallRecord::default() };
    let tried = || fetches(&[FetchOutcome::Live]);
    let of = |parts: Vec<CallRecord>| full(parts)["dataStatus"].as_str().unwrap().to_owned();
    assert_eq!(of(vec![tried()]), "pending", "no result yet");
    assert_eq!(of(vec![picked_up()]), "pending");
    assert_eq!(of(vec![report("")]), "partial");
    assert_eq!(of(vec![report(""), tried()]), "fetching");
    assert_eq!(of(vec![report(""), tried(), settled(Settled::FetchFailed)]), "fetch_failed");
    assert_eq!(of(vec![report(""), settled(Settled::FetchFailed), settled(Settled::Complete)]), "complete");
    assert_eq!(of(vec![rest_facts("ended")]), "partial");
}
