//! The summary to show: Vapi's, else what was said; and what stands out.

use ringback::call::{
    field::Longest,
    record::{CallRecord, Line, Speaker},
    time::Millis,
};
use serde_json::{Value, json};

use super::{data, full, metadata, picked_up, report, seen, words};
use crate::support::bodies::facts;
use ringback::call::view::View;

const TALK: &str = "AI: Hello, this is Juniper.\nUser: Yes?\nAI: I am calling about the seedlings of your order.\n\
    User: The forty trays of seedlings are ready, your order costs 62 euros.\nAI: Thank you. Goodbye.";

fn said(transcript: &str) -> CallRecord {
    let transcript = Longest { value: transcript.to_owned(), authoritative: true, sent_at: None };
    CallRecord { transcript: Some(transcript), ..picked_up() }
}

fn session(parts: Vec<CallRecord>) -> Value {
    full(parts)["session"].clone()
}

#[test]
fn a_summary_of_vapis_goes_first() {
    let summed_up = CallRecord { summary: words("They are ready."), ..CallRecord::default() };
    let shown = session(vec![report("customer-ended-call"), said(TALK), summed_up]);
    assert_eq!((&shown["summary"], &shown["source"]), (&json!("They are ready."), &json!("vapi")));
    let blank = CallRecord { summary: words(" \n"), ..CallRecord::default() };
    assert_eq!(session(vec![report("customer-ended-call"), said(TALK), blank])["source"], "extractive");
}

#[test]
fn without_one_sentences_of_the_transcript_stand_in_for_it_and_are_no_analysis() {
    let parts = vec![report("customer-ended-call"), said(TALK)];
    let shown = full(parts.clone());
    let summary = shown["session"]["summary"].as_str().unwrap();
    assert_eq!(shown["session"]["source"], "extractive");
    assert!(summary.contains("User: The forty trays of seedlings are ready, your order costs 62 euros."), "{summary}");
    assert_eq!((&shown["analysis"]["summary"], &shown["outcome"]["analysisMissing"]), (&json!(""), &json!(true)), "it is ours alone");
    let record = parts.into_iter().reduce(ringback::call::join::join).unwrap();
    assert_eq!(seen(&record, View::Summary)["session"], shown["session"], "lists have it, too");
}

#[test]
fn nothing_is_summed_up_while_a_call_goes_on_or_when_nothing_was_said() {
    let nothing = json!({"summary": "", "source": "", "keyInsights": []});
    let text = "The forty trays of seedlings are ready.".to_owned();
    let live = CallRecord { lines: [Line { sent_at: Some(Millis(1)), role: Speaker::User, text }].into(), ..picked_up() };
    assert_eq!(session(vec![live.clone()]), nothing);
    assert_eq!(session(vec![live, report("customer-ended-call")])["source"], "extractive", "lines heard live are a transcript as well");
    assert_eq!(session(vec![report("customer-did-not-answer")]), nothing);
    assert_eq!(session(vec![report("customer-ended-call"), said("AI: Hello?\nAI: Bye.")]), nothing);
}

#[test]
fn what_stands_out_is_what_the_data_say_and_no_default_of_ours() {
    let of = |parts: Vec<CallRecord>| session(parts)["keyInsights"].clone();
    let stated = data(
        &json!({"availability": "Thursday", "all_criteria_met": true, "notes": ["quick", "kind"], "call_id": "ours", "raw": {"x": 1}}),
    );
    let expected = json!(["All criteria met: yes", "Availability: Thursday", "Notes: quick, kind"]);
    assert_eq!(of(vec![stated.clone()]), expected);
    assert_eq!(of(vec![stated, metadata(&json!({"providerName": "R"}))]), expected);
    assert_eq!(of(vec![metadata(&json!({"providerName": "R"}))]), json!([]));
    assert_eq!(
        of(vec![facts("end-of-call-report")]),
        json!(["Price: 62", "Ready: yes", "Secret: stays, a model said it", "Seedlings ready: yes"])
    );
    let many: Value = (0..40).map(|number| (format!("k{number}"), json!(number))).collect::<serde_json::Map<_, _>>().into();
    assert_eq!(of(vec![data(&many)]).as_array().unwrap().len(), 12);
}
