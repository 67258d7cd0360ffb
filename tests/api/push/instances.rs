//! Several instances on one store: they share the work, and each delivery is made by one.

use std::collections::{BTreeMap, BTreeSet};

use ringback::simulate::bodies;
use serde_json::json;

use super::{begin, deliveries, subscribed, tell};
use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::talk,
    eventually,
    postgres::Server,
    subscriber::{Say, Subscriber},
    vapi::CALL,
};

on_every_engine! {
    each_delivery_is_made_by_one_instance
    what_a_lost_instance_held_is_told_by_another
    tries_on_their_way_are_waited_for_when_it_stops
}

fn start(app: &TestApp) {
    let lifecycle = app.app().lifecycle().clone();
    lifecycle.spawn("push", app.api().push.clone().run(lifecycle.clone()));
}

async fn each_delivery_is_made_by_one_instance(engine: Engine) {
    if matches!(engine, Engine::Memory | Engine::Sqlite) {
        return;
    }
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let other = app.beside().await;
    subscribed(&app, &subscriber.url(), &["call.ended", "call.done"]).await;
    start(&app);
    start(&other);
    for number in 0..30 {
        let instance = if number % 2 == 0 { &app } else { &other };
        instance.hears_report(&talk(&format!("call-{number}"))).await;
    }
    subscriber.has(60).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in subscriber.told() {
        let json = event.json();
        told.entry(json["callId"].to_string()).or_default().push(json["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(told.len(), 30);
    assert!(told.values().all(|types| *types == ["call.ended", "call.done"]), "{told:?}");
    other.finish().await;
    app.finish().await;
}

async fn what_a_lost_instance_held_is_told_by_another(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let id = subscribed(&app, &subscriber.url(), &["call.done"]).await;
    app.hears_report(&talk(CALL)).await;
    subscriber.says([Say::Hang]);
    // The try is cut off in the middle, as if the process had died.
    let push = app.api().push.clone();
    let _ = tokio::time::timeout(std::time::Duration::from_millis(500), push.step()).await;
    assert_eq!((subscriber.told().len(), deliveries(&app, &id, "state=pending").await.len()), (1, 1));
    assert_eq!(tell(&app).await, 0, "somebody holds it");
    app.clock().advance(31_000);
    assert_eq!((tell(&app).await, subscriber.told().len()), (1, 2));
    assert_eq!(deliveries(&app, &id, "").await[0]["tries"], 1);
    app.finish().await;
}

async fn tries_on_their_way_are_waited_for_when_it_stops(engine: Engine) {
    if engine == Engine::Memory {
        return;
    }
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let id = subscribed(&app, &subscriber.url(), &["call.done"]).await;
    subscriber.says([Say::Slow(700)]);
    app.hears_report(&talk(CALL)).await;
    let app = app.run(async |_url| subscriber.has(1).await).await;
    let listed = deliveries(&app, &id, "").await;
    assert_eq!((&listed[0]["state"], &listed[0]["attempts"][0]["status"]), (&json!("delivered"), &json!(200)));
    assert_eq!(subscriber.told().len(), 1);
    app.finish().await;
}

/// Nobody waits until deliveries are on disk: what the server loses of them is made again from the log, which is.
#[tokio::test]
async fn a_database_that_crashes_takes_nothing_with_it_that_was_to_be_told() {
    let Some(server) = Server::start() else { return };
    let story = Story::on(Engine::Postgres).with("OUTBOUND_ALLOW", "127.0.0.1").with("DATABASE_URL", &server.database().url());
    let (app, subscriber) = (story.begin().await, Subscriber::start().await);
    subscribed(&app, &subscriber.url(), &["call.done"]).await;
    start(&app);
    for round in 0..3 {
        for number in 0..10 {
            let report = bodies::end_of_call_report(&talk(&format!("call-{round}-{number}")), app.clock().now());
            eventually("it is taken", async || app.post_webhook(&report).await.status == 200).await;
        }
        server.tell("kill");
        server.tell("start");
        // What was held by a try whose end was lost is free again.
        app.clock().advance(31_000);
    }
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    eventually("every call was told", async || {
        for event in subscriber.told() {
            told.entry(event.json()["callId"].to_string()).or_default().insert(event.header("webhook-id").to_owned());
        }
        app.clock().advance(1_000);
        told.len() == 30
    })
    .await;
    assert!(told.values().all(|ids| ids.len() == 1), "what is told again is known by its id: {told:?}");
    app.finish().await;
}
