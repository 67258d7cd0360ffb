//! Whoever waits for one call: webhooks, and paused executions of n8n and Kestra.

use reqwest::Method;
use ringback::push::Callback;
use serde_json::{Value, json};

use super::{begin, later, tell};
use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{path, talk},
    kestra::{BASIC, EXECUTION, Generation, Kestra},
    subscriber::{Say, Subscriber},
    vapi::CALL,
};

on_every_engine! {
    a_webhook_is_told_when_its_call_is_done_and_no_other
    a_placing_is_found_by_the_calls_metadata
    n8n_is_resumed_at_its_address_letter_by_letter
    kestra_is_resumed_whichever_generation_it_is_of
    a_callback_goes_with_its_call
}

async fn wait_for(app: &TestApp, scope: &str, callback: Value) {
    let callback = Callback::read(&callback, "callback", &ringback::push::Reach::checked()).expect("it is fine");
    app.api().push.call_back(scope, callback).await.expect("the store answers");
}

/// What stands in the timeline of what went out.
async fn tries(app: &TestApp) -> Vec<String> {
    let timeline = app.get(&format!("{}/timeline", path(CALL))).await.data(200);
    let entries = timeline.as_array().expect("a list").iter().filter(|entry| entry["kind"] == "outbound");
    entries.map(|entry| entry["details"].as_str().expect("a text").to_owned()).collect()
}

async fn a_webhook_is_told_when_its_call_is_done_and_no_other(engine: Engine) {
    let (app, waiting) = (begin(engine).await, Subscriber::start().await);
    waiting.says([Say::Status(500)]);
    wait_for(&app, CALL, json!({"kind": "webhook", "url": waiting.url(), "view": "summary", "on": "done"})).await;
    wait_for(&app, CALL, json!({"kind": "webhook", "url": "http://another.invalid/"})).await;
    app.hears_report(&talk("another")).await;
    app.hears_report(&talk(CALL)).await;
    assert_eq!(tell(&app).await, 1, "of one scope there is one callback, the first");
    assert_eq!(later(&app, 7).await, 1);
    let told = waiting.told();
    let event = told[1].json();
    assert_eq!((&event["type"], &event["callId"], &event["data"]["transcript"]), (&json!("call.done"), &json!(CALL), &json!("")));
    assert_eq!((told[0].header("webhook-id"), told[1].header("webhook-signature")), (told[1].header("webhook-id"), ""));
    assert_eq!(tries(&app).await.len(), 2);
    let metrics = app.get("/metrics").await.text();
    assert!(metrics.contains(r#"ringback_push_attempts_total{kind="webhook",result="delivered"} 1"#), "{metrics}");
    app.finish().await;
}

async fn a_placing_is_found_by_the_calls_metadata(engine: Engine) {
    let (app, waiting, other) = (begin(engine).await, Subscriber::start().await, Subscriber::start().await);
    wait_for(&app, "placing-1", json!({"kind": "webhook", "url": waiting.url()})).await;
    wait_for(&app, "placing-2", json!({"kind": "webhook", "url": other.url()})).await;
    app.hears_report(&talk("none")).await;
    app.hears_report(&talk(CALL).with_metadata(json!({"placementId": "placing-1"}))).await;
    assert_eq!((tell(&app).await, waiting.told().len(), other.told().len()), (1, 1, 0));
    app.finish().await;
}

async fn n8n_is_resumed_at_its_address_letter_by_letter(engine: Engine) {
    let (app, n8n) = (begin(engine).await, Subscriber::start().await);
    let target = "/webhook-waiting/42/a%2Fb;c?signature=ab%2B/=&x=%C3%A4";
    wait_for(&app, CALL, json!({"kind": "n8n-resume", "url": format!("{}{target}", n8n.base())})).await;
    n8n.says([Say::Status(404), Say::Status(409), Say::Status(409)]);
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    assert_eq!((later(&app, 1).await, later(&app, 2).await, later(&app, 3).await), (1, 1, 1), "soon, for it pauses soon");
    assert_eq!(later(&app, 1_000).await, 0);
    let told = n8n.told();
    assert_eq!((told.len(), told.iter().all(|told| told.target == target && told.method == Method::POST)), (4, true), "{told:?}");
    assert_eq!(told[3].json()["data"]["id"], CALL);
    app.finish().await;
}

fn with_kestra(engine: Engine, kestra: &Kestra) -> Story {
    Story::on(engine).with("KESTRA_URL", &kestra.url).with("KESTRA_USERNAME", "a@b.co").with("KESTRA_PASSWORD", "Kestra2026")
}

async fn kestra_is_resumed_whichever_generation_it_is_of(engine: Engine) {
    for generation in [Generation::First, Generation::Second] {
        let kestra = Kestra::start(generation, "RUNNING").await;
        let app = with_kestra(engine, &kestra).begin().await;
        wait_for(&app, CALL, json!({"kind": "kestra-resume", "executionId": EXECUTION})).await;
        app.hears_report(&talk(CALL)).await;
        tell(&app).await;
        later(&app, 1).await;
        assert_eq!(kestra.state(), "RUNNING", "it has not paused yet");
        kestra.becomes("PAUSED");
        assert_eq!((later(&app, 2).await, kestra.posts().is_empty()), (1, false));
        assert_eq!(tries(&app).await.len(), 3, "{generation:?}: {:?}", tries(&app).await);
        assert!(tries(&app).await[2].contains("answered 20"), "{:?}", tries(&app).await);
        assert_eq!(later(&app, 1_000).await, 0, "once");
        let last = kestra.posts().pop().unwrap();
        assert_eq!((last.headers["authorization"].to_str().unwrap(), last.path.contains(EXECUTION)), (BASIC, true));
        let kind = last.headers["content-type"].to_str().unwrap().to_owned();
        let boundary = kind.split_once("boundary=").expect("a form").1;
        for (name, value) in [("callId", CALL), ("status", "completed"), ("dataStatus", "complete")] {
            let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            assert!(last.body.contains(&part), "{}", last.body);
        }
        assert!(!last.body.contains("filename") && last.body.ends_with(&format!("--{boundary}--\r\n")));

        // The generation is remembered: the next execution is resumed at the first go.
        kestra.becomes("PAUSED");
        let before = kestra.posts().len();
        wait_for(&app, "second", json!({"kind": "kestra-resume", "executionId": EXECUTION, "tenant": "main"})).await;
        app.hears_report(&talk("second")).await;
        tell(&app).await;
        assert_eq!((kestra.posts().len() - before, kestra.state()), (1, "RUNNING"), "{generation:?}");
        app.finish().await;
    }
}

#[tokio::test]
async fn an_execution_that_is_over_is_left_alone() {
    for state in ["SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED"] {
        let kestra = Kestra::start(Generation::First, "RUNNING").await;
        let app = with_kestra(Engine::Memory, &kestra).begin().await;
        wait_for(&app, CALL, json!({"kind": "kestra-resume", "executionId": EXECUTION})).await;
        app.hears_report(&talk(CALL)).await;
        tell(&app).await;
        kestra.becomes(state);
        later(&app, 1).await;
        assert!(tries(&app).await[1].contains(&format!("the execution is over ({state})")), "{:?}", tries(&app).await);
        let posts = kestra.posts().len();
        assert_eq!((later(&app, 1_000).await, kestra.posts().len()), (0, posts), "{state}");
        app.finish().await;
    }
}

#[tokio::test]
async fn kestra_is_tried_for_ten_minutes_and_never_again_after_a_refusal() {
    let kestra = Kestra::start(Generation::Second, "RUNNING").await;
    let app = with_kestra(Engine::Memory, &kestra).begin().await;
    wait_for(&app, CALL, json!({"kind": "kestra-resume", "executionId": EXECUTION})).await;
    app.hears_report(&talk(CALL)).await;
    let mut tried = tell(&app).await;
    for second in 0..900 {
        kestra.breaks([None, Some(503), Some(429)][second % 3]);
        tried += later(&app, 1).await;
    }
    assert_eq!((tried, tries(&app).await.len()), (44, 20), "the latest tries are kept");
    for status in [401, 403, 422] {
        let kestra = Kestra::start(Generation::First, "PAUSED").await;
        let app = with_kestra(Engine::Memory, &kestra).begin().await;
        kestra.breaks(Some(status));
        wait_for(&app, CALL, json!({"kind": "kestra-resume", "executionId": EXECUTION})).await;
        app.hears_report(&talk(CALL)).await;
        tell(&app).await;
        assert_eq!(later(&app, 1_000).await, 0, "{status}");
        assert!(tries(&app).await[0].contains(&status.to_string()));
        app.finish().await;
    }
    app.finish().await;
}

#[tokio::test]
async fn without_a_kestra_it_says_so() {
    let app = begin(Engine::Memory).await;
    wait_for(&app, CALL, json!({"kind": "kestra-resume", "executionId": EXECUTION})).await;
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    assert!(tries(&app).await[0].contains("KESTRA_URL is not set"));
    app.finish().await;
}

async fn a_callback_goes_with_its_call(engine: Engine) {
    let (app, waiting) = (begin(engine).await, Subscriber::start().await);
    wait_for(&app, CALL, json!({"kind": "webhook", "url": waiting.url()})).await;
    waiting.says([Say::Status(500)]);
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    app.ask("DELETE", &path(CALL)).send().await.data(200);
    assert_eq!((later(&app, 100_000).await, waiting.told().len()), (0, 1));
    app.finish().await;
}
