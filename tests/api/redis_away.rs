//! The Redis behind a service is away, full, or hangs: what the service says, what it serves, and that it recovers by itself.

use futures_util::future::join_all;
use redis::cmd;
use ringback::{app::App, clock::Clock, config::Config, simulate::bodies};
use serde_json::json;

use crate::{
    store_away::{begin, is_refused, is_taken_again},
    support::{
        app::Engine,
        calls::{message, path, talk},
        eventually,
        redis::{Server, database},
        vapi::{CALL, START},
    },
};

#[tokio::test]
async fn a_redis_that_hangs_is_given_up_in_time_and_nothing_is_stored_twice() {
    let Some(server) = Server::start(&[]) else { return };
    let app = begin(Engine::Redis, &server.database().url()).await;
    app.hears_report(&talk("done")).await;
    server.tell("freeze");
    let many: Vec<_> = (0..40).map(|number| message("status-update", &format!("call-{number}"), json!({"status": "ringing"}))).collect();
    join_all(many.iter().map(|body| is_refused(&app, body))).await;
    assert_eq!((app.poll("done").await.status, app.ready().await), (200, 503));
    server.tell("thaw");
    is_taken_again(&app, &message("hang", "done", json!({}))).await;
    for (number, body) in many.iter().enumerate() {
        app.hears(body).await;
        let entries = app.get(&format!("{}/timeline", path(&format!("call-{number}")))).await.json()["data"].take();
        assert_eq!(entries.as_array().unwrap().iter().filter(|entry| entry["duplicate"] == false).count(), 1, "{entries}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_redis_that_is_full_refuses_webhooks_and_is_used_again_when_there_is_room() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let (app, mut raw) = (begin(Engine::Redis, &database.url()).await, database.raw().await);
    app.hears_report(&talk("done")).await;
    let mut limit = async |bytes: &str| {
        let () = cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).query_async(&mut raw).await.unwrap();
    };
    limit("1mb").await;
    let report = bodies::end_of_call_report(&talk(CALL), app.clock().now());
    is_refused(&app, &report).await;
    assert_eq!((app.poll("done").await.status, app.ready().await), (200, 503));
    limit("0").await;
    is_taken_again(&app, &report).await;
    app.finish().await;
}

#[tokio::test]
async fn whose_webhooks_came_is_written_later_if_redis_is_full() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let (app, mut raw) = (begin(Engine::Redis, &database.url()).await, database.raw().await);
    let mut limit = async |bytes: &str| {
        let () = cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).query_async(&mut raw).await.unwrap();
    };
    let (sources, registry) = (app.api().reconciler.sources(), &app.api().registry);
    sources.share(registry).await.unwrap();
    sources.heard(&["assistant:nora".to_owned()], START);
    limit("1mb").await;
    sources.share(registry).await.unwrap_err();
    assert!(sources.is_to_be_shared(), "it is not written yet");
    limit("0").await;
    eventually("it is written", async || sources.share(registry).await.is_ok()).await;
    assert!(!sources.is_to_be_shared());
    let note = registry.store().note("webhook_sources").await.unwrap().expect("it stands there");
    assert!(String::from_utf8(note).unwrap().contains("assistant:nora"));
    app.finish().await;
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_stops_the_start_with_what_to_do() {
    let Some(database) = database() else { return };
    let wrong = database.url().replacen("p%40", "q%40", 1);
    let config = Config::from_env(|name| (name == "DATABASE_URL").then(|| wrong.clone())).unwrap();
    let why = App::build(config, Clock::manual(START)).await.err().map(|error| error.to_string()).expect("it may not start");
    assert!(why.starts_with("DATABASE_URL") && why.contains("password") && !why.contains("ss%3Aw"), "{why}");
}
