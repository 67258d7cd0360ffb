//! The server behind a service is away: what the service says then, what it serves, and that it finds its way back. PostgreSQL and Redis alike.

use std::time::{Duration, Instant};

use ringback::simulate::{Stage, bodies};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp},
    calls::{late_talk, message, path, result, talk},
    eventually,
    servers::{Server, on_both_servers},
    vapi::CALL,
};

/// HTTP gives up on the store after 5 s; a machine that is busy is a little late.
pub(crate) const TOLD_WITHIN: Duration = Duration::from_secs(6);

on_both_servers! {
    "current_thread":
    a_service_without_its_store_lives_but_is_not_ready_until_it_is_there
    while_the_store_is_down_results_in_memory_are_served_and_nothing_is_acknowledged
}

pub(crate) async fn begin(engine: Engine, url: &str) -> TestApp {
    Story::on(engine).with("DATABASE_URL", url).begin().await
}

/// A webhook is refused as it should be: soon, and with when to come again.
pub(crate) async fn is_refused(app: &TestApp, body: &Value) {
    let began = Instant::now();
    let answer = app.post_webhook(body).await.refused(503, "STORE_UNAVAILABLE");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds <= 30));
    assert!(began.elapsed() < TOLD_WITHIN, "{:?}", began.elapsed());
}

pub(crate) async fn is_taken_again(app: &TestApp, body: &Value) {
    eventually("it is taken again", async || app.post_webhook(body).await.status == 200).await;
    eventually("it is ready again", async || app.ready().await == 200).await;
}

async fn a_service_without_its_store_lives_but_is_not_ready_until_it_is_there(engine: Engine) {
    let server = Server::start(engine);
    let database = server.database();
    server.tell("stop");
    let began = Instant::now();
    let app = begin(engine, &database.url()).await;
    assert!(began.elapsed() < Duration::from_secs(5), "the start does not wait for it: {:?}", began.elapsed());
    assert_eq!((app.get("/livez").await.status, app.ready().await), (200, 503));
    let report = bodies::end_of_call_report(&talk(CALL), app.clock().now());
    is_refused(&app, &report).await;
    app.poll(CALL).await.refused(503, "STORE_UNAVAILABLE");
    app.get(&result(CALL, "")).await.refused(503, "STORE_UNAVAILABLE");
    app.hears(&message("assistant-request", CALL, json!({}))).await;

    server.tell("start");
    is_taken_again(&app, &report).await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete");
    app.finish().await;
}

async fn while_the_store_is_down_results_in_memory_are_served_and_nothing_is_acknowledged(engine: Engine) {
    let server = Server::start(engine);
    let app = begin(engine, &server.database().url()).await;
    app.hears_report(&talk("done")).await;
    app.hears_report(&late_talk("partial")).await;
    app.hears_status(&talk("live"), Stage::InProgress).await;
    for how in server.ends() {
        server.tell(how);
        let body = message("hang", "live", json!({"how": how}));
        is_refused(&app, &body).await;
        assert_eq!((app.get("/livez").await.status, app.ready().await), (200, 503));
        assert_eq!(app.poll("done").await.data(200)["dataStatus"], "complete");
        assert_eq!(app.poll("partial").await.data(200)["dataStatus"], "partial");
        for path in [path("live"), path("unheard-of"), result("live", ""), "/api/v1/vapi/calls".to_owned()] {
            let answer = app.get(&path).await.refused(503, "STORE_UNAVAILABLE");
            assert!(!answer.header("retry-after").is_empty());
        }
        app.ask("DELETE", &path("done")).send().await.refused(503, "STORE_UNAVAILABLE");
        server.tell("start");
        is_taken_again(&app, &body).await;
        assert_eq!(app.call("live").await["callStatus"], "in-progress");
    }
    let app = app.restart().await;
    assert_eq!(app.poll("done").await.data(200)["dataStatus"], "complete");
    app.finish().await;
}
