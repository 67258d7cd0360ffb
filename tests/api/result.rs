//! Somebody waits for a result: woken by the event itself, never kept longer than asked, gone without a trace.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringback::simulate::{Fault, Stage, bodies};
use serde_json::json;

use crate::support::{
    answer::Answer,
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{late_talk, path, result, talk},
    vapi::CALL,
};

/// Time for a request to get where it waits.
const SETTLE: Duration = Duration::from_millis(50);
/// Woken means within this time; a poll would take longer.
const AT_ONCE: Duration = Duration::from_millis(900);

on_every_engine! {
    the_report_itself_wakes_who_waits
    a_wait_goes_on_until_the_call_is_done_and_not_only_known
    a_deletion_wakes_with_410
    only_vapi_saying_no_twice_a_minute_apart_makes_an_id_unknown
    a_call_that_was_heard_of_and_that_vapi_does_not_know_is_given_up_the_same_way
}

/// Waits for `id` while `event` happens; the answer, and how long after the event it came.
async fn woken_by(app: &TestApp, id: &str, event: impl Future<Output = ()>) -> (Answer, Duration) {
    let happening = async {
        tokio::time::sleep(SETTLE).await;
        assert_eq!(app.api().registry.waiters().count(), 1, "it waits");
        event.await;
        Instant::now()
    };
    let waiting = async { (app.get(&result(id, "wait=30")).await, Instant::now()) };
    let ((answer, answered), happened) = tokio::join!(waiting, happening);
    (answer, answered.saturating_duration_since(happened))
}

async fn the_report_itself_wakes_who_waits(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let (answer, after) = woken_by(&app, CALL, app.hears_report(&talk(CALL))).await;
    assert_eq!(answer.data(200)["status"], "completed");
    assert!(after < AT_ONCE, "{after:?}");
    app.finish().await;
}

async fn a_wait_goes_on_until_the_call_is_done_and_not_only_known(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    let told = async {
        app.hears_status(&talk(CALL), Stage::InProgress).await;
        app.hears_report(&late_talk(CALL)).await;
        tokio::time::sleep(SETTLE).await;
        assert_eq!(app.api().registry.waiters().count(), 1, "a partial result is nothing to wake for");
        app.advance(4.0).await;
    };
    let (answer, after) = woken_by(&app, CALL, told).await;
    assert_eq!(answer.data(200)["dataStatus"], "complete");
    assert!(after < AT_ONCE, "{after:?}");
    app.finish().await;
}

async fn a_deletion_wakes_with_410(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    let erased = async { drop(app.ask("DELETE", &path(CALL)).send().await.data(200)) };
    let (answer, after) = woken_by(&app, CALL, erased).await;
    answer.refused(410, "CALL_DELETED");
    assert!(after < AT_ONCE, "{after:?}");
    app.get(&result(CALL, "wait=30")).await.refused(410, "CALL_DELETED");
    app.finish().await;
}

async fn only_vapi_saying_no_twice_a_minute_apart_makes_an_id_unknown(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let told = async {
        app.live_through(79).await;
        assert_eq!(app.fetches(CALL), 2, "after 20 s and after 50 s");
        tokio::time::sleep(SETTLE).await;
        assert_eq!(app.api().registry.waiters().count(), 1, "two answers half a minute apart say nothing yet");
        app.live_through(2).await;
    };
    let (answer, after) = woken_by(&app, CALL, told).await;
    answer.refused(404, "CALL_NOT_FOUND");
    assert!(after < AT_ONCE, "{after:?}");
    app.get(&result(CALL, "wait=30")).await.refused(404, "CALL_NOT_FOUND");
    app.live_through(120).await;
    assert_eq!(app.fetches(CALL), 3, "nobody is asked for it any more");
    app.hears_report(&talk(CALL)).await;
    assert_eq!(app.get(&result(CALL, "")).await.status, 200, "a webhook knows better");
    app.finish().await;
}

async fn a_call_that_was_heard_of_and_that_vapi_does_not_know_is_given_up_the_same_way(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    app.advance(121.0).await;
    assert_eq!((app.fetches(CALL), app.get(&result(CALL, "")).await.status), (1, 202), "once is not enough");
    let (answer, after) = woken_by(&app, CALL, app.advance(61.0)).await;
    answer.refused(404, "CALL_NOT_FOUND");
    assert!(after < AT_ONCE, "{after:?}");
    app.poll(CALL).await.refused(404, "CALL_NOT_READY");
    app.advance(86_400.0).await;
    assert_eq!(app.fetches(CALL), 2, "nobody is asked for it any more");
    app.finish().await;
}

#[tokio::test]
async fn an_unknown_id_is_202_with_everything_in_it() {
    let app = Story::new().begin().await;
    let answer = app.get(&result(CALL, "")).await;
    let data = answer.data(202);
    assert_eq!((&data["status"], &data["callStatus"], &data["dataStatus"]), (&json!("pending"), &json!("unknown"), &json!("pending")));
    assert_eq!((&data["createdAt"], &data["version"], answer.header("etag")), (&json!(null), &json!(0), ""));
    app.finish().await;
}

#[tokio::test]
async fn a_wait_that_sees_nothing_ends_in_time_with_202() {
    let app = Story::new().begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    for (id, wait) in [(CALL, "0.3"), ("nobody", "0.3"), (CALL, "0"), (CALL, ""), (CALL, "-0"), (CALL, "1e-9")] {
        let began = Instant::now();
        let answer = app.get(&result(id, &format!("wait={wait}"))).await;
        assert_eq!((answer.status, &answer.json()["done"]), (202, &json!(false)), "{wait}");
        let (least, most) = if wait == "0.3" { (290, 1_200) } else { (0, 250) };
        assert!((least..most).contains(&began.elapsed().as_millis()), "{wait}: {:?}", began.elapsed());
    }
    app.finish().await;
}

#[tokio::test]
async fn a_wait_that_is_no_number_is_refused_and_one_too_long_is_cut() {
    let app = Story::new().with("WAIT_MAX_SECONDS", "0.2").begin().await;
    for wrong in ["x", "-1", "1s", "NaN", "inf", "-inf", "1e999", "0x10", "1,5", "١"] {
        app.get(&result(CALL, &format!("wait={}", wrong.replace('١', "%D9%A1")))).await.refused(400, "INVALID_PARAMETER");
    }
    for long in ["999", "1e300", "0.3"] {
        let began = Instant::now();
        assert_eq!(app.get(&result(CALL, &format!("wait={long}"))).await.status, 202);
        assert!(began.elapsed() < AT_ONCE, "{long}: {:?}", began.elapsed());
    }
    app.get(&result(CALL, "wait=0&view=everything")).await.refused(400, "INVALID_PARAMETER");
    app.hears_report(&talk(CALL)).await;
    app.get(&result(CALL, "view=everything")).await.refused(400, "INVALID_PARAMETER");
    app.finish().await;
}

#[tokio::test]
async fn a_done_call_is_answered_at_once_and_unchanged_is_304() {
    let app = Story::new().begin().await;
    app.hears_report(&talk(CALL)).await;
    let began = Instant::now();
    let answer = app.get(&result(CALL, "wait=30")).await;
    assert_eq!((answer.status, answer.bytes.clone()), (200, app.poll(CALL).await.bytes));
    let etag = answer.header("etag").to_owned();
    assert_eq!(app.ask("GET", &result(CALL, "wait=30")).header("if-none-match", &etag).send().await.status, 304);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    let summary = app.get(&result(CALL, "view=summary")).await.data(200);
    assert_eq!(summary["transcript"], "");
    app.finish().await;
}

/// 304 to somebody who waits for a call to be done would be no answer.
#[tokio::test]
async fn what_is_not_done_is_202_whatever_is_known_of_it() {
    let app = Story::new().begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    let etag = app.get(&result(CALL, "")).await.header("etag").to_owned();
    assert_eq!(app.ask("GET", &result(CALL, "")).header("if-none-match", &etag).send().await.status, 202);
    app.finish().await;
}

#[tokio::test]
async fn over_the_limit_of_waiters_a_wait_is_answered_at_once() {
    let app = Story::new().with("MAX_WAITERS", "2").begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    let third = async {
        tokio::time::sleep(SETTLE).await;
        let began = Instant::now();
        assert_eq!(app.get(&result(CALL, "wait=30")).await.status, 202);
        assert_eq!(app.get(&result("other", "wait=30")).await.status, 202);
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        app.hears_report(&talk(CALL)).await;
    };
    let waits = [result(CALL, "wait=30"), result(CALL, "wait=30")];
    let (first, second, ()) = tokio::join!(app.get(&waits[0]), app.get(&waits[1]), third);
    assert_eq!((first.status, second.status), (200, 200));
    app.finish().await;
}

#[tokio::test]
async fn everybody_who_waits_for_a_call_is_woken_and_nobody_else() {
    let app = Story::new().begin().await;
    let (mine, other) = (result(CALL, "wait=30"), result("other", "wait=1"));
    let told = async {
        tokio::time::sleep(SETTLE).await;
        let waiters = app.api().registry.waiters();
        assert_eq!((waiters.count(), waiters.calls()), (301, 2));
        app.hears_report(&talk(CALL)).await;
        Instant::now()
    };
    let everybody = async { (join_all((0..300).map(|_| app.get(&mine))).await, Instant::now()) };
    let ((answers, answered), not_woken, heard) = tokio::join!(everybody, app.get(&other), told);
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.bytes == answers[0].bytes));
    assert!(answered.saturating_duration_since(heard) < Duration::from_secs(1));
    assert_eq!(not_woken.status, 202);
    app.finish().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nobody_waiting() {
    let app = Story::new().begin().await;
    let paths: Vec<String> = (0..20).map(|number| result(&format!("call-{number}"), "wait=30")).collect();
    let hung_up = tokio::time::timeout(SETTLE, join_all(paths.iter().map(|path| app.get(path)))).await;
    assert!(hung_up.is_err());
    let waiters = app.api().registry.waiters();
    assert_eq!((waiters.count(), waiters.calls()), (0, 0));
    assert!(app.get("/metrics").await.text().contains("ringback_waiters 0"));
    app.finish().await;
}

#[tokio::test]
async fn a_stop_answers_everybody_who_waits_with_202() {
    let app = Story::new().begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    let stop = async { app.app().lifecycle().abort() };
    let (answer, after) = woken_by(&app, CALL, stop).await;
    assert_eq!(answer.status, 202);
    assert!(after < AT_ONCE, "{after:?}");
    assert_eq!(app.get(&result("nobody", "wait=30")).await.status, 202, "and whoever comes now does not wait");
    app.finish().await;
}

#[tokio::test]
async fn a_call_given_up_without_its_analysis_wakes_too_and_says_why() {
    let app = Story::new().with("ENRICH_DELAYS_SECONDS", "1").begin().await;
    app.vapi.fail_always(Fault::Page(502));
    let told = async {
        app.hears(&bodies::end_of_call_report(&late_talk(CALL), app.clock().now())).await;
        app.advance(2.0).await;
    };
    let (answer, after) = woken_by(&app, CALL, told).await;
    let data = answer.data(200);
    assert_eq!((&data["status"], &data["dataStatus"]), (&json!("completed"), &json!("fetch_failed")));
    assert_eq!((&data["fetchError"], &data["error"]), (&json!("Vapi answered 502 with a page instead of JSON"), &data["fetchError"]));
    assert!(after < AT_ONCE, "{after:?}");
    app.finish().await;
}
