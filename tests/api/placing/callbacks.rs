//! Whoever waits for a placed call is told once it is done, and of what was never placed nobody is told anything.

use std::time::Duration;

use ringback::{simulate::Fault, store::DocumentKind};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{asking, id, place, request, sent, vapis_call};
use crate::support::{
    answer::Answer,
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{path, result, talk},
    eventually,
    kestra::{EXECUTION, Generation, Kestra},
    subscriber::{Say, Subscriber},
};

on_every_engine! {
    either_body_may_name_who_is_told_once_the_call_is_done
    executions_of_n8n_and_kestra_go_on_with_the_result
    a_refused_placing_leaves_nobody_to_be_told
    the_same_key_tells_once
    whoever_waits_for_a_lost_placing_is_told_what_it_shows
    what_was_not_sent_before_a_kill_is_no_placing
    who_is_told_goes_with_the_call_or_with_its_placing
}

async fn begin(engine: Engine) -> TestApp {
    Story::on(engine).placing().with("OUTBOUND_ALLOW", "127.0.0.1").begin().await
}

fn webhook(subscriber: &Subscriber) -> Value {
    json!({"kind": "webhook", "url": subscriber.url(), "on": "done"})
}

async fn with_callback(app: &TestApp, callback: Value) -> Answer {
    let mut body = request();
    body["callback"] = callback;
    asking(app, &body).send().await
}

async fn tell(app: &TestApp) -> usize {
    app.api().push.step().await.expect("the store answers")
}

async fn somebody_waits(app: &TestApp) -> bool {
    app.api().registry.store().outbox().await.unwrap().callbacks
}

async fn either_body_may_name_who_is_told_once_the_call_is_done(engine: Engine) {
    let (app, waiting) = (begin(engine).await, Subscriber::start().await);
    app.listen().await;
    let first = with_callback(&app, webhook(&waiting)).await;
    let own = json!({"assistantId": "nora", "customer": {"number": "+15551234567"}, "callback": webhook(&waiting)});
    let second = asking(&app, &own).send().await;
    assert!(super::asked(&app)["callback"].is_null(), "Vapi is not told of it");
    let calls = [first, second].map(|answer| (answer.data(201), id(&answer)).1);
    super::played(&app).await;
    for call in &calls {
        assert_eq!(app.get(&result(call, "wait=20")).await.status, 200);
    }
    assert_eq!(tell(&app).await, 2);
    let told: Vec<Value> = waiting.told().iter().map(|told| told.json()["data"].take()).collect();
    for call in &calls {
        let data = told.iter().find(|data| data["callId"] == **call).expect("it was told");
        assert_eq!(data, &app.call(call).await, "the whole result");
    }
    app.advance(61.0).await;
    assert_eq!(tell(&app).await, 0, "once");
    app.finish().await;
}

async fn executions_of_n8n_and_kestra_go_on_with_the_result(engine: Engine) {
    let (kestra, n8n) = (Kestra::start(Generation::Second, "PAUSED").await, Subscriber::start().await);
    let story = Story::on(engine).placing().with("OUTBOUND_ALLOW", "127.0.0.1").with("KESTRA_URL", &kestra.url);
    let app = story.with("KESTRA_USERNAME", "a@b.co").with("KESTRA_PASSWORD", "Kestra2026").begin().await;
    n8n.says([Say::Status(409)]);
    let url = format!("{}/webhook-waiting/42?signature=ab%2B", n8n.base());
    let calls = [
        with_callback(&app, json!({"kind": "n8n-resume", "url": url})).await,
        with_callback(&app, json!({"kind": "kestra-resume", "executionId": EXECUTION})).await,
    ];
    for call in &calls {
        let placement = call.data(201)["metadata"]["placementId"].clone();
        app.hears_report(&talk(&id(call)).with_metadata(json!({"placementId": placement}))).await;
    }
    assert_eq!(tell(&app).await, 2);
    app.clock().advance(1_000);
    assert_eq!(tell(&app).await, 1, "n8n had not paused yet");
    assert_eq!((n8n.told().len(), n8n.told()[1].json()["data"]["status"].clone()), (2, json!("completed")));
    assert_eq!((kestra.state(), kestra.posts().last().unwrap().body.contains(&id(&calls[1]))), ("RUNNING", true));
    app.advance(61.0).await;
    app.finish().await;
}

async fn a_refused_placing_leaves_nobody_to_be_told(engine: Engine) {
    let (app, waiting) = (begin(engine).await, Subscriber::start().await);
    app.vapi.fail_next(Fault::Status(400));
    with_callback(&app, webhook(&waiting)).await.refused(422, "VAPI_REJECTED");
    assert!(!somebody_waits(&app).await);
    with_callback(&app, webhook(&waiting)).await.data(201);
    assert!(somebody_waits(&app).await);
    app.advance(61.0).await;
    app.finish().await;
}

async fn the_same_key_tells_once(engine: Engine) {
    let (app, waiting) = (begin(engine).await, Subscriber::start().await);
    let mut body = request();
    body["callback"] = webhook(&waiting);
    let with_key = async |body: &Value| asking(&app, body).header("idempotency-key", "k").send().await;
    let (first, again) = (with_key(&body).await, with_key(&body).await);
    assert_eq!((first.status, again.header("idempotent-replayed")), (201, "true"));
    with_key(&request()).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    let placement = first.data(201)["metadata"]["placementId"].clone();
    app.hears_report(&talk(&id(&first)).with_metadata(json!({"placementId": placement}))).await;
    assert_eq!((tell(&app).await, waiting.told().len(), sent(&app)), (1, 1, 1));
    app.advance(61.0).await;
    app.finish().await;
}

async fn whoever_waits_for_a_lost_placing_is_told_what_it_shows(engine: Engine) {
    let (app, waiting) = (begin(engine).await, Subscriber::start().await);
    app.vapi.fail_next(Fault::Page(502));
    let placement = id(&with_callback(&app, webhook(&waiting)).await);
    app.vapi.remove_call(&vapis_call(&app));
    for _ in 0..17 {
        app.advance(60.0).await;
    }
    assert_eq!(tell(&app).await, 1);
    let told = waiting.told()[0].json();
    assert_eq!((&told["callId"], &told["data"]["status"], &told["type"]), (&json!(placement), &json!("error"), &json!("call.done")));
    assert_eq!(told["data"], app.get(&result(&placement, "")).await.data(200));
    app.finish().await;
}

async fn what_was_not_sent_before_a_kill_is_no_placing(engine: Engine) {
    let (app, waiting) = (begin(engine).await, Subscriber::start().await);
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(900)));
    let dialer = app.api().dialer.clone();
    let placing = async {
        let store = app.api().registry.store().clone();
        let found = async || store.documents(DocumentKind::Placement, None, 9, app.clock().now()).await.unwrap().documents.pop();
        eventually("it is written down", async || found().await.is_some() && somebody_waits(&app).await).await;
        let id = found().await.unwrap().id;
        // As if it had died before it wrote down who is told.
        app.api().push.call_off(&id).await.unwrap();
        app.clock().advance(61_000);
        dialer.step().await.unwrap();
        app.get(&result(&id, "")).await.refused(404, "CALL_NOT_FOUND");
    };
    tokio::join!(placing, with_callback(&app, webhook(&waiting)));
    app.advance(61.0).await;
    app.finish().await;
}

async fn who_is_told_goes_with_the_call_or_with_its_placing(engine: Engine) {
    let (app, waiting) = (begin(engine).await, Subscriber::start().await);
    let call = id(&with_callback(&app, webhook(&waiting)).await);
    app.ask("DELETE", &path(&call)).send().await.data(200);
    assert!(!somebody_waits(&app).await, "it was erased");
    with_callback(&app, webhook(&waiting)).await.data(201);
    app.advance(61.0).await;
    assert!(somebody_waits(&app).await);
    app.clock().advance(90 * 86_400_000 - 3_600_000);
    app.api().dialer.step().await.unwrap();
    assert!(!somebody_waits(&app).await, "nothing is kept longer than its placing");
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn a_refusal_is_noted_before_whoever_was_to_be_told_goes() {
    let (app, waiting) = (begin(Engine::Sqlite).await, Subscriber::start().await);
    let db = Connection::open(app.folder().join("ringback.db")).unwrap();
    db.execute_batch("CREATE TRIGGER stays BEFORE DELETE ON targets BEGIN SELECT RAISE(ABORT, 'it stays'); END").unwrap();
    app.vapi.fail_next(Fault::Status(400));
    with_callback(&app, webhook(&waiting)).await.refused(422, "VAPI_REJECTED");
    let found = app.api().registry.store().documents(DocumentKind::Placement, None, 9, app.clock().now()).await.unwrap();
    app.get(&result(&found.documents[0].id, "")).await.refused(404, "CALL_NOT_FOUND");
    assert!(somebody_waits(&app).await, "as if the process had died in between");
    db.execute_batch("DROP TRIGGER stays").unwrap();
    app.clock().advance(86_400_000 - 3_600_000);
    app.api().dialer.step().await.unwrap();
    assert!(!somebody_waits(&app).await, "they go before their placing does");
    assert_eq!((tell(&app).await, waiting.told().len()), (0, 0));
    app.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_callback_is_told_field_by_field_and_nothing_is_placed() {
    let app = Story::new().begin().await;
    for (callback, field) in [
        (json!("https://example.com"), "callback"),
        (json!({"kind": "pigeon"}), "callback.kind"),
        (json!({"kind": "webhook"}), "callback.url"),
        (json!({"kind": "webhook", "url": "https://example.com", "on": "ended"}), "callback.on"),
        (json!({"kind": "kestra-resume", "executionId": "x"}), "callback.kind"),
    ] {
        let refused = with_callback(&app, callback).await.refused(422, "VALIDATION_FAILED").json();
        assert!(refused["details"].as_array().unwrap().iter().any(|error| error["field"] == field), "{refused}");
    }
    app.finish().await;
    let app = Story::new().placing().begin().await;
    let mut body = request();
    body["callback"] = Value::Null;
    asking(&app, &body).send().await.data(201);
    place(&app).await.data(201);
    app.finish().await;
}
