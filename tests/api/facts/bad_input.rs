//! What is no usable body is refused with a reason; whatever is usable is taken.

use proptest::prelude::{Strategy, any, prop, proptest};
use ringback::{
    call::id::CallId,
    vapi::{
        json,
        message::{Delivery, InvalidPayload, read},
    },
};
use serde_json::{Value, json};

use crate::support::bodies::{CALL, NOW, read as taken, read_value};

fn refused(body: &[u8]) -> InvalidPayload {
    read(body, Delivery::default(), NOW).expect_err("no usable body")
}

#[test]
fn nothing_is_refused_as_nothing() {
    for body in [&b""[..], b" ", b"\r\n\t ", b"\n\n\n"] {
        assert_eq!(refused(body), InvalidPayload::Empty);
    }
}

#[test]
fn no_json_is_refused_as_that() {
    let bodies: [&[u8]; 12] = [
        b"<html>",
        b"{",
        b"{\"message\":",
        b"{\"message\":{\"type\":\"hang\"}}}",
        b"{\"message\":{\"type\":\"hang\",}}",
        b"{'message':{'type':'hang'}}",
        b"{\"message\":{\"type\":\"h\x00ng\"}}",
        b"{\"message\":{\"type\":\"hang\"}}\0",
        b"{\"message\":{\"type\":\"\xff\xfe\"}}",
        b"{\"message\":{\"type\":\"\\ud83\"}}",
        b"{\"message\":{\"type\":NaN}}",
        b"\xef\xbb\xbf{}",
    ];
    for body in bodies {
        assert!(matches!(refused(body), InvalidPayload::NotJson(_)), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn json_without_the_envelope_is_told_what_is_missing() {
    for body in [
        "{}",
        "[]",
        "null",
        "5",
        "\"message\"",
        r#"{"message":null}"#,
        r#"{"message":"hang"}"#,
        r#"{"message":[{"type":"hang"}]}"#,
        r#"{"type":"hang"}"#,
    ] {
        assert_eq!(refused(body.as_bytes()), InvalidPayload::NoMessage, "{body}");
    }
    for body in [
        r#"{"message":{}}"#,
        r#"{"message":{"type":5}}"#,
        r#"{"message":{"type":null}}"#,
        r#"{"message":{"type":" "}}"#,
        r#"{"message":{"type":["hang"]}}"#,
    ] {
        assert_eq!(refused(body.as_bytes()), InvalidPayload::NoType, "{body}");
    }
    assert_eq!(refused(b"{}").to_string(), "the body has no \"message\" object");
}

#[test]
fn json_20000_deep_is_refused_and_100_deep_is_taken() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |levels: usize| format!(r#"{{"message":{{"type":"hang","x":{}1{}}}}}"#, open.repeat(levels), close.repeat(levels));
        assert!(matches!(refused(deep(20_000).as_bytes()), InvalidPayload::NotJson(_)));
        assert!(matches!(refused(open.repeat(20_000).as_bytes()), InvalidPayload::NotJson(_)), "unclosed");
        let event = taken(deep(120).as_bytes()).event;
        assert_eq!(taken(&event.body).event.id, event.id);
    }
}

#[test]
fn deep_json_in_texts_in_json_overflows_nothing() {
    let mut text = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    for _ in 0..6 {
        text = format!("{}{}{}", "[".repeat(100), json!(text), "]".repeat(100));
    }
    let message =
        json!({"message": {"type": "tool-calls", "call": {"id": CALL}, "x": text, "toolCallList": [{"id": "t", "arguments": text}]}});
    assert!(read_value(message).event.folded);
}

#[test]
fn half_a_surrogate_pair_is_taken_as_an_unknown_character() {
    let body = |escape: &str| {
        format!(r#"{{"message":{{"type":"end-of-call-report","call":{{"id":"{CALL}"}},"endedReason":"cut {escape} here"}}}}"#)
    };
    let reason = |escape: &str| taken(body(escape).as_bytes()).event.facts.ended_reason.clone().unwrap().value;
    for lone in [r"\ud83d", r"\uD83D", r"\ude00", r"\udbff"] {
        assert_eq!(reason(lone), "cut \u{fffd} here", "{lone}");
    }
    assert_eq!(reason(r"\ud83d\ud83d\ude00"), "cut \u{fffd}\u{1f600} here");
    assert_eq!(reason(r"\ud83d\n\ude00"), "cut \u{fffd}\n\u{fffd} here");
    assert_eq!(reason(r"\\ud83d \ud83d"), "cut \\ud83d \u{fffd} here", "an escaped backslash begins no escape");
    assert_eq!(reason(r"\ud83d\ude00"), "cut \u{1f600} here", "a whole pair is no half");
}

#[test]
fn numbers_beyond_all_bounds_are_taken_as_none() {
    let body = format!(
        r#"{{"message":{{"type":"end-of-call-report","timestamp":1e999,"call":{{"id":"{CALL}"}},"cost":-1E+400,"durationSeconds":{},"endedReason":"1e999 \" 1e999"}}}}"#,
        "9".repeat(400)
    );
    let event = taken(body.as_bytes()).event;
    assert_eq!((event.sent_at, event.facts.cost, event.facts.duration_seconds), (None, None, None));
    assert_eq!(event.facts.ended_reason.unwrap().value, "1e999 \" 1e999", "words are left alone");
    let large =
        read_value(json!({"message": {"type": "end-of-call-report", "call": {"id": CALL}, "cost": u64::MAX, "durationSeconds": 1e308}}))
            .event;
    assert!(large.facts.cost.unwrap().value.0 > 1.8e19);
}

#[test]
fn of_a_repeated_key_the_last_counts() {
    let body = format!(
        r#"{{"message":{{"type":"a","type":"b","type":"hang","call":{{"id":"x"}},"call":{{"id":"{CALL}"}},"type":"status-update","status":"ringing"}}}}"#
    );
    let event = taken(body.as_bytes()).event;
    assert_eq!((event.source.as_str(), event.call_id.unwrap().as_str()), ("status-update", CALL));
    assert!(!String::from_utf8(event.body.to_vec()).unwrap().contains("hang"));
}

#[test]
fn nul_bytes_as_escapes_are_ordinary_characters() {
    let event =
        read_value(json!({"message": {"type": "end-of-call-report", "call": {"id": CALL}, "endedReason": "a\0b", "\0": "\0"}})).event;
    assert_eq!(event.facts.ended_reason.unwrap().value, "a\0b");
}

#[test]
fn an_odd_call_id_leaves_the_message_without_a_call() {
    let by_header = Delivery { call_id: Some(CallId::parse("by-header").unwrap()), ..Delivery::default() };
    let of = |call: Value| {
        let inbound = read(json!({"message": {"type": "hang", "call": call}}).to_string().as_bytes(), by_header.clone(), NOW).unwrap();
        (inbound.event.call_id.map(|id| id.to_string()), inbound.odd_call_id)
    };
    let long = "x".repeat(2 << 20);
    for odd in [json!({"id": long}), json!({"id": "no spaces"}), json!({"id": "a/b"}), json!({"id": "é"}), json!({"id": "x".repeat(129)})]
    {
        assert_eq!(of(odd), (None, true), "the body's id wins over the header's, though it is none");
    }
    assert_eq!(of(json!({"id": "body"})), (Some("body".to_owned()), false), "the body's id wins");
    for absent in [json!(null), json!({}), json!([]), json!("call"), json!({"id": null}), json!({"id": ""})] {
        assert_eq!(of(absent), (Some("by-header".to_owned()), false));
    }
    let numeric = read_value(json!({"message": {"type": "hang", "call": {"id": 12}}}));
    assert_eq!((numeric.event.call_id, numeric.odd_call_id), (None, true), "a number is no id");
}

#[test]
fn the_same_words_under_another_header_are_the_same_event() {
    let body = json!({"message": {"type": "hang"}}).to_string();
    let under = |id: &str| {
        read(body.as_bytes(), Delivery { call_id: Some(CallId::parse(id).unwrap()), ..Delivery::default() }, NOW).unwrap().event.id
    };
    assert_eq!(under("one"), under("two"));
    let signed = Delivery { webhook_id: Some("msg_1".to_owned()), ..Delivery::default() };
    assert_eq!(read(body.as_bytes(), signed, NOW).unwrap().event.id, "msg_1", "a proven webhook-id is the event's");
}

#[test]
fn space_and_order_of_keys_make_no_other_event() {
    let id = |body: &str| taken(body.as_bytes()).event.id;
    let tidy = id(r#"{"message":{"type":"hang","call":{"id":"a","x":[1,2]}}}"#);
    assert_eq!(id("{ \"message\" : {\"call\":{\"x\":[1, 2],\"id\":\"a\"},\n\"type\":\"h\\u0061ng\"}, \"beside\": true }"), tidy);
    assert_ne!(id(r#"{"message":{"type":"hang","call":{"id":"a","x":[2,1]}}}"#), tidy);
}

/// Any JSON whatever, a few levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = proptest::prop_oneof![
        proptest::strategy::Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["ended", "final", "system", "user", CALL, "2026-05-14T09:30:00Z", "https://x.example/?token=1"])
            .prop_map(Value::from),
    ];
    let key = || proptest::prop_oneof![prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned), "[a-z]{0,4}".prop_map(String::from)];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        proptest::prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..8).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

const KEYS: [&str; 30] = [
    "message",
    "type",
    "call",
    "id",
    "timestamp",
    "status",
    "artifact",
    "messages",
    "role",
    "content",
    "toolCalls",
    "toolCallList",
    "function",
    "arguments",
    "analysis",
    "structuredData",
    "structuredOutputs",
    "transcript",
    "metadata",
    "assistant",
    "analysisPlan",
    "summaryPlan",
    "cost",
    "startedAt",
    "durationSeconds",
    "customer",
    "recording",
    "mono",
    "token",
    "headers",
];

const KINDS: [&str; 8] = [
    "end-of-call-report",
    "status-update",
    "tool-calls",
    "function-call",
    "conversation-update",
    "transcript",
    "hang",
    "assistant-request",
];

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes, Delivery::default(), NOW);
    }

    #[test]
    fn arbitrary_text_that_looks_like_json_never_panics(text in r#"[\[\]{}":,0-9a-u\\eE+. -]{0,120}"#) {
        let _ = read(text.as_bytes(), Delivery::default(), NOW);
    }

    #[test]
    fn arbitrary_json_is_taken_or_refused_but_never_panics(value in any_json()) {
        let _ = read(value.to_string().as_bytes(), Delivery::default(), NOW);
    }

    #[test]
    fn a_typed_message_of_arbitrary_members_is_always_taken(mut message in any_json(), kind in prop::sample::select(KINDS.to_vec()), keep_all: bool) {
        if !message.is_object() {
            message = json!({"artifact": message});
        }
        message["type"] = json!(kind);
        let body = json!({"message": message}).to_string();
        let event = read(body.as_bytes(), Delivery { keep_all, ..Delivery::default() }, NOW).unwrap().event;
        assert!(event.folded);
    }

    #[test]
    fn what_is_read_is_written_the_same_forever(value in any_json()) {
        let body = value.to_string();
        let arena = json::Arena::default();
        let canonical = json::parse(body.as_bytes(), &arena).unwrap().canonical();
        assert_eq!(json::parse(canonical.as_bytes(), &arena).unwrap().canonical(), canonical);
        assert_eq!(serde_json::from_str::<Value>(&canonical).unwrap(), value, "and means the same");
    }
}
