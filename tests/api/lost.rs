//! Reports that never come: what Vapi's REST told stands in for them, and after a while they count as lost.

use ringback::{
    call::news::NewsKind,
    simulate::{CallScript, Stage},
};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{message, path, talk, unanswered},
    stream::Listener,
    vapi::{CALL, START},
};

on_every_engine! {
    a_report_counts_as_lost_when_its_grace_is_over_and_once
    a_report_that_comes_in_time_is_not_lost
    a_loss_is_stated_after_a_restart_too
}

/// How many reports count as lost, by kind.
pub(crate) async fn lost(app: &TestApp, kind: &str) -> u64 {
    let metrics = app.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("ringback_lost_webhooks_total{{kind=\"{kind}\"}} ")));
    line.map_or(0, |number| number.parse().unwrap())
}

/// How often the loss of a call's report was told.
pub(crate) async fn told(app: &TestApp) -> usize {
    let page = app.api().registry.store().news(0, None, 10_000).await.unwrap();
    page.entries.iter().filter(|entry| entry.item.kind == NewsKind::Recovered).count()
}

async fn stated(app: &TestApp) -> usize {
    let entries = app.get(&format!("{}/timeline", path(CALL))).await.data(200);
    entries.as_array().unwrap().iter().filter(|entry| entry["kind"] == "recovered").count()
}

/// The call ends now, and no report comes.
async fn drops(app: &TestApp) -> CallScript {
    let script = CallScript { ended_at: START, ..talk(CALL) };
    app.vapi_knows(&script, Stage::Analysed);
    app.hears_status(&script, Stage::Dropped).await;
    script
}

async fn a_report_counts_as_lost_when_its_grace_is_over_and_once(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let script = drops(&app).await;
    app.live_through(21).await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete", "it is used at once");
    app.live_through(98).await;
    assert_eq!((lost(&app, "report").await, told(&app).await, stated(&app).await), (0, 0, 0));
    app.live_through(2).await;
    assert_eq!((lost(&app, "report").await, told(&app).await, stated(&app).await), (1, 1, 1));
    let before = app.call(CALL).await;
    app.advance(3_600.0).await;
    app.hears_report(&script).await;
    app.advance(3_600.0).await;
    let after = app.call(CALL).await;
    assert!(before["webhookReceivedAt"].is_null() && after["webhookReceivedAt"].is_string(), "a late report is taken in");
    assert_eq!((&before["transcript"], &before["status"]), (&after["transcript"], &after["status"]));
    assert_eq!((lost(&app, "report").await, told(&app).await, stated(&app).await), (1, 1, 1));
    assert_eq!(app.fetches(CALL), 1, "nobody is asked for a judgement");
    app.finish().await;
}

async fn a_report_that_comes_in_time_is_not_lost(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let script = drops(&app).await;
    app.live_through(60).await;
    app.hears_report(&script).await;
    app.live_through(120).await;
    assert_eq!((lost(&app, "report").await, told(&app).await), (0, 0));
    app.finish().await;
}

async fn a_loss_is_stated_after_a_restart_too(engine: Engine) {
    if engine == Engine::Memory {
        return;
    }
    let app = Story::on(engine).begin().await;
    drops(&app).await;
    app.live_through(30).await;
    let app = app.restart().await;
    app.advance(100.0).await;
    assert_eq!((lost(&app, "report").await, told(&app).await), (1, 1));
    app.finish().await;
}

#[tokio::test]
async fn a_silent_call_that_turns_out_to_be_over_has_lost_its_report() {
    let app = Story::new().begin().await;
    app.hears_status(&unanswered(CALL), Stage::Ringing).await;
    app.vapi_knows(&CallScript { ended_at: START.plus(-5_000), ..talk(CALL) }, Stage::Analysed);
    app.advance(121.0).await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete");
    assert_eq!((lost(&app, "report").await, told(&app).await), (1, 1), "its grace is over as well");
    app.finish().await;
}

#[tokio::test]
async fn no_report_is_missed_where_none_was_to_be_sent() {
    let app = Story::new().begin().await;
    let quiet = talk(CALL).with_requested("assistantOverrides", json!({"serverMessages": ["status-update", "tool-calls"]}));
    app.vapi_knows(&quiet, Stage::Analysed);
    app.hears_status(&quiet, Stage::Dropped).await;
    // Somebody asks for a call that no webhook ever was about.
    app.vapi_knows(&talk("elsewhere"), Stage::Analysed);
    app.poll("elsewhere").await.refused(404, "CALL_NOT_FOUND");
    app.live_through(300).await;
    assert_eq!((app.poll(CALL).await.status, app.poll("elsewhere").await.status), (200, 200));
    assert_eq!((lost(&app, "report").await, lost(&app, "all").await, told(&app).await), (0, 0, 0));
    app.finish().await;
}

#[tokio::test]
async fn who_listens_hears_of_a_loss_and_how_the_call_stands() {
    let app = Story::new().begin().await;
    let url = app.listen().await;
    drops(&app).await;
    let mut listener = Listener::open(&format!("{url}/api/v1/vapi/events?types=call.recovered"), None).await;
    app.live_through(121).await;
    let heard = listener.next().await.expect("an event");
    assert_eq!((heard.event.as_str(), &heard.data["callId"]), ("call.recovered", &json!(CALL)));
    assert_eq!((&heard.data["data"]["status"], &heard.data["data"]["webhookReceivedAt"]), (&json!("completed"), &Value::Null));
    drop(listener);
    app.finish().await;
}

#[tokio::test]
async fn without_a_key_nothing_is_found_and_nothing_counts_as_lost() {
    let app = Story::new().without("VAPI_API_KEY").begin().await;
    app.hears(&message("status-update", CALL, json!({"status": "ended"}))).await;
    app.live_through(200).await;
    assert!(!app.api().reconciler.step().await.unwrap());
    assert_eq!((app.vapi.requests().len(), told(&app).await), (0, 0));
    app.finish().await;
}
