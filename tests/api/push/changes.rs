//! Subscriptions are made, changed, shown, tested and dropped.

use serde_json::{Value, json};

use super::{SUBSCRIPTIONS, about, begin, id, later, subscribe, subscribed, tell};
use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::talk,
    subscriber::{Say, Subscriber},
    vapi::CALL,
};

on_every_engine! {
    a_subscription_is_shown_without_its_secrets
    a_change_replaces_what_it_names
    the_old_secret_signs_along_for_a_day
    a_test_event_goes_out_at_once_and_is_told_of
    a_dropped_subscription_is_told_nothing
    each_instance_hears_of_changes_made_at_another
}

async fn change(app: &TestApp, id: &str, body: Value) -> Value {
    app.ask("PATCH", &format!("{SUBSCRIPTIONS}/{id}")).body(body.to_string()).send().await.data(200)
}

async fn a_subscription_is_shown_without_its_secrets(engine: Engine) {
    let app = begin(engine).await;
    let body = json!({
        "url": "https://hooks.example.com/x?token=query-secret", "events": ["call.done", "call.ended"], "description": "For the shop",
        "filter": {"assistantId": "a-1", "phone": ["+15551234567"], "metadata": {"k": "v"}}, "headers": {"Authorization": "Bearer header-secret"},
    });
    let made = subscribe(&app, body).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() > 40);
    let id = id(&made);
    let one = about(&app, "GET", &id, "").await;
    let all = app.get(SUBSCRIPTIONS).await.data(200);
    assert_eq!(all, json!([one]));
    for shown in [one.to_string(), made.to_string().replace(&secret, "")] {
        assert!(!shown.contains("header-secret") && !shown.contains("query-secret") && !shown.contains(&secret), "{shown}");
    }
    assert_eq!(
        (&one["url"], &one["headerNames"], &one["status"], &one["secret"]),
        (&json!("https://hooks.example.com/x?[redacted]"), &json!(["authorization"]), &json!("active"), &Value::Null)
    );
    assert_eq!(one["filter"], json!({"assistantId": ["a-1"], "phone": ["+15551234567"], "status": [], "metadata": {"k": ["v"]}}));
    app.finish().await;
}

async fn a_change_replaces_what_it_names(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let made =
        subscribe(&app, json!({"url": "https://old.example/", "events": ["call.ended"], "description": "d", "headers": {"x-a": "1"}}))
            .await;
    let id = id(&made);
    let changed = change(&app, &id, json!({"url": subscriber.url(), "events": ["call.done"], "headers": {"x-b": "2"}})).await;
    assert_eq!(
        (&changed["events"], &changed["description"], &changed["headerNames"]),
        (&json!(["call.done"]), &json!("d"), &json!(["x-b"]))
    );
    assert_eq!((&changed["secret"], &changed["createdAt"]), (&Value::Null, &made["createdAt"]));
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    let told = &subscriber.told()[0];
    assert_eq!((told.header("x-a"), told.header("x-b")), ("", "2"));
    assert!(told.is_signed(made["secret"].as_str().unwrap()), "the secret is another matter");
    let cleared = change(&app, &id, json!({"headers": null, "description": null, "filter": null})).await;
    assert_eq!((&cleared["headerNames"], &cleared["description"]), (&json!([]), &json!("")));
    app.finish().await;
}

async fn the_old_secret_signs_along_for_a_day(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let made =
        subscribe(&app, json!({"url": subscriber.url(), "events": ["call.done"], "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}))
            .await;
    let (id, old) = (id(&made), made["secret"].as_str().unwrap().to_owned());
    assert_eq!(old, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let rotated = about(&app, "POST", &id, "/rotate").await;
    let new = rotated["secret"].as_str().unwrap().to_owned();
    assert!(new != old && rotated["oldSecretUntil"].is_string());
    let told = async |call: &str| {
        app.hears_report(&talk(call)).await;
        tell(&app).await;
        let told = subscriber.told().pop().unwrap();
        (told.is_signed(&new), told.is_signed(&old))
    };
    assert_eq!(told("at-once").await, (true, true));
    later(&app, 86_300).await;
    assert_eq!(told("a-day").await, (true, true));
    later(&app, 200).await;
    assert_eq!(told("over").await, (true, false));
    let given = app.ask("POST", &format!("{SUBSCRIPTIONS}/{id}/rotate")).body(json!({"secret": old}).to_string()).send().await.data(200);
    assert_eq!(given["secret"], old);
    app.finish().await;
}

async fn a_test_event_goes_out_at_once_and_is_told_of(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let made = subscribe(&app, json!({"url": subscriber.url(), "events": ["call.done"]})).await;
    let id = id(&made);
    about(&app, "POST", &id, "/pause").await;
    let fine = about(&app, "POST", &id, "/test").await;
    assert_eq!((&fine["delivered"], &fine["attempt"]["status"]), (&json!(true), &json!(200)), "also while it is paused");
    let told = &subscriber.told()[0];
    assert!(told.is_signed(made["secret"].as_str().unwrap()));
    let event = told.json();
    assert_eq!((&event["type"], &event["id"], &event["callId"]), (&json!("subscription.test"), &fine["eventId"], &Value::Null));
    assert!(event["data"]["analysis"]["summary"].is_string(), "all the keys of a call");
    subscriber.says([Say::Status(500)]);
    let failed = about(&app, "POST", &id, "/test").await;
    assert_eq!((&failed["delivered"], &failed["attempt"]["error"]), (&json!(false), &json!("it answered 500")));
    assert_eq!((tell(&app).await, subscriber.told().len()), (0, 2), "it is tried once");
    app.finish().await;
}

async fn a_dropped_subscription_is_told_nothing(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let id = subscribed(&app, &subscriber.url(), &["call.done"]).await;
    subscriber.says([Say::Status(500)]);
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    assert_eq!(about(&app, "DELETE", &id, "").await["deleted"], true);
    assert_eq!(about(&app, "DELETE", &id, "").await["deleted"], false);
    assert_eq!((later(&app, 100_000).await, subscriber.told().len()), (0, 1));
    for (method, rest) in [("GET", ""), ("PATCH", ""), ("POST", "/rotate"), ("POST", "/pause"), ("POST", "/test"), ("GET", "/deliveries")] {
        app.ask(method, &format!("{SUBSCRIPTIONS}/{id}{rest}")).send().await.refused(404, "NOT_FOUND");
    }
    app.ask("GET", &format!("{SUBSCRIPTIONS}/a%20b")).send().await.refused(404, "NOT_FOUND");
    app.finish().await;
}

async fn each_instance_hears_of_changes_made_at_another(engine: Engine) {
    if matches!(engine, Engine::Memory | Engine::Sqlite) {
        return;
    }
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let other = app.beside().await;
    let id = subscribed(&app, "https://nowhere.invalid/", &["call.done"]).await;
    other.hears_report(&talk("first")).await;
    tell(&other).await;
    change(&other, &id, json!({"url": subscriber.url()})).await;
    app.hears_report(&talk("second")).await;
    tell(&app).await;
    assert_eq!(subscriber.told()[0].json()["callId"], "second");
    other.finish().await;
    app.finish().await;
}

#[tokio::test]
async fn only_an_admin_writes_and_a_reader_looks() {
    let tokens = "read:reader=reader-token-0123456,admin:boss=boss-token-0123456789,place:placer=placer-token-01234567";
    let app = Story::new().with("API_TOKENS", tokens).begin().await;
    let body = json!({"url": "https://hooks.example.com/", "events": ["call.done"]}).to_string();
    for token in ["reader-token-0123456", "placer-token-01234567"] {
        app.ask("POST", SUBSCRIPTIONS).token(token).body(body.clone()).send().await.refused(403, "FORBIDDEN");
    }
    app.ask("POST", SUBSCRIPTIONS).body(body.clone()).send().await.refused(401, "UNAUTHORIZED");
    let id = id(&app.ask("POST", SUBSCRIPTIONS).token("boss-token-0123456789").body(body).send().await.data(201));
    let reader = async |method: &str, rest: &str| {
        app.ask(method, &format!("{SUBSCRIPTIONS}/{id}{rest}")).token("reader-token-0123456").send().await.status
    };
    assert_eq!((reader("GET", "").await, reader("GET", "/deliveries").await), (200, 200));
    for (method, rest) in [
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/test"),
        ("POST", "/redeliver"),
    ] {
        assert_eq!(reader(method, rest).await, 403, "{method} {rest}");
    }
    app.finish().await;
}
