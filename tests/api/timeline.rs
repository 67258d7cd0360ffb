//! What happened to a call and when, with the redacted bodies as long as they are kept.

use ringback::simulate::{Fault, Stage, bodies};
use serde_json::{Value, json};

use crate::support::{
    answer::keys,
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{late_talk, message, path, talk},
    vapi::CALL,
};

on_every_engine! {
    everything_is_told_in_order_of_time
    bodies_are_shown_only_when_asked_for_and_never_their_secrets
    two_equal_answers_of_vapi_are_one_event
}

const KEYS: [&str; 10] = ["at", "kind", "source", "eventId", "sentAt", "proof", "duplicate", "changed", "version", "details"];

async fn timeline(app: &TestApp, id: &str, query: &str) -> Vec<Value> {
    let answer = app.get(&format!("{}/timeline{query}", path(id))).await;
    assert_eq!(answer.json()["callId"], id);
    answer.data(200).as_array().expect("a list").clone()
}

fn column<'a>(entries: &'a [Value], key: &str) -> Vec<&'a str> {
    entries.iter().map(|entry| entry[key].as_str().unwrap_or("-")).collect()
}

async fn everything_is_told_in_order_of_time(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let live = bodies::status_update(&talk(CALL), Stage::InProgress, app.clock().now());
    app.hears(&live).await;
    app.clock().advance(1_000);
    app.hears(&live).await;
    app.clock().advance(1_000);
    app.hears_report(&late_talk(CALL)).await;
    app.vapi.fail_next(Fault::Page(502));
    app.advance(4.0).await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.advance(6.0).await;
    let entries = timeline(&app, CALL, "").await;
    assert_eq!(column(&entries, "kind"), ["delivery", "delivery", "delivery", "fetch", "fetch", "fetch", "settled"]);
    let sources = column(&entries, "source");
    assert_eq!(sources[..4], ["status-update", "status-update", "end-of-call-report", "fetch"]);
    assert_eq!(std::collections::BTreeSet::from([sources[4], sources[5]]), std::collections::BTreeSet::from(["fetch", "rest"]));
    for entry in &entries {
        assert_eq!(keys(entry), KEYS.into_iter().collect(), "{entry}");
    }
    let times = column(&entries, "at");
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!((&entries[0]["duplicate"], &entries[1]["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!(entries[0]["eventId"], entries[1]["eventId"]);
    assert_eq!((&entries[0]["proof"], &entries[3]["proof"]), (&json!("secret"), &Value::Null));
    let changed = |index: usize, field: &str| entries[index]["changed"].as_array().is_some_and(|list| list.contains(&json!(field)));
    assert!(changed(0, "callStatus") && changed(2, "transcript") && changed(2, "status") && !changed(2, "analysis"), "{entries:?}");
    assert_eq!(entries[1]["changed"], json!([]));
    assert_eq!(entries[3]["details"], "Vapi answered 502 with a page instead of JSON");
    assert_eq!(entries[6]["details"], "complete");
    assert_eq!(entries[6]["version"], app.call(CALL).await["version"]);
    app.finish().await;
}

async fn bodies_are_shown_only_when_asked_for_and_never_their_secrets(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let secrets = json!({
        "call": {"id": CALL, "monitor": {"controlUrl": "https://control.example/leak-1", "listenUrl": "wss://listen.example/leak-2"}},
        "assistant": {
            "server": {"url": "https://hooks.example.com", "secret": "leak-3", "headers": {"x-key": "leak-4"}},
            "credentials": [{"apiKey": "leak-5", "name": "leak-6"}],
            "model": {"messages": [{"role": "system", "content": "You are leak-7, a secret agent."}]},
        },
        "phoneNumber": {"twilioAuthToken": "leak-8", "number": "+15550100000"},
        "artifact": {"recordingUrl": "https://storage.example/a.wav?X-Amz-Signature=leak-9", "messages": [{"role": "user", "message": "my token"}]},
        "transcript": "User: my password is open.",
    });
    app.hears(&message("end-of-call-report", CALL, secrets)).await;
    let plain = timeline(&app, CALL, "").await;
    assert!(plain.iter().all(|entry| entry.get("body").is_none()));
    let entries = timeline(&app, CALL, "?body=1").await;
    let body = &entries[0]["body"]["message"];
    assert_eq!((&body["type"], &body["assistant"]["server"]["secret"]), (&json!("end-of-call-report"), &json!("[redacted]")));
    assert_eq!(body["transcript"], "User: my password is open.", "what was said stays as it is");
    assert_eq!(body["artifact"]["recordingUrl"], "https://storage.example/a.wav");
    for path in [format!("{}/timeline?body=1", path(CALL)), path(CALL), "/api/v1/vapi/calls?view=full".to_owned(), "/metrics".to_owned()] {
        let shown = app.get(&path).await.text();
        assert!(!shown.contains("leak-"), "{path}: {shown}");
    }
    app.finish().await;
}

async fn two_equal_answers_of_vapi_are_one_event(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.vapi_knows(&late_talk(CALL), Stage::Reported);
    app.hears_report(&late_talk(CALL)).await;
    app.advance(4.0).await;
    let first = timeline(&app, CALL, "").await;
    app.advance(6.0).await;
    app.advance(9.0).await;
    let entries = timeline(&app, CALL, "").await;
    let rest: Vec<&Value> = entries.iter().filter(|entry| entry["source"] == "rest").collect();
    let fetches = entries.iter().filter(|entry| entry["source"] == "fetch").count();
    assert_eq!((rest.len(), fetches), (1, 3), "stored once, never changed");
    assert_eq!(Some(rest[0]), first.iter().find(|entry| entry["source"] == "rest"));
    app.finish().await;
}

#[tokio::test]
async fn a_call_without_a_story_has_no_timeline() {
    let app = Story::new().begin().await;
    let answer = app.get(&format!("{}/timeline", path("nobody"))).await.refused(404, "CALL_NOT_FOUND");
    assert_eq!(answer.json()["callId"], "nobody");
    app.finish().await;
}

#[tokio::test]
async fn the_longest_conversation_and_the_words_of_lines_are_kept() {
    let app = Story::new().begin().await;
    let script = talk(CALL);
    let [early, late] = [script.entries[1].at(), script.entries[5].at()];
    app.hears(&bodies::conversation_update(&script, late)).await;
    app.hears(&bodies::conversation_update(&script, early)).await;
    app.hears(&bodies::transcript(&script, 0, true, early)).await;
    let entries = timeline(&app, CALL, "?body=1").await;
    assert_eq!(column(&entries, "source"), ["conversation-update", "transcript"]);
    let conversation = entries[0]["body"]["message"]["conversation"].as_array().map(Vec::len);
    assert_eq!(conversation, Some(7), "the prompt and six lines");
    let line = &entries[1]["body"]["message"];
    assert!(line["transcript"].as_str().is_some_and(|words| words.starts_with("Hi, this is Nora")));
    assert!(line.get("assistant").is_none() && line.get("artifact").is_none(), "words only: {line}");
    assert_eq!(app.call(CALL).await["messages"].as_array().map(Vec::len), Some(6));
    app.finish().await;
}
