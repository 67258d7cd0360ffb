//! Several instances of the service on one server: equal, and equally right.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use ringback::{
    call::id::CallId,
    simulate::{Fault, Stage, bodies},
};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp},
    calls::{late_talk, message, path, result, talk, unanswered},
    eventually,
    pooler::Pooler,
    postgres,
    proxy::Proxy,
    servers::{Database, on_both_servers},
    vapi::CALL,
};

/// A waiter at one instance is woken by another one within this time, at the median.
const WOKEN_WITHIN: Duration = Duration::from_millis(50);
/// Over a transaction pooler, which has no signals, within this time.
const POOLED_WITHIN: Duration = Duration::from_secs(1);
/// Waiters that are measured.
const MEASURED: usize = 21;
/// Orders in which the events of a call reach three instances.
const ORDERS: u64 = 12;

on_both_servers! {
    "multi_thread":
    a_webhook_at_one_instance_is_served_by_all
    what_an_instance_remembers_of_a_live_call_is_dropped_when_another_one_hears_more
    a_waiter_at_one_instance_is_woken_by_another
    an_instance_that_hears_nothing_serves_results_only_and_makes_up_for_what_it_missed
    a_waiter_whose_signal_was_missed_is_woken_when_signals_come_again
    what_is_erased_at_one_instance_is_gone_from_all
    due_work_is_done_by_one_instance
    what_a_killed_instance_was_about_to_do_is_done_by_another_within_half_a_minute
    a_fetch_that_another_instance_has_committed_is_not_made_again
    events_of_one_call_at_three_instances_at_once_come_to_what_one_process_makes_of_them
}

/// Two instances, the second by way of a port of its own, such as a road's or a pooler's.
async fn two(engine: Engine, database: &Database, second: u16) -> (TestApp, TestApp) {
    let here = Story::on(engine).with("DATABASE_URL", &database.url()).begin().await;
    let there = here.beside_with(|story| story.with("DATABASE_URL", &database.url_by(second))).await;
    (here, there)
}

async fn finish(apps: impl IntoIterator<Item = TestApp>) {
    for app in apps {
        app.finish().await;
    }
}

async fn a_webhook_at_one_instance_is_served_by_all(engine: Engine) {
    let a = Story::on(engine).begin().await;
    let (b, c) = (a.beside().await, a.beside().await);
    a.hears_report(&talk(CALL)).await;
    let told = a.poll(CALL).await;
    for other in [&b, &c] {
        let answer = other.poll(CALL).await;
        assert_eq!((answer.status, &answer.bytes, answer.header("etag")), (200, &told.bytes, told.header("etag")));
    }
    assert_eq!(b.hears(&bodies::end_of_call_report(&talk(CALL), a.clock().now())).await["message"], "Stored before; nothing changed.");
    finish([a, b, c]).await;
}

async fn what_an_instance_remembers_of_a_live_call_is_dropped_when_another_one_hears_more(engine: Engine) {
    let a = Story::on(engine).begin().await;
    let b = a.beside().await;
    for (number, stage) in [Stage::Ringing, Stage::InProgress, Stage::Dropped].into_iter().enumerate() {
        a.hears_status(&talk(CALL), stage).await;
        let version = json!(number + 1);
        eventually("it hears of it", async || b.call(CALL).await["version"] == version).await;
        let before = b.get("/metrics").await.text();
        assert_eq!(b.call(CALL).await["version"], version);
        let loads =
            |text: &str| text.lines().find(|line| line.contains("operation=\"load\"") && line.contains("_count")).map(str::to_owned);
        assert_eq!(loads(&before), loads(&b.get("/metrics").await.text()), "while it hears signals it answers from memory");
    }
    finish([a, b]).await;
}

/// From the answer to the webhook at one instance to the answer of the waiter at the other.
async fn woken_after(a: &TestApp, b: &TestApp, id: &str) -> Duration {
    a.hears_status(&unanswered(id), Stage::Ringing).await;
    let waiting = async {
        let answer = b.get(&result(id, "wait=20")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Instant::now()
    };
    let telling = async {
        eventually("somebody waits", async || b.api().registry.waiters().count() == 1).await;
        a.hears_report(&unanswered(id)).await;
        Instant::now()
    };
    let (answered, told) = tokio::join!(waiting, telling);
    answered.saturating_duration_since(told)
}

async fn a_waiter_at_one_instance_is_woken_by_another(engine: Engine) {
    let a = Story::on(engine).begin().await;
    let b = a.beside().await;
    let mut all = Vec::new();
    for number in 0..MEASURED {
        all.push(woken_after(&a, &b, &format!("call-{number}")).await);
    }
    all.sort();
    assert!(all[MEASURED / 2] <= WOKEN_WITHIN, "{all:?}");
    finish([a, b]).await;
}

#[tokio::test]
async fn over_a_transaction_pooler_a_waiter_is_woken_within_a_second() {
    let Some(database) = postgres::database().await else { return };
    let Some(pooler) = Pooler::before(&database) else { return };
    let (a, b) = two(Engine::Postgres, &Database::Postgres(database), pooler.port()).await;
    for number in 0..5 {
        let took = woken_after(&a, &b, &format!("call-{number}")).await;
        assert!(took <= POOLED_WITHIN, "{took:?}");
    }
    // What is not settled is asked for each time.
    a.hears_status(&talk(CALL), Stage::Ringing).await;
    assert_eq!(b.call(CALL).await["callStatus"], "ringing");
    a.hears_status(&talk(CALL), Stage::InProgress).await;
    assert_eq!(b.call(CALL).await["callStatus"], "in-progress", "at once");
    finish([a, b]).await;
}

async fn an_instance_that_hears_nothing_serves_results_only_and_makes_up_for_what_it_missed(engine: Engine) {
    let database = Database::of(engine).await;
    let road = Proxy::to(database.port()).await;
    let (a, b) = two(engine, &database, road.port()).await;
    a.hears_report(&talk("done")).await;
    a.hears_status(&unanswered("live"), Stage::Ringing).await;
    a.hears_report(&talk("erased")).await;
    for id in ["done", "live", "erased"] {
        b.call(id).await;
    }
    road.close();
    eventually("it no longer hears", async || !b.api().registry.store().hears_all()).await;
    assert_eq!(b.poll("done").await.data(200)["dataStatus"], "complete");
    b.poll("live").await.refused(503, "STORE_UNAVAILABLE");
    b.poll("unheard-of").await.refused(503, "STORE_UNAVAILABLE");
    b.post_webhook(&message("hang", "live", json!({}))).await.refused(503, "STORE_UNAVAILABLE");

    a.hears_report(&unanswered("live")).await;
    a.ask("DELETE", &path("erased")).send().await.data(200);
    road.open();
    eventually("it hears again", async || b.api().registry.store().hears_all()).await;
    assert_eq!(b.poll("live").await.data(200)["status"], "no_answer");
    eventually("the erased one is forgotten", async || b.poll("erased").await.status == 404).await;
    b.get(&result("erased", "")).await.refused(410, "CALL_DELETED");
    finish([a, b]).await;
}

async fn a_waiter_whose_signal_was_missed_is_woken_when_signals_come_again(engine: Engine) {
    let database = Database::of(engine).await;
    let road = Proxy::to(database.port()).await;
    let (a, b) = two(engine, &database, road.port()).await;
    a.hears_status(&unanswered(CALL), Stage::Ringing).await;
    let waiting = async { b.get(&result(CALL, "wait=60")).await.data(200) };
    let missing = async {
        eventually("somebody waits", async || b.api().registry.waiters().count() == 1).await;
        road.close();
        eventually("it no longer hears", async || !b.api().registry.store().hears_all()).await;
        a.hears_report(&unanswered(CALL)).await;
        road.open();
        Instant::now()
    };
    let (told, opened) = tokio::join!(waiting, missing);
    assert_eq!(told["dataStatus"], "complete");
    assert!(opened.elapsed() < Duration::from_secs(20), "{:?}", opened.elapsed());
    finish([a, b]).await;
}

async fn what_is_erased_at_one_instance_is_gone_from_all(engine: Engine) {
    let a = Story::on(engine).begin().await;
    let b = a.beside().await;
    a.hears_report(&talk(CALL)).await;
    assert_eq!(b.poll(CALL).await.status, 200);
    a.ask("DELETE", &path(CALL)).send().await.data(200);
    eventually("it is forgotten", async || b.get(&result(CALL, "")).await.status == 410).await;
    b.hears_report(&talk(CALL)).await;
    assert_eq!(b.get(&result(CALL, "")).await.status, 410, "later events are ignored everywhere");
    finish([a, b]).await;
}

async fn due_work_is_done_by_one_instance(engine: Engine) {
    let a = Story::on(engine).begin().await;
    let (b, c) = (a.beside().await, a.beside().await);
    let ids: Vec<String> = (0..12).map(|number| format!("call-{number}")).collect();
    for id in &ids {
        a.vapi_knows(&talk(id), Stage::Analysed);
        a.hears_report(&late_talk(id)).await;
    }
    a.clock().advance(4_000);
    join_all([&a, &b, &c].map(TestApp::work)).await;
    for id in &ids {
        assert_eq!((a.fetches(id), c.call(id).await["dataStatus"].clone()), (1, json!("complete")), "{id}");
    }
    finish([a, b, c]).await;
}

async fn what_a_killed_instance_was_about_to_do_is_done_by_another_within_half_a_minute(engine: Engine) {
    let a = Story::on(engine).begin().await;
    let b = a.beside().await;
    a.vapi_knows(&talk(CALL), Stage::Analysed);
    a.hears_report(&late_talk(CALL)).await;
    a.clock().advance(4_000);
    // It answers nobody any more once it has taken the work: Vapi hangs while it is killed.
    a.vapi.fail_next(Fault::Stall);
    let hung = tokio::time::timeout(Duration::from_millis(300), a.api().enricher.step()).await;
    assert!(hung.is_err(), "it was to hang");
    b.work().await;
    assert_eq!(b.call(CALL).await["dataStatus"], "partial", "somebody else has it");
    b.live_through(30).await;
    assert_eq!(b.call(CALL).await["dataStatus"], "complete");
    finish([b, a]).await;
}

/// What is due later is not taken earlier by somebody else.
async fn a_fetch_that_another_instance_has_committed_is_not_made_again(engine: Engine) {
    let a = Story::on(engine).begin().await;
    let b = a.beside().await;
    a.vapi_knows(&late_talk(CALL), Stage::Reported);
    a.hears_report(&late_talk(CALL)).await;
    a.clock().advance(4_000);
    a.work().await;
    assert_eq!(a.fetches(CALL), 1);
    let id = CallId::parse(CALL).unwrap();
    assert!(b.api().registry.store().lease_due(b.clock().now(), b.clock().now().plus(25_000), 5).await.unwrap().is_empty(), "{id}");
    b.work().await;
    assert_eq!(a.fetches(CALL), 1);
    finish([a, b]).await;
}

/// The events of one call, all of the same moment, in an order of its own for each number.
fn shuffled(id: &str, number: u64, now: ringback::call::time::Millis) -> Vec<Value> {
    let script = talk(id).with_metadata(json!({"providerName": "R", "number": 7})).with_tool_asked(2, "look_up", json!({}));
    let mut events = vec![
        bodies::status_update(&script, Stage::Ringing, now),
        bodies::status_update(&script, Stage::InProgress, now.plus(1)),
        bodies::status_update(&script, Stage::Dropped, now.plus(2)),
        bodies::end_of_call_report(&late_talk(id), now.plus(3)),
        bodies::end_of_call_report(&script, now.plus(4)),
        bodies::conversation_update(&script, script.entries[3].at()),
        bodies::transcript(&script, 0, true, now.plus(5)),
        bodies::tool_calls(&script, 2, now.plus(6)),
        bodies::artifact_upload(&script, now.plus(7)),
    ];
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for at in (1..events.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (at as u64 + 1)).unwrap();
        events.swap(at, other);
    }
    events
}

/// The call, without what counts commits.
async fn joined(app: &TestApp, id: &str) -> Value {
    let mut call = app.call(id).await;
    call.as_object_mut().unwrap().remove("version");
    call
}

/// Ids of the webhooks that are stored, repeats not counted.
async fn stored(app: &TestApp, id: &str) -> BTreeSet<String> {
    let entries = app.get(&format!("{}/timeline", path(id))).await.json()["data"].take();
    let stored = |entry: &&Value| entry["kind"] == "delivery" && entry["duplicate"] == false;
    let ids: Vec<_> = entries.as_array().unwrap().iter().filter(stored).map(|entry| entry["eventId"].to_string()).collect();
    let different: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(ids.len(), different.len());
    different
}

/// The newest version that any instance knows.
async fn highest_version(id: &str, apps: [&TestApp; 3]) -> Value {
    let versions = join_all(apps.map(async |app| app.call(id).await["version"].as_u64())).await;
    json!(versions.into_iter().max())
}

async fn events_of_one_call_at_three_instances_at_once_come_to_what_one_process_makes_of_them(engine: Engine) {
    let a = Story::on(engine).begin().await;
    let (b, c, alone) = (a.beside().await, a.beside().await, Story::new().begin().await);
    for number in 0..ORDERS {
        let id = format!("call-{number}");
        for event in shuffled(&id, ORDERS, a.clock().now()) {
            alone.hears(&event).await;
        }
        let wanted = joined(&alone, &id).await;
        let events = shuffled(&id, number, a.clock().now());
        // Each one reaches one instance, and a repeat another.
        let told = events.iter().enumerate().flat_map(|(at, event)| [[&a, &b, &c][at % 3].hears(event), [&b, &c, &a][at % 3].hears(event)]);
        join_all(told).await;
        let version = highest_version(&id, [&a, &b, &c]).await;
        for app in [&a, &b, &c] {
            // A signal may be on its way.
            eventually("it has heard all", async || app.call(&id).await["version"] == version).await;
            let call = joined(app, &id).await;
            for (key, value) in wanted.as_object().unwrap() {
                assert_eq!(&call[key], value, "{key} of {id}");
            }
        }
        assert_eq!(stored(&c, &id).await, stored(&alone, &id).await, "each event is stored once");
    }
    alone.finish().await;
    finish([a, b, c]).await;
}
