//! `Idempotency-Key`: the same request again is the same call.

use std::time::Duration;

use ringback::simulate::Fault;
use serde_json::json;

use super::{asking, id, request, sent};
use crate::support::{
    answer::Answer,
    app::{Engine, Story, TestApp, on_every_engine},
};

on_every_engine! {
    the_same_key_is_the_same_call_and_another_body_is_refused
    the_same_key_at_once_is_one_call
    a_refusal_is_not_remembered
    a_key_is_forgotten_after_a_day
}

async fn with_key(app: &TestApp, key: &str) -> Answer {
    asking(app, &request()).header("idempotency-key", key).send().await
}

async fn the_same_key_is_the_same_call_and_another_body_is_refused(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    let first = with_key(&app, "one").await;
    let again = with_key(&app, "one").await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, ""));
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
    assert_eq!((id(&first), first.header("location")), (id(&again), again.header("location")));
    let other = asking(&app, &json!({"assistantId": "nora"})).header("idempotency-key", "one").send().await;
    other.refused(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(sent(&app), 1);
    assert_ne!(id(&with_key(&app, "two").await), id(&first));
    for odd in ["", "\u{e4}", &"x".repeat(256)] {
        with_key(&app, odd).await.refused(400, "INVALID_PARAMETER");
    }
    app.advance(61.0).await;
    app.finish().await;
}

async fn the_same_key_at_once_is_one_call(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(200)));
    let shared = matches!(engine, Engine::Postgres | Engine::Redis);
    let beside = if shared { Some(app.beside().await) } else { None };
    let other = beside.as_ref().unwrap_or(&app);
    let answers = tokio::join!(with_key(&app, "k"), with_key(other, "k"), with_key(&app, "k"), with_key(other, "k"));
    let answers = [answers.0, answers.1, answers.2, answers.3];
    let call = id(&answers[0]);
    assert!(answers.iter().all(|answer| answer.status == 201 && id(answer) == call), "one call for all");
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed") == "true").count(), 3);
    assert_eq!(sent(&app), 1);
    app.advance(61.0).await;
    if let Some(beside) = beside {
        beside.finish().await;
    }
    app.finish().await;
}

async fn a_refusal_is_not_remembered(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Status(400));
    with_key(&app, "k").await.refused(422, "VAPI_REJECTED");
    let placed = with_key(&app, "k").await;
    assert_eq!((placed.status, placed.header("idempotent-replayed")), (201, ""));
    assert_eq!(with_key(&app, "k").await.header("idempotent-replayed"), "true");
    assert_eq!(sent(&app), 2);
    app.advance(61.0).await;
    app.finish().await;
}

async fn a_key_is_forgotten_after_a_day(engine: Engine) {
    let app = Story::on(engine).placing().without("VAPI_WEBHOOK_SECRET").begin().await;
    let first = id(&with_key(&app, "k").await);
    app.clock().advance(86_400_000);
    assert_ne!(id(&with_key(&app, "k").await), first);
    app.work().await;
    app.advance(61.0).await;
    app.finish().await;
}

#[tokio::test]
async fn a_key_belongs_to_its_token() {
    let app = Story::new().placing().with("API_TOKENS", "place:a=token-a-0123456789,place:b=token-b-0123456789").begin().await;
    let by = async |token: &str| asking(&app, &request()).header("idempotency-key", "k").token(token).send().await;
    assert_ne!(id(&by("token-a-0123456789").await), id(&by("token-b-0123456789").await));
    assert_eq!(sent(&app), 2);
    app.finish().await;
}
