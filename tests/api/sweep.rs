//! The sweep: calls whose webhooks were all lost are found in Vapi's list.

use std::time::Duration;

use ringback::{
    call::{id::CallId, time::Millis},
    simulate::{CallScript, Fault, Stage, bodies},
};
use serde_json::{Value, json};

use crate::{
    lost::{lost, told},
    support::{
        app::{Engine, Story, TestApp, on_every_engine},
        calls::{path, talk},
        vapi::{CALL, START},
    },
};

on_every_engine! {
    a_call_of_which_nothing_was_heard_is_found_and_counts_as_lost
    what_is_known_is_neither_lowered_nor_told_twice
    a_sweep_that_was_cut_goes_on_where_it_was
}

const MINUTE: f64 = 60.0;

/// Webhooks come from the assistant and the number of this story; ten minutes go by.
async fn heard_of_one(engine: Engine, change: impl FnOnce(Story) -> Story) -> TestApp {
    let app = change(Story::on(engine)).begin().await;
    app.hears_report(&ours("known", 0)).await;
    app.advance(10.0 * MINUTE).await;
    app
}

fn mine(script: CallScript) -> CallScript {
    script.with_requested("assistantId", json!("nora")).with_requested("phoneNumberId", json!("main-line"))
}

/// A call of ours that nobody picked up, made so many milliseconds after the story began.
fn ours(id: &str, after: i64) -> CallScript {
    mine(CallScript::unanswered(id, START.plus(after), "customer-did-not-answer"))
}

/// Somebody else's.
fn foreign(id: &str) -> CallScript {
    ours(id, 60_000).with_requested("assistantId", json!("stranger")).with_requested("phoneNumberId", json!("another-line"))
}

async fn sweep(app: &TestApp) -> bool {
    let swept = app.api().reconciler.step().await.unwrap();
    app.work().await;
    swept
}

/// What Vapi's list was asked for.
pub(crate) fn lists(app: &TestApp) -> Vec<String> {
    app.vapi.requests().into_iter().filter(|request| request.path == "/call").map(|request| request.query).collect()
}

/// Since when the list was asked for, in seconds before now.
fn back(app: &TestApp, query: &str) -> i64 {
    let from = query.split('&').find_map(|pair| pair.strip_prefix("updatedAtGe=")).unwrap().replace("%3A", ":");
    app.clock().now().since(Millis::parse_rfc3339(&from).unwrap()) / 1_000
}

async fn calls(app: &TestApp) -> u64 {
    app.api().registry.store().amounts().await.unwrap().calls
}

async fn a_call_of_which_nothing_was_heard_is_found_and_counts_as_lost(engine: Engine) {
    let app = heard_of_one(engine, |story| story).await;
    let talked = mine(CallScript::talk(CALL, START.plus(60_000)));
    app.vapi_knows(&talked, Stage::Analysed);
    app.vapi_knows(&foreign("foreign"), Stage::Analysed);
    app.vapi_knows(&mine(CallScript::talk("live", START.plus(590_000))), Stage::InProgress);
    assert!(sweep(&app).await);
    let call = app.poll(CALL).await.data(200);
    assert_eq!((&call["status"], &call["dataStatus"], app.fetches(CALL)), (&json!("completed"), &json!("complete"), 0));
    assert_eq!(app.call("live").await["callStatus"], "in-progress");
    assert_eq!((calls(&app).await, lists(&app).len()), (3, 1), "nobody else's call came in");
    assert_eq!((lost(&app, "all").await, told(&app).await), (1, 1));
    assert!(!sweep(&app).await, "not again so soon");
    app.advance(31.0 * MINUTE).await;
    assert!(sweep(&app).await);
    assert_eq!((lists(&app).len(), lost(&app, "all").await), (2, 1));
    app.finish().await;
}

async fn what_is_known_is_neither_lowered_nor_told_twice(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_report(&talk(CALL)).await;
    let before = app.call(CALL).await;
    // An ended call of which REST keeps nothing, as without data retention.
    let mut empty = bodies::rest_call(&talk(CALL), Stage::Dropped, app.clock().now());
    empty["endedReason"] = Value::Null;
    app.vapi.put_call(empty);
    sweep(&app).await;
    let after = app.call(CALL).await;
    for kept in
        ["status", "dataStatus", "transcript", "messages", "analysis", "endedReason", "cost", "durationSeconds", "webhookReceivedAt"]
    {
        assert_eq!(before[kept], after[kept], "{kept}");
    }
    let app = if engine == Engine::Memory { app } else { app.restart().await };
    let timeline = async |app: &TestApp| app.get(&format!("{}/timeline", path(CALL))).await.text();
    let (then, version) = (timeline(&app).await, after["version"].clone());
    app.advance(31.0 * MINUTE).await;
    assert!(sweep(&app).await);
    assert_eq!((timeline(&app).await, app.call(CALL).await["version"].clone()), (then, version), "the same list tells nothing new");
    assert_eq!(told(&app).await, 0);
    app.finish().await;
}

async fn a_sweep_that_was_cut_goes_on_where_it_was(engine: Engine) {
    let app = heard_of_one(engine, |story| story).await;
    for number in 0..120 {
        app.vapi_knows(&ours(&format!("call-{number}"), 1_000 + number), Stage::Analysed);
    }
    let right = || Fault::Slow(Duration::ZERO);
    for fault in [right(), right(), Fault::Page(502)] {
        app.vapi.fail_next(fault);
    }
    assert!(sweep(&app).await);
    assert_eq!((lists(&app).len(), calls(&app).await), (3, 1 + 99));
    let sweep_told = app.get("/readyz?verbose=1").await.json()["checks"]["sweep"].take();
    assert_eq!((&sweep_told["ok"], &sweep_told["running"]), (&json!(false), &json!(true)), "{sweep_told}");
    assert!(!sweep(&app).await, "Vapi is left alone for a while");
    // Whoever comes next goes on; where there can be others, after the pause of the one that was cut.
    let app = if engine == Engine::Memory { app } else { app.restart().await };
    app.advance(61.0).await;
    assert!(sweep(&app).await);
    let asked = lists(&app);
    assert_eq!((asked.len(), &asked[3], calls(&app).await), (4, &asked[2], 121), "the page that failed, and no other");
    let sweep_told = app.get("/readyz?verbose=1").await.json()["checks"]["sweep"].take();
    assert_eq!((&sweep_told["ok"], &sweep_told["running"]), (&json!(true), &json!(false)), "{sweep_told}");
    app.finish().await;
}

#[tokio::test]
async fn the_whole_organisation_is_taken_only_when_that_is_wanted() {
    let app = heard_of_one(Engine::Memory, |story| story.with("RECONCILE_SCOPE", "all")).await;
    app.vapi_knows(&foreign("foreign"), Stage::Analysed);
    assert!(sweep(&app).await);
    assert_eq!((app.poll("foreign").await.status, lost(&app, "all").await), (200, 0), "no webhook of it was to be expected");
    app.finish().await;
}

#[tokio::test]
async fn a_call_is_ours_by_its_assistant_its_number_or_its_server() {
    let app = Story::new().begin().await;
    let server = json!({"server": {"url": "https://ringback.example.com/hook?x=1"}});
    app.hears_report(&ours("known", 0).with_requested("assistant", server)).await;
    app.advance(10.0 * MINUTE).await;
    let by_number = foreign("number").with_requested("phoneNumberId", json!("main-line"));
    let by_assistant = foreign("assistant").with_requested("assistantId", json!("nora"));
    let here = json!({"server": {"url": "https://ringback.example.com/hook/"}});
    let there = json!({"server": {"url": "https://ringback.example.com/other"}});
    for script in
        [by_number, by_assistant, foreign("server").with_requested("assistant", here), foreign("other").with_requested("assistant", there)]
    {
        app.vapi_knows(&script, Stage::Analysed);
    }
    assert!(sweep(&app).await);
    let found: Vec<u16> = {
        let mut found = Vec::new();
        for id in ["number", "assistant", "server", "other"] {
            found.push(app.poll(id).await.status);
        }
        found
    };
    assert_eq!(found, [200, 200, 200, 404]);
    app.finish().await;
}

#[tokio::test]
async fn an_empty_store_imports_nothing() {
    let app = Story::new().with("RECONCILE_SCOPE", "all").begin().await;
    app.vapi_knows(&ours(CALL, 0), Stage::Analysed);
    assert!(!sweep(&app).await);
    assert_eq!((lists(&app).len(), calls(&app).await), (0, 0));
    app.finish().await;
}

#[tokio::test]
async fn no_sweep_is_made_where_none_is_wanted() {
    let app = heard_of_one(Engine::Memory, |story| story.with("RECONCILE_SECONDS", "0")).await;
    assert!(!sweep(&app).await && lists(&app).is_empty());
    assert_eq!(app.get("/readyz?verbose=1").await.json()["checks"]["sweep"]["on"], false);
    app.finish().await;
}

#[tokio::test]
async fn a_thousand_calls_are_found_though_many_were_made_in_one_millisecond() {
    let app = heard_of_one(Engine::Memory, |story| story).await;
    for number in 0..1_000_i64 {
        // 120 of one millisecond, changed one after another; and at most 3 of any other.
        let (made, changed) = if number < 120 { (5_000, number) } else { (6_000 + number / 3, 0) };
        let script = ours(&format!("call-{number}"), made);
        app.vapi.put_call(bodies::rest_call(&script, Stage::Analysed, START.plus(300_000 + changed)));
    }
    assert!(sweep(&app).await);
    assert_eq!(calls(&app).await, 1_001);
    let asked = lists(&app);
    assert!(asked.len() < 90, "{} pages", asked.len());
    assert!(asked.iter().all(|query| query.contains("limit=50")), "{asked:?}");
    app.finish().await;
}

#[tokio::test]
async fn a_busy_vapi_is_left_alone_as_long_as_it_wants() {
    let app = heard_of_one(Engine::Memory, |story| story).await;
    app.vapi_knows(&ours(CALL, 60_000), Stage::Analysed);
    app.vapi.fail_next(Fault::RateLimited("300".to_owned()));
    assert!(sweep(&app).await);
    app.advance(299.0).await;
    assert!(!sweep(&app).await);
    app.advance(2.0).await;
    assert!(sweep(&app).await);
    assert_eq!((lists(&app).len(), app.poll(CALL).await.status), (2, 200));
    app.finish().await;
}

#[tokio::test]
async fn it_is_looked_at_once_when_deliveries_come_again_after_some_were_refused() {
    let app = heard_of_one(Engine::Memory, |story| story).await;
    assert!(sweep(&app).await);
    app.advance(MINUTE).await;
    let lost_one = ours(CALL, 605_000);
    app.vapi_knows(&lost_one, Stage::Analysed);
    let report = bodies::end_of_call_report(&lost_one, app.clock().now()).to_string();
    let refused = app.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", "not-the-secret-0123").body(report).send().await;
    assert_eq!(refused.status, 401);
    assert!(!sweep(&app).await, "it may last");
    app.advance(1.0).await;
    app.hears_report(&ours("another", 620_000)).await;
    assert!(sweep(&app).await);
    assert_eq!(app.poll(CALL).await.status, 200);
    app.advance(200.0).await;
    assert_eq!(lost(&app, "all").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn a_start_looks_back_to_what_was_heard_last_but_not_further_than_a_day() {
    let mut app = heard_of_one(Engine::Sqlite, |story| story).await;
    assert!(sweep(&app).await);
    assert_eq!(back(&app, lists(&app).last().unwrap()), 7_200);
    for (hours, looked_back) in [(1.0, 7_200), (5.0, 6 * 3_600 + 600 + 300), (100.0, 86_400)] {
        app.advance(hours * 3_600.0).await;
        app = app.restart().await;
        assert!(sweep(&app).await);
        assert_eq!(back(&app, lists(&app).last().unwrap()), looked_back, "after {hours} h");
    }
    app.finish().await;
}

#[tokio::test]
async fn one_that_was_cut_more_than_a_day_ago_is_made_anew_and_goes_back_a_day() {
    let app = heard_of_one(Engine::Memory, |story| story).await;
    app.vapi.fail_next(Fault::Page(502));
    assert!(sweep(&app).await);
    for (hours, looked_back) in [(23.0, 7_200 + 23 * 3_600), (2.0, 86_400)] {
        app.advance(hours * 3_600.0).await;
        app.vapi.fail_next(Fault::Page(502));
        assert!(sweep(&app).await);
        assert_eq!(back(&app, lists(&app).last().unwrap()), looked_back, "after {hours} h more");
    }
    app.finish().await;
}

#[tokio::test]
async fn the_first_start_with_sweeps_looks_back_to_the_last_event_heard() {
    let app = heard_of_one(Engine::Sqlite, |story| story.with("RECONCILE_SECONDS", "0")).await;
    app.advance(4.0 * 3_600.0).await;
    let app = app.restart_with(|story| story.without("RECONCILE_SECONDS")).await;
    assert!(sweep(&app).await);
    assert_eq!(back(&app, lists(&app).last().unwrap()), 4 * 3_600 + 600 + 300);
    app.finish().await;
}

#[tokio::test]
async fn a_call_that_was_erased_stays_erased() {
    let app = heard_of_one(Engine::Memory, |story| story).await;
    app.vapi_knows(&ours("known", 0), Stage::Analysed);
    app.ask("DELETE", &path("known")).send().await.data(200);
    app.hears_report(&ours("another", 0)).await;
    assert!(sweep(&app).await);
    assert_eq!((app.poll("known").await.status, calls(&app).await), (404, 1));
    app.finish().await;
}

/// The two engines that instances can share.
async fn one_of_two_sweeps(engine: Engine) {
    let a = heard_of_one(engine, |story| story).await;
    let b = a.beside().await;
    for number in 0..120 {
        a.vapi_knows(&ours(&format!("call-{number}"), 1_000 + number), Stage::Analysed);
    }
    let (first, second) = tokio::join!(a.api().reconciler.step(), b.api().reconciler.step());
    assert!(first.unwrap() ^ second.unwrap(), "one of them sweeps");
    assert_eq!((lists(&a).len(), calls(&b).await), (3, 121));
    assert!(!sweep(&a).await && !sweep(&b).await);
    // The one that sweeps hangs, and is gone.
    a.advance(31.0 * MINUTE).await;
    for fault in [Fault::Slow(Duration::ZERO), Fault::Stall] {
        a.vapi.fail_next(fault);
    }
    let hung = tokio::time::timeout(Duration::from_secs(2), a.api().reconciler.step()).await;
    assert!(hung.is_err(), "it was to hang");
    assert!(!sweep(&b).await, "its lease lasts");
    b.advance(31.0).await;
    assert!(sweep(&b).await);
    let asked = lists(&a);
    assert_eq!((asked.len(), &asked[5]), (7, &asked[4]), "it goes on at the page where the other one hung");
    let id = CallId::parse("call-0").unwrap();
    let timeline = b.api().registry.store().timeline(&id, false).await.unwrap();
    let kinds: Vec<&str> = timeline.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["fetch", "fetch", "settled", "recovered"], "each once");
    b.finish().await;
    a.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_postgres_sweep_once() {
    if crate::support::postgres::is_tested() {
        one_of_two_sweeps(Engine::Postgres).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_redis_sweep_once() {
    if crate::support::redis::is_tested() {
        one_of_two_sweeps(Engine::Redis).await;
    }
}
