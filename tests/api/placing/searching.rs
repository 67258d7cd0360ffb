//! Where calls are looked for whose answer was lost: as far as they can be, and whatever happens to others.

use ringback::{
    simulate::Fault,
    store::{Document, DocumentKind},
};
use serde_json::json;

use super::{id, place, sent, vapis_call};
use crate::support::{
    app::{Engine, Story, TestApp},
    calls::result,
    vapi::START,
};

/// The placing's document.
async fn document(app: &TestApp, placement: &str) -> Document {
    let document = app.api().registry.store().document(DocumentKind::Placement, placement, app.clock().now()).await;
    document.expect("the store answers").expect("it is there")
}

/// A call of which nobody knows whether it was placed.
async fn unknown(app: &TestApp) -> String {
    app.vapi.fail_next(Fault::Page(502));
    id(&place(app).await)
}

#[tokio::test]
async fn however_many_calls_are_made_afterwards_a_call_that_is_nowhere_is_given_up() {
    let app = Story::new().placing().begin().await;
    let placement = unknown(&app).await;
    app.vapi.remove_call(&vapis_call(&app));
    // More than are read of one list.
    for number in 0..2_100 {
        let at = START.plus(300_000 + number * 200).to_string();
        app.vapi.put_call(json!({"id": format!("call-{number}"), "status": "ended", "createdAt": at, "updatedAt": at}));
    }
    app.advance(899.0).await;
    assert_eq!(app.get(&result(&placement, "")).await.status, 202);
    app.advance(61.0).await;
    assert_eq!(app.get(&result(&placement, "")).await.data(200)["dataStatus"], "fetch_failed");
    app.finish().await;
}

#[tokio::test]
async fn of_two_placings_hours_apart_each_is_looked_for_in_its_own_time() {
    let app = Story::new().placing().begin().await;
    let first = unknown(&app).await;
    let call = vapis_call(&app);
    app.clock().advance(2 * 3_600_000);
    for number in 0..2_100 {
        let at = START.plus(300_000 + number * 200).to_string();
        app.vapi.put_call(json!({"id": format!("call-{number}"), "status": "ended", "createdAt": at, "updatedAt": at}));
    }
    let second = unknown(&app).await;
    app.advance(1.0).await;
    assert_eq!(app.call(&first).await["callId"], call.as_str());
    assert_ne!(app.call(&second).await["callId"], second.as_str(), "it is found too");
    assert_eq!((sent(&app), app.vapi.count("GET", "/call")), (2, 2));
    app.advance(61.0).await;
    app.finish().await;
}

#[tokio::test]
async fn a_placing_that_the_store_cannot_take_keeps_no_other_from_being_found_and_is_tried_again_at_once() {
    let app = Story::on(Engine::Sqlite).placing().begin().await;
    let (broken, other) = (unknown(&app).await, unknown(&app).await);
    let db = rusqlite::Connection::open(app.folder().join("ringback.db")).expect("it opens");
    db.execute_batch(&format!(
        "CREATE TRIGGER broken BEFORE INSERT ON documents WHEN NEW.id = '{broken}' BEGIN SELECT RAISE(ABORT, 'broken'); END"
    ))
    .expect("it is made");
    app.clock().advance(1_000);
    app.api().dialer.step().await.expect_err("one could not be noted");
    assert_eq!(document(&app, &broken).await.alias, None);
    assert!(document(&app, &other).await.alias.is_some(), "the other one was found all the same");
    db.execute_batch("DROP TRIGGER broken").expect("it goes");
    app.api().dialer.step().await.expect("the store answers");
    assert!(document(&app, &broken).await.alias.is_some(), "nobody waits until its lease is over");
    app.advance(61.0).await;
    app.finish().await;
}
