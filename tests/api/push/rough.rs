//! A subscriber that fails in every way there is.

use ringback::push::Callback;
use serde_json::json;

use super::{about, begin, deliveries, each, id, later, subscribe, subscribed, tell};
use crate::support::{
    app::{Engine, TestApp, on_every_engine},
    calls::talk,
    stream::Listener,
    subscriber::{Say, Subscriber},
    vapi::CALL,
};

on_every_engine! {
    every_failure_is_tried_again_and_tells_why
    ten_tries_over_three_days_and_then_it_is_given_up
    who_asks_for_patience_gets_it
    who_is_gone_is_switched_off_and_the_others_are_told
    that_a_subscription_is_off_stands_in_the_log
}

/// Calls whose callbacks all lead to one host: more than there are places.
const MANY: usize = 600;

#[tokio::test]
async fn a_stuck_host_with_many_callbacks_leaves_room_for_others() {
    let (app, stuck, other) = (begin(Engine::Memory).await, Subscriber::start().await, Subscriber::start().await);
    stuck.always_says(Some(Say::Hang));
    let wait = async |call: &str, url: String| {
        let callback =
            Callback::read(&json!({"kind": "webhook", "url": url}), "callback", &ringback::push::Reach::checked()).expect("it is fine");
        app.api().push.call_back(call, callback).await.expect("the store answers");
    };
    for number in 0..MANY {
        let call = format!("call-{number}");
        wait(&call, format!("{}/{number}", stuck.base())).await;
        app.hears_report(&talk(&call)).await;
    }
    wait(CALL, other.url()).await;
    app.hears_report(&talk(CALL)).await;
    let lifecycle = app.app().lifecycle().clone();
    lifecycle.spawn("push", app.api().push.clone().run(lifecycle.clone()));
    let began = std::time::Instant::now();
    other.has(1).await;
    assert!(began.elapsed().as_secs() < 10, "it did not wait for the others: {:?}", began.elapsed());
    assert!((1..=16).contains(&stuck.told().len()), "{} at once", stuck.told().len());
    app.finish().await;
}

async fn first_error(app: &TestApp, id: &str) -> String {
    let listed = deliveries(app, id, "state=pending").await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(listed[0]["nextAttemptAt"].is_string(), "{listed:?}");
    listed[0]["attempts"][0]["error"].as_str().expect("a reason").to_owned()
}

async fn every_failure_is_tried_again_and_tells_why(engine: Engine) {
    let app = begin(engine).await;
    for (number, (say, why)) in [
        (Say::Status(500), "it answered 500"),
        (Say::Status(404), "it answered 404"),
        (Say::Status(408), "it answered 408"),
        (Say::Status(302), "it answered with a redirect"),
        (Say::Redirect, "it answered with a redirect"),
        (Say::Endless, "the answer is too large"),
    ]
    .into_iter()
    .enumerate()
    {
        let subscriber = Subscriber::start().await;
        subscriber.says([say.clone()]);
        let id = subscribed(&app, &subscriber.url(), &["call.done"]).await;
        app.hears_report(&talk(&format!("call-{number}"))).await;
        tell(&app).await;
        assert_eq!(first_error(&app, &id).await, why, "{say:?}");
        later(&app, 10).await;
        assert_eq!(deliveries(&app, &id, "state=delivered").await.len(), 1, "{say:?}");
        assert!(subscriber.told().iter().all(|told| told.target == "/hook"), "no redirect is followed");
        about(&app, "DELETE", &id, "").await;
    }
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let id = subscribed(&app, &format!("http://{gone}/"), &["call.done"]).await;
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    assert_eq!(first_error(&app, &id).await, "it could not be reached", "it refuses");
    app.finish().await;
}

#[tokio::test]
async fn who_says_nothing_is_given_up_after_fifteen_seconds_and_who_speaks_no_tls_at_once() {
    let (app, silent, plain) = (begin(Engine::Memory).await, Subscriber::start().await, Subscriber::start().await);
    silent.always_says(Some(Say::Hang));
    let id = subscribed(&app, &silent.url(), &["call.done"]).await;
    let tls = subscribed(&app, &plain.url().replace("http:", "https:"), &["call.done"]).await;
    app.hears_report(&talk(CALL)).await;
    let begun = std::time::Instant::now();
    tell(&app).await;
    assert!((14..18).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(first_error(&app, &id).await, "no answer in time");
    assert_eq!(first_error(&app, &tls).await, "it could not be reached");
    assert!(plain.told().is_empty());
    app.finish().await;
}

async fn ten_tries_over_three_days_and_then_it_is_given_up(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    subscriber.always_says(Some(Say::Status(503)));
    let id = subscribed(&app, &subscriber.url(), &["call.done"]).await;
    app.hears_report(&talk(CALL)).await;
    assert_eq!(tell(&app).await, 1);
    for (tries, wait) in (1..).zip([5_i64, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]) {
        assert_eq!(later(&app, wait * 4 / 5 - 1).await, 0, "not before, after {tries}");
        assert_eq!(later(&app, wait * 2 / 5 + 2).await, 1, "not much later, after {tries}");
    }
    let dead = deliveries(&app, &id, "state=dead").await;
    assert_eq!((&dead[0]["tries"], dead[0]["attempts"].as_array().map(Vec::len)), (&json!(10), Some(10)));
    assert_eq!(later(&app, 200_000).await, 0);
    let ids: std::collections::BTreeSet<_> = subscriber.told().iter().map(|told| told.header("webhook-id").to_owned()).collect();
    assert_eq!((subscriber.told().len(), ids.len()), (10, 1), "one id for all tries");
    app.app().keeper().look().await;
    let metrics = app.get("/metrics").await.text();
    assert!(metrics.contains("ringback_push_dead_letters 1") && metrics.contains("ringback_push_pending 0"), "{metrics}");
    assert!(metrics.contains(r#"ringback_push_attempts_total{kind="subscription",result="dead"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"ringback_push_attempts_total{kind="subscription",result="failed"} 9"#), "{metrics}");
    app.finish().await;
}

async fn who_asks_for_patience_gets_it(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    subscriber.says([Say::Later(60), Say::Later(1)]);
    subscribed(&app, &subscriber.url(), &["call.done"]).await;
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    assert_eq!((later(&app, 58).await, later(&app, 3).await), (0, 1), "a minute instead of five seconds");
    assert_eq!((later(&app, 200).await, later(&app, 200).await), (0, 1), "five minutes instead of a second");
    app.finish().await;
}

async fn who_is_gone_is_switched_off_and_the_others_are_told(engine: Engine) {
    let (app, gone, other, filtered) =
        (begin(engine).await, Subscriber::start().await, Subscriber::start().await, Subscriber::start().await);
    let url = app.listen().await;
    let mut stream = Listener::open(&format!("{url}/api/v1/vapi/events?types=subscription.disabled"), None).await;
    let mut elsewhere = Listener::open(&format!("{url}/api/v1/vapi/calls/{CALL}/events?types=subscription.disabled"), None).await;
    let id = id(&subscribe(&app, json!({"url": gone.url(), "events": ["call.ended", "call.done", "subscription.disabled"]})).await);
    subscribed(&app, &other.url(), &["subscription.disabled"]).await;
    subscribe(&app, json!({"url": filtered.url(), "events": ["subscription.disabled"], "filter": {"status": "completed"}})).await;
    gone.says([Say::Status(410)]);
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    tell(&app).await;
    assert_eq!((gone.told().len(), about(&app, "GET", &id, "").await["status"].clone()), (1, json!("disabled")));
    assert_eq!(each(&deliveries(&app, &id, "").await, "state"), json!(["dead", "dead"]), "what waited behind it is given up too");
    let [told] = &other.told()[..] else { panic!("{:?}", other.told()) };
    let event = told.json();
    assert_eq!(
        (&event["type"], &event["data"]["subscriptionId"], &event["callId"]),
        (&json!("subscription.disabled"), &json!(id), &json!(null))
    );
    assert_eq!(told.header("webhook-id"), event["id"]);
    assert!(filtered.told().is_empty() && gone.told().len() == 1);
    let heard = stream.next().await.expect("an event");
    assert_eq!((heard.id.as_deref(), &heard.data), (event["id"].as_str(), &event), "the same words everywhere");
    elsewhere.is_quiet().await;
    stream.is_quiet().await;

    app.hears_report(&talk("meanwhile")).await;
    tell(&app).await;
    assert_eq!(deliveries(&app, &id, "").await.len(), 2, "nothing is collected for it");
    about(&app, "POST", &id, "/resume").await;
    app.hears_report(&talk("afterwards")).await;
    tell(&app).await;
    assert_eq!(gone.told().len(), 3);
    app.finish().await;
}

async fn that_a_subscription_is_off_stands_in_the_log(engine: Engine) {
    let (app, gone) = (begin(engine).await, Subscriber::start().await);
    let id = subscribed(&app, &gone.url(), &["call.done"]).await;
    gone.says([Say::Status(410)]);
    let shares = matches!(engine, Engine::Postgres | Engine::Redis);
    let other = if shares { Some(app.beside().await) } else { None };
    let url = other.as_ref().unwrap_or(&app).listen().await;
    let mut stream = Listener::open(&format!("{url}/api/v1/vapi/events?types=call.done,subscription.disabled"), None).await;
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    let heard = stream.hear(2).await;
    assert_eq!(heard.iter().map(|it| it.event.as_str()).collect::<Vec<_>>(), ["call.done", "subscription.disabled"]);
    assert_eq!((&heard[1].data["data"]["subscriptionId"], &heard[1].data["sequence"]), (&json!(id), &json!(null)));
    if let Some(other) = other {
        other.finish().await;
    }
    let app = if engine == Engine::Memory { app } else { app.restart().await };
    app.hears_report(&talk("later")).await;
    let url = app.listen().await;
    let mut again =
        Listener::open(&format!("{url}/api/v1/vapi/events?types=call.done,subscription.disabled"), heard[0].id.as_deref()).await;
    let missed = again.hear(2).await;
    assert_eq!((&missed[0], missed[1].event.as_str()), (&heard[1], "call.done"));
    app.finish().await;
}
