//! The service stops and starts again on its file: what was acknowledged is there, and what was begun goes on.

use ringback::{
    call::{id::CallId, time::Millis},
    simulate::{Fault, Stage, bodies},
    vapi::client::plain_http,
};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, KEY, SECRET, Story, TestApp},
    calls::{late_talk, message, path, result, talk, unanswered},
    vapi::CALL,
};

async fn begin() -> TestApp {
    Story::on(Engine::Sqlite).begin().await
}

#[tokio::test]
async fn everything_that_was_acknowledged_is_there_to_the_byte() {
    let app = begin().await;
    let script = talk(CALL).with_metadata(json!({"providerName": "Rohr AG", "ü": "ß 😀"})).with_output("o", "n", &json!([1, null]));
    app.hears_report(&script).await;
    app.hears_report(&unanswered("nobody")).await;
    app.hears_status(&talk("live"), Stage::InProgress).await;
    let paths =
        [path(CALL), path("nobody"), result("live", ""), "/api/v1/vapi/calls".to_owned(), format!("{}/timeline?body=1", path(CALL))];
    let mut before = Vec::new();
    for path in &paths {
        before.push(app.get(path).await);
    }
    let app = app.restart().await;
    for (path, before) in paths.iter().zip(before) {
        let after = app.get(path).await;
        assert_eq!((after.text(), after.header("etag")), (before.text(), before.header("etag")), "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn fetches_go_on_where_they_stopped() {
    let app = begin().await;
    app.vapi_knows(&late_talk(CALL), Stage::Reported);
    app.hears_report(&late_talk(CALL)).await;
    app.advance(4.0).await;
    let before = app.call(CALL).await;
    assert_eq!((&before["dataStatus"], app.fetches(CALL)), (&json!("fetching"), 1));
    let app = app.restart().await;
    assert_eq!(app.call(CALL).await, before);
    app.work().await;
    assert_eq!(app.fetches(CALL), 1, "what was committed is not repeated");
    app.advance(6.0).await;
    assert_eq!(app.fetches(CALL), 2);
    let app = app.restart().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.advance(9.0).await;
    let after = app.call(CALL).await;
    assert_eq!((&after["dataStatus"], &after["fetchAttempts"]), (&json!("complete"), &json!(3)));
    app.finish().await;
}

#[tokio::test]
async fn a_fetch_that_fell_due_while_we_were_away_is_made_at_once() {
    let app = begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_report(&late_talk(CALL)).await;
    app.hears_status(&talk("dropped"), Stage::Dropped).await;
    app.vapi_knows(&talk("dropped"), Stage::Analysed);
    app.clock().advance(3_600_000);
    let app = app.restart().await;
    app.work().await;
    assert_eq!(
        (app.call(CALL).await["dataStatus"].clone(), app.call("dropped").await["dataStatus"].clone()),
        (json!("complete"), json!("complete"))
    );
    app.finish().await;
}

/// The process died between taking the fetch and committing its outcome.
#[tokio::test]
async fn a_fetch_that_was_taken_and_not_made_is_made_after_the_start() {
    let app = begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_report(&late_talk(CALL)).await;
    app.clock().advance(4_000);
    let (now, until) = (app.clock().now(), app.clock().now().plus(30_000));
    let taken = app.api().registry.store().lease_due(now, until, 10).await.expect("the store answers");
    assert_eq!(taken, [CallId::parse(CALL).expect("an id")]);
    app.work().await;
    assert_eq!(app.fetches(CALL), 0, "somebody else has it");
    let app = app.restart().await;
    app.work().await;
    assert_eq!((app.fetches(CALL), app.call(CALL).await["dataStatus"].clone()), (1, json!("complete")));
    app.finish().await;
}

#[tokio::test]
async fn repeats_are_known_after_a_restart() {
    let app = begin().await;
    let report = bodies::end_of_call_report(&talk(CALL), app.clock().now());
    app.hears(&report).await;
    let before = app.poll(CALL).await;
    let app = app.restart().await;
    assert_eq!(app.hears(&report).await["message"], "Stored before; nothing changed.");
    assert_eq!(app.poll(CALL).await.bytes, before.bytes);
    app.finish().await;
}

#[tokio::test]
async fn a_key_that_is_set_later_changes_nothing_that_is_done() {
    let app = Story::on(Engine::Sqlite).without("VAPI_API_KEY").begin().await;
    app.hears_report(&late_talk(CALL)).await;
    app.hears_status(&talk("live"), Stage::Dropped).await;
    assert_eq!(app.call(CALL).await["dataStatus"], "complete");
    app.vapi_knows(&talk("live"), Stage::Analysed);
    let app = app.restart_with(|story| story.with("VAPI_API_KEY", KEY)).await;
    app.live_through(60).await;
    assert_eq!((app.call(CALL).await["dataStatus"].clone(), app.fetches(CALL)), (json!("complete"), 0));
    // Whatever is heard next of the live one sets its check.
    app.hears(&message("hang", "live", json!({"timestamp": app.clock().now().0}))).await;
    app.advance(21.0).await;
    assert_eq!(app.call("live").await["dataStatus"], "complete");
    app.finish().await;
}

#[tokio::test]
async fn a_key_that_is_taken_away_leaves_nobody_waiting_for_a_fetch() {
    let app = begin().await;
    app.vapi.fail_always(Fault::Status(500));
    app.hears_report(&late_talk(CALL)).await;
    app.advance(4.0).await;
    let app = app.restart_with(|story| story.without("VAPI_API_KEY")).await;
    app.live_through(5).await;
    assert_eq!(app.fetches(CALL), 1);
    app.hears(&bodies::artifact_upload(&late_talk(CALL), app.clock().now())).await;
    assert_eq!(app.call(CALL).await["dataStatus"], "complete");
    app.finish().await;
}

#[tokio::test]
async fn two_services_in_one_process_know_nothing_of_each_other() {
    let (a, b) = (begin().await, begin().await);
    a.hears_report(&talk(CALL)).await;
    b.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    assert!(a.get("/metrics").await.text().contains("type=\"end-of-call-report\",result=\"stored\"} 1"));
    assert!(!b.get("/metrics").await.text().contains("type=\"end-of-call-report\",result=\"stored\""));
    a.finish().await;
    b.finish().await;
}

#[tokio::test]
async fn a_clock_that_went_back_between_two_starts_breaks_nothing() {
    let app = begin().await;
    app.hears_report(&late_talk(CALL)).await;
    let before = app.call(CALL).await;
    let app = app.restart().await;
    app.clock().advance(-3_600_000);
    let earlier: Millis = app.clock().now();
    app.hears(&bodies::end_of_call_report(&talk(CALL), earlier)).await;
    let after: Value = app.call(CALL).await;
    assert!(after["version"].as_u64() > before["version"].as_u64());
    assert_eq!(after["dataStatus"], "complete");
    app.finish().await;
}

/// Everything at once, as `ringback serve` runs it: routes, the worker that fetches, the keeper, and an orderly stop.
#[tokio::test]
async fn the_whole_service_runs_fetches_and_stops_in_order() {
    let app = Story::on(Engine::Sqlite).with("ENRICH_DELAYS_SECONDS", "0").begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    let report = bodies::end_of_call_report(&late_talk(CALL), app.clock().now()).to_string();
    let app = app
        .run(async |url| {
            let http = plain_http().expect("a client");
            let posted = http.post(format!("{url}/api/v1/vapi/webhook")).header("x-vapi-secret", SECRET).body(report).send().await;
            assert_eq!(posted.expect("an answer").status(), 200);
            let answer = http.get(format!("{url}{}", result(CALL, "wait=20"))).send().await.expect("an answer");
            assert_eq!(answer.status(), 200, "woken when the fetch settled it");
        })
        .await;
    assert_eq!(app.poll(CALL).await.data(200)["analysis"]["successEvaluation"], "true");
    assert_eq!(app.fetches(CALL), 1);
    app.finish().await;
}

#[tokio::test]
async fn what_an_earlier_release_could_not_read_is_read_at_the_start() {
    let app = begin().await;
    app.hears_report(&talk(CALL)).await;
    let before = app.poll(CALL).await.data(200);
    let db = rusqlite::Connection::open(app.folder().join("ringback.db")).expect("the file");
    db.busy_timeout(std::time::Duration::from_secs(5)).expect("a setting");
    db.execute_batch(
        "DELETE FROM dues; DELETE FROM records; DELETE FROM calls; DELETE FROM events WHERE kind = 'settled';
         UPDATE events SET folded = 0, app = '0.0.1', changed = NULL, version = NULL, call_id = NULL",
    )
    .expect("as an earlier release would have left it");
    drop(db);
    app.seen().forget(CALL);
    let app = app.run(async |_url| tokio::time::sleep(std::time::Duration::from_millis(300)).await).await;
    let after = app.poll(CALL).await.data(200);
    for key in ["status", "dataStatus", "transcript", "analysis", "endedReason", "webhookReceivedAt"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    app.finish().await;
}
