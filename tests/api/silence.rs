//! Reports that never came: calls that went silent, and ids that nobody told us about, are looked up.

use ringback::simulate::{Fault, Stage};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{message, path, result, talk, unanswered},
    vapi::CALL,
};

on_every_engine! {
    a_call_that_ended_without_a_report_is_looked_up_after_twenty_seconds
    a_silent_live_call_is_looked_up_after_the_grace_and_then_less_and_less_often
    an_id_that_somebody_polls_is_looked_up_after_twenty_seconds
}

fn text<'a>(call: &'a Value, key: &str) -> &'a str {
    call[key].as_str().unwrap_or_default()
}

/// Lets time go by in steps of ten seconds.
async fn minutes(app: &TestApp, minutes: u32) {
    for _ in 0..minutes * 6 {
        app.advance(10.0).await;
    }
}

async fn a_call_that_ended_without_a_report_is_looked_up_after_twenty_seconds(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_status(&talk(CALL), Stage::Dropped).await;
    app.live_through(10).await;
    // Whatever else is heard does not put it off.
    app.hears(&message("hang", CALL, json!({}))).await;
    app.live_through(9).await;
    assert_eq!(app.fetches(CALL), 0);
    app.advance(1.1).await;
    let call = app.poll(CALL).await.data(200);
    assert_eq!((text(&call, "status"), text(&call, "dataStatus"), app.fetches(CALL)), ("completed", "complete", 1));
    assert_eq!((&call["webhookReceivedAt"], text(&call, "endedReason")), (&Value::Null, "customer-ended-call"));
    app.hears_report(&talk(CALL)).await;
    assert!(app.call(CALL).await["webhookReceivedAt"].is_string(), "the report that comes after all is taken in");
    app.live_through(60).await;
    assert_eq!(app.fetches(CALL), 1);
    app.finish().await;
}

async fn a_silent_live_call_is_looked_up_after_the_grace_and_then_less_and_less_often(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.vapi_knows(&talk(CALL), Stage::InProgress);
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    minutes(&app, 1).await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    minutes(&app, 40).await;
    // The silence began after one minute; the first look comes 120 s later, and each after it twice as late as the one before.
    assert_eq!(app.fetch_times(CALL), [180.0, 420.0, 900.0, 1_860.0]);
    assert_eq!(text(&app.call(CALL).await, "callStatus"), "in-progress");
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    minutes(&app, 25).await;
    let call = app.poll(CALL).await.data(200);
    assert_eq!((text(&call, "dataStatus"), app.fetch_times(CALL).len()), ("complete", 5));
    app.finish().await;
}

#[tokio::test]
async fn no_look_comes_later_than_six_hours_after_the_last() {
    let app = Story::new().begin().await;
    app.vapi_knows(&talk(CALL), Stage::InProgress);
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    for _ in 0..6 * 48 {
        app.advance(600.0).await;
    }
    let times = app.fetch_times(CALL);
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap <= 22_200.0), "{gaps:?}");
    assert!(gaps.last().is_some_and(|gap| *gap >= 21_000.0), "{gaps:?}");
    app.finish().await;
}

#[tokio::test]
async fn the_grace_can_be_set_and_a_failed_look_is_made_again() {
    let app = Story::new().with("RECONCILE_GRACE_SECONDS", "30").begin().await;
    app.vapi_knows(&unanswered(CALL), Stage::Analysed);
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    app.vapi.fail_next(Fault::Page(502));
    app.live_through(31).await;
    assert_eq!((app.fetches(CALL), app.get(&result(CALL, "")).await.status), (1, 202));
    app.live_through(6).await;
    assert_eq!((app.fetches(CALL), app.poll(CALL).await.status), (2, 200), "not a whole interval later");
    app.finish().await;
}

async fn an_id_that_somebody_polls_is_looked_up_after_twenty_seconds(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    app.get(&result("late", "")).await.data(202);
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.advance(19.0).await;
    assert_eq!(app.vapi.requests().len(), 0);
    app.advance(1.0).await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete");
    app.advance(20.0).await;
    assert_eq!(app.fetches("late"), 1);
    app.vapi_knows(&talk("late"), Stage::InProgress);
    app.advance(10.0).await;
    assert_eq!(app.fetches("late"), 2, "every 30 s");
    app.poll("late").await.refused(404, "CALL_NOT_READY");
    app.finish().await;
}

#[tokio::test]
async fn an_id_that_nobody_asks_for_any_more_is_forgotten() {
    let app = Story::new().begin().await;
    app.vapi.fail_always(Fault::Status(500));
    app.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    minutes(&app, 60).await;
    let asked = app.fetches(CALL);
    assert!((10..=21).contains(&asked), "{asked} times in an hour");
    app.finish().await;
}

/// A stranger who polls many ids costs nothing but memory, and not much of that.
#[tokio::test]
async fn many_unknown_ids_do_not_keep_a_known_call_from_being_fetched() {
    let app = Story::new().begin().await;
    for number in 0..300 {
        app.poll(&format!("stranger-{number}")).await.refused(404, "CALL_NOT_FOUND");
    }
    app.clock().advance(19_000);
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_report(&crate::support::calls::late_talk(CALL)).await;
    app.advance(4.0).await;
    let first = app.vapi.requests().first().map(|request| request.path.clone());
    assert_eq!(first, Some(format!("/call/{CALL}")));
    app.finish().await;
}

#[tokio::test]
async fn what_vapi_says_of_a_call_that_is_deleted_here_is_not_asked_for() {
    let app = Story::new().begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.ask("DELETE", &format!("{}?always=1", path(CALL))).send().await.data(200);
    app.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    app.get(&result(CALL, "")).await.refused(410, "CALL_DELETED");
    app.ask("POST", &format!("{}/fetch", path(CALL))).send().await.refused(410, "CALL_DELETED");
    app.live_through(60).await;
    assert_eq!(app.vapi.requests().len(), 0);
    app.finish().await;
}

#[tokio::test]
async fn a_call_that_vapi_did_not_know_comes_back_with_the_next_webhook() {
    let app = Story::new().begin().await;
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    app.advance(121.0).await;
    app.advance(61.0).await;
    app.get(&result(CALL, "")).await.refused(404, "CALL_NOT_FOUND");
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    app.get(&result(CALL, "")).await.data(202);
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.advance(121.0).await;
    assert_eq!((app.poll(CALL).await.status, app.fetches(CALL)), (200, 3));
    app.finish().await;
}

/// Whoever polls begins before the first webhook; that must not cost a request for each call.
#[tokio::test]
async fn an_id_that_was_heard_of_since_somebody_polled_it_is_not_looked_up() {
    let app = Story::new().begin().await;
    app.vapi_knows(&talk(CALL), Stage::InProgress);
    app.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    for _ in 0..30 {
        app.advance(2.0).await;
        app.poll(CALL).await.refused(404, "CALL_NOT_READY");
    }
    assert_eq!(app.fetches(CALL), 0);
    app.finish().await;
}
