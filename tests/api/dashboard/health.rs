//! The page *Health*: what does not go well, in words, and what to do about it.

use ringback::{
    call::time::SECOND,
    doctor::{Doctor, Finding, rounds::Rounds},
    simulate::Stage,
};
use serde_json::{Value, json};

use super::{
    ADMIN, READ, guarded,
    pages::{finished, looked_at, opened},
};
use crate::support::{
    app::{Engine, Story, TestApp},
    browser::is_tested,
    calls::talk,
    subscriber::{Say, Subscriber, to},
    vapi::CALL,
};

const HOSTILE: &str = "<img src=x onerror=window.hurt=1>";
/// What stands under a heading, without the spaces between.
const CARD: &str =
    "((name) => [...document.querySelectorAll('.card')].find((it) => it.querySelector('h2').innerText === name)?.innerText ?? '')";

async fn checks(app: &TestApp) -> Value {
    app.ask("GET", "/readyz?verbose").token(READ).send().await.json()["checks"].take()
}

async fn subscribe(app: &TestApp, body: Value) {
    app.ask("POST", "/api/v1/vapi/subscriptions").token(ADMIN).body(body.to_string()).send().await.data(201);
}

#[tokio::test]
async fn a_service_that_is_well_says_so_and_what_is_left_to_do() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::on(Engine::Sqlite).without("VAPI_API_KEY"))).await;
    tab.sign_in(READ).await;
    tab.go("#/health").await;
    tab.reads("All that matters works").await;
    tab.reads("No webhook has come from Vapi yet.").await;
    tab.reads("There is no VAPI_API_KEY.").await;
    tab.reads("It makes no rounds.").await;
    tab.reads("Nobody has subscribed.").await;
    let checks = checks(&app).await;
    let shown = tab.js("[...document.querySelectorAll('.card:has(#checks) data')].map((it) => Number(it.value))").await;
    assert_eq!(shown[0], checks["store"]["sizeBytes"]);
    assert!(shown[1].as_u64() > Some(0) && checks["disk"]["freeBytes"].as_u64() > Some(0), "{shown} {checks}");
    looked_at(&tab, "well").await;
    finished(app, tab).await;
}

#[tokio::test]
async fn what_does_not_go_well_is_told_with_what_to_do() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new().with("OUTBOUND_ALLOW", "127.0.0.1").with("DOCTOR_SECONDS", "3600"))).await;
    let [gone, fine] = [Subscriber::start().await, Subscriber::start().await];
    subscribe(&app, json!({"url": gone.url(), "events": ["call.done"], "description": HOSTILE})).await;
    subscribe(&app, to(&fine.url(), &["call.done"])).await;
    gone.says([Say::Status(410)]);
    app.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", "wrong").body("{}").send().await.refused(401, "INVALID_SIGNATURE");
    app.hears_status(&talk("live"), Stage::InProgress).await;
    app.hears_report(&talk(CALL)).await;
    app.api().push.step().await.expect("the store answers");
    let now = app.clock().now();
    app.api().doctor.note(
        now,
        &[
            Finding::ok("clock", "this machine's clock agrees with Vapi's"),
            Finding::error("server_url", "its server.url is https://old.example.com")
                .about("assistant a-1", HOSTILE)
                .advise("run `ringback doctor --fix`"),
            Finding::warning("server_timeout", "timeoutSeconds is 5").about("assistant a-2", ""),
        ],
    );
    tab.sign_in(READ).await;
    tab.go("#/health").await;
    for words in [
        "3 things need your attention",
        "1 webhook was refused in the last 3 hours.",
        "1 subscription is disabled.",
        "The doctor found 1 error in the settings.",
        "Records are stored in clear.",
        "1 with a wrong proof",
        "2 findings of the round that ended",
        "Its server.url is https://old.example.com.",
        "Run ringback doctor --fix.",
        "timeoutSeconds is 5.",
    ] {
        tab.reads(words).await;
    }
    let levels = tab
        .js("[...document.querySelectorAll('[data-check]')].map((it) => [it.dataset.check, it.querySelector('.badge').innerText])")
        .await;
    assert_eq!(levels, json!([["server_url", "Trouble"], ["server_timeout", "Note"]]), "what is fine is no finding");
    let subscriptions = tab.js(&format!("{CARD}('Subscriptions')")).await;
    let subscriptions = subscriptions.as_str().expect("text");
    assert!(subscriptions.contains("Disabled") && subscriptions.contains("Active") && subscriptions.contains(HOSTILE), "{subscriptions}");
    let backlog = checks(&app).await["backlog"].take();
    let shown = tab.js("[...document.querySelectorAll('.card:has(#subscriptions) data')].map((it) => Number(it.value))").await;
    assert_eq!(shown, json!([backlog["pendingDeliveries"], backlog["deadDeliveries"]]));
    assert_eq!(tab.js("[window.hurt ?? null, document.querySelectorAll('main img').length]").await, json!([null, 0]));
    looked_at(&tab, "ill").await;
    app.api().doctor.note(now, &[]);
    tab.reads("It found nothing wrong").await;
    tab.reads("2 things need your attention").await;
    finished(app, tab).await;
}

#[tokio::test]
async fn a_refused_webhook_needs_attention_for_some_hours_and_not_for_ever() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new())).await;
    let shows = async |words: [&str; 3]| {
        tab.go("#/").await;
        tab.reads("No call right now.").await;
        tab.go("#/health").await;
        for words in words {
            tab.reads(words).await;
        }
    };
    tab.sign_in(READ).await;
    // Without a proof it need not be Vapi's.
    app.ask("POST", "/api/v1/vapi/webhook").body("{}").send().await.refused(401, "INVALID_SIGNATURE");
    shows(["All that matters works", "1 webhook was refused in the last 3 hours.", "1 without any proof"]).await;
    app.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", "wrong").body("{}").send().await.refused(401, "INVALID_SIGNATURE");
    shows(["1 thing needs your attention", "2 webhooks were refused in the last 3 hours.", "1 with a wrong proof"]).await;
    assert_eq!(tab.js("[document.querySelector('.verdict').role, document.querySelector('#verdict').role]").await, json!(["status", null]));
    app.clock().advance(5 * 3_600 * SECOND);
    shows(["All that matters works", "Since this instance started", "1 with a wrong proof"]).await;
    assert!(!tab.text().await.contains("in the last 3 hours"));
    finished(app, tab).await;
}

#[tokio::test]
async fn a_round_of_the_doctor_is_shown() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new().without("VAPI_API_KEY").with("DOCTOR_SECONDS", "3600"))).await;
    tab.sign_in(READ).await;
    tab.go("#/health").await;
    tab.reads("Its first round since this instance started is still to come.").await;
    let api = app.api();
    let doctor = Doctor::new(&api.config, None, None, api.clock.clone());
    Rounds::new(doctor, api.registry.store().clone(), api.metrics.clone(), api.doctor.clone()).step().await;
    tab.reads("There is no VAPI_API_KEY, so Vapi's settings and clock were not looked at.").await;
    let told = checks(&app).await["doctor"].take();
    let count = tab.js("document.querySelectorAll('[data-check]').length").await;
    assert_eq!(
        (&told["on"], told["findings"].as_array().map(Vec::len)),
        (&json!(true), count.as_u64().and_then(|count| usize::try_from(count).ok()))
    );
    finished(app, tab).await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_blank_page() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::on(Engine::Sqlite)).await;
    tab.go("#/health").await;
    tab.reads("All that matters works").await;
    app.lose_store().await;
    tab.reads("The store does not answer.").await;
    tab.reads("They can't be read right now.").await;
    // The browser says what was refused; that is what this is about.
    assert!(tab.faults().iter().all(|fault| fault.contains("status of 503")));
    tab.finish().await;
    app.finish().await;
}
