//! Subscriptions as people see and keep them.

use ringback::call::time::SECOND;
use serde_json::json;

use super::{
    ADMIN, READ, guarded,
    pages::{finished, looked_at, opened},
    words::HOSTILE,
};
use crate::support::{
    app::{Story, TestApp},
    browser::{Tab, is_tested},
    calls::talk,
    subscriber::{Say, Subscriber},
    vapi::CALL,
};

const SUBSCRIPTIONS: &str = "/api/v1/vapi/subscriptions";
const SECRET: &str = "document.querySelector('.secret pre')?.innerText";
const BUTTONS: &str = "[...document.querySelectorAll('main .actions > button, .deliveries li button, .heading > button')].length";

fn story() -> Story {
    guarded(Story::new()).with("OUTBOUND_ALLOW", "127.0.0.1")
}

/// Makes one over the API; its id.
async fn made(app: &TestApp, url: &str, description: &str) -> String {
    let body = json!({"url": url, "events": ["call.done"], "description": description});
    let data = app.ask("POST", SUBSCRIPTIONS).token(ADMIN).body(body.to_string()).send().await.data(201);
    data["id"].as_str().expect("an id").to_owned()
}

/// Everything is tried that is due, now and for some days.
async fn given_up(app: &TestApp) {
    for seconds in [0, 10, 400] {
        app.clock().advance(seconds * SECOND);
        app.api().push.step().await.expect("the store answers");
    }
}

async fn shown(tab: &Tab, count: usize) {
    tab.until(&format!("document.querySelectorAll('.deliveries li').length === {count}")).await;
}

/// Fills out the form with everything it has, and once with what can't be.
async fn makes_the_night_shift(tab: &Tab, url: &str) {
    tab.fill("#url", "https://night.example.com/calls", None).await;
    tab.fill("#description", "The night shift", None).await;
    tab.press("Which calls, and how").await;
    tab.fill("#headers", "X-Team: night", None).await;
    tab.click("input[value='call.ended']").await;
    tab.click("input[value=error]").await;
    looked_at(tab, "draft").await;
    tab.fill("#url", "ftp://example.com/", None).await;
    tab.press("Make it").await;
    tab.until("document.querySelector('form [role=alert] li')?.innerText.startsWith('url')").await;
    tab.was_refused(422).await;
    tab.fill("#url", url, None).await;
    tab.press("Make it").await;
}

#[tokio::test]
async fn a_subscription_is_made_tried_paused_given_another_secret_and_deleted() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(story()).await;
    let subscriber = Subscriber::start().await;
    tab.sign_in(ADMIN).await;
    tab.press("Subscriptions").await;
    tab.reads("Nobody is told yet.").await;
    tab.press("New subscription").await;
    tab.until("document.activeElement.id === 'url'").await;
    tab.press("Leave it").await;
    tab.until("!document.querySelector('form')").await;
    tab.press("New subscription").await;
    makes_the_night_shift(&tab, &subscriber.url()).await;
    tab.until(&format!("{SECRET}?.startsWith('whsec_')")).await;
    let first = tab.js(SECRET).await;
    looked_at(&tab, "subscription-made").await;
    tab.press("I have it").await;
    tab.until("!document.querySelector('.secret')").await;
    tab.press("The night shift").await;
    tab.reads("x-team").await;
    assert!(!tab.text().await.contains(first.as_str().expect("a secret")), "shown once");
    let kept = app.ask("GET", SUBSCRIPTIONS).token(READ).send().await.data(200)[0].clone();
    assert_eq!((&kept["events"], &kept["filter"]["status"]), (&json!(["call.done", "call.ended"]), &json!(["error"])));

    tab.press("Send a test").await;
    tab.reads("The test event was taken: 200").await;
    subscriber.says([Say::Status(500)]);
    tab.press("Send a test").await;
    tab.reads("The test event was not taken").await;
    assert_eq!(subscriber.told()[0].header("x-team"), "night");
    tab.press("Pause").await;
    tab.reads("its news are collected").await;
    tab.press("Resume").await;
    tab.until("document.querySelector('.heading .badge').innerText === 'Active'").await;
    tab.press("Rotate secret…").await;
    tab.press("Keep the secret").await;
    tab.press("Rotate secret…").await;
    tab.press("Make a new one").await;
    tab.until(&format!("{SECRET}?.startsWith('whsec_')")).await;
    assert_ne!(tab.js(SECRET).await, first);
    tab.press("I have it").await;
    tab.reads("The secret before signs along until").await;
    tab.press("Delete…").await;
    looked_at(&tab, "subscription-delete").await;
    tab.press("Keep it").await;
    tab.press("Delete…").await;
    tab.press("Delete for good").await;
    tab.reads("This subscription was deleted").await;
    assert_eq!(app.ask("GET", SUBSCRIPTIONS).token(READ).send().await.data(200), json!([]));
    finished(app, tab).await;
}

#[tokio::test]
async fn what_did_not_arrive_stands_there_with_its_reason_and_is_sent_again() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(story()).await;
    let subscriber = Subscriber::start().await;
    let id = made(&app, &subscriber.url(), "Billing").await;
    subscriber.always_says(Some(Say::Status(422)));
    for call in ["call-1", "call-2", "call-3"] {
        app.hears_report(&talk(call)).await;
    }
    given_up(&app).await;
    tab.is_now(app.clock().now()).await;
    tab.sign_in(ADMIN).await;
    tab.go("#/subscriptions").await;
    tab.reads("3 failed").await;
    looked_at(&tab, "subscriptions").await;
    tab.press("Billing").await;
    shown(&tab, 3).await;
    tab.reads("422").await;
    looked_at(&tab, "subscription").await;
    tab.press("Delivered").await;
    tab.reads("None.").await;
    tab.press("Failed").await;
    shown(&tab, 3).await;
    subscriber.always_says(None);
    tab.press("Send again").await;
    tab.reads("It goes out again.").await;
    shown(&tab, 2).await;
    app.api().push.step().await.expect("the store answers");
    tab.press("Send failed again…").await;
    tab.press("Leave them").await;
    tab.press("Send failed again…").await;
    tab.press("Send them").await;
    tab.reads("2 deliveries go out again.").await;
    tab.press("Pending").await;
    shown(&tab, 2).await;
    app.api().push.step().await.expect("the store answers");
    tab.press("Look again").await;
    shown(&tab, 0).await;
    tab.press("Delivered").await;
    shown(&tab, 3).await;
    tab.press("call-1").await;
    tab.reads("Particulars").await;
    for number in 0..30 {
        app.hears_report(&talk(&format!("more-{number}"))).await;
    }
    app.api().push.step().await.expect("the store answers");
    tab.go(&format!("#/subscriptions/{id}")).await;
    shown(&tab, 25).await;
    tab.press("Older").await;
    shown(&tab, 8).await;
    tab.press("Newest").await;
    shown(&tab, 25).await;
    finished(app, tab).await;
}

#[tokio::test]
async fn an_address_that_is_gone_is_disabled_and_whoever_may_only_read_sees_why() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(story()).await;
    let subscriber = Subscriber::start().await;
    made(&app, &subscriber.url(), "Gone").await;
    subscriber.says([Say::Status(410)]);
    app.hears_report(&talk(CALL)).await;
    app.api().push.step().await.expect("the store answers");
    tab.sign_in(READ).await;
    tab.press("Subscriptions").await;
    tab.reads("Changes take a token of scope admin.").await;
    tab.reads("Its address answered 410 Gone").await;
    tab.press("Gone").await;
    shown(&tab, 1).await;
    tab.reads("Disabled").await;
    assert_eq!(tab.js(BUTTONS).await, 0, "nothing to press that would be refused");
    tab.go("#/subscriptions/sub_unknown").await;
    tab.reads("There is no subscription of this id.").await;
    tab.was_refused(404).await;
    tab.faults();
    finished(app, tab).await;
}

#[tokio::test]
async fn hostile_words_in_subscriptions_stay_words() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new()).await;
    for (number, words) in HOSTILE.into_iter().enumerate() {
        let bare: String = words.split_whitespace().collect();
        let body = json!({"url": format!("https://example.com/{bare}"), "events": ["call.done"], "description": if number % 2 == 0 { words } else { "" }, "filter": {"metadata": {words: [words]}}});
        app.ask("POST", SUBSCRIPTIONS).body(body.to_string()).send().await.data(201);
    }
    tab.go("#/subscriptions").await;
    tab.until(&format!("document.querySelectorAll('.stack li').length === {}", HOSTILE.len())).await;
    let text = tab.text().await;
    assert!(text.contains(HOSTILE[0]), "as text: {text}");
    for number in 0..HOSTILE.len() {
        tab.go("#/subscriptions").await;
        tab.until("document.querySelectorAll('.stack li a').length").await;
        tab.js(&format!("document.querySelectorAll('.stack li a')[{number}].click()")).await;
        tab.reads("Only calls that fit").await;
        assert_eq!(tab.js("document.querySelectorAll('main img, main script, main svg, [onerror], a[href^=javascript]').length").await, 0);
    }
    assert_eq!(tab.js("window.hurt ?? null").await, json!(null), "nothing ran");
    finished(app, tab).await;
}
