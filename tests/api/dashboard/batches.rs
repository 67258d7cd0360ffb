//! Batches as people see and cancel them.

use ringback::call::time::SECOND;
use serde_json::json;

use super::{
    READ, guarded,
    pages::{finished, looked_at, opened},
};
use crate::{
    batches::{has_live, made, of, start, story},
    dashboard::PLACE,
    support::{
        app::{Engine, Story},
        browser::{Tab, is_tested},
    },
};

/// So many of the rows say this of their outcome.
async fn says(tab: &Tab, words: &str, count: usize) {
    tab.until(&format!(
        "[...document.querySelectorAll('td[data-label=Outcome]')].filter((it) => it.innerText.trim() === '{words}').length === {count}"
    ))
    .await;
}

#[tokio::test]
async fn a_batch_is_watched_and_canceled_and_its_calls_are_hung_up() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(story(Engine::Memory).with_vapi(|vapi| vapi.pace = 1.0)).await;
    start(&app);
    tab.go("#/batches").await;
    tab.reads("No batches yet.").await;
    looked_at(&tab, "no-batches").await;
    let id = made(&app, &of(5, 2)).await;
    has_live(&app, &id, 2).await;
    app.clock().advance(14 * SECOND);
    tab.is_now(app.clock().now()).await;
    tab.go("#/").await;
    tab.press("Batches").await;
    tab.reads("0 of 5 done").await;
    tab.click(".stack a").await;
    tab.reads("Batch of 5 calls").await;
    says(&tab, "Waiting", 3).await;
    looked_at(&tab, "batch-live").await;
    tab.press("Cancel…").await;
    tab.press("Let it go on").await;
    tab.press("Cancel…").await;
    looked_at(&tab, "batch-cancel").await;
    tab.press("Cancel it").await;
    tab.reads("No more calls are placed.").await;
    says(&tab, "Canceled", 3).await;
    assert_eq!(tab.js("document.querySelector('[aria-valuenow]').getAttribute('aria-valuenow')").await, "0", "two go on");
    tab.press("Hang up what goes on…").await;
    tab.press("Do it").await;
    tab.until("!document.querySelector('td .badge.live')").await;
    // Whatever was said of them until then is fetched.
    app.live_through(100).await;
    tab.reads("2 of 5 done").await;
    tab.until("![...document.querySelectorAll('button')].some((it) => it.innerText.startsWith('Hang up'))").await;
    tab.click("td.who a").await;
    tab.reads("Particulars").await;
    app.advance(61.0).await;
    finished(app, tab).await;
}

#[tokio::test]
async fn a_batch_comes_to_its_end_before_ones_eyes_and_older_ones_are_a_page_away() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(story(Engine::Memory)).await;
    start(&app);
    let id = made(&app, &of(3, 3)).await;
    tab.go(&format!("#/batches/{id}")).await;
    tab.reads("3 of 3 done, 3 completed").await;
    says(&tab, "Completed", 3).await;
    tab.until("document.querySelector('.heading .badge').innerText === 'Done'").await;
    assert_eq!(tab.js("[...document.querySelectorAll('.actions button')].length").await, 0);
    looked_at(&tab, "batch").await;
    for _ in 0..26 {
        app.clock().advance(1_000);
        made(&app, &of(1, 1)).await;
    }
    tab.press("All batches").await;
    tab.until("document.querySelectorAll('.stack li').length === 25").await;
    tab.press("Older").await;
    tab.until("document.querySelectorAll('.stack li').length === 2").await;
    tab.press("Newest").await;
    tab.until("document.querySelectorAll('.stack li').length === 25").await;
    looked_at(&tab, "batches").await;
    tab.go("#/batches/bt_unknown").await;
    tab.reads("There is no batch of this id.").await;
    tab.was_refused(404).await;
    tab.faults();
    app.advance(61.0).await;
    finished(app, tab).await;
}

#[tokio::test]
async fn only_who_may_place_calls_may_cancel_a_batch() {
    if !is_tested() {
        return;
    }
    for (token, buttons) in [(READ, json!([])), (PLACE, json!(["Cancel…"]))] {
        let (app, tab) = opened(guarded(Story::new().placing()).with_vapi(|vapi| vapi.pace = 1.0)).await;
        let answer = app.ask("POST", "/api/v1/vapi/batches").token(PLACE).body(of(2, 1).to_string()).send().await;
        let id = answer.data(201)["batchId"].as_str().expect("an id").to_owned();
        tab.sign_in(token).await;
        tab.go(&format!("#/batches/{id}")).await;
        says(&tab, "Waiting", 2).await;
        assert_eq!(tab.js("[...document.querySelectorAll('.actions > button')].map((it) => it.innerText)").await, buttons);
        app.advance(61.0).await;
        finished(app, tab).await;
    }
}
