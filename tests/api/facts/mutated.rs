//! Real-shaped bodies with something wrong in them: what a fuzzer would try.

use proptest::prelude::{Strategy, any, prop, proptest};
use ringback::{
    call::{
        id::CallId,
        join::{join, normal},
        record::CallRecord,
        view::{CallResult, Meta, View},
    },
    vapi::{call, message},
};
use serde_json::{Value, json};

use crate::support::{
    bodies::{CALL, NOW, body, rest_body},
    vapi::id,
};

const BODIES: [&str; 14] = [
    "end-of-call-report",
    "end-of-call-report-2024-03",
    "end-of-call-report-2024-07",
    "end-of-call-report-nothing-promised",
    "status-update-in-progress",
    "status-update-ended",
    "tool-calls",
    "tool-calls-flat",
    "function-call",
    "conversation-update",
    "transcript-final",
    "assistant-request",
    "call.artifact.upload",
    "recording-ready",
];
const OBJECTS: [&str; 4] = ["ended", "ended-without-analysis", "in-progress", "never-connected"];

/// What may stand anywhere.
fn oddity() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("ended"),
        json!("{\"token\": \"x\"}"),
        json!("2026-05-14T09:30:00Z"),
        json!("9".repeat(400)),
        json!([]),
        json!([null, 1, "x", {}]),
        json!({}),
        json!({"role": "user", "message": "odd", "id": "odd", "enabled": false, "result": null}),
    ])
}

/// Replaces the `at`-th value of the tree, counted depth first.
fn replace(tree: &mut Value, at: &mut usize, with: &Value) -> bool {
    if *at == 0 {
        *tree = with.clone();
        return true;
    }
    *at -= 1;
    match tree {
        Value::Array(items) => items.iter_mut().any(|item| replace(item, at, with)),
        Value::Object(members) => members.iter_mut().any(|(_, value)| replace(value, at, with)),
        _ => false,
    }
}

fn size(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum::<usize>(),
        _ => 0,
    }
}

fn mutated(original: &[u8], changes: &[(usize, Value)]) -> Value {
    let mut tree: Value = serde_json::from_slice(original).unwrap();
    for (place, oddity) in changes {
        let mut at = place % size(&tree);
        replace(&mut tree, &mut at, oddity);
    }
    tree
}

/// Whatever was read: it is in normal form, survives being stored, joins with itself to itself, and can be shown.
fn check(facts: &CallRecord) {
    assert_eq!(&normal(facts.clone()), facts);
    assert_eq!(&join(facts.clone(), facts.clone()), facts);
    let stored = serde_json::to_vec(facts).unwrap();
    assert_eq!(&serde_json::from_slice::<CallRecord>(&stored).unwrap(), facts);
    let id = id(CALL);
    for view in [View::Full, View::Summary] {
        let result = CallResult::of(&id, facts, Meta::default(), view, "https://r.example");
        assert_eq!(serde_json::to_value(result).unwrap().as_object().unwrap().len(), 40);
    }
}

proptest! {
    #[test]
    fn a_body_with_odd_values_anywhere_is_read_or_refused(
        file in prop::sample::select(BODIES.to_vec()),
        changes in prop::collection::vec((any::<usize>(), oddity()), 1..6),
    ) {
        let body = mutated(&body(file), &changes).to_string();
        if let Ok(inbound) = message::read(body.as_bytes(), message::Delivery::default(), NOW) {
            assert!(inbound.event.folded);
            check(&inbound.event.facts);
            assert!(inbound.event.call_id.is_none_or(|id| CallId::parse(id.as_str()).is_ok()));
        }
    }

    #[test]
    fn a_rest_object_with_odd_values_anywhere_is_read_or_refused(
        file in prop::sample::select(OBJECTS.to_vec()),
        changes in prop::collection::vec((any::<usize>(), oddity()), 1..6),
    ) {
        let body = mutated(&rest_body(file), &changes).to_string();
        if let Some(answer) = call::read(body.as_bytes(), &id(CALL), NOW) {
            check(&answer.event.facts);
        }
    }

    #[test]
    fn a_body_cut_or_garbled_anywhere_never_panics(
        file in prop::sample::select(BODIES.to_vec()),
        garbled in prop::collection::vec((any::<usize>(), any::<u8>()), 0..8),
        end: usize,
    ) {
        let mut body = body(file);
        for (place, byte) in garbled {
            let at = place % body.len();
            body[at] = byte;
        }
        body.truncate(end % (body.len() * 2));
        if let Ok(inbound) = message::read(&body, message::Delivery::default(), NOW) {
            check(&inbound.event.facts);
        }
        let _ = call::read(&body, &id(CALL), NOW);
    }
}
