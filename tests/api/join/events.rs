//! Events of one call as they might come: made of bodies in Vapi's shape, with few times and few words, so that they often tie and clash.

use std::collections::BTreeMap;

use proptest::{
    option,
    prelude::{Just, Strategy, any, prop, prop_oneof},
};
use ringback::{
    call::{
        field::{Rank, Stamped},
        join::join,
        record::{CallRecord, Fetch, FetchOutcome, FetchReason, Settled},
        time::Millis,
    },
    vapi::{call, message},
};
use serde_json::{Map, Value, json};

use crate::support::{
    bodies::{CALL, MADE, NOW},
    vapi::id,
};

fn one_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(values.to_vec())
}

/// A few moments, in several spellings; `None` is absent.
fn timestamp() -> impl Strategy<Value = Option<Value>> {
    let at = |after: i64| MADE.plus(after);
    let written = vec![json!(at(1).0), json!(at(2).0), json!(at(2).to_string()), json!(at(60_000).0), json!("never"), Value::Null];
    option::of(one_of(&written))
}

fn spoken() -> impl Strategy<Value = Value> {
    let entry = (one_of(&["bot", "user", "system"]), one_of(&["yes", "no", ""]), 0..3_i64);
    let entry =
        entry.prop_map(|(role, words, time)| json!({"role": role, "message": words, "time": MADE.0 + time, "secondsFromStart": time}));
    let tools = [
        json!({"role": "tool_calls", "toolCalls": [{"id": "t1", "function": {"name": "n", "arguments": "{\"a\":1}"}}], "time": MADE.0}),
        json!({"role": "tool_call_result", "toolCallId": "t1", "result": "pending"}),
        json!({"role": "tool_call_result", "toolCallId": "t1", "result": "done"}),
    ];
    prop::collection::vec(prop_oneof![4 => entry, 1 => one_of(&tools)], 0..5).prop_map(Value::from)
}

/// Members that reports, artifacts and REST objects share, each there or not.
fn stated() -> impl Strategy<Value = Map<String, Value>> {
    let texts = (option::of(one_of(&["", "AI: hi\n", "AI: hi\nUser: yo\n", "AI: ho\n"])), option::of(one_of(&["", "short", "another"])));
    let numbers =
        (option::of(one_of(&[json!(0), json!(0.5), json!(0.25), Value::Null])), option::of(one_of(&[json!(0), json!(12.5), json!("7")])));
    let result = one_of(&[Value::Null, json!(false), json!("a"), json!("b")]);
    let outputs = prop::collection::btree_map(one_of(&["o1", "o2"]), result, 0..3);
    let metadata =
        prop::collection::btree_map(one_of(&["k", "call_id"]), one_of(&[json!(""), json!("x"), json!(2), json!({"y": []})]), 0..3);
    let plans = option::of((any::<bool>(), any::<bool>()));
    (texts, numbers, spoken(), outputs, metadata, plans, timestamp()).prop_map(|(texts, numbers, messages, outputs, metadata, plans, started)| {
        let outputs: Map<String, Value> = outputs.into_iter().map(|(id, result)| (id.to_owned(), json!({"name": id, "result": result}))).collect();
        let mut all = json!({
            "artifact": {"transcript": texts.0, "messages": messages, "structuredOutputs": outputs, "variableValues": {"call_id": metadata.get("call_id")}},
            "analysis": {"summary": texts.1, "structuredData": metadata.get("k"), "successEvaluation": numbers.1},
            "cost": numbers.0, "durationSeconds": numbers.1, "endedReason": texts.1, "startedAt": started, "endedAt": started,
            "assistantOverrides": {"metadata": metadata},
        });
        if let Some((summary, data)) = plans {
            all["assistant"] = json!({"metadata": metadata, "analysisPlan": {"summaryPlan": {"enabled": summary}, "structuredDataPlan": {"enabled": data}}});
        }
        all.as_object().cloned().unwrap_or_default()
    })
}

/// What a webhook states.
fn webhook() -> impl Strategy<Value = CallRecord> {
    let kinds = [
        "end-of-call-report",
        "end-of-call-report",
        "status-update",
        "transcript",
        "conversation-update",
        "tool-calls",
        "function-call",
        "call.artifact.upload",
        "hang",
        "call-ended",
        "speech-update",
    ];
    let states = one_of(&["queued", "ringing", "in-progress", "forwarding", "ended", "unheard-of"]);
    (one_of(&kinds), timestamp(), states, stated(), 0..3_i64).prop_map(|(kind, timestamp, state, stated, received)| {
        let mut message = Value::Object(stated);
        let more = json!({
            "type": kind, "timestamp": timestamp, "status": state, "role": "user", "transcriptType": "final",
            "toolCallList": [{"id": "t1", "function": {"name": "n", "arguments": {"a": 2}}}], "functionCall": {"name": "n"},
            "call": {"id": CALL, "customer": {"number": state}, "metadata": {"k": timestamp}},
        });
        message.as_object_mut().into_iter().for_each(|message| message.extend(more.as_object().cloned().unwrap_or_default()));
        if kind == "transcript" {
            message["transcript"] = json!(format!("said while {state}"));
        }
        let body = json!({"message": message}).to_string();
        *message::read(body.as_bytes(), message::Delivery::default(), NOW.plus(received)).expect("usable").event.facts
    })
}

/// What a REST answer states.
fn rest() -> impl Strategy<Value = CallRecord> {
    (one_of(&["ended", "ended", "in-progress", "queued"]), stated(), 0..3_i64, option::of(one_of(&[480, 486]))).prop_map(
        |(status, stated, at, sip)| {
            let mut object = Value::Object(stated);
            object["id"] = json!(CALL);
            object["status"] = json!(status);
            object["phoneCallProviderDetails"] = json!({"sipStatus": sip});
            *call::read(object.to_string().as_bytes(), &id(CALL), NOW.plus(at)).expect("this call").event.facts
        },
    )
}

/// A note of ours: a fetch tried, or the call settled.
fn note() -> impl Strategy<Value = CallRecord> {
    let outcomes = [
        FetchOutcome::Failed { error: "late".to_owned() },
        FetchOutcome::Denied { error: "no".to_owned() },
        FetchOutcome::Unknown,
        FetchOutcome::Live,
        FetchOutcome::Ended { updated_at: "one".to_owned() },
        FetchOutcome::Ended { updated_at: "two".to_owned() },
    ];
    let reasons = one_of(&[FetchReason::Enrich, FetchReason::Check, FetchReason::Manual]);
    let fetch = (one_of(&["f1", "f2"]), 0..3_i64, reasons, one_of(&outcomes)).prop_map(|(id, at, reason, outcome)| {
        let fetch = Fetch { at: NOW.plus(at), reason, outcome };
        CallRecord { fetches: BTreeMap::from([(id.to_owned(), fetch)]), ..CallRecord::default() }
    });
    let settled =
        one_of(&[Settled::Complete, Settled::FetchFailed]).prop_map(|how| CallRecord { settled: Some(how), ..CallRecord::default() });
    let recovered = (0..3_i64, any::<bool>()).prop_map(|(at, owed)| {
        let server = Some(Stamped { value: format!("s{at}"), rank: Rank::OTHER, sent_at: Some(NOW.plus(at)) });
        CallRecord { recovered_at: Some(NOW.plus(at)), owed, server, ..CallRecord::default() }
    });
    let lost = (0..3_i64).prop_map(|at| CallRecord { lost_at: Some(NOW.plus(at)), ..CallRecord::default() });
    prop_oneof![3 => fetch, 3 => settled, 1 => recovered, 1 => lost]
}

fn deletion() -> impl Strategy<Value = CallRecord> {
    (0..3_i64).prop_map(|at| CallRecord { deleted_at: Some(NOW.plus(at)), ..CallRecord::default() })
}

/// What any event of a call states.
pub(crate) fn event() -> impl Strategy<Value = CallRecord> {
    prop_oneof![12 => webhook(), 6 => rest(), 4 => note(), 1 => deletion(), 1 => Just(CallRecord::default())]
}

/// The same without deletions, which make all things equal.
pub(crate) fn living_event() -> impl Strategy<Value = CallRecord> {
    prop_oneof![6 => webhook(), 3 => rest(), 2 => note()]
}

/// One event, or several joined.
pub(crate) fn record() -> impl Strategy<Value = CallRecord> {
    prop_oneof![event(), prop::collection::vec(living_event(), 2..5).prop_map(|events| join_all(&events))]
}

/// Joins events in the order given.
pub(crate) fn join_all(events: &[CallRecord]) -> CallRecord {
    events.iter().cloned().reduce(join).unwrap_or_default()
}

/// Milliseconds, as a moment after the bodies came.
pub(crate) fn at(after: i64) -> Millis {
    NOW.plus(after)
}
