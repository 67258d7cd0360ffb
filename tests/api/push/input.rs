//! What is wrong with a subscription is told field by field, and repeats no value.

use ringback::push::{Callback, Reach};
use serde_json::{Value, json};

use super::{SUBSCRIPTIONS, begin, subscribed};
use crate::support::app::{Engine, TestApp};

async fn fields(app: &TestApp, method: &str, path: &str, body: &Value) -> Vec<String> {
    let answer = app.ask(method, path).body(body.to_string()).send().await.refused(422, "VALIDATION_FAILED");
    let details = answer.json()["details"].as_array().expect("a list").clone();
    assert!(details.iter().all(|detail| detail["message"].as_str().is_some_and(|words| !words.is_empty())), "{details:?}");
    assert!(!answer.text().contains("hunter2"), "{}", answer.text());
    details.iter().map(|detail| detail["field"].as_str().expect("a field").to_owned()).collect()
}

#[tokio::test]
async fn each_wrong_field_is_named() {
    let app = begin(Engine::Memory).await;
    let base = json!({"url": "https://hooks.example.com/", "events": ["call.done"]});
    let many: serde_json::Map<String, Value> = (0..21).map(|number| (format!("x-{number}"), json!("v"))).collect();
    for (field, value) in [
        ("url", json!("ftp://hunter2.example/")),
        ("url", json!("hunter2")),
        ("url", json!(7)),
        ("url", json!("https://user:hunter2@example.com/")),
        ("url", json!("https://example.com/#hunter2")),
        ("url", json!(format!("https://example.com/{}", "x".repeat(2_100)))),
        ("events", json!([])),
        ("events", json!(["call.hunter2"])),
        ("events", json!({"call.done": true})),
        ("view", json!("hunter2")),
        ("headers", json!({"webhook-id": "hunter2"})),
        ("headers", json!({"Host": "hunter2"})),
        ("headers", json!({"content-length": "1"})),
        ("headers", json!({"a b": "hunter2"})),
        ("headers", json!({"x-a": "two\nlines"})),
        ("headers", json!({"x-a": 1})),
        ("headers", Value::Object(many)),
        ("description", json!("x".repeat(501))),
        ("secret", json!("whsec_hunter2")),
        ("secret", json!("hunter2hunter2hunter2hunter2")),
        ("filter", json!("hunter2")),
        ("filter.phone", json!({"phone": "0123"})),
        ("filter.status", json!({"status": "hunter2"})),
        ("filter.metadata", json!({"metadata": {"k": 1}})),
        ("filter.assistantId", json!({"assistantId": [""]})),
        ("filter.other", json!({"other": "hunter2"})),
        ("other", json!("hunter2")),
    ] {
        let mut body = base.clone();
        let name = field.split('.').next().expect("a name");
        body[name] = value.clone();
        assert_eq!(fields(&app, "POST", SUBSCRIPTIONS, &body).await, [field], "{value}");
    }
    assert_eq!(fields(&app, "POST", SUBSCRIPTIONS, &json!({"view": "x"})).await, ["url", "events", "view"], "all at once");
    app.ask("POST", SUBSCRIPTIONS).body("{hunter2").send().await.refused(400, "INVALID_PAYLOAD");
    let large = app.ask("POST", SUBSCRIPTIONS).body(vec![b' '; 200_000]).send().await.refused(413, "PAYLOAD_TOO_LARGE");
    assert!(large.json()["message"].as_str().unwrap().contains("131072 bytes, whatever MAX_BODY_MB"), "{}", large.text());
    assert_eq!(fields(&app, "POST", SUBSCRIPTIONS, &json!([])).await, ["body", "url", "events"]);
    app.finish().await;
}

#[tokio::test]
async fn changes_and_redeliveries_are_checked_as_well() {
    let app = begin(Engine::Memory).await;
    let id = subscribed(&app, "https://hooks.example.com/", &["call.done"]).await;
    let path = format!("{SUBSCRIPTIONS}/{id}");
    for (field, body) in [
        ("url", json!({"url": null})),
        ("events", json!({"events": null})),
        ("events", json!({"events": []})),
        ("secret", json!({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})),
        ("status", json!({"status": "paused"})),
    ] {
        assert_eq!(fields(&app, "PATCH", &path, &body).await, [field], "{body}");
    }
    for (field, body) in [
        ("ids", json!({})),
        ("since", json!({"ids": ["a"], "since": "2026-01-01T00:00:00Z"})),
        ("since", json!({"since": "yesterday"})),
        ("state", json!({"since": "2026-01-01T00:00:00Z", "state": "pending"})),
        ("state", json!({"ids": ["a"], "state": "dead"})),
    ] {
        assert_eq!(fields(&app, "POST", &format!("{path}/redeliver"), &body).await, [field], "{body}");
    }
    assert_eq!(fields(&app, "POST", &format!("{path}/rotate"), &json!({"secret": 7})).await, ["secret"]);
    for query in ["state=lost", "limit=0", "limit=101", "cursor=x"] {
        app.get(&format!("{path}/deliveries?{query}")).await.refused(400, "INVALID_PARAMETER");
    }
    app.finish().await;
}

#[tokio::test]
async fn there_is_a_limit_to_how_many_there_are() {
    let app = begin(Engine::Memory).await;
    for _ in 0..100 {
        subscribed(&app, "https://hooks.example.com/", &["call.done"]).await;
    }
    let body = json!({"url": "https://hooks.example.com/", "events": ["call.done"]});
    assert_eq!(fields(&app, "POST", SUBSCRIPTIONS, &body).await, ["subscriptions"]);
    app.finish().await;
}

#[test]
fn a_callback_is_checked_before_it_is_made() {
    let read = |value: Value| {
        let read = Callback::read(&value, "callback", &Reach::checked());
        read.map(|callback| callback.kind()).map_err(|problems| problems.into_iter().map(|problem| problem.field).collect::<Vec<_>>())
    };
    let one = |field: &str| Err(vec![field.to_owned()]);
    assert_eq!(read(json!({"kind": "webhook", "url": "https://h.example/", "view": "summary", "on": "done"})), Ok("webhook"));
    assert_eq!(read(json!({"kind": "n8n-resume", "url": "https://n8n.example/webhook-waiting/7/x?signature=ab'c"})), one("callback.url"));
    let brief = json!({"kind": "n8n-resume", "url": "https://n8n.example/webhook-waiting/7/x", "view": "summary"});
    assert_eq!(read(brief.clone()), Ok("n8n-resume"));
    assert_eq!(read(json!({"kind": "n8n-resume", "url": brief["url"], "view": "half"})), one("callback.view"));
    assert_eq!(read(json!({"kind": "n8n-resume", "url": "https://n8n.example:443/webhook-waiting/7/x?signature=a%2Fb"})), Ok("n8n-resume"));
    assert_eq!(read(json!({"kind": "kestra-resume", "executionId": "2u8zZ1", "tenant": "main"})), Ok("kestra-resume"));
    assert_eq!(read(json!({"kind": "kestra-resume", "executionId": "../x"})), one("callback.executionId"));
    assert_eq!(read(json!({"kind": "kestra-resume", "executionId": "a", "tenant": "a/b"})), one("callback.tenant"));
    assert_eq!(read(json!({"kind": "kestra-resume", "executionId": "a", "url": "https://x.example"})), one("callback.url"));
    assert_eq!(read(json!({"kind": "webhook"})), one("callback.url"));
    assert_eq!(read(json!({"kind": "webhook", "url": "https://h.example/", "on": "ended"})), one("callback.on"));
    assert_eq!(read(json!({"kind": "smoke", "where": 1})), one("callback.kind"));
    assert_eq!(read(json!("https://h.example/")), Err(vec!["callback".to_owned(), "callback.kind".to_owned()]));
    let unknown =
        Callback::read(&json!({"kind": "kestra-resume", "executionId": "a"}), "callback", &Reach { kestra: false, outbound: None });
    assert!(unknown.is_err_and(|problems| problems[0].message.contains("KESTRA_URL")));
}
