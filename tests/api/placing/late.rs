//! A store that answers too late: whoever was told that nothing was placed finds that nothing was.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::{asking, id, request, sent};
use crate::support::{
    app::{Story, TestApp},
    postgres,
};

const BATCHES: &str = "/api/v1/vapi/batches";
/// Longer than the store is waited for.
const TOO_LONG: Duration = Duration::from_secs(7);
/// What came too late is taken back within this time.
const TAKEN_BACK: Duration = Duration::from_secs(2);

/// A service whose documents nobody can write while `meanwhile` is done, and a while longer than that is waited for.
async fn blocked(meanwhile: impl AsyncFnOnce(&TestApp)) -> Option<TestApp> {
    let database = postgres::database().await?;
    let app = Story::new().placing().with("DATABASE_URL", &database.url()).begin().await;
    let root = database.root().await;
    root.batch_execute("BEGIN; LOCK TABLE ringback.documents IN EXCLUSIVE MODE").await.expect("nobody else holds it");
    let begun = Instant::now();
    meanwhile(&app).await;
    tokio::time::sleep(TOO_LONG.saturating_sub(begun.elapsed())).await;
    root.batch_execute("COMMIT").await.expect("it is let go");
    tokio::time::sleep(TAKEN_BACK).await;
    Some(app)
}

#[tokio::test]
async fn a_placing_that_was_written_too_late_does_not_stand_in_the_way_of_the_next_try() {
    let refused = async |app: &TestApp| {
        asking(app, &request()).header("idempotency-key", "k").send().await.refused(503, "STORE_UNAVAILABLE");
    };
    let Some(app) = blocked(refused).await else { return };
    assert_eq!(sent(&app), 0);
    let answer = asking(&app, &request()).header("idempotency-key", "k").send().await;
    assert_eq!((answer.status, sent(&app)), (201, 1), "{}", answer.text());
    assert_eq!(app.vapi.calls(), [id(&answer)]);
    app.finish().await;
}

#[tokio::test]
async fn a_batch_that_was_written_too_late_is_not_placed() {
    let body = json!({"requests": [request()]}).to_string();
    let asked = body.clone();
    let refused = async |app: &TestApp| {
        app.ask("POST", BATCHES).header("idempotency-key", "k").body(asked).send().await.refused(503, "STORE_UNAVAILABLE");
    };
    let Some(app) = blocked(refused).await else { return };
    app.clock().advance(120_000);
    app.api().batches.step().await.expect("the store answers");
    assert_eq!((app.get(BATCHES).await.json()["data"].clone(), sent(&app)), (json!([]), 0));
    assert_eq!(app.ask("POST", BATCHES).header("idempotency-key", "k").body(body).send().await.status, 201, "the key is free");
    app.finish().await;
}

#[tokio::test]
async fn vapi_is_asked_for_five_calls_a_second_at_most() {
    let app = Story::new().limited().placing().begin().await;
    let began = Instant::now();
    let answers = join_all((0..15).map(|_| asking(&app, &request()).send())).await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    let took = began.elapsed().as_secs_f64();
    assert!(took > 1.9, "15 calls, 5 of them at once, in {took} s");
    app.finish().await;
}
