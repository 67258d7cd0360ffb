//! Ringback stands in front of a server URL of old, and nothing breaks there.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{FALLBACK, asks, only, story, tool, tool_calls};
use crate::support::{
    app::{Engine, SECRET, Story},
    calls::{message, talk},
    endpoint::{Endpoint, Hit},
    vapi::CALL,
};

fn relaying(engine: Engine, url: &str, more: &str) -> Story {
    story(engine, &format!("{more}[relay]\nurl = \"{url}\"\ntimeout_seconds = 1\n"))
}

#[tokio::test]
async fn every_message_reaches_the_old_address_byte_for_byte_with_its_headers() {
    let old = Endpoint::start().await;
    let app = relaying(Engine::Sqlite, &old.url("/hook"), "").begin().await;
    let body = "{\"message\" : {\"type\":\"status-update\",\"status\":\"in-progress\", \"call\":{\"id\":\"c-1\"}, \"secret\":\"kept\"}}";
    for path in ["/api/v1/vapi/webhook", "/api/v1/webhooks/vapi"] {
        let body = body.replace("c-1", path.split('/').next_back().unwrap());
        let ask = app.ask("POST", path).header("x-vapi-secret", SECRET).header("x-custom", "1").header("cookie", "no").body(body);
        assert_eq!(ask.send().await.json()["received"], true);
    }
    app.hears(&message("speech-update", CALL, json!({"status": "started"}))).await;
    old.has_hits(3).await;
    let hit = old.hits().into_iter().find(|hit| hit.bytes.starts_with(b"{\"message\" : ")).expect("as it came");
    assert_eq!((hit.header("x-vapi-secret"), hit.header("x-custom"), hit.header("cookie")), (SECRET, "1", ""));
    assert_eq!(hit.header("content-type"), "application/json");
    assert!(String::from_utf8_lossy(&hit.bytes).contains("\"secret\":\"kept\""));
    app.finish().await;
}

#[tokio::test]
async fn questions_get_the_old_servers_answers_as_they_are() {
    let old = Endpoint::start().await;
    let app = relaying(Engine::Sqlite, &old.url("/vapi"), "").begin().await;
    let answer = app.hears(&tool_calls(&[asks("t1", "a"), asks("t2", "b")])).await;
    assert_eq!(answer["ours"], true, "keys of its own too");
    assert_eq!(answer["results"][1]["message"][0]["content"], "There.");
    assert_eq!(app.hears(&message("assistant-request", CALL, json!({}))).await, json!({"assistantId": "from-before"}));
    assert_eq!(
        app.hears(&message("function-call", CALL, json!({"functionCall": {"name": "f", "id": "f1"}}))).await,
        json!({"result": "from before"})
    );
    assert_eq!(app.call(CALL).await["toolCalls"][0]["result"], "from before", "in the record it is a line");
    let again = app.hears(&tool_calls(&[asks("t1", "a"), asks("t2", "b")])).await;
    assert_eq!(again, answer);
    assert_eq!(old.hits().len(), 3, "a repeat is not passed on");
    app.finish().await;
}

#[tokio::test]
async fn what_is_answered_here_still_reaches_the_old_address() {
    let (old, new) = (Endpoint::start().await, Endpoint::start().await);
    let app = relaying(Engine::Memory, &old.url("/vapi"), &tool("look_up", &new.url("/fast"))).begin().await;
    let answer = app.hears(&tool_calls(&[asks("t1", "look_up")])).await;
    assert!(only(&answer)["result"].as_str().unwrap().ends_with("by look_up"));
    old.has_hits(1).await;
    let mixed = app.hears(&tool_calls(&[asks("t2", "look_up"), asks("t3", "other")])).await;
    assert!(mixed["results"][0]["result"].as_str().unwrap().ends_with("by look_up"), "{mixed}");
    assert_eq!(mixed["results"][1]["result"], "from\nbefore", "its entry as it is");
    assert_eq!(old.hits().len(), 2, "asked for its part, and not told a second time");
    app.finish().await;
}

#[tokio::test]
async fn an_old_server_that_is_down_costs_no_message_and_no_answer() {
    for path in ["/hang", "/500", "/html", "/redirect"] {
        let old = Endpoint::start().await;
        let app = relaying(Engine::Memory, &old.url(path), "").begin().await;
        let begun = Instant::now();
        assert_eq!(only(&app.hears(&tool_calls(&[asks("t1", "a")])).await)["result"], "I can't do that right now.", "{path}");
        assert_eq!(app.hears(&message("voice-request", CALL, json!({}))).await, json!({"error": "No voice is configured."}), "{path}");
        assert!(begun.elapsed() < Duration::from_millis(2_900), "{path} took {:?}", begun.elapsed());
        let begun = Instant::now();
        app.hears_report(&talk(CALL)).await;
        assert!(begun.elapsed() < Duration::from_millis(900), "{path}: the report waits for nobody");
        assert_eq!(app.poll(CALL).await.status, 200);
        app.finish().await;
    }
    assert_ne!(FALLBACK, "I can't do that right now.");
}

#[tokio::test]
async fn a_message_that_was_not_taken_is_tried_again() {
    let old = Endpoint::start().await;
    let app = relaying(Engine::Memory, &old.url("/flaky"), "").begin().await;
    app.hears(&message("hang", CALL, json!({}))).await;
    old.has_hits(3).await;
    let bodies: Vec<Value> = old.hits().iter().map(Hit::json).collect();
    assert!(bodies.iter().all(|body| body["message"]["type"] == "hang"));
    app.finish().await;
}

#[tokio::test]
async fn a_message_that_is_refused_or_not_committed_is_not_passed_on() {
    let old = Endpoint::start().await;
    let app = relaying(Engine::Memory, &old.url("/hook"), "").begin().await;
    app.ask("POST", "/api/v1/vapi/webhook")
        .header("x-vapi-secret", "wrong")
        .body(message("hang", CALL, json!({})).to_string())
        .send()
        .await;
    app.lose_store().await;
    app.post_webhook(&message("hang", CALL, json!({}))).await.refused(503, "STORE_UNAVAILABLE");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(old.hits().is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_relay_that_leads_back_here_ends() {
    let old = Endpoint::start().await;
    let app = relaying(Engine::Memory, &old.url("/hook"), "").begin().await;
    app.hears(&message("hang", CALL, json!({}))).await;
    old.has_hits(1).await;
    let hit = old.hits().remove(0);
    assert_eq!(hit.header("x-ringback-relay"), "1");
    let back = app.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", SECRET).header("x-ringback-relay", "1");
    assert_eq!(back.body(message("hang", "another", json!({})).to_string()).send().await.status, 200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(old.hits().len(), 1, "what was passed on once is not passed on again");
    app.finish().await;
}
