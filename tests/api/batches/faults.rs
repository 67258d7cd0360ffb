//! What can go wrong under a batch: it goes slower, and goes on.

use std::time::Duration;

use ringback::{simulate::Fault, store::DocumentKind};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{BATCHES, about, asking, data, each, end, finish, has_live, made, of, result, start, story};
use crate::{
    placing::{sent, vapis_call},
    support::{
        app::{Engine, TestApp, on_every_engine},
        eventually,
    },
};

on_every_engine! {
    busy_lines_make_it_slower_and_fail_nothing
    one_call_that_vapi_refuses_fails_alone
    a_restart_goes_on_where_it_was
    a_call_that_nobody_noted_is_not_placed_again_although_all_of_it_is_too_old_to_be_kept
    an_instance_that_is_lost_is_followed_by_another
    a_call_whose_answer_was_lost_is_found
    without_the_store_nothing_is_placed
    a_batch_that_was_made_is_told_so_though_the_store_is_lost_meanwhile
}

async fn busy_lines_make_it_slower_and_fail_nothing(engine: Engine) {
    let app = story(engine).begin().await;
    app.listen().await;
    start(&app);
    for _ in 0..3 {
        app.vapi.fail_next(Fault::RateLimited("0".to_owned()));
    }
    app.vapi.fail_next(Fault::Answer(400, "application/json", json!({"message": "Over Concurrency Limit", "statusCode": 400}).to_string()));
    let id = made(&app, &of(6, 4)).await;
    let data = result(&app, &id).await;
    assert_eq!((&data["stats"]["completed"], sent(&app)), (&json!(6), 10), "{data}");
    app.vapi.played().await;
    finish(app).await;
}

async fn one_call_that_vapi_refuses_fails_alone(engine: Engine) {
    let app = story(engine).begin().await;
    app.listen().await;
    start(&app);
    app.vapi.fail_next(Fault::Status(400));
    let id = made(&app, &of(3, 1)).await;
    let data = result(&app, &id).await;
    assert_eq!((&data["stats"]["completed"], &data["stats"]["failed"], &data["stats"]["placed"]), (&json!(2), &json!(1), &json!(2)));
    let failed = &data["results"][0];
    assert_eq!(
        (&failed["code"], &failed["callId"], &failed["data"], &failed["done"]),
        (&json!("VAPI_REJECTED"), &Value::Null, &Value::Null, &json!(true))
    );
    assert!(failed["error"].as_str().unwrap().starts_with("Vapi did not place the call"), "{failed}");
    app.vapi.played().await;
    finish(app).await;
}

async fn a_restart_goes_on_where_it_was(engine: Engine) {
    if engine == Engine::Memory {
        return;
    }
    let app = story(engine).begin().await;
    start(&app);
    let id = made(&app, &of(4, 2)).await;
    let before = has_live(&app, &id, 2).await;
    let app = app.restart().await;
    app.clock().advance(16_000);
    start(&app);
    assert_eq!(has_live(&app, &id, 2).await, before, "the same calls");
    end(&app, &before).await;
    eventually("two more are placed", async || sent(&app) == 4).await;
    end(&app, &has_live(&app, &id, 2).await).await;
    assert_eq!(result(&app, &id).await["stats"]["completed"], 4);
    assert_eq!(sent(&app), 4, "none twice");
    finish(app).await;
}

async fn a_call_that_nobody_noted_is_not_placed_again_although_all_of_it_is_too_old_to_be_kept(engine: Engine) {
    if engine == Engine::Memory {
        return;
    }
    let app = story(engine).with("RETENTION_DAYS", "1").begin().await;
    start(&app);
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(900)));
    let id = made(&app, &of(1, 1)).await;
    eventually("it is placed", async || !app.vapi.calls().is_empty()).await;
    let (call, app) = (vapis_call(&app), app.restart().await);
    app.advance(61.0).await;
    end(&app, std::slice::from_ref(&call)).await;
    // The service is down for three days.
    app.clock().advance(3 * 86_400_000);
    app.app().keeper().purge(app.app().lifecycle()).await.expect("the store answers");
    assert_eq!(app.get("/api/v1/vapi/calls").await.json()["count"], 0, "the call is not kept any more");
    let app = app.restart().await;
    start(&app);
    eventually("its key leads there", async || data(&app, &id).await["results"][0]["callId"] == call.as_str()).await;
    assert_eq!(sent(&app), 1);
    end(&app, &[call]).await;
    assert_eq!(result(&app, &id).await["stats"]["completed"], 1);
    finish(app).await;
}

/// Its shift stands still, as if its process was gone.
async fn is_lost(app: &TestApp) {
    app.api().registry.store().close().await.unwrap();
}

async fn an_instance_that_is_lost_is_followed_by_another(engine: Engine) {
    if matches!(engine, Engine::Memory | Engine::Sqlite) {
        return;
    }
    let app = story(engine).begin().await;
    let other = app.beside_with(|story| story.with("VAPI_API_URL", app.vapi.url())).await;
    start(&app);
    let id = made(&app, &of(4, 2)).await;
    let before = has_live(&app, &id, 2).await;
    is_lost(&app).await;
    start(&other);
    tokio::time::sleep(Duration::from_millis(300)).await;
    end(&other, &before).await;
    assert_eq!(sent(&app), 2, "somebody else works on it");
    app.clock().advance(16_000);
    eventually("two more are placed", async || sent(&app) == 4).await;
    end(&other, &has_live(&other, &id, 2).await).await;
    assert_eq!(result(&other, &id).await["stats"]["completed"], 4);
    assert_eq!(sent(&app), 4, "none twice");
    finish(other).await;
    app.app().lifecycle().abort();
    eventually("nobody waits there", async || app.api().registry.waiters().count() == 0).await;
    app.finish().await;
}

async fn a_call_whose_answer_was_lost_is_found(engine: Engine) {
    let app = story(engine).begin().await;
    start(&app);
    app.vapi.fail_next(Fault::Cut);
    let id = made(&app, &of(1, 1)).await;
    eventually("nobody knows", async || about(&app, &id, "").await.text().contains("pl_")).await;
    let call = vapis_call(&app);
    app.advance(1.0).await;
    eventually("it is found", async || data(&app, &id).await["results"][0]["callId"] == call.as_str()).await;
    end(&app, &[call]).await;
    assert_eq!((result(&app, &id).await["stats"]["completed"].clone(), sent(&app)), (json!(1), 1));
    finish(app).await;
}

async fn without_the_store_nothing_is_placed(engine: Engine) {
    let app = story(engine).begin().await;
    app.lose_store().await;
    asking(&app, &of(2, 2)).send().await.refused(503, "STORE_UNAVAILABLE");
    about(&app, "bt_x", "").await.refused(503, "STORE_UNAVAILABLE");
    assert_eq!(sent(&app), 0);
    app.finish().await;
}

async fn a_batch_that_was_made_is_told_so_though_the_store_is_lost_meanwhile(engine: Engine) {
    let app = story(engine).begin().await;
    start(&app);
    let body = of(2, 2).to_string();
    let asking = app.ask("POST", &format!("{BATCHES}?wait=1")).body(body).send();
    let losing = async {
        eventually("both are placed", async || sent(&app) == 2).await;
        app.lose_store().await;
    };
    let (answer, ()) = tokio::join!(asking, losing);
    // A 503 would have it sent again, and everything placed twice.
    let data = answer.data(201);
    assert!(data["batchId"].as_str().is_some_and(|id| id.starts_with("bt_")) && data["stats"]["total"] == 2, "{data}");
    app.app().lifecycle().abort();
    eventually("nobody works on it any more", async || app.api().registry.waiters().count() == 0).await;
    app.finish().await;
}

#[tokio::test]
async fn no_more_calls_are_placed_within_a_minute_than_may_be() {
    let app = story(Engine::Memory).with("DIAL_MAX_PER_MINUTE", "2").begin().await;
    app.listen().await;
    start(&app);
    let id = made(&app, &of(4, 4)).await;
    eventually("two are done", async || data(&app, &id).await["stats"]["completed"] == 2).await;
    assert_eq!(sent(&app), 2);
    app.clock().advance(60_000);
    assert_eq!(each(&result(&app, &id).await, "code"), vec![Value::Null; 4]);
    app.vapi.played().await;
    finish(app).await;
}

#[tokio::test]
async fn a_vapi_that_fails_is_tried_again_and_a_call_that_it_never_takes_is_given_up() {
    let app = story(Engine::Memory).begin().await;
    app.listen().await;
    start(&app);
    app.vapi.fail_next(Fault::Status(503));
    let id = made(&app, &of(1, 1)).await;
    assert_eq!(result(&app, &id).await["stats"]["completed"], 1);
    assert_eq!(sent(&app), 2);
    app.vapi.played().await;
    finish(app).await;
}

#[tokio::test]
async fn a_call_that_never_ends_counts_as_timeout_after_a_day() {
    let app = story(Engine::Memory).begin().await;
    start(&app);
    let id = made(&app, &of(1, 1)).await;
    let calls = has_live(&app, &id, 1).await;
    app.clock().advance(86_400_000);
    app.api().registry.waiters().wake(&crate::support::vapi::id(&calls[0]));
    let data = result(&app, &id).await;
    assert_eq!((&data["stats"]["timeout"], &data["results"][0]["callId"]), (&json!(1), &json!(calls[0])));
    assert!(data["results"][0]["error"].as_str().unwrap().contains("24 hours"), "{data}");
    app.work().await;
    finish(app).await;
}

#[tokio::test]
async fn a_vapi_that_can_not_be_reached_is_told_in_the_row_of_the_call_at_once() {
    let app = story(Engine::Memory).with("VAPI_API_URL", "http://127.0.0.1:9").begin().await;
    start(&app);
    let id = made(&app, &of(2, 1)).await;
    eventually("the row says so", async || each(&data(&app, &id).await, "code") == [json!("VAPI_UNAVAILABLE"), Value::Null]).await;
    let row = &data(&app, &id).await["results"][0];
    assert_eq!((&row["done"], &row["callId"], &row["view"]), (&json!(false), &Value::Null, &Value::Null));
    assert!(row["error"].as_str().is_some_and(|words| words.ends_with("It is tried again.")), "{row}");
    super::cancel(&app, &id, "").await;
    assert_eq!(each(&result(&app, &id).await, "code"), [Value::Null, Value::Null]);
    app.finish().await;
}

#[tokio::test]
async fn a_canceled_batch_waits_for_a_store_that_can_not_tell_what_was_placed() {
    let app = story(Engine::Sqlite).begin().await;
    start(&app);
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(900)));
    let id = made(&app, &of(1, 1)).await;
    eventually("it is placed", async || !app.vapi.calls().is_empty()).await;
    // Nobody noted which call that is, and what its key stands for can't be read for a while.
    let (call, app) = (vapis_call(&app), app.restart().await);
    let db = Connection::open(app.folder().join("ringback.db")).unwrap();
    let kept: Vec<u8> = db.query_row("SELECT body FROM documents WHERE kind = 'answer'", [], |row| row.get(0)).unwrap();
    let put = |body: &[u8]| assert_eq!(db.execute("UPDATE documents SET body = ?1 WHERE kind = 'answer'", [body]).unwrap(), 1);
    put(b"broken");
    super::cancel(&app, &id, "").await;
    app.clock().advance(61_000);
    start(&app);
    // Each answer to the work on a batch is written down.
    let written = async || {
        let batch = app.api().registry.store().document(DocumentKind::Batch, &id, app.clock().now()).await.unwrap();
        batch.expect("it is there").revision
    };
    let before = written().await;
    eventually("it is worked on", async || written().await > before).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(written().await - before < 8, "it asks all the time: {}", written().await - before);
    put(&kept);
    eventually("its key leads there", async || {
        app.api().dialer.step().await.unwrap();
        data(&app, &id).await["results"][0]["callId"] == call.as_str()
    })
    .await;
    end(&app, &[call]).await;
    assert_eq!((result(&app, &id).await["stats"]["completed"].clone(), sent(&app)), (json!(1), 1));
    finish(app).await;
}
