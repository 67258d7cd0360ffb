//! What comes of events that say different things.

use std::collections::BTreeMap;

use ringback::call::{
    field::Cost,
    record::{CallRecord, CallState, Fetch, FetchOutcome, FetchReason, Promise},
    time::Millis,
};
use serde_json::{Value, json};

use super::events::{at, join_all};
use crate::support::bodies::{CALL, NOW, answered, facts, heard, read_value, rest_facts};

/// A note that Vapi was asked.
pub(super) fn fetch(id: &str, at: Millis) -> CallRecord {
    let fetch =
        Fetch { at, reason: FetchReason::Enrich, outcome: FetchOutcome::Ended { updated_at: "2026-05-14T09:30:35.000Z".to_owned() } };
    CallRecord { fetches: BTreeMap::from([(id.to_owned(), fetch)]), ..CallRecord::default() }
}

/// A REST answer after an output was run again.
pub(super) fn rerun_output(answered_at: Millis, result: &Value) -> CallRecord {
    let object = json!({"id": CALL, "status": "ended", "artifact": {"structuredOutputs": {"0f1e2d3c-4b5a-4968-8776-655443322110": {"name": "Seedlings ready", "result": result}}}});
    let id = crate::support::vapi::id(CALL);
    *ringback::vapi::call::read(object.to_string().as_bytes(), &id, answered_at).expect("this call").event.facts
}

#[test]
fn a_late_upload_takes_nothing_away() {
    let (report, upload) = (facts("end-of-call-report"), facts("call.artifact.upload"));
    assert_eq!(upload.message_list().len(), 1);
    let record = join_all(&[report.clone(), upload]);
    assert_eq!((record.message_list().len(), record.transcript_text()), (4, report.transcript_text()));
    assert_eq!(record.promises, report.promises);
}

#[test]
fn rest_corrects_the_report_field_by_field() {
    let record = join_all(&[rest_facts("ended"), facts("end-of-call-report")]);
    assert_eq!(record.summary.unwrap().value, "Forty trays of seedlings wait for the club, for 62 euros.");
    assert_eq!(record.cost.unwrap().value, Cost(0.0502));
    assert_eq!(
        record.structured_data_multi.unwrap().value.as_str(),
        r#"[{"plan-a":{"result":{"call_id":"multi-1"}}}]"#,
        "what REST lacks stays"
    );
    assert!((record.duration_seconds.unwrap().value - 25.725).abs() < 1e-9);
    assert_eq!(record.metadata["attempt"].value.as_str(), "3", "of two call.metadata the later");
    assert_eq!(record.metadata["providerName"].value.as_str(), "\"Fern & Sons\"");
    assert_eq!(record.webhook_received_at, Some(NOW));
    assert!(record.reported && record.rest_ended);
}

#[test]
fn rest_without_analysis_takes_no_analysis_away() {
    let report = facts("end-of-call-report");
    let record = join_all(&[report.clone(), *answered("ended-without-analysis", at(9_000)).event.facts]);
    assert_eq!((&record.summary, &record.cost), (&report.summary, &report.cost), "an empty summary and a cost of 0 are weaker");
    assert_eq!(record.structured_outputs, report.structured_outputs, "outputs without a result too");
    assert_eq!(record.structured_data, report.structured_data);
}

#[test]
fn an_output_run_again_replaces_the_one_before() {
    let of = |record: &CallRecord| record.structured_outputs["0f1e2d3c-4b5a-4968-8776-655443322110"].value.0.as_str().to_owned();
    let (first, second) = (rerun_output(at(60_000), &json!("first")), rerun_output(at(90_000), &json!("second")));
    let gone = rerun_output(at(95_000), &Value::Null);
    let record = join_all(&[second, facts("end-of-call-report"), gone, first]);
    assert_eq!(of(&record), r#"{"name":"Seedlings ready","result":"second"}"#);
    assert_eq!(record.structured_outputs.len(), 2, "each output by itself");
}

#[test]
fn an_answer_with_overrides_only_forgets_no_promise() {
    let report = facts("end-of-call-report");
    let overrides = json!({"id": CALL, "status": "ended", "assistantOverrides": {"analysisPlan": {"summaryPlan": {"enabled": false}}}});
    let id = crate::support::vapi::id(CALL);
    let rest = *ringback::vapi::call::read(overrides.to_string().as_bytes(), &id, at(9_000)).unwrap().event.facts;
    let promises = join_all(&[rest, report]).promises;
    assert!(promises.summary_is(Promise::Off), "the better source decides about the summary");
    assert!(promises.structured_data_is(Promise::On) && promises.output_ids().count() == 2, "and says nothing of the rest");
    assert!(!promises.explicitly_none());
}

#[test]
fn a_state_never_goes_back() {
    let record =
        join_all(&["end-of-call-report", "status-update-in-progress", "status-update-ringing", "status-update-scheduled"].map(facts));
    assert_eq!(record.state, CallState::Ended);
    assert!(record.heard_live);
    let forwarded = join_all(&["status-update-forwarding", "status-update-in-progress"].map(facts));
    assert_eq!(forwarded.state, CallState::Forwarding);
}

#[test]
fn the_order_of_lines_is_that_of_their_times() {
    let record = join_all(&["transcript-final", "transcript-final-by-type", "transcript-final"].map(facts));
    let words: Vec<&str> = record.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(words, ["Good morning, this is Juniper from the Harbour Garden Club.", "Morning! What can I do for you?"]);
}

#[test]
fn lines_go_once_report_or_rest_brought_transcript_and_messages_and_never_come_back() {
    let line = facts("transcript-final");
    for whole in [facts("end-of-call-report"), rest_facts("ended")] {
        assert!(join_all(&[line.clone(), whole.clone()]).lines.is_empty());
        assert!(join_all(&[whole, line.clone(), line.clone()]).lines.is_empty());
    }
    for lacking in ["end-of-call-report-never-connected", "call.artifact.upload", "conversation-update"] {
        assert_eq!(join_all(&[line.clone(), facts(lacking)]).lines.len(), 1, "{lacking}");
    }
    let without_messages = json!({"message": {"type": "end-of-call-report", "call": {"id": CALL}, "transcript": "AI: all there was"}});
    let report = *read_value(without_messages).event.facts;
    assert_eq!(join_all(&[report, line]).lines.len(), 1, "the messages are still to be made of them");
}

#[test]
fn times_are_the_earliest_or_the_latest_as_told() {
    let mut later = *heard("end-of-call-report").facts;
    later.webhook_received_at = Some(at(50));
    later.heard_at = Some(at(50));
    later.resulted_at = Some(at(50));
    let record = join_all(&[later, facts("end-of-call-report")]);
    assert_eq!(record.webhook_received_at, Some(NOW), "the earliest report");
    assert_eq!(record.heard_at, Some(at(50)), "the latest webhook");
    assert_eq!(record.resulted_at, facts("end-of-call-report").resulted_at, "the earliest result");
    let live = join_all(&["status-update-in-progress", "call-started", "call-connected"].map(facts));
    assert_eq!(live.live_at, facts("call-started").live_at, "the earliest in-progress");
    let ended = join_all(&["call-ended", "status-update-ended"].map(facts));
    assert_eq!(ended.dropped_at, facts("status-update-ended").dropped_at, "the earliest ended");
}
