//! `Idempotency-Key` on subscriptions: the same request again makes no second one.

use ringback::store::DocumentKind;
use serde_json::{Value, json};

use super::{SUBSCRIPTIONS, about, begin, id};
use crate::support::{
    answer::Answer,
    app::{Engine, Story, TestApp, on_every_engine},
    subscriber::{Subscriber, to},
};

on_every_engine! {
    the_same_key_is_the_same_subscription_with_its_secret
    the_same_key_at_once_makes_one
    what_was_asked_for_before_a_kill_is_made_by_the_next_request
    a_dropped_subscription_is_forgotten_with_its_answer
}

const URL: &str = "https://hook.example/in?token=hunter2";

async fn with_key(app: &TestApp, key: &str, body: &Value) -> Answer {
    app.ask("POST", SUBSCRIPTIONS).header("idempotency-key", key).body(body.to_string()).send().await
}

async fn count(app: &TestApp) -> usize {
    app.get(SUBSCRIPTIONS).await.data(200).as_array().expect("a list").len()
}

async fn the_same_key_is_the_same_subscription_with_its_secret(engine: Engine) {
    let app = begin(engine).await;
    let body = to(URL, &["call.done"]);
    let first = with_key(&app, "one", &body).await;
    assert_eq!(first.header("idempotent-replayed"), "");
    let made = first.data(201);
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")));
    about(&app, "POST", &id(&made), "/rotate").await;
    about(&app, "POST", &id(&made), "/pause").await;
    let spaced = app.ask("POST", SUBSCRIPTIONS).header("idempotency-key", "one").body(format!("  {body}\n")).send().await;
    assert_eq!(spaced.header("idempotent-replayed"), "true");
    assert_eq!(spaced.data(201), made, "as it was then");
    with_key(&app, "one", &to(URL, &["call.ended"])).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(count(&app).await, 1);
    assert_ne!(id(&with_key(&app, "two", &body).await.data(201)), id(&made));
    with_key(&app, "three", &json!({"url": URL})).await.refused(422, "VALIDATION_FAILED");
    with_key(&app, "three", &body).await.data(201);
    app.clock().advance(86_400_000);
    assert_ne!(id(&with_key(&app, "one", &body).await.data(201)), id(&made), "for a day");
    assert_eq!(count(&app).await, 4);
    for odd in ["", "\u{e4}", &"x".repeat(256)] {
        with_key(&app, odd, &body).await.refused(400, "INVALID_PARAMETER");
    }
    app.finish().await;
}

async fn the_same_key_at_once_makes_one(engine: Engine) {
    let app = begin(engine).await;
    let shared = matches!(engine, Engine::Postgres | Engine::Redis);
    let beside = if shared { Some(app.beside().await) } else { None };
    let (other, body) = (beside.as_ref().unwrap_or(&app), to(URL, &["call.done"]));
    let answers =
        tokio::join!(with_key(&app, "k", &body), with_key(other, "k", &body), with_key(&app, "k", &body), with_key(other, "k", &body));
    let answers = [answers.0, answers.1, answers.2, answers.3];
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed") == "true").count(), 3);
    let made: Vec<Value> = answers.into_iter().map(|answer| answer.data(201)).collect();
    assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
    assert_eq!(count(&app).await, 1);
    if let Some(beside) = beside {
        beside.finish().await;
    }
    app.finish().await;
}

async fn what_was_asked_for_before_a_kill_is_made_by_the_next_request(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let body = to(&subscriber.url(), &["call.done"]);
    let made = with_key(&app, "k", &body).await.data(201);
    // As if the process had been killed between the two writes.
    app.api().registry.store().drop_target(&id(&made)).await.expect("the store answers");
    assert_eq!(count(&app).await, 0);
    assert_eq!(with_key(&app, "k", &body).await.data(201), made);
    assert_eq!(about(&app, "POST", &id(&made), "/test").await["delivered"], true);
    assert!(subscriber.told()[0].is_signed(made["secret"].as_str().expect("shown")));
    app.finish().await;
}

async fn a_dropped_subscription_is_forgotten_with_its_answer(engine: Engine) {
    let app = begin(engine).await;
    let body = to(URL, &["call.done"]);
    let made = with_key(&app, "k", &body).await.data(201);
    let remembered = async || {
        let store = app.api().registry.store();
        store.documents(DocumentKind::Answer, None, 10, app.clock().now()).await.expect("the store answers").documents
    };
    assert_eq!(remembered().await.len(), 1);
    about(&app, "DELETE", &id(&made), "").await;
    assert_eq!(remembered().await, [], "its secret is in no answer any more");
    let again = with_key(&app, "k", &body).await;
    assert_eq!(again.header("idempotent-replayed"), "");
    assert_ne!(id(&again.data(201)), id(&made));
    app.finish().await;
}

/// What a body begins with that is compressed, and not encrypted.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

#[tokio::test]
async fn with_a_data_key_the_answer_is_sealed_and_no_debug_shows_it() {
    for (key, in_clear) in [("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", false), ("", true)] {
        let app = Story::on(Engine::Sqlite).with("DATA_KEY", key).begin().await;
        let made = with_key(&app, "k", &to(URL, &["call.done"])).await.data(201);
        let shown = format!("{:?}", app.api().push.subscription(&id(&made)).await);
        assert!(!shown.contains(made["secret"].as_str().expect("shown")) && !shown.contains("hunter2"), "{shown}");
        let file = rusqlite::Connection::open(app.folder().join("ringback.db")).expect("the file opens");
        for place in ["documents WHERE kind = 'answer'", "targets"] {
            let body: Vec<u8> = file.query_row(&format!("SELECT body FROM {place}"), [], |row| row.get(0)).expect("there is one");
            assert_eq!(body.starts_with(&ZSTD), in_clear, "{place}");
        }
        app.finish().await;
    }
}
