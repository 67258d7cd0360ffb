//! The store fails: nothing is acknowledged that is not kept, and what is in memory is served.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringback::simulate::{Fault, Stage, bodies};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{late_talk, message, path, result, talk},
    eventually,
    vapi::CALL,
};

on_every_engine! {
    while_the_store_is_gone_what_is_in_memory_is_served_and_unknown_ids_are_503
    a_client_that_hangs_up_undoes_nothing
}

/// Whoever changes something is told within this time that the store hangs.
const CHANGE_DEADLINE: Duration = Duration::from_secs(5);
/// Whoever asks for Vapi has an answer within this time, stored or not.
const QUESTION_DEADLINE: Duration = Duration::from_secs(2);
/// Timers count whole milliseconds, and some are set by others.
const GRACE: Duration = Duration::from_millis(50);

/// Somebody else holds the file's write lock until this is dropped.
fn locked(app: &TestApp) -> Connection {
    let db = Connection::open(app.folder().join("ringback.db")).expect("the file");
    db.busy_timeout(Duration::from_secs(5)).expect("a setting");
    db.execute_batch("BEGIN IMMEDIATE").expect("nobody writes at the moment");
    db
}

#[tokio::test]
async fn a_store_that_cannot_write_refuses_webhooks_and_nothing_is_lost_when_it_can_again() {
    let app = Story::on(Engine::Sqlite).begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    assert_eq!(app.ready().await, 200);
    let report = bodies::end_of_call_report(&talk(CALL), app.clock().now());
    let lock = locked(&app);
    let began = Instant::now();
    app.post_webhook(&report).await.refused(503, "STORE_UNAVAILABLE");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(app.ready().await, 503);
    assert_eq!(app.get("/livez").await.status, 200);
    app.poll(CALL).await.refused(404, "CALL_NOT_READY");
    assert_eq!(app.call(CALL).await["callStatus"], "in-progress", "nothing half done is shown");
    app.ask("DELETE", &path(CALL)).send().await.refused(503, "STORE_UNAVAILABLE");
    drop(lock);
    assert_eq!(app.hears(&report).await["message"], "Stored.");
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete");
    assert_eq!(app.ready().await, 200);
    let app = app.restart().await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete");
    app.finish().await;
}

#[tokio::test]
async fn questions_are_answered_while_the_store_cannot_write() {
    let app = Story::on(Engine::Sqlite).begin().await;
    let lock = locked(&app);
    let question = message("assistant-request", CALL, json!({}));
    let began = Instant::now();
    let answer = app.hears(&question).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(lock);
    assert_eq!(app.hears(&question).await, answer);
    app.finish().await;
}

/// Told in tokio's time, which stands still while anybody computes: how busy the machine is does not count.
#[tokio::test]
async fn nobody_waits_longer_than_five_seconds_for_a_store_that_hangs() {
    let app = Story::on(Engine::Sqlite).begin().await;
    let lock = locked(&app);
    let webhooks: Vec<Value> =
        (0..2_000).map(|number| message("status-update", &format!("call-{number}"), json!({"status": "ringing"}))).collect();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let flood = join_all(webhooks.iter().map(|body| async {
        app.post_webhook(body).await.refused(503, "STORE_UNAVAILABLE");
        began.elapsed()
    }));
    let asked = join_all([300, 1_000, 2_000, 3_000].map(|after| {
        let app = &app;
        async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            let asked = tokio::time::Instant::now();
            app.hears(&message("assistant-request", &format!("asked-{after}"), json!({}))).await;
            asked.elapsed()
        }
    }));
    let (refused_after, answered_in) = tokio::join!(flood, asked);
    tokio::time::resume();
    let last = refused_after.into_iter().max().expect("many");
    assert!((CHANGE_DEADLINE..CHANGE_DEADLINE + GRACE).contains(&last), "{last:?}");
    assert!(answered_in.iter().all(|after| *after < QUESTION_DEADLINE + GRACE), "{answered_in:?}");
    drop(lock);
    drop(app.hears(&webhooks[0]).await);
    assert_eq!(app.call("call-0").await["callStatus"], "ringing");
    app.finish().await;
}

async fn while_the_store_is_gone_what_is_in_memory_is_served_and_unknown_ids_are_503(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_report(&talk(CALL)).await;
    app.hears_status(&talk("live"), Stage::InProgress).await;
    let before = app.poll(CALL).await;
    let summary = app.get(&format!("{}?view=summary", path(CALL))).await;
    app.lose_store().await;
    assert_eq!(app.poll(CALL).await.bytes, before.bytes);
    assert_eq!(app.get(&format!("{}?view=summary", path(CALL))).await.bytes, summary.bytes);
    assert_eq!(app.get(&result(CALL, "wait=5")).await.status, 200);
    assert_eq!(app.get(&result("live", "")).await.status, 202);
    app.poll("live").await.refused(404, "CALL_NOT_READY");
    for path in [path("unknown"), result("unknown", ""), result("unknown", "wait=5")] {
        app.get(&path).await.refused(503, "STORE_UNAVAILABLE");
    }
    assert_eq!(app.ask("HEAD", &path("unknown")).send().await.status, 503);
    for (method, suffix) in
        [("GET", "/unknown/timeline"), ("GET", ""), ("GET", "/by-phone/1"), ("DELETE", "/unknown"), ("POST", "/unknown/fetch")]
    {
        let path = format!("/api/v1/vapi/calls{suffix}");
        app.ask(method, &path).send().await.refused(503, "STORE_UNAVAILABLE");
    }
    app.post_webhook(&message("hang", CALL, json!({}))).await.refused(503, "STORE_UNAVAILABLE");
    assert_eq!(app.ready().await, 503);
    assert!(app.get("/metrics").await.text().contains("ringback_store_up 0"));
    app.finish().await;
}

async fn a_client_that_hangs_up_undoes_nothing(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let report = bodies::end_of_call_report(&talk(CALL), app.clock().now());
    let posting = app.post_webhook(&report);
    {
        tokio::pin!(posting);
        // Begun, and given up before the answer.
        assert!(futures_util::poll!(&mut posting).is_pending());
    }
    eventually("it is stored and shown all the same", async || app.poll(CALL).await.status == 200).await;
    app.finish().await;
}

#[tokio::test]
async fn what_vapi_answered_while_the_store_failed_is_fetched_again() {
    let app = Story::on(Engine::Sqlite).begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_report(&late_talk(CALL)).await;
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(400)));
    let locking = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let lock = locked(&app);
        // Until the outcome was refused.
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(lock);
    };
    app.clock().advance(4_000);
    let (worked, ()) = tokio::join!(app.api().enricher.step(), locking);
    assert_eq!(worked.expect("the lease was taken before"), 1);
    assert_eq!(app.call(CALL).await["dataStatus"], "partial", "nothing was stored");
    app.advance(10.0).await;
    assert_eq!(app.fetches(CALL), 1, "the lease still runs");
    app.advance(21.0).await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete");
    assert_eq!(app.fetches(CALL), 2);
    app.finish().await;
}
