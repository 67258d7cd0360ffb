//! An erased call takes with it what was kept beside it because it was placed, and is not placed anew.

use std::time::Duration;

use ringback::{push::Callback, simulate::Fault, store::DocumentKind};
use serde_json::{Value, json};

use super::{asking, id, request, sent, vapis_call};
use crate::support::{
    answer::Answer,
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{path, result, talk},
    eventually,
};

on_every_engine! {
    nothing_is_left_beside_an_erased_call_and_its_key_places_nothing_anew
    a_call_that_is_erased_while_its_answer_is_on_its_way_leaves_nothing
    what_is_beside_a_call_goes_when_its_time_is_over
}

/// Where nobody listens: a text to look for.
const WAITING: &str = "https://waiting.invalid/hook-of-mallory";
const DAY: i64 = 86_400_000;

async fn with_key(app: &TestApp) -> Answer {
    asking(app, &request()).header("idempotency-key", "k").send().await
}

async fn erase(app: &TestApp, id: &str) {
    assert_eq!(app.ask("DELETE", &path(id)).send().await.data(200)["deleted"], true);
}

/// The call's placing, with somebody who waits for it.
async fn waited_for(app: &TestApp, call: &str) -> String {
    let placement = app.call(call).await["metadata"]["placementId"].as_str().expect("it was placed").to_owned();
    let callback =
        Callback::read(&json!({"kind": "webhook", "url": WAITING}), "callback", &ringback::push::Reach::checked()).expect("it is fine");
    app.api().push.call_back(&placement, callback).await.expect("the store answers");
    assert_eq!(beside(app, &placement).await, (true, 1));
    placement
}

/// Is the placing there, and how many wait for it?
async fn beside(app: &TestApp, placement: &str) -> (bool, usize) {
    let (store, now) = (app.api().registry.store(), app.clock().now());
    let document = store.document(DocumentKind::Placement, placement, now).await.expect("the store answers");
    (document.is_some(), store.targets(Some(placement)).await.expect("the store answers").targets.len())
}

/// Do these bytes stand in the files of the store?
fn holds(app: &TestApp, bytes: &[u8]) -> bool {
    let files = ["ringback.db", "ringback.db-wal"].map(|name| std::fs::read(app.folder().join(name)).unwrap_or_default());
    files.iter().any(|file| file.windows(bytes.len()).any(|part| part == bytes))
}

/// Everything that is stored of a call and beside it, as it is stored: ids, and the bodies of its placing and of whoever waits.
fn stored(app: &TestApp, call: &str, placement: &str) -> Vec<Vec<u8>> {
    let db = rusqlite::Connection::open(app.folder().join("ringback.db")).expect("it opens");
    let body = |sql: &str| db.query_row(sql, [placement], |row| row.get::<_, Vec<u8>>(0)).expect("it is there");
    let bodies = [body("SELECT body FROM documents WHERE id = ?1"), body("SELECT body FROM targets WHERE scope = ?1")];
    let all: Vec<Vec<u8>> = bodies.into_iter().chain([call, placement].map(|id| id.as_bytes().to_vec())).collect();
    assert!(all.iter().all(|bytes| bytes.len() > 16 && holds(app, bytes)), "or nothing would be shown later");
    all
}

async fn nothing_is_left_beside_an_erased_call_and_its_key_places_nothing_anew(engine: Engine) {
    for by_placement in [false, true] {
        let app = Story::on(engine).placing().begin().await;
        let call = id(&with_key(&app).await);
        let placement = waited_for(&app, &call).await;
        app.hears_report(&talk(&call)).await;
        let stored = if engine == Engine::Sqlite { stored(&app, &call, &placement) } else { Vec::new() };
        erase(&app, if by_placement { &placement } else { &call }).await;
        assert_eq!(beside(&app, &placement).await, (false, 0));
        let app = if engine == Engine::Memory { app } else { app.restart().await };
        for either in [&call, &placement] {
            app.get(&result(either, "wait=5")).await.refused(410, "CALL_DELETED");
        }
        with_key(&app).await.refused(410, "CALL_DELETED");
        let other = asking(&app, &json!({"assistantId": "nora"})).header("idempotency-key", "k").send().await;
        other.refused(422, "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(sent(&app), 1);
        // That it was erased is told for as long as the log of news is kept.
        app.api().registry.store().forget_news(app.clock().now().plus(DAY), 100).await.expect("the store answers");
        assert!(stored.iter().all(|bytes| !holds(&app, bytes)));
        app.finish().await;
    }
}

async fn a_call_that_is_erased_while_its_answer_is_on_its_way_leaves_nothing(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(500)));
    let erasing = async {
        eventually("Vapi has the call", async || !app.vapi.calls().is_empty()).await;
        let call = vapis_call(&app);
        let metadata = app.vapi.call(&call).expect("it is there")["assistant"]["metadata"].clone();
        app.hears_report(&talk(&call).with_metadata(metadata.clone())).await;
        erase(&app, &call).await;
        (call, metadata["placementId"].as_str().expect("a text").to_owned())
    };
    let (answer, (call, placement)) = tokio::join!(with_key(&app), erasing);
    assert_eq!((answer.status, id(&answer)), (201, call.clone()), "{}", answer.text());
    assert_eq!(beside(&app, &placement).await, (false, 0));
    app.get(&result(&placement, "")).await.refused(410, "CALL_DELETED");
    with_key(&app).await.refused(410, "CALL_DELETED");
    assert_eq!(sent(&app), 1);
    app.finish().await;
}

async fn what_is_beside_a_call_goes_when_its_time_is_over(engine: Engine) {
    let app = Story::on(engine).placing().with("RETENTION_DAYS", "2").begin().await;
    let call = id(&with_key(&app).await);
    let placement = waited_for(&app, &call).await;
    app.hears_report(&talk(&call)).await;
    // The placing ends two days after it was made, and its call a moment later.
    for (later, left) in [(DAY, (true, 1)), (DAY, (false, 1)), (1, (false, 0))] {
        app.clock().advance(later);
        if left != (false, 1) {
            app.app().keeper().purge(app.app().lifecycle()).await.expect("the store answers");
        }
        assert_eq!(beside(&app, &placement).await, left);
    }
    app.seen().forget(&call);
    assert_eq!(app.get("/api/v1/vapi/calls").await.json()["data"], Value::Array(Vec::new()));
    app.finish().await;
}
