//! What a report did not bring is fetched: when, how often, and when it is enough.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringback::simulate::{CallScript, Fault, Stage, bodies};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{late_talk, message, path, talk, unanswered},
    vapi::CALL,
};

on_every_engine! {
    late_analysis_turns_partial_into_fetching_into_complete
    fetches_come_at_their_delays_and_end_when_two_answers_agree
    a_report_that_comes_during_a_fetch_and_the_answer_are_both_kept
    a_call_deleted_during_a_fetch_stays_deleted
    one_call_is_leased_to_one_worker
    a_fact_that_comes_later_improves_a_settled_record
    what_pollers_wait_for_is_fetched_before_what_may_be_lost
    what_was_planned_with_a_key_is_given_up_when_the_key_is_gone
}

/// A report without its analysis is in, and Vapi has none either.
async fn partial(app: &TestApp) {
    app.vapi_knows(&late_talk(CALL), Stage::Reported);
    app.hears_report(&late_talk(CALL)).await;
}

fn text<'a>(call: &'a Value, key: &str) -> &'a str {
    call[key].as_str().unwrap_or_default()
}

async fn late_analysis_turns_partial_into_fetching_into_complete(engine: Engine) {
    let app = Story::on(engine).begin().await;
    partial(&app).await;
    let first = app.call(CALL).await;
    assert_eq!((text(&first, "dataStatus"), &first["fetchAttempts"], &first["fetchedAt"]), ("partial", &json!(0), &json!(null)));
    assert_eq!(first["outcome"]["analysisMissingReason"], "still_fetching");
    assert!(first["nextFetchAt"].is_string() && first["webhookReceivedAt"].is_string());
    app.advance(4.0).await;
    let second = app.call(CALL).await;
    assert_eq!((text(&second, "dataStatus"), &second["fetchAttempts"]), ("fetching", &json!(1)));
    assert!(text(&second, "nextFetchAt") > text(&first, "nextFetchAt"));
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.advance(6.0).await;
    let third = app.call(CALL).await;
    assert_eq!((text(&third, "dataStatus"), &third["fetchAttempts"], &third["nextFetchAt"]), ("complete", &json!(2), &json!(null)));
    assert_eq!(third["analysis"]["successEvaluation"], "true");
    assert_eq!((text(&third, "fetchError"), &third["outcome"]["analysisMissing"]), ("", &json!(false)));
    app.live_through(90).await;
    assert_eq!(app.fetches(CALL), 2, "done is done");
    app.finish().await;
}

async fn fetches_come_at_their_delays_and_end_when_two_answers_agree(engine: Engine) {
    let app = Story::on(engine).begin().await;
    partial(&app).await;
    let mut times = Vec::new();
    for _ in 0..700 {
        app.advance(0.1).await;
        times = app.fetch_times(CALL);
    }
    let waits: Vec<f64> = times.iter().scan(0.0, |before, at| Some(at - std::mem::replace(before, *at))).collect();
    for (wait, delay) in waits.iter().zip([3.0, 5.0, 8.0, 15.0]) {
        assert!((delay * 0.9..delay * 1.1 + 0.11).contains(wait), "{waits:?}");
    }
    assert_eq!(waits.len(), 4, "the second and the fourth answer are over 20 s apart and the same");
    let call = app.call(CALL).await;
    assert_eq!((text(&call, "dataStatus"), &call["outcome"]["analysisMissing"]), ("complete", &json!(true)));
    assert_eq!(call["outcome"]["analysisMissingReason"], "never_came");
    app.finish().await;
}

/// More calls wait than are looked at in one go; none is due yet, and one is leased to somebody who died.
async fn what_was_planned_with_a_key_is_given_up_when_the_key_is_gone(engine: Engine) {
    const CALLS: usize = 130;
    if engine == Engine::Memory {
        return; // Nothing planned outlives the process there.
    }
    let app = Story::on(engine).begin().await;
    let ids: Vec<String> = (0..CALLS).map(|number| format!("call-{number}")).collect();
    let scripts: Vec<CallScript> = ids.iter().map(|id| late_talk(id)).collect();
    join_all(scripts.iter().map(|script| app.hears_report(script))).await;
    app.hears_status(&talk("live"), Stage::InProgress).await;
    let now = app.clock().now();
    assert_eq!(app.api().registry.store().lease_due(now.plus(60_000), now.plus(25_000), 1).await.expect("it answers").len(), 1);
    for id in &ids {
        assert!(app.call(id).await["nextFetchAt"].is_string(), "{id}");
    }
    let app = app.restart_with(|story| story.without("VAPI_API_KEY")).await;
    if engine != Engine::Sqlite {
        // A server's store can't know that the holder is dead.
        app.clock().advance(26_000);
    }
    app.api().enricher.clone().run(app.app().lifecycle().clone()).await;
    for id in &ids {
        let call = app.call(id).await;
        let told = (text(&call, "dataStatus"), &call["outcome"]["analysisMissingReason"], &call["nextFetchAt"]);
        assert_eq!(told, ("complete", &json!("could_not_ask"), &json!(null)), "{id}");
    }
    assert_eq!(text(&app.call("live").await, "callStatus"), "in-progress");
    assert_eq!((app.vapi.requests().len(), app.api().registry.store().next_due().await.expect("it answers")), (0, None));
    app.finish().await;
}

#[tokio::test]
async fn a_call_that_vapi_keeps_changing_is_complete_after_the_last_delay() {
    let app = Story::new().begin().await;
    partial(&app).await;
    for _ in 0..90 {
        app.vapi_knows(&late_talk(CALL), Stage::Reported);
        app.advance(1.0).await;
    }
    let call = app.call(CALL).await;
    assert_eq!((text(&call, "dataStatus"), app.fetches(CALL)), ("complete", 5));
    app.finish().await;
}

#[tokio::test]
async fn delays_can_be_set_and_none_settles_at_once() {
    let app = Story::new().with("ENRICH_DELAYS_SECONDS", "0.5,100").begin().await;
    partial(&app).await;
    app.advance(0.6).await;
    app.vapi_knows(&late_talk(CALL), Stage::Reported);
    app.advance(80.0).await;
    assert_eq!(app.fetches(CALL), 1);
    app.advance(31.0).await;
    assert_eq!((app.fetches(CALL), text(&app.call(CALL).await, "dataStatus")), (2, "complete"));
    app.finish().await;
    let app = Story::new().with("ENRICH_DELAYS_SECONDS", "none").begin().await;
    partial(&app).await;
    let call = app.call(CALL).await;
    assert_eq!((text(&call, "dataStatus"), &call["outcome"]["analysisMissingReason"]), ("complete", &json!("could_not_ask")));
    app.live_through(60).await;
    assert_eq!(app.fetches(CALL), 0);
    app.finish().await;
}

#[tokio::test]
async fn without_a_key_nothing_is_fetched_and_a_report_settles_as_it_comes() {
    let app = Story::new().without("VAPI_API_KEY").begin().await;
    partial(&app).await;
    let call = app.call(CALL).await;
    assert_eq!((text(&call, "dataStatus"), &call["outcome"]["analysisMissingReason"]), ("complete", &json!("could_not_ask")));
    app.hears_status(&talk("silent"), Stage::Dropped).await;
    app.poll("unknown").await.refused(404, "CALL_NOT_FOUND");
    app.advance(86_400.0).await;
    let refused = app.ask("POST", &format!("{}/fetch", path(CALL))).send().await.refused(502, "VAPI_ACCOUNT");
    assert!(refused.json()["message"].as_str().is_some_and(|advice| advice.contains("Set VAPI_API_KEY")));
    assert_eq!(app.vapi.requests().len(), 0);
    app.finish().await;
}

#[tokio::test]
async fn a_call_is_settled_at_once_by_what_its_report_shows() {
    let off = json!({"analysisPlan": {"summaryPlan": {"enabled": false}, "structuredDataPlan": {"enabled": false}}});
    let short = |id: &str| talk(id).with_lines(["Hi.", "Hm."]);
    let stories: [(CallScript, &str, &str); 6] = [
        (talk("told-all"), "complete", ""),
        (unanswered("nobody"), "complete", "not_connected"),
        (late_talk("promised-nothing").with_assistant(off.clone()), "complete", "not_promised"),
        (short("short-but-nothing-promised").without_analysis().with_assistant(off), "complete", "not_promised"),
        (short("short-with-analysis"), "partial", ""),
        (late_talk("silent-on-promises"), "partial", "still_fetching"),
    ];
    let app = Story::new().begin().await;
    for (script, expected, reason) in stories {
        app.hears_report(&script).await;
        let call = app.call(&script.id).await;
        assert_eq!((text(&call, "dataStatus"), text(&call["outcome"], "analysisMissingReason")), (expected, reason), "{}", script.id);
        assert_eq!(call["nextFetchAt"].is_null(), expected == "complete", "{}", script.id);
    }
    app.finish().await;
}

#[tokio::test]
async fn what_was_promised_is_waited_for_piece_by_piece() {
    let plan = json!({"artifactPlan": {"structuredOutputIds": ["o1", "o2"]}, "analysisPlan": {"summaryPlan": {"enabled": true}}});
    let app = Story::new().begin().await;
    let bare = late_talk(CALL).with_assistant(plan);
    let summary = bare.clone().with_analysis(json!({"summary": "They talked."}));
    app.hears_report(&summary).await;
    let steps = [
        (summary.clone().with_output("o1", "score", &json!(9)), "fetching"),
        (bare.with_output("o1", "score", &json!(9)).with_output("o2", "ok", &json!(false)), "complete"),
    ];
    for (script, expected) in steps {
        app.vapi_knows(&script, Stage::Analysed);
        app.advance(6.0).await;
        assert_eq!(text(&app.call(CALL).await, "dataStatus"), expected);
    }
    let call = app.call(CALL).await;
    assert_eq!((&call["structuredOutputs"]["o1"]["result"], text(&call["analysis"], "summary")), (&json!(9), "They talked."));
    app.finish().await;
}

async fn a_report_that_comes_during_a_fetch_and_the_answer_are_both_kept(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.vapi_knows(&talk(CALL).with_metadata(json!({"from": "rest"})), Stage::Analysed);
    app.hears_status(&talk(CALL), Stage::Dropped).await;
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(400)));
    let report = async {
        while app.fetches(CALL) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        app.hears_report(&late_talk(CALL).with_assistant(json!({"metadata": {"by": "report"}}))).await;
    };
    tokio::join!(app.advance(21.0), report);
    let call = app.call(CALL).await;
    assert_eq!(text(&call, "dataStatus"), "complete");
    assert_eq!(call["metadata"], json!({"from": "rest", "by": "report"}));
    assert!(call["webhookReceivedAt"].is_string() && call["fetchedAt"].is_string());
    app.finish().await;
}

async fn a_call_deleted_during_a_fetch_stays_deleted(engine: Engine) {
    let app = Story::on(engine).begin().await;
    partial(&app).await;
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(400)));
    let erased = async {
        while app.fetches(CALL) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        app.ask("DELETE", &path(CALL)).send().await.data(200);
    };
    tokio::join!(app.advance(4.0), erased);
    app.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    app.live_through(60).await;
    assert_eq!(app.fetches(CALL), 1);
    app.finish().await;
}

async fn one_call_is_leased_to_one_worker(engine: Engine) {
    let app = Story::on(engine).begin().await;
    partial(&app).await;
    app.vapi.fail_always(Fault::Slow(Duration::from_millis(100)));
    app.clock().advance(4_000);
    let enricher = &app.api().enricher;
    let made = join_all((0..4).map(|_| enricher.step())).await;
    let made: usize = made.into_iter().map(|made| made.expect("the store answers")).sum();
    assert_eq!((made, app.fetches(CALL)), (1, 1));
    app.finish().await;
}

async fn a_fact_that_comes_later_improves_a_settled_record(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_report(&unanswered(CALL)).await;
    let before = app.call(CALL).await;
    assert_eq!(text(&before, "dataStatus"), "complete");
    app.clock().advance(60_000);
    app.hears_report(&talk(CALL)).await;
    let after = app.call(CALL).await;
    assert_eq!((text(&after, "status"), text(&after, "dataStatus")), ("completed", "complete"));
    assert!(after["version"].as_u64() > before["version"].as_u64() && text(&after, "updatedAt") > text(&before, "updatedAt"));
    // Late news with a shorter artifact makes nothing shorter.
    app.hears(&bodies::artifact_upload(&talk(CALL), app.clock().now())).await;
    assert_eq!(app.call(CALL).await["transcript"], after["transcript"]);
    app.finish().await;
}

async fn what_pollers_wait_for_is_fetched_before_what_may_be_lost(engine: Engine) {
    let app = Story::on(engine).begin().await;
    for number in 0..3 {
        app.hears(&message("status-update", &format!("lost-{number}"), json!({"status": "ended"}))).await;
    }
    app.clock().advance(19_000);
    partial(&app).await;
    app.advance(4.0).await;
    let asked: Vec<String> = app.vapi.requests().into_iter().map(|request| request.path).collect();
    assert_eq!((asked.len(), asked[0].as_str()), (4, format!("/call/{CALL}").as_str()));
    app.finish().await;
}

/// All that is asked of Vapi goes through one limiter: fetches, checks, recordings.
#[tokio::test]
async fn vapi_is_asked_five_times_a_second_at_most() {
    let app = Story::new().limited().begin().await;
    for number in 0..6 {
        app.hears_report(&late_talk(&format!("late-{number}"))).await;
        app.hears(&message("status-update", &format!("lost-{number}"), json!({"status": "ended"}))).await;
    }
    app.clock().advance(21_000);
    let began = Instant::now();
    let recordings = (0..3).map(|_| app.ask("GET", &format!("{}/recording", path("late-0"))).send());
    let (worked, _) = tokio::join!(app.api().enricher.step(), join_all(recordings));
    assert_eq!(worked.expect("the store answers"), 12);
    let took = began.elapsed().as_secs_f64();
    assert_eq!(app.vapi.requests().len(), 15);
    assert!((1.9..4.0).contains(&took), "15 requests, 5 of them at once, in {took} s");
    app.finish().await;
}
