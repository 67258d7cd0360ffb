//! What is in memory: counted, listed, expired by our own clock, cleared.

use ringback::simulate::Stage;
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{path, talk, unanswered},
    vapi::{CALL, START},
};

on_every_engine! {
    memory_is_counted_and_listed
    what_is_too_old_is_neither_served_from_memory_nor_counted
    clearing_memory_loses_nothing
}

async fn stats(app: &TestApp, query: &str) -> Value {
    let answer = app.get(&format!("/api/v1/vapi/cache/stats{query}")).await;
    let body = answer.json();
    assert_eq!((answer.status, &body["success"]), (200, &json!(true)));
    body["stats"].clone()
}

async fn memory_is_counted_and_listed(engine: Engine) {
    let app = Story::on(engine).with("CACHE_TTL_SECONDS", "60").with("CACHE_MAX_MB", "7").begin().await;
    let empty = stats(&app, "").await;
    assert_eq!(empty, json!({"size": 0, "bytes": 0, "hits": 0, "misses": 0, "ttlSeconds": 60, "maxBytes": 7 * 1_048_576, "entries": []}));
    app.hears_report(&talk(CALL)).await;
    app.clock().advance(1_000);
    app.hears_status(&talk("live"), Stage::InProgress).await;
    let full = stats(&app, "").await;
    assert_eq!(full["size"], 2);
    assert!(full["bytes"].as_u64() > Some(1_000));
    let entry = |id: &str, at: i64| json!({"callId": id, "timestamp": at, "expiresAt": at + 60_000});
    assert_eq!(full["entries"], json!([entry("live", START.0 + 1_000), entry(CALL, START.0)]), "newest first");
    let few = stats(&app, "?limit=1").await;
    assert_eq!((&few["size"], few["entries"].as_array().map(Vec::len)), (&json!(2), Some(1)));
    assert_eq!(stats(&app, "?limit=0").await["entries"], json!([]));
    for wrong in ["-1", "x", "10001", "1.5"] {
        app.get(&format!("/api/v1/vapi/cache/stats?limit={wrong}")).await.refused(400, "INVALID_PARAMETER");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_look_is_one_hit_or_one_miss() {
    let app = Story::new().begin().await;
    app.hears_report(&talk(CALL)).await;
    let counted = async || {
        let now = stats(&app, "").await;
        (now["hits"].as_u64().unwrap_or_default(), now["misses"].as_u64().unwrap_or_default())
    };
    assert_eq!(counted().await, (0, 0), "webhooks look at the record, not at the answer");
    app.poll(CALL).await.data(200);
    assert_eq!(counted().await, (1, 0));
    app.poll("unknown").await.refused(404, "CALL_NOT_FOUND");
    assert_eq!(counted().await, (1, 1));
    app.call(CALL).await;
    app.call("unknown").await;
    assert_eq!(counted().await, (2, 2));
    let text = app.get("/metrics").await.text();
    assert!(text.contains("ringback_cache_requests_total{result=\"hit\"} 2") && text.contains("{result=\"miss\"} 2"), "{text}");
    app.finish().await;
}

async fn what_is_too_old_is_neither_served_from_memory_nor_counted(engine: Engine) {
    let app = Story::on(engine).with("CACHE_TTL_SECONDS", "60").begin().await;
    app.hears_report(&talk(CALL)).await;
    app.clock().advance(59_999);
    app.poll(CALL).await.data(200);
    assert_eq!(stats(&app, "").await["hits"], 1);
    app.clock().advance(1);
    let old = stats(&app, "").await;
    assert_eq!((&old["size"], &old["bytes"], &old["entries"]), (&json!(0), &json!(0), &json!([])));
    app.poll(CALL).await.data(200);
    let again = stats(&app, "").await;
    assert_eq!((&again["hits"], &again["misses"], &again["size"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(again["entries"][0]["timestamp"], START.0 + 60_000);
    app.finish().await;
}

#[tokio::test]
async fn a_call_in_memory_of_no_time_is_served_from_the_store_and_changes_all_the_same() {
    let app = Story::on(Engine::Sqlite).with("CACHE_TTL_SECONDS", "0").begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    app.hears_report(&talk(CALL)).await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete");
    assert_eq!(stats(&app, "").await["size"], 0);
    app.finish().await;
}

async fn clearing_memory_loses_nothing(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_report(&talk(CALL)).await;
    app.hears_report(&unanswered("nobody")).await;
    app.hears_status(&talk("live"), Stage::InProgress).await;
    let before = (app.poll(CALL).await.bytes, app.get(&format!("{}/result", path("live"))).await.bytes);
    let cleared = app.ask("DELETE", "/api/v1/vapi/cache").send().await.data(200);
    assert_eq!(cleared, json!({"cleared": 3}));
    assert_eq!(stats(&app, "").await["size"], 0);
    assert_eq!((app.poll(CALL).await.bytes, app.get(&format!("{}/result", path("live"))).await.bytes), before);
    app.ask("DELETE", "/api/v1/vapi/cache").send().await.data(200);
    app.hears_report(&talk("live")).await;
    assert_eq!(app.poll("live").await.data(200)["dataStatus"], "complete", "an event after it finds its record");
    app.finish().await;
}

/// More than fits: what leaves memory is served from the store.
#[tokio::test]
async fn memory_keeps_to_its_bounds_and_nothing_is_lost() {
    let app = Story::on(Engine::Sqlite).with("CACHE_MAX_MB", "1").begin().await;
    for number in 0..60 {
        app.hears_report(&talk(&format!("call-{number}")).with_report_of(60_000)).await;
    }
    for number in 0..60 {
        assert_eq!(app.poll(&format!("call-{number}")).await.data(200)["dataStatus"], "complete");
    }
    let now = stats(&app, "").await;
    assert!(now["size"].as_u64() < Some(60), "{}", now["size"]);
    app.finish().await;
}

/// The store in memory lets its oldest calls go; one that is heard of again must not be hidden by what is left of its first life.
#[tokio::test]
async fn a_call_that_left_a_full_store_and_is_heard_of_again_shows_what_is_new() {
    let app = Story::on(Engine::Memory).with("CACHE_MAX_MB", "1").begin().await;
    for stage in [Stage::Queued, Stage::Ringing, Stage::Dropped] {
        app.hears_status(&unanswered(CALL), stage).await;
    }
    app.hears_report(&unanswered(CALL)).await;
    let listed = async || app.get(&format!("/api/v1/vapi/calls?q={CALL}")).await.json()["count"].clone();
    let mut number = 0;
    while listed().await == 1 {
        number += 1;
        assert!(number < 100, "nothing leaves {}", app.get("/api/v1/vapi/calls?limit=100").await.json()["count"]);
        app.hears_report(&talk(&format!("call-{number}")).with_turns(400)).await;
    }
    // It may be in memory still: pollers do keep it there.
    app.poll(CALL).await;
    app.seen().forget(CALL);
    app.clock().advance(1_000);
    app.hears_report(&talk(CALL)).await;
    assert_eq!(app.poll(CALL).await.data(200)["status"], "completed");
    app.finish().await;
}
