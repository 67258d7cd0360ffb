//! A store that answers too late: whoever was told that nothing was placed finds that nothing was.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringback::{
    dial::{
        DialError,
        batches::{NewBatch, draft::Draft},
    },
    store::DocumentKind,
};
use serde_json::{Value, json};

use super::{asking, order, request, sent};
use crate::support::{
    app::{Story, TestApp},
    eventually,
    redis::Server,
};

const BATCHES: &str = "/api/v1/vapi/batches";
/// Longer than the store is waited for.
const TOO_LONG: Duration = Duration::from_secs(7);
/// What came too late is taken back within this time.
const TAKEN_BACK: Duration = Duration::from_secs(3);

/// A service whose store stands still meanwhile and a while longer than is waited for it, and then does all that it was asked for. PostgreSQL and
/// SQLite give up a write before we do; what Redis was sent it does whenever it can.
async fn frozen(meanwhile: impl AsyncFnOnce(&TestApp)) -> Option<(Server, TestApp)> {
    let server = Server::start(&[])?;
    let story = Story::new().placing().with("DATABASE_URL", &server.database().url());
    let app = story.with("DATABASE_MAX_CONNECTIONS", "2").begin().await;
    // Now it is connected, and Redis knows the script: nothing has to be asked before it is written.
    assert_eq!(asking(&app, &request()).send().await.status, 201);
    app.clock().advance(1_000);
    let begun = Instant::now();
    server.tell("freeze");
    meanwhile(&app).await;
    tokio::time::sleep(TOO_LONG.saturating_sub(begun.elapsed())).await;
    server.tell("thaw");
    eventually("the store is there again", async || app.ready().await == 200).await;
    tokio::time::sleep(TAKEN_BACK).await;
    Some((server, app))
}

#[tokio::test]
async fn a_placing_that_was_written_too_late_is_taken_back() {
    // By way of HTTP the store would be asked about the token first.
    let refused = async |app: &TestApp| {
        let placed = app.api().dialer.place(order(None)).await;
        assert!(matches!(placed, Err(DialError::Store(_))), "{placed:?}");
    };
    let Some((_server, app)) = frozen(refused).await else { return };
    let placings = app.api().registry.store().documents(DocumentKind::Placement, None, 2, app.clock().now()).await;
    let [placing, _before] = &placings.expect("the store answers").documents[..] else { panic!("it was written after all") };
    let state = serde_json::from_slice::<Value>(&placing.body).expect("JSON")["state"].take();
    assert_eq!((state, placing.due), (json!("refused"), None));
    app.advance(61.0).await;
    assert_eq!((sent(&app), app.vapi.count("GET", "/call")), (1, 0), "nothing is looked for");
    app.finish().await;
}

#[tokio::test]
async fn a_batch_that_was_written_too_late_is_not_placed() {
    let refused = async |app: &TestApp| {
        let draft = Draft::parse(&json!({"requests": [request()]}), &app.api().push.reach(), |_| true).expect("it is fine");
        let made = app.api().batches.create(NewBatch { draft, token: None, key: None, hash: String::new() }).await;
        assert!(matches!(made, Err(DialError::Store(_))), "{made:?}");
    };
    let Some((_server, app)) = frozen(refused).await else { return };
    app.clock().advance(120_000);
    app.api().batches.step().await.expect("the store answers");
    assert_eq!((app.get(BATCHES).await.json()["data"].clone(), sent(&app)), (json!([]), 1));
    app.advance(61.0).await;
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
