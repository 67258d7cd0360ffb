//! What can go wrong between us and Vapi: a refusal is told, a lost answer is looked for, and nothing is sent twice.

use std::time::Duration;

use ringback::simulate::Fault;
use serde_json::{Value, json};

use super::{asking, id, place, request, sent, vapis_call};
use crate::support::{
    app::{Engine, Story, on_every_engine},
    calls::{path, result},
};

on_every_engine! {
    a_call_whose_answer_was_lost_is_found_in_vapis_list
    a_call_whose_answer_was_lost_is_found_by_its_webhooks
    a_call_that_is_nowhere_ends_as_lost_and_is_never_placed_again
    refusals_are_told_by_whose_doing_they_are
    without_the_store_nothing_is_placed
    a_store_that_fails_after_the_call_was_made_does_not_make_it_a_failure
}

async fn a_call_whose_answer_was_lost_is_found_in_vapis_list(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    for (number, fault) in [Fault::Page(502), Fault::Cut, Fault::Stall, Fault::Garbage].into_iter().enumerate() {
        let key = format!("key-{number}");
        app.vapi.fail_next(fault.clone());
        let answer = asking(&app, &request()).header("idempotency-key", &key).send().await;
        let placement = id(&answer);
        assert_eq!((answer.status, placement.starts_with("pl_")), (202, true), "{fault:?}: {}", answer.text());
        assert_eq!(answer.header("location"), format!("{}/result", path(&placement)));
        app.poll(&placement).await.refused(404, "CALL_NOT_READY");
        app.ask("HEAD", &path(&placement)).send().await;
        app.ask("DELETE", &path(&placement)).send().await.refused(404, "CALL_NOT_READY");
        assert_eq!(app.get(&result(&placement, "")).await.status, 202);
        let again = asking(&app, &request()).header("idempotency-key", &key).send().await;
        assert_eq!((again.status, id(&again), again.header("idempotent-replayed")), (202, placement.clone(), "true"));
        app.advance(1.0).await;
        let call = vapis_call(&app);
        assert_eq!(app.call(&placement).await["callId"], call, "{fault:?}");
        assert_eq!(app.call(&call).await["metadata"]["placementId"], placement);
        let known = asking(&app, &request()).header("idempotency-key", &key).send().await;
        assert_eq!((known.status, id(&known)), (201, call.clone()));
        assert_eq!(sent(&app), number + 1, "{fault:?}");
        app.vapi.remove_call(&call);
    }
    app.advance(61.0).await;
    app.finish().await;
}

async fn a_call_whose_answer_was_lost_is_found_by_its_webhooks(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Page(502));
    let placement = id(&place(&app).await);
    let call = vapis_call(&app);
    app.vapi.fail_always(Fault::Page(502));
    let snapshot = json!({"id": call, "assistant": {"metadata": {"placementId": placement}}});
    app.hears(&json!({"message": {"type": "status-update", "status": "ringing", "call": snapshot}})).await;
    app.clock().advance(1_000);
    app.api().dialer.step().await.unwrap();
    let data = app.call(&placement).await;
    assert_eq!((&data["callId"], &data["provider"]["name"]), (&json!(call), &json!("Hill Plumbing")));
    app.vapi.recover();
    app.advance(61.0).await;
    app.finish().await;
}

async fn a_call_that_is_nowhere_ends_as_lost_and_is_never_placed_again(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Page(502));
    let answer = asking(&app, &request()).header("idempotency-key", "k").send().await;
    let placement = id(&answer);
    app.vapi.remove_call(&vapis_call(&app));
    // As long as Vapi can't be asked, nothing speaks against the call.
    app.vapi.fail_always(Fault::Status(500));
    for _ in 0..20 {
        app.advance(60.0).await;
    }
    assert_eq!(app.get(&result(&placement, "")).await.status, 202);
    app.vapi.recover();
    app.advance(60.0).await;
    let lost = app.get(&result(&placement, "wait=5")).await;
    let data = lost.data(200);
    assert_eq!((&data["status"], &data["dataStatus"], &data["callStatus"]), (&json!("error"), &json!("fetch_failed"), &json!("unknown")));
    let words = data["error"].as_str().unwrap();
    assert!(words.contains("answer to the placing") && words.contains("list does not have the call"), "{words}");
    assert_eq!((&data["provider"]["name"], &data["outcome"]["connected"]), (&json!("Hill Plumbing"), &json!(false)));
    assert_eq!(data["outcome"]["analysisMissingReason"], "could_not_ask");
    assert_eq!(app.poll(&placement).await.status, 200);
    let again = asking(&app, &request()).header("idempotency-key", "k").send().await;
    assert_eq!((again.status, id(&again)), (202, placement.clone()), "it may have been placed: never again by this key");
    app.ask("POST", &format!("{}/fetch", path(&placement))).send().await.data(202);
    app.advance(3_600.0).await;
    assert_eq!((sent(&app), app.fetches(&placement)), (1, 0));
    app.finish().await;
}

async fn refusals_are_told_by_whose_doing_they_are(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    let busy = r#"{"message":"Over Concurrency Limit","error":"Bad Request","statusCode":400}"#;
    for (fault, status, code) in [
        (Fault::Status(400), 422, "VAPI_REJECTED"),
        (Fault::Status(404), 422, "VAPI_REJECTED"),
        (Fault::Status(422), 422, "VAPI_REJECTED"),
        (Fault::Status(401), 502, "VAPI_ACCOUNT"),
        (Fault::Status(402), 502, "VAPI_ACCOUNT"),
        (Fault::Status(403), 502, "VAPI_ACCOUNT"),
        (Fault::RateLimited("7".to_owned()), 429, "VAPI_RATE_LIMITED"),
        (Fault::Answer(400, "application/json", busy.to_owned()), 429, "VAPI_RATE_LIMITED"),
        (Fault::Status(500), 502, "VAPI_UNAVAILABLE"),
    ] {
        app.vapi.fail_next(fault.clone());
        let refused = place(&app).await.refused(status, code);
        let body = refused.json();
        assert!(body["details"]["message"].as_str().is_some_and(|words| !words.is_empty()), "{fault:?}: {body}");
        assert_eq!(body["callId"], Value::Null);
        if status == 429 {
            assert_eq!(refused.header("retry-after"), if matches!(fault, Fault::RateLimited(_)) { "7" } else { "5" });
        }
    }
    let echo =
        format!(r#"{{"message":["the key {} is odd","{}"],"statusCode":400}}"#, crate::support::app::KEY, crate::support::app::SECRET);
    app.vapi.fail_next(Fault::Answer(400, "application/json", echo));
    place(&app).await.refused(422, "VAPI_REJECTED");
    app.advance(3_600.0).await;
    assert_eq!(app.vapi.count("GET", "/call"), 0, "nothing is looked for");
    app.finish().await;
}

async fn without_the_store_nothing_is_placed(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.lose_store().await;
    place(&app).await.refused(503, "STORE_UNAVAILABLE");
    asking(&app, &request()).header("idempotency-key", "k").send().await.refused(503, "STORE_UNAVAILABLE");
    assert_eq!(sent(&app), 0);
    app.finish().await;
}

async fn a_store_that_fails_after_the_call_was_made_does_not_make_it_a_failure(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(300)));
    let losing = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        app.lose_store().await;
    };
    let (answer, ()) = tokio::join!(place(&app), losing);
    assert_eq!((answer.status, id(&answer)), (201, vapis_call(&app)), "{}", answer.text());
    app.finish().await;
}

/// Whoever was killed while sending said nothing any more: after a minute the outcome counts as unknown.
#[tokio::test]
async fn what_a_killed_process_was_sending_is_found_by_the_next_one() {
    for engine in [Engine::Sqlite, Engine::Postgres, Engine::Redis] {
        let tested = match engine {
            Engine::Postgres => crate::support::postgres::is_tested(),
            Engine::Redis => crate::support::redis::is_tested(),
            _ => true,
        };
        if !tested {
            continue;
        }
        let app = Story::on(engine).placing().begin().await;
        app.vapi.fail_next(Fault::Slow(Duration::from_millis(400)));
        let asking = asking(&app, &request()).header("idempotency-key", "k").send();
        assert!(tokio::time::timeout(Duration::from_millis(200), asking).await.is_err());
        let app = app.restart().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        app.advance(59.0).await;
        assert_eq!(app.vapi.count("GET", "/call"), 0, "it may still be on its way");
        app.advance(2.0).await;
        let answer = super::asking(&app, &request()).header("idempotency-key", "k").send().await;
        assert_eq!((answer.status, id(&answer)), (201, vapis_call(&app)), "{}", answer.text());
        assert_eq!(sent(&app), 1);
        app.advance(61.0).await;
        app.finish().await;
    }
}

#[tokio::test]
async fn nobody_at_vapis_address_is_a_refusal_for_nothing_was_sent() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let app = Story::new().with("VAPI_API_URL", &format!("http://{nobody}")).begin().await;
    place(&app).await.refused(502, "VAPI_UNAVAILABLE");
    app.finish().await;
}
