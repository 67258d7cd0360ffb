//! Vapi fails when it is asked: nothing that is there gets lost, and the record says why it is not more.

use ringback::{
    call::time::SECOND,
    simulate::{Fault, Stage, bodies},
};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{late_talk, path, talk},
    vapi::CALL,
};

on_every_engine! {
    a_failed_fetch_keeps_the_data_says_why_and_is_made_good
    when_every_fetch_fails_the_call_is_done_with_what_there_is
    a_refused_key_settles_at_once_and_is_tried_again_at_the_next_start
    somebody_can_have_vapi_asked_again
    an_id_of_which_nothing_was_heard_can_be_asked_for_at_once
}

fn text<'a>(call: &'a Value, key: &str) -> &'a str {
    call[key].as_str().unwrap_or_default()
}

async fn fetch(app: &TestApp, id: &str) -> Value {
    let answer = app.ask("POST", &format!("{}/fetch", path(id))).send().await;
    app.work().await;
    answer.data(202)
}

async fn a_failed_fetch_keeps_the_data_says_why_and_is_made_good(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let another = bodies::rest_call(&talk("another"), Stage::Analysed, app.clock().now()).to_string();
    let faults = [
        (Fault::Status(500), "Vapi answered 500: Internal server error"),
        (Fault::RateLimited("1".to_owned()), "Vapi answered 429: Rate limit exceeded"),
        (Fault::Page(502), "Vapi answered 502 with a page instead of JSON"),
        (Fault::Page(200), "Vapi answered 200 with a page instead of JSON"),
        (Fault::Page(404), "Vapi answered 404 with a page instead of JSON"),
        (Fault::Garbage, "Vapi answered with something that is no call"),
        (Fault::Cut, "Vapi's answer was cut off or garbled"),
        (Fault::Status(404), "Vapi knows no such call (404)"),
        (Fault::Answer(200, "application/json", another), "Vapi answered with something else than this call"),
    ];
    for (number, (fault, why)) in faults.into_iter().enumerate() {
        let id = format!("call-{number}");
        app.vapi_knows(&talk(&id), Stage::Analysed);
        app.hears_report(&late_talk(&id)).await;
        let before = app.call(&id).await;
        app.vapi.fail_next_of(&id, fault.clone());
        app.advance(4.0).await;
        let failed = app.call(&id).await;
        assert_eq!((text(&failed, "dataStatus"), text(&failed, "fetchError")), ("fetching", why), "{fault:?}");
        assert_eq!((&failed["error"], &failed["fetchedAt"]), (&failed["fetchError"], &Value::Null), "{fault:?}");
        assert_eq!(
            (&failed["transcript"], &failed["messages"], &failed["cost"]),
            (&before["transcript"], &before["messages"], &before["cost"])
        );
        app.advance(6.0).await;
        let good = app.call(&id).await;
        assert_eq!((text(&good, "dataStatus"), text(&good, "fetchError"), text(&good, "error")), ("complete", "", ""), "{fault:?}");
        assert_eq!(good["fetchAttempts"], 2);
    }
    app.finish().await;
}

async fn when_every_fetch_fails_the_call_is_done_with_what_there_is(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_report(&late_talk(CALL)).await;
    let before = app.call(CALL).await;
    app.vapi.fail_always(Fault::Status(503));
    app.live_through(70).await;
    let call = app.call(CALL).await;
    assert_eq!((text(&call, "status"), text(&call, "dataStatus"), app.fetches(CALL)), ("completed", "fetch_failed", 5));
    assert_eq!(text(&call["outcome"], "analysisMissingReason"), "could_not_ask");
    assert_eq!((text(&call, "fetchError"), &call["transcript"]), ("Vapi answered 503: Internal server error", &before["transcript"]));
    app.live_through(100).await;
    assert_eq!(app.fetches(CALL), 5, "it is not asked any more");
    app.vapi.recover();
    app.clock().advance(SECOND);
    app.hears_report(&talk(CALL)).await;
    let better = app.call(CALL).await;
    assert_eq!(better["analysis"]["successEvaluation"], "true", "a later report improves it");
    app.finish().await;
}

#[tokio::test]
async fn retry_after_can_only_lengthen_the_wait() {
    for (told, least, most) in [("1", 4.5, 5.7), ("40", 40.0, 40.2), ("0", 4.5, 5.7), ("Sat, 26 Sep 2026 11:19:02 GMT", 55.0, 57.2)] {
        let app = Story::new().begin().await;
        app.vapi_knows(&talk(CALL), Stage::Analysed);
        app.hears_report(&late_talk(CALL)).await;
        app.vapi.fail_next(Fault::RateLimited(told.to_owned()));
        for _ in 0..700 {
            app.advance(0.1).await;
        }
        let [first, second] = app.fetch_times(CALL)[..] else { panic!("{told}: {:?}", app.fetch_times(CALL)) };
        assert!((least..most).contains(&(second - first)), "{told}: {}", second - first);
        assert_eq!(text(&app.call(CALL).await, "dataStatus"), "complete");
        app.finish().await;
    }
}

#[tokio::test]
async fn whoever_takes_the_key_away_leaves_nobody_waiting() {
    let app = Story::on(Engine::Sqlite).begin().await;
    app.hears_report(&late_talk(CALL)).await;
    app.hears_status(&talk("live"), Stage::InProgress).await;
    assert_eq!(app.call(CALL).await["dataStatus"], "partial");
    let app = app.restart_with(|story| story.without("VAPI_API_KEY")).await;
    app.api().enricher.clone().run(app.app().lifecycle().clone()).await;
    let call = app.call(CALL).await;
    assert_eq!((text(&call, "dataStatus"), &call["nextFetchAt"]), ("complete", &Value::Null));
    assert_eq!(text(&call["outcome"], "analysisMissingReason"), "could_not_ask");
    assert_eq!(text(&app.call("live").await, "dataStatus"), "pending");
    assert_eq!(app.api().registry.store().next_due().await.expect("the store answers"), None, "a backlog that nobody works off");
    app.finish().await;
}

async fn a_refused_key_settles_at_once_and_is_tried_again_at_the_next_start(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_report(&late_talk(CALL)).await;
    app.vapi.fail_always(Fault::Status(401));
    app.advance(4.0).await;
    let call = app.call(CALL).await;
    assert_eq!((text(&call, "dataStatus"), app.fetches(CALL)), ("fetch_failed", 1));
    assert_eq!(text(&call, "fetchError"), "Vapi refuses VAPI_API_KEY (401); correct it and restart");
    let verbose = app.get("/readyz?verbose").await.json();
    assert_eq!((&verbose["status"], &verbose["checks"]["vapi"]["ok"]), (&json!("ok"), &json!(false)));
    assert!(text(&verbose["checks"]["vapi"], "error").contains("VAPI_API_KEY"), "{verbose}");
    app.live_through(60).await;
    assert_eq!(app.fetches(CALL), 1);
    app.vapi.recover();
    if engine == Engine::Memory {
        return app.finish().await;
    }
    let app = app.restart().await;
    let working = app.api().enricher.clone().run(app.app().lifecycle().clone());
    let until_complete = async {
        while text(&app.call(CALL).await, "dataStatus") != "complete" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        app.app().lifecycle().abort();
    };
    let both = async { tokio::join!(working, until_complete) };
    tokio::time::timeout(std::time::Duration::from_secs(10), both).await.expect("it is tried again");
    assert_eq!(app.fetches(CALL), 2);
    app.finish().await;
}

async fn somebody_can_have_vapi_asked_again(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_report(&late_talk(CALL)).await;
    app.vapi.fail_always(Fault::Page(500));
    app.live_through(70).await;
    assert_eq!(text(&app.call(CALL).await, "dataStatus"), "fetch_failed");
    app.vapi.recover();
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    let now = fetch(&app, CALL).await;
    assert_eq!(text(&now, "dataStatus"), "fetch_failed", "as it stands");
    let call = app.call(CALL).await;
    assert_eq!((text(&call, "dataStatus"), text(&call, "fetchError"), &call["fetchAttempts"]), ("complete", "", &json!(6)));
    // Outputs can be made anew long after the end.
    app.advance(86_400.0).await;
    app.vapi_knows(&talk(CALL).with_output("o1", "score", &json!(3)), Stage::Analysed);
    fetch(&app, CALL).await;
    let call = app.call(CALL).await;
    assert_eq!((&call["structuredOutputs"]["o1"]["result"], text(&call, "dataStatus")), (&json!(3), "complete"));
    // A failure afterwards takes nothing back.
    app.clock().advance(SECOND);
    app.vapi.fail_next(Fault::Status(401));
    fetch(&app, CALL).await;
    let call = app.call(CALL).await;
    assert_eq!((text(&call, "dataStatus"), &call["structuredOutputs"]["o1"]["result"]), ("complete", &json!(3)));
    assert!(text(&call, "fetchError").contains("401"));
    app.finish().await;
}

async fn an_id_of_which_nothing_was_heard_can_be_asked_for_at_once(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    assert_eq!(text(&fetch(&app, CALL).await, "callStatus"), "unknown");
    let call = app.poll(CALL).await.data(200);
    assert_eq!((text(&call, "status"), text(&call, "dataStatus"), &call["webhookReceivedAt"]), ("completed", "complete", &Value::Null));
    assert_eq!(app.fetches(CALL), 1);
    fetch(&app, "nobody").await;
    assert_eq!((app.fetches("nobody"), app.get("/api/v1/vapi/calls").await.json()["count"].clone()), (1, json!(1)));
    app.finish().await;
}

/// The row of a call says when it is fetched next; whoever has that version must see the same.
#[tokio::test]
async fn asking_anew_while_a_fetch_is_planned_shows_no_two_faces_of_one_version() {
    let app = Story::new().begin().await;
    app.vapi_knows(&late_talk(CALL), Stage::Reported);
    app.hears_report(&late_talk(CALL)).await;
    app.poll(CALL).await.data(200);
    app.ask("POST", &format!("{}/fetch", path(CALL))).send().await.data(202);
    app.poll(CALL).await.data(200);
    app.get("/api/v1/vapi/calls?view=full").await.data(200);
    app.work().await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "fetching");
    app.finish().await;
}

/// Vapi's REST may lag behind its own report.
#[tokio::test]
async fn a_vapi_that_says_to_the_last_that_the_call_goes_on_is_a_failure_with_a_reason() {
    let app = Story::new().begin().await;
    app.vapi_knows(&talk(CALL), Stage::InProgress);
    app.hears_report(&late_talk(CALL)).await;
    app.live_through(70).await;
    let call = app.call(CALL).await;
    assert_eq!((text(&call, "dataStatus"), text(&call, "callStatus")), ("fetch_failed", "ended"));
    assert!(!text(&call, "fetchError").is_empty() && call["error"] == call["fetchError"], "{call}");
    app.finish().await;
}

#[tokio::test]
async fn whoever_watches_is_told_when_vapi_last_answered_and_when_it_did_not() {
    let app = Story::new().begin().await;
    let vapi = async || app.get("/readyz?verbose").await.json()["checks"]["vapi"].take();
    let before = vapi().await;
    assert_eq!((&before["ok"], &before["lastAnsweredAt"], &before["lastFailedAt"]), (&json!(true), &Value::Null, &Value::Null), "{before}");
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.vapi.fail_always(Fault::Status(503));
    app.hears_report(&late_talk(CALL)).await;
    app.advance(4.0).await;
    let down = vapi().await;
    assert!(down["ok"] == false && down["lastFailedAt"].is_string() && down["error"].is_string(), "{down}");
    app.vapi.recover();
    app.live_through(60).await;
    let up = vapi().await;
    assert!(up["ok"] == true && up["lastAnsweredAt"].is_string() && up["lastFailedAt"] == down["lastFailedAt"], "{up}");
    assert_eq!(up["error"], Value::Null);
    app.finish().await;
}
