//! Bodies captured from the real Vapi, where they are at hand: each gives a sensible record. They are not part of this repository.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use ringback::{
    call::{
        event::CallEvent,
        id::CallId,
        record::{CallRecord, CallState},
        time::Millis,
        view::{CallResult, Meta, View},
    },
    vapi::{call, message},
};
use serde_json::Value;

/// After the latest of them: 2027-01-15.
const NOW: Millis = Millis(1_800_000_000_000);

/// Two answers of ours to Vapi, an answer about many calls, and one analysis alone.
const NEITHER: [&str; 4] = ["assistant-request-response-01", "tool-calls-response-01", "rest-call-create-03", "unrelated-analysis-01"];

fn payloads() -> Vec<(String, Vec<u8>)> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/payloads");
    let Some(folder) = [beside, PathBuf::from("/work/shared/payloads")].into_iter().find(|path| path.is_dir()) else { return Vec::new() };
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let bodies = files.filter(|path| path.extension().is_some_and(|it| it == "json"));
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    let mut all: Vec<_> = bodies.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect();
    all.sort_unstable();
    all
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str().filter(|text| !text.trim().is_empty())
}

fn longest<'a>(value: &'a Value, paths: &[&str]) -> Option<&'a str> {
    paths.iter().filter_map(|path| text(value, path)).max_by_key(|text| text.chars().count())
}

fn spoken(value: &Value, path: &str) -> usize {
    let said = |entry: &&Value| {
        let is_person = matches!(entry["role"].as_str(), Some("user" | "bot" | "assistant"));
        is_person && (text(entry, "/message").is_some() || text(entry, "/content").is_some())
    };
    value.pointer(path).and_then(Value::as_array).map_or(0, |list| list.iter().filter(said).count())
}

fn tool_ids(value: &Value, into: &mut BTreeSet<String>) {
    for list in ["/artifact/messages", "/messages"] {
        for entry in value.pointer(list).and_then(Value::as_array).into_iter().flatten() {
            let asked = entry["toolCalls"].as_array().into_iter().flatten().filter_map(|call| call["id"].as_str());
            into.extend(asked.chain(entry["toolCallId"].as_str()).map(str::to_owned));
        }
    }
    for call in value["toolCallList"].as_array().into_iter().flatten() {
        into.extend(call["id"].as_str().map(str::to_owned));
    }
}

/// What both kinds of bodies state at the same places.
fn check_common(name: &str, said: &Value, facts: &CallRecord) {
    assert_eq!(facts.message_list().len(), PLACES_OF_MESSAGES.iter().map(|path| spoken(said, path)).max().unwrap_or(0), "{name}: messages");
    assert!(facts.message_list().iter().all(|it| !it.message.trim().is_empty()), "{name}: blank message");
    let mut ids = BTreeSet::new();
    tool_ids(said, &mut ids);
    assert_eq!(facts.tool_calls.keys().cloned().collect::<BTreeSet<_>>(), ids, "{name}: tool calls");
    assert!(facts.tool_calls.values().all(|call| call.name.is_some()), "{name}: a tool without a name");
    let transcript = longest(said, &["/artifact/transcript", "/transcript"]);
    assert_eq!(facts.transcript.as_ref().map(|it| it.value.as_str()), transcript, "{name}: transcript");
    assert_eq!(facts.cost.as_ref().map(|it| it.value.0), said["cost"].as_f64(), "{name}: cost");
    assert_eq!(facts.ended_reason.as_ref().map(|it| it.value.as_str()), text(said, "/endedReason"), "{name}: reason");
    let summary = text(said, "/analysis/summary").or_else(|| text(said, "/summary"));
    assert_eq!(facts.summary.as_ref().map(|it| it.value.as_str()), summary, "{name}: summary");
    let outputs = said.pointer("/artifact/structuredOutputs").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    assert_eq!(facts.structured_outputs.len(), outputs, "{name}: outputs");
}

const PLACES_OF_MESSAGES: [&str; 5] =
    ["/artifact/messages", "/messages", "/artifact/messagesOpenAIFormatted", "/messagesOpenAIFormatted", "/conversation"];

fn check_event(name: &str, event: &CallEvent) {
    assert!(event.folded, "{name}");
    let record = serde_json::to_string(&event.facts).unwrap();
    let body = String::from_utf8(event.body.to_vec()).unwrap();
    // The corpus writes secrets as "redacted" and hex digits.
    for (place, written) in [("facts", &record), ("body", &body)] {
        let leak = written.match_indices("redacted").find(|(at, _)| written[at + 8..].chars().take(6).all(|next| next.is_ascii_hexdigit()));
        assert!(leak.is_none(), "{name}: a secret in the {place}: {leak:?}");
        assert!(!written.contains("X-Amz-Signature"), "{name}: a signed link in the {place}");
    }
    let again: CallRecord = serde_json::from_str(&record).unwrap();
    assert_eq!(again, *event.facts, "{name}: stored and loaded");
    let id = event.call_id.clone().unwrap_or_else(|| CallId::parse("none").unwrap());
    let shown = serde_json::to_value(CallResult::of(&id, &event.facts, Meta::default(), View::Full, "")).unwrap();
    assert_eq!(shown["callStatus"] == "ended", event.facts.state == CallState::Ended, "{name}");
}

fn check_message(name: &str, body: &[u8], said: &Value) {
    let read = message::read(body, message::Delivery::default(), NOW).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (event, facts) = (&read.event, &read.event.facts);
    assert_eq!(Some(event.source.as_str()), said["type"].as_str(), "{name}");
    assert_eq!(event.call_id.as_ref().map(CallId::as_str), said.pointer("/call/id").and_then(Value::as_str), "{name}");
    assert_eq!(event.sent_at.is_some(), !said["timestamp"].is_null(), "{name}: timestamp");
    check_event(name, event);
    let passing =
        ["assistant.speechStarted", "model-output", "speech-update", "user-interrupted", "voice-input"].contains(&event.source.as_str());
    if passing || event.source.starts_with("transcript") || event.source == "conversation-update" || event.source == "function-call" {
        return;
    }
    check_common(name, said, facts);
    let number = text(said, "/customer/number").or_else(|| text(said, "/call/customer/number"));
    assert_eq!(facts.customer_number.as_ref().map(|it| it.value.as_str()), number, "{name}: customer");
    let assistant = text(said, "/call/assistantId").or_else(|| text(said, "/assistant/id"));
    assert_eq!(facts.assistant_id.as_ref().map(|it| it.value.as_str()), assistant, "{name}: assistant");
    if event.source == "end-of-call-report" {
        check_times(name, said, facts);
        let stated = said["durationSeconds"].as_f64();
        assert_eq!(facts.duration_seconds.as_ref().map(|it| it.value), stated, "{name}: duration");
        assert!(facts.has_result() && facts.state == CallState::Ended, "{name}");
    }
}

fn check_times(name: &str, said: &Value, facts: &CallRecord) {
    for (key, field) in [("/startedAt", &facts.started_at), ("/endedAt", &facts.ended_at)] {
        assert_eq!(field.as_ref().map(|it| it.value.to_string()).as_deref(), text(said, key), "{name}: {key}");
    }
}

fn check_rest(name: &str, body: &[u8], said: &Value) {
    let id = CallId::parse(said["id"].as_str().unwrap()).unwrap();
    let event = call::read(body, &id, NOW).unwrap_or_else(|| panic!("{name} is no call")).event;
    check_event(name, &event);
    check_common(name, said, &event.facts);
    check_times(name, said, &event.facts);
    assert_eq!(event.facts.rest_ended, said["status"] == "ended", "{name}");
    assert_eq!(
        event.facts.sip_status.as_ref().map(|it| it.value),
        said.pointer("/phoneCallProviderDetails/sipStatus").and_then(Value::as_i64),
        "{name}"
    );
}

#[test]
fn every_captured_body_gives_a_sensible_record() {
    for (name, body) in payloads() {
        let said: Value = serde_json::from_slice(&body).unwrap();
        if NEITHER.contains(&name.as_str()) {
            assert!(message::read(&body, message::Delivery::default(), NOW).is_err(), "{name}");
        } else if said["message"].is_object() {
            check_message(&name, &body, &said["message"]);
        } else {
            check_rest(&name, &body, &said);
        }
    }
}
