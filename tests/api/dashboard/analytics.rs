//! The page *Analytics*: the numbers it shows are those that the API tells, whatever is asked.

use ringback::{
    call::time::{DAY, Millis, SECOND},
    simulate::{CallScript, Stage},
};
use serde_json::{Value, json};

use super::{
    ADMIN, READ, guarded,
    pages::{finished, looked_at, opened},
};
use crate::support::{
    app::{Engine, Story, TestApp},
    browser::{Tab, is_tested},
    calls::late_talk,
};

/// Days of the story.
const DAYS: i64 = 40;
/// Compares what the page shows with what the API told: tiles, and every table. Answers with the differences.
const COMPARED: &str = r"((told) => {
  const same = (place, shown, expected) => JSON.stringify(shown) === JSON.stringify(expected) ? [] : [`${place}: ${JSON.stringify(shown)} is shown, ${JSON.stringify(expected)} is told`];
  const value = (it) => JSON.parse(it.value || 'null');
  const tile = (name) => value([...document.querySelectorAll('.tiles > div')].find((it) => it.querySelector('dt').textContent === name).querySelector('data'));
  const chart = (name) => [...document.querySelectorAll('figure')].find((it) => it.querySelector('h2').textContent === name);
  const rows = (name) => [...chart(name).querySelectorAll('tbody tr')].map((row) => [row.querySelector('th').textContent, ...[...row.querySelectorAll('data')].map(value)]);
  const days = (pick) => told.series.map((day) => [day.date, ...pick(day)]);
  const statuses = ['completed', 'no_answer', 'voicemail', 'timeout', 'error', 'pending'];
  const tables = {
    'Calls by outcome': (it) => statuses.map((status) => it.byStatus[status]), 'Answer rate': (it) => [it.answerRate],
    'From the end of a call until it is complete': (it) => [it.completionSeconds.p50, it.completionSeconds.p95],
    Duration: (it) => [it.durationSeconds.average, it.durationSeconds.p50, it.durationSeconds.p95], Cost: (it) => [it.cost.total],
    'Reports that came by webhook': (it) => [it.webhooks.deliverySuccess], 'Lost webhooks': (it) => [it.webhooks.lost],
    ...(told.webhooks.rejected === null ? {} : { 'Refused webhooks': (it) => [it.webhooks.rejected] }),
  };
  const tiles = {
    Calls: told.calls, 'Answer rate': told.answerRate, 'Average call': told.durationSeconds.average, Cost: told.cost.total,
    'End to complete': told.completionSeconds.p50, 'Reports delivered': told.webhooks.deliverySuccess,
  };
  const reasons = Object.fromEntries([...document.querySelectorAll('[data-reason]')].map((it) => [it.dataset.reason, value(it.querySelector('data'))]));
  const missing = Object.fromEntries([...document.querySelectorAll('[data-missing]')].map((it) => [it.dataset.missing, value(it.querySelector('data'))]));
  const positive = (counts) => Object.fromEntries(Object.entries(counts).filter(([, count]) => count));
  const sorted = (counts) => Object.entries(counts).sort();
  return [
    ...Object.entries(tiles).flatMap(([name, expected]) => same(name, tile(name), expected)),
    ...Object.entries(tables).flatMap(([name, pick]) => same(name, rows(name), days(pick))),
    ...same('reasons', sorted(reasons), sorted(positive(told.webhooks.byReason))), ...same('missing', sorted(missing), sorted(positive(told.enrichment.analysisMissing))),
    ...same('legend', [...chart('Calls by outcome').querySelectorAll('.legend data')].map(value), statuses.map((status) => told.byStatus[status])),
    ...same('bars', chart('Calls by outcome').querySelectorAll('.drawing .bar').length, told.series.flatMap((day) => Object.values(day.byStatus)).filter((count) => count).length),
    ...same('charts', document.querySelectorAll('figure').length, Object.keys(tables).length),
  ];
})";

/// Calls of some weeks, of every kind; the last day has one that goes on, one whose report was lost, and webhooks that were refused.
async fn weeks(app: &TestApp, a_day: i64) {
    for day in 0..DAYS {
        for number in 0..(day * 7 % 5) * a_day {
            app.clock().advance(1_700 * SECOND / a_day);
            app.hears_report(&script(app.clock().now(), day * 10 + number)).await;
        }
        if day % 9 == 4 {
            refused(app, &[]).await;
            refused(app, &[("x-vapi-secret", "wrong")]).await;
            refused(app, &[("x-vapi-secret", "wrong")]).await;
        }
        app.api().analyst.write_down().await.expect("the store answers");
        app.clock().advance(DAY - app.clock().now().0 % DAY + 3_600 * SECOND);
    }
    let now = app.clock().now();
    let lost = CallScript { ended_at: now, ..CallScript::talk("lost", now.plus(-60 * SECOND)) };
    app.vapi_knows(&lost, Stage::Analysed);
    app.hears_status(&lost, Stage::Dropped).await;
    app.live_through(125).await;
    app.hears_report(&late_talk("late").without_analysis()).await;
    app.hears_status(&CallScript::talk("live", app.clock().now()), Stage::InProgress).await;
}

async fn refused(app: &TestApp, headers: &[(&'static str, &str)]) {
    let ask = app.ask("POST", "/api/v1/vapi/webhook").headers(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
    ask.body("{}").send().await.refused(401, "INVALID_SIGNATURE");
}

/// A call that ended a moment ago.
fn script(now: Millis, number: i64) -> CallScript {
    let id = format!("call-{number}");
    let begun = now.plus(-(40 + number * 37 % 140) * SECOND);
    let score = json!({"summary": "They talked.", "structuredData": {"nps_score": 10 - number * number % 6}});
    let call = match number % 6 {
        0..=2 => CallScript::talk(id, begun).with_analysis(score),
        3 => CallScript::unanswered(id, begun, "customer-did-not-answer"),
        4 => CallScript::talk(id, begun).ended_for("voicemail"),
        _ if number % 4 == 1 => CallScript::talk(id, begun).ended_for("silence-timed-out"),
        _ => CallScript::talk(id, begun).ended_for("pipeline-error-openai-llm-failed"),
    };
    let over = call.started_at.map_or(call.ended_at, |_| now.plus(-(1 + number % 4) * SECOND));
    CallScript { ended_at: over, ..call }
        .with_requested("assistantId", json!(if number % 3 == 0 { "a-1" } else { "a-2" }))
        .with_metadata(json!({"providerName": "Harbor Bakery", "providerId": if number % 2 == 0 { "p-1" } else { "p-2" }}))
}

async fn told(app: &TestApp, query: &str) -> Value {
    app.ask("GET", &format!("/api/v1/vapi/analytics?{query}")).token(READ).send().await.data(200)
}

/// The page shows what the API tells to this query.
async fn shows(app: &TestApp, tab: &Tab, query: &str) -> Value {
    let numbers = told(app, query).await;
    let (days, calls) = (numbers["series"].as_array().expect("a list").len(), &numbers["calls"]);
    tab.until(&format!("document.querySelectorAll('figure:first-of-type tbody tr').length >= {days} && document.querySelector('.tiles data')?.value === '{calls}'")).await;
    tab.until(&format!("document.querySelector('figure').querySelectorAll('tbody tr').length === {days}")).await;
    assert_eq!(tab.js(&format!("{COMPARED}({numbers})")).await, json!([]), "{query}");
    numbers
}

#[tokio::test]
async fn the_numbers_shown_are_those_that_the_api_tells() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new())).await;
    weeks(&app, 1).await;
    tab.sign_in(READ).await;
    tab.press("Analytics").await;
    let usual = shows(&app, &tab, "").await;
    assert_eq!(usual["series"].as_array().map(Vec::len), Some(30));
    assert!(usual["webhooks"]["lost"] == 1 && usual["webhooks"]["byReason"]["invalid"].as_u64() > Some(1), "{}", usual["webhooks"]);
    tab.reads("The report of 1 call never came").await;
    tab.press("7 days").await;
    let week = shows(&app, &tab, &format!("since={}", day_before(&app, 6))).await;
    assert_ne!(week["calls"], usual["calls"]);
    tab.press("90 days").await;
    shows(&app, &tab, &format!("since={}", day_before(&app, 89))).await;
    let (from, to) = (day_before(&app, 20), day_before(&app, 11));
    tab.go(&format!("#/analytics?from={}&to={}", &from[..10], &to[..10])).await;
    let own = format!("since={from}&until={}", day_before(&app, 10));
    shows(&app, &tab, &own).await;
    tab.until(&format!("document.querySelector('#from').value === '{}' && !document.querySelector('.spans [aria-current]')", &from[..10]))
        .await;
    let known = "[...document.querySelectorAll('#assistants option')].map((it) => it.value).filter((it) => it.startsWith('a-')).sort()";
    assert_eq!(tab.js(known).await, json!(["a-1", "a-2"]), "to choose from");
    tab.fill("#assistantId", "a-1", Some("Enter")).await;
    tab.reads("are counted for all calls only").await;
    let narrowed = shows(&app, &tab, &format!("{own}&assistantId=a-1")).await;
    assert_eq!(narrowed["webhooks"]["rejected"], json!(null));
    tab.fill("#providerId", "p-2", Some("Enter")).await;
    let fewer = shows(&app, &tab, &format!("{own}&assistantId=a-1&providerId=p-2")).await;
    assert!(fewer["calls"].as_u64() < narrowed["calls"].as_u64());
    let csv = tab.js("fetch(document.querySelector('a[download]').href).then((it) => it.text())").await;
    let expected =
        app.ask("GET", &format!("/api/v1/vapi/analytics?{own}&assistantId=a-1&providerId=p-2&format=csv")).token(READ).send().await;
    assert_eq!(csv, expected.text());
    tab.press("Clear").await;
    shows(&app, &tab, "").await;
    finished(app, tab).await;
}

/// The beginning of the day so many days ago.
fn day_before(app: &TestApp, days: i64) -> String {
    Millis((app.clock().now().0.div_euclid(DAY) - days) * DAY).to_string()
}

#[tokio::test]
async fn without_a_call_the_page_says_what_to_do_next() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new())).await;
    tab.sign_in(ADMIN).await;
    tab.go("#/analytics").await;
    tab.reads("No calls in these days.").await;
    tab.reads("Server URL").await;
    looked_at(&tab, "no-numbers").await;
    refused(&app, &[("x-vapi-secret", "wrong")]).await;
    tab.press("7 days").await;
    tab.reads("with a wrong proof").await;
    tab.reads("VAPI_WEBHOOK_SECRET").await;
    looked_at(&tab, "only-refused").await;
    app.hears_report(&script(app.clock().now(), 1)).await;
    tab.press("30 days").await;
    shows(&app, &tab, "").await;
    tab.go("#/analytics?assistantId=nobody").await;
    tab.reads("No call fits.").await;
    tab.press("count all calls").await;
    shows(&app, &tab, "").await;
    tab.go("#/analytics?from=2026-09-20&to=2026-09-01").await;
    tab.reads("since must be before until.").await;
    tab.was_refused(400).await;
    finished(app, tab).await;
}

#[tokio::test]
async fn words_in_the_address_stay_words_and_scores_are_not_told_with_a_key() {
    if !is_tested() {
        return;
    }
    let hostile = "\"><img src=x onerror=window.hurt=1>";
    let story = Story::on(Engine::Sqlite).with("DATA_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let (app, tab) = opened(guarded(story)).await;
    app.hears_report(&script(app.clock().now(), 0).with_requested("assistantId", json!(hostile))).await;
    tab.sign_in(READ).await;
    tab.go("#/analytics").await;
    tab.reads("Scores are encrypted with DATA_KEY").await;
    tab.js(&format!("void (location.hash = '#/analytics?assistantId=' + encodeURIComponent({}))", json!(hostile))).await;
    tab.until(&format!("document.querySelector('#assistantId').value === {} && document.querySelector('figure')", json!(hostile))).await;
    assert_eq!(tab.js("[window.hurt ?? null, document.querySelectorAll('main img, main script').length]").await, json!([null, 0]));
    finished(app, tab).await;
}

#[tokio::test]
async fn charts_are_usable_by_all_in_every_light_and_on_a_phone() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new())).await;
    weeks(&app, 3).await;
    tab.is_now(app.clock().now()).await;
    tab.sign_in(ADMIN).await;
    tab.go("#/analytics").await;
    tab.until("document.querySelectorAll('figure').length === 8").await;
    looked_at(&tab, "analytics").await;
    tab.js("document.querySelectorAll('details').forEach((it) => { it.open = true; })").await;
    looked_at(&tab, "analytics-tables").await;
    let unnamed = "[...document.querySelectorAll('figure svg[role=img]')].filter((it) => !it.querySelector('title')?.textContent || !it.querySelector('desc')?.textContent).length";
    assert_eq!(tab.js(unnamed).await, 0, "each says what it shows");
    let colours = "new Set([...document.querySelectorAll('figure:first-of-type .legend svg rect')].map((it) => it.getAttribute('fill') ?? 'plain')).size";
    assert_eq!(tab.js(colours).await, 6, "kinds differ in more than color");
    tab.js("document.querySelector('.drawing svg').dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: document.querySelector('.drawing svg').getBoundingClientRect().right - 20 }))").await;
    tab.until("document.querySelector('.readout').innerText.includes('Pending 1')").await;
    finished(app, tab).await;
}
