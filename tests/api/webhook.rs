//! Webhooks come in: where, in which order they are checked, what is taken of them, and what a repeat does.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{StreamExt as _, stream};
use ringback::{
    config::Config,
    http::TEMPLATES,
    simulate::{Stage, bodies},
};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, SECRET, Story, TestApp, on_every_engine},
    calls::{late_talk, message, message_of_no_call, path, talk},
    vapi::CALL,
};

const WEBHOOK: &str = "/api/v1/vapi/webhook";

on_every_engine! {
    a_repeat_is_taken_and_changes_nothing
    a_repeat_under_another_id_changes_nothing
    the_same_webhook_from_all_sides_at_once_is_stored_once
    many_events_of_one_call_at_once_are_all_folded
    what_is_only_streamed_leaves_no_trace
}

#[tokio::test]
async fn every_address_takes_webhooks_and_asks_for_their_proof() {
    let app = Story::new().with("VAPI_WEBHOOK_PATH", "/hooks/old-service/").begin().await;
    let paths = [
        WEBHOOK,
        "/api/v1/vapi/webhooks/vapi",
        "/api/v1/webhooks/vapi",
        "/api/v1/sessions/vapi/webhook",
        "/hooks/old-service",
        "//api/v1//vapi/webhook/",
        "/hooks/old-service/",
        "/api/v1/vapi/webhook?from=dashboard",
    ];
    for (number, path) in paths.into_iter().enumerate() {
        let id = format!("call-{number}");
        let body = message("status-update", &id, json!({"status": "ringing"})).to_string();
        app.ask("POST", path).body(body.clone()).send().await.refused(401, "INVALID_SIGNATURE");
        let answer = app.ask("POST", path).header("x-vapi-secret", SECRET).body(body).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let expected = json!({"success": true, "status": "success", "received": true, "message": "Stored.", "callId": id});
        assert_eq!(answer.json(), expected);
        assert_eq!(app.call(&id).await["callStatus"], "ringing");
        let get = app.get(path).await.refused(405, "METHOD_NOT_ALLOWED");
        assert_eq!(get.header("allow"), "POST");
    }
    app.finish().await;
}

#[test]
fn a_path_of_ours_is_no_further_address() {
    const TAKES_WEBHOOKS: [&str; 4] = [WEBHOOK, "/api/v1/vapi/webhooks/vapi", "/api/v1/webhooks/vapi", "/api/v1/sessions/vapi/webhook"];
    for template in TEMPLATES {
        let part = |part: &'static str| if part.starts_with('{') { "x" } else { part };
        let path = template.split('/').map(part).collect::<Vec<_>>().join("/");
        let read = Config::from_env(|name| (name == "VAPI_WEBHOOK_PATH").then(|| path.clone()));
        assert_eq!(read.is_ok(), TAKES_WEBHOOKS.contains(&template), "{path}: {:?}", read.err());
    }
}

#[tokio::test]
async fn anybody_may_try_whether_the_webhook_can_be_reached() {
    let app = Story::new().with("API_TOKENS", "admin=0123456789abcdef").begin().await;
    let answer = app.ask("GET", "/api/v1/webhooks/vapi/test").header("host", "hooks.example.com").send().await;
    assert_eq!(answer.json(), json!({"message": "VAPI webhook endpoint is accessible", "status": "ok"}));
    app.finish().await;
}

/// A body that never comes, so that whoever reads it waits for ever.
fn endless() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())
}

#[tokio::test]
async fn without_any_proof_the_body_is_not_even_read() {
    let app = Story::new().begin().await;
    let refused = app.ask("POST", WEBHOOK).body(endless()).send();
    let answer = tokio::time::timeout(Duration::from_secs(2), refused).await.expect("it does not wait for the body");
    answer.refused(401, "INVALID_SIGNATURE");
    let huge = app.ask("POST", WEBHOOK).header("content-length", "99999999999").body("{}").send().await;
    huge.refused(401, "INVALID_SIGNATURE");
    app.finish().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let app = Story::new().with("MAX_BODY_MB", "1").begin().await;
    let limit = 1_048_576;
    let padded = |size: usize| {
        let body = message("status-update", "padded", json!({"status": "ringing"})).to_string();
        format!("{body}{}", " ".repeat(size - body.len()))
    };
    let post = || app.ask("POST", WEBHOOK).header("x-vapi-secret", SECRET);
    assert_eq!(post().body(padded(limit)).send().await.status, 200, "exactly the limit");
    post().body(padded(limit + 1)).send().await.refused(413, "PAYLOAD_TOO_LARGE");
    let announced = post().header("content-length", &(limit + 1).to_string()).body(endless()).send();
    let announced = tokio::time::timeout(Duration::from_secs(2), announced).await.expect("it does not wait for the body");
    announced.refused(413, "PAYLOAD_TOO_LARGE");
    let chunk = Bytes::from(vec![b' '; 65_536]);
    let without_end = stream::repeat(chunk).map(Ok::<_, std::io::Error>);
    post().body(Body::from_stream(without_end)).send().await.refused(413, "PAYLOAD_TOO_LARGE");
    app.finish().await;
}

#[tokio::test]
async fn a_body_that_is_cut_is_refused_and_a_wrong_proof_before_wrong_json() {
    let app = Story::new().begin().await;
    let cut = stream::iter([Ok(Bytes::from("{\"message\":")), Err(std::io::Error::other("cut"))]);
    let answer = app.ask("POST", WEBHOOK).header("x-vapi-secret", SECRET).body(Body::from_stream(cut)).send().await;
    answer.refused(400, "INVALID_PAYLOAD");
    app.ask("POST", WEBHOOK).header("x-vapi-secret", "wrong").body("not json").send().await.refused(401, "INVALID_SIGNATURE");
    app.finish().await;
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_a_reason() {
    let app = Story::new().begin().await;
    for (body, reason) in [
        ("", "empty"),
        (" \r\n\t", "empty"),
        ("not json", "not JSON"),
        ("{\"message\":{\"type\":\"hang\"}", "not JSON"),
        ("{\"message\":{\"type\":\"hang\"}} {}", "not JSON"),
        ("NaN", "not JSON"),
        ("[]", "\"message\""),
        ("null", "\"message\""),
        ("{}", "\"message\""),
        ("{\"type\":\"hang\"}", "\"message\""),
        ("{\"message\":\"hang\"}", "\"message\""),
        ("{\"message\":null}", "\"message\""),
        ("{\"message\":{}}", "\"message.type\""),
        ("{\"message\":{\"type\":null}}", "\"message.type\""),
        ("{\"message\":{\"type\":7}}", "\"message.type\""),
        ("{\"message\":{\"type\":\" \"}}", "\"message.type\""),
        ("{\"message\":{\"type\":[\"hang\"]}}", "\"message.type\""),
    ] {
        let answer = app.ask("POST", WEBHOOK).header("x-vapi-secret", SECRET).body(body).send().await.refused(400, "INVALID_PAYLOAD");
        let said = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(reason), "{body}: {said}");
    }
    let invalid = app.ask("POST", WEBHOOK).header("x-vapi-secret", SECRET).body(&b"{\"message\":{\"type\":\"\xff\xfe\"}}"[..]).send().await;
    invalid.refused(400, "INVALID_PAYLOAD");
    app.finish().await;
}

#[tokio::test]
async fn whatever_has_a_type_is_taken_however_odd_the_rest_is() {
    let app = Story::new().without("VAPI_API_KEY").begin().await;
    let odd = [
        message("something.new", "odd-1", json!({"list": [1, null, {"a": []}]})),
        message("end-of-call-report", "odd-2", json!({"artifact": 7, "analysis": [], "messages": "x", "cost": "much", "endedReason": 4})),
        message(
            "end-of-call-report",
            "odd-3",
            json!({"timestamp": {"a": 1}, "startedAt": false, "durationSeconds": "12", "transcript": []}),
        ),
        message("status-update", "odd-4", json!({"status": null, "timestamp": "yesterday", "customer": [], "assistant": "x"})),
        message("tool-calls", "odd-5", json!({"toolCallList": {"id": 1}, "toolCalls": null})),
        message("transcript", "odd-6", json!({"transcriptType": "final", "role": 1, "transcript": {}})),
        message("conversation-update", "odd-7", json!({"conversation": "x", "messages": [[], 1, null, {"role": null}]})),
        message("call.deleted", "odd-8", json!({"call": {"id": "odd-8", "metadata": "text", "assistantOverrides": []}})),
        message("hang", "odd-9", json!({"timestamp": -1e300})),
        message("hang", "odd-10", json!({"timestamp": 1e300, "a\u{0}b": "\u{0}"})),
    ];
    for (number, body) in odd.iter().enumerate() {
        let answer = app.hears(body).await;
        if number != 4 {
            assert_eq!(answer["callId"], format!("odd-{}", number + 1));
        }
        app.call(&format!("odd-{}", number + 1)).await;
    }
    app.finish().await;
}

#[tokio::test]
async fn a_message_without_a_call_goes_to_the_call_of_its_header_and_the_bodys_id_wins() {
    let app = Story::new().begin().await;
    let post = async |body: &Value, id: &str| {
        let ask = app.ask("POST", WEBHOOK).header("x-vapi-secret", SECRET).header("x-call-id", id);
        ask.body(body.to_string()).send().await.json()["callId"].clone()
    };
    let ended = message_of_no_call("status-update", json!({"status": "ended", "endedReason": "assistant-not-valid"}));
    assert_eq!(post(&ended, "by-header").await, "by-header");
    assert_eq!(app.call("by-header").await["callStatus"], "ended");
    assert_eq!(post(&message("hang", "by-body", json!({})), "by-header").await, "by-body");
    assert_eq!(post(&message_of_no_call("hang", json!({})), "no such id!").await, Value::Null);
    assert_eq!(post(&message_of_no_call("chat.created", json!({"chat": {}})), "").await, Value::Null);
    app.finish().await;
}

#[tokio::test]
async fn an_id_that_cannot_be_is_kept_without_a_call_and_counted() {
    let app = Story::new().begin().await;
    let two_megabytes = "x".repeat(2 * 1_048_576);
    for odd in ["with space", "a/b", "", &"x".repeat(129), "ü", "\u{0}", &two_megabytes] {
        let answer = app.hears(&message("status-update", odd, json!({"status": "ringing"}))).await;
        assert_eq!(answer["callId"], Value::Null, "{odd:.20}");
    }
    let text = app.get("/metrics").await.text();
    let counted = "ringback_webhook_deliveries_total{type=\"status-update\",result=\"odd_call_id\"} 6";
    assert!(text.contains(counted), "an empty id is no odd one: {text}");
    assert_eq!(app.get("/api/v1/vapi/calls").await.json()["count"], 0);
    app.finish().await;
}

async fn a_repeat_is_taken_and_changes_nothing(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let script = late_talk(CALL);
    let sent_at = app.clock().now();
    app.hears(&bodies::end_of_call_report(&script, sent_at)).await;
    let first = app.poll(CALL).await;
    for _ in 0..3 {
        app.clock().advance(700);
        // Vapi signs its links afresh each time.
        let again = app.hears(&bodies::end_of_call_report(&script.clone().delivered_again(), sent_at)).await;
        assert_eq!(again["message"], "Stored before; nothing changed.");
        let now = app.poll(CALL).await;
        assert_eq!((now.header("etag"), &now.bytes), (first.header("etag"), &first.bytes));
    }
    let entries = app.get(&format!("{}/timeline", path(CALL))).await.data(200);
    let repeats: Vec<bool> = entries.as_array().expect("a list").iter().filter_map(|entry| entry["duplicate"].as_bool()).collect();
    assert_eq!(repeats, [false, true, true, true]);
    app.finish().await;
}

async fn a_repeat_under_another_id_changes_nothing(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let body = message_of_no_call("end-of-call-report", json!({"transcript": "AI: Hi.", "endedReason": "customer-ended-call"})).to_string();
    let post = async |id: &str| {
        app.ask("POST", WEBHOOK).header("x-vapi-secret", SECRET).header("x-call-id", id).body(body.clone()).send().await.json()
    };
    assert_eq!(post("first").await["message"], "Stored.");
    let before = app.call("first").await;
    assert_eq!(post("second").await["message"], "Stored before; nothing changed.");
    app.poll("second").await.refused(404, "CALL_NOT_FOUND");
    assert_eq!((app.call("first").await, app.get("/api/v1/vapi/calls").await.json()["count"].as_u64()), (before, Some(1)));
    app.finish().await;
}

async fn the_same_webhook_from_all_sides_at_once_is_stored_once(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let body = bodies::end_of_call_report(&talk(CALL), app.clock().now());
    let answers = futures_util::future::join_all((0..40).map(|_| app.hears(&body))).await;
    assert_eq!(answers.iter().filter(|answer| answer["message"] == "Stored.").count(), 1);
    let entries = app.get(&format!("{}/timeline", path(CALL))).await.data(200);
    let of_kind = |kind: &str, repeat: bool| {
        entries.as_array().expect("a list").iter().filter(|entry| entry["kind"] == kind && entry["duplicate"] == repeat).count()
    };
    assert_eq!((of_kind("delivery", false), of_kind("delivery", true), of_kind("settled", false)), (1, 39, 1));
    assert_eq!(app.poll(CALL).await.data(200)["version"], 1);
    app.finish().await;
}

async fn many_events_of_one_call_at_once_are_all_folded(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let line = |number: i64| {
        let fields = json!({"transcriptType": "final", "role": "user", "transcript": format!("line {number}"), "timestamp": app.clock().now().0 + number});
        message("transcript", CALL, fields)
    };
    let lines: Vec<Value> = (0..60).map(line).collect();
    futures_util::future::join_all(lines.iter().map(|line| app.hears(line))).await;
    let call = app.call(CALL).await;
    let said: Vec<String> =
        call["messages"].as_array().expect("a list").iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(said, (0..60).map(|number| format!("line {number}")).collect::<Vec<_>>());
    assert_eq!(call["version"], 60);
    app.finish().await;
}

async fn what_is_only_streamed_leaves_no_trace(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let script = talk(CALL);
    let now = app.clock().now();
    for body in [
        bodies::transcript(&script, 0, false, now),
        bodies::speech_update(&script, 0, true, now),
        message("model-output", CALL, json!({"output": "Hi"})),
        message("voice-input", CALL, json!({"input": "Hi"})),
        message("user-interrupted", CALL, json!({})),
        message("assistant.speechStarted", CALL, json!({"text": "Hi"})),
    ] {
        let answer = app.hears(&body).await;
        assert_eq!(answer["message"], "Received; messages of this type are not kept.");
    }
    app.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    let with = |text: &str, app: &TestApp| bodies::status_update(&talk(text), Stage::InProgress, app.clock().now());
    app.hears(&with(CALL, &app)).await;
    assert_eq!(app.get(&format!("{}/timeline", path(CALL))).await.json()["count"], 1);
    app.finish().await;
}

#[tokio::test]
async fn everything_is_kept_if_wanted_and_makes_no_facts_all_the_same() {
    let app = Story::new().with("KEEP_EVENTS", "all").begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    let before = app.call(CALL).await;
    app.hears(&bodies::transcript(&talk(CALL), 0, false, app.clock().now())).await;
    app.hears(&bodies::speech_update(&talk(CALL), 0, true, app.clock().now())).await;
    assert_eq!(app.call(CALL).await, before);
    let timeline = app.get(&format!("{}/timeline?body=1", path(CALL))).await.data(200);
    let sources: Vec<&str> = timeline.as_array().expect("a list").iter().filter_map(|entry| entry["source"].as_str()).collect();
    assert_eq!(sources, ["status-update", "transcript", "speech-update"]);
    assert_eq!(timeline[1]["body"]["message"]["transcriptType"], "partial");
    app.finish().await;
}
