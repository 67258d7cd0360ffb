//! The page *Now*: what goes on, what just ended, and how to begin.

use ringback::{
    call::time::SECOND,
    simulate::{CallScript, Stage},
};
use serde_json::json;

use super::pages::{finished, opened};
use crate::support::{
    app::{Engine, Story, TestApp},
    browser::{Tab, is_tested},
    calls::{path, talk},
    vapi::START,
};

/// The names of the calls under *Just ended*.
const ENDED: &str = "[...document.querySelectorAll('[aria-labelledby=ended] h3')].map((it) => it.innerText)";

/// A call of this name that began before the story and ends so many seconds into it.
fn ending(name: &str, seconds: i64) -> CallScript {
    let metadata = json!({"providerName": name});
    CallScript { ended_at: START.plus(seconds * SECOND), ..talk(name) }.with_metadata(metadata)
}

async fn begins(app: &TestApp, script: &CallScript) {
    app.clock().advance(1);
    app.hears_status(script, Stage::InProgress).await;
}

#[tokio::test]
async fn the_latest_ends_stay_in_sight_and_the_rest_is_forgotten() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new()).await;
    tab.reads("Live").await;
    // The first that began is the last to end.
    let scripts = ["a", "b", "c", "d", "e", "f", "g"].into_iter().zip((1..8).rev()).map(|(name, at)| ending(name, at));
    let scripts = scripts.collect::<Vec<_>>();
    for script in &scripts {
        begins(&app, script).await;
    }
    tab.until("document.querySelectorAll('.call.on').length === 7").await;
    app.clock().advance(60 * SECOND);
    for script in &scripts {
        app.hears_report(script).await;
    }
    tab.until("document.querySelectorAll('.call.on').length === 0").await;
    assert_eq!(tab.js(ENDED).await, json!(["a", "b", "c", "d", "e"]), "the latest first");
    app.ask("DELETE", &path("c")).send().await.data(200);
    tab.until("document.querySelectorAll('.call').length === 4").await;
    assert_eq!(tab.js(ENDED).await, json!(["a", "b", "d", "e"]), "nothing is kept of those that were out of sight");
    finished(app, tab).await;
}

#[tokio::test]
async fn one_call_is_read_out_at_a_time() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new()).await;
    tab.reads("Live").await;
    for name in ["first", "second"] {
        begins(&app, &talk(name).with_metadata(json!({"providerName": name}))).await;
    }
    let aloud = "[...document.querySelectorAll('.call')].filter((it) => it.querySelector('[aria-live=polite]')).map((it) => it.querySelector('h3').innerText).join()";
    tab.until(&format!("document.querySelectorAll('.call').length === 2 && {aloud} === 'second'")).await;
    tab.js("document.querySelectorAll('.call .log')[1].focus()").await;
    tab.until(&format!("{aloud} === 'first'")).await;
    assert_eq!(tab.js("[...document.querySelectorAll('main :is(h1, h2, h3)')].map((it) => it.tagName).join()").await, "H1,H2,H3,H3");
    tab.is_usable_by_all("two live calls").await;
    finished(app, tab).await;
}

#[tokio::test]
async fn calls_that_are_too_many_for_one_page_are_said_to_be() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new()).await;
    tab.reads("Server URL").await;
    for number in 0..=100 {
        begins(&app, &talk(&format!("call-{number}"))).await;
    }
    tab.go("#/calls").await;
    tab.reads("Older").await;
    tab.go("#/").await;
    tab.reads("More than 100 calls go on.").await;
    assert_eq!(tab.js("document.querySelectorAll('.call.on').length").await, 100);
    finished(app, tab).await;
}

#[tokio::test]
async fn after_a_restart_nobody_is_told_to_connect_what_is_connected() {
    if !is_tested() {
        return;
    }
    let app = Story::on(Engine::Sqlite).begin().await;
    app.hears_report(&talk("before")).await;
    let now = app.clock().now();
    let app = app
        .run(async |url| {
            let tab = Tab::open(&url, now).await;
            tab.reads("No call right now.").await;
            tab.go("#/analytics").await;
            tab.until("document.querySelectorAll('figure').length === 8").await;
            tab.go("#/").await;
            tab.reads("No call right now.").await;
            tab.until("performance.getEntriesByType('resource').filter((it) => it.name.endsWith('/calls?limit=1') && it.responseEnd).length === 2").await;
            assert!(!tab.text().await.contains("Connect Vapi"));
            tab.finish().await;
        })
        .await;
    app.finish().await;
}
