//! A call's timeline, which may be long, and whose bodies may be large.

use ringback::simulate::Stage;

use super::pages::{finished, opened, spoken};
use crate::support::{app::Story, browser::is_tested, calls::talk, vapi::CALL};

/// How often bodies were asked for.
const ASKED: &str = "performance.getEntriesByType('resource').filter((it) => it.name.endsWith('/timeline?body=1')).length";

#[tokio::test]
async fn a_long_timeline_is_drawn_piece_by_piece_and_bodies_come_when_one_is_opened() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new().with("KEEP_EVENTS", "all")).await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    for number in 1..230 {
        app.hears(&spoken(CALL, "user", &format!("{number} words"), number, false)).await;
    }
    tab.go(&format!("#/calls/{CALL}")).await;
    tab.press("Timeline").await;
    tab.reads("230 entries, the first 100 shown").await;
    let drawn = async |count: usize| tab.until(&format!("document.querySelectorAll('.timeline li').length === {count}")).await;
    drawn(100).await;
    tab.press("Show 100 more").await;
    drawn(200).await;
    tab.press("Show 30 more").await;
    drawn(230).await;
    assert!(!tab.text().await.contains("the first"));
    assert_eq!(tab.js(ASKED).await, 0, "nobody wanted a body");
    tab.press("Body").await;
    tab.until("document.querySelector('.timeline li:first-child pre')?.innerText.includes('in-progress')").await;
    tab.press("Body").await;
    tab.until("document.querySelector('.timeline li:nth-child(2) pre')?.innerText.includes('1 words')").await;
    assert_eq!(tab.js("document.querySelectorAll('.timeline pre').length").await, 2);
    tab.press("Hide body").await;
    tab.until("document.querySelectorAll('.timeline pre').length === 1").await;
    app.hears(&spoken(CALL, "user", "The last words", 231, false)).await;
    app.hears_status(&talk(CALL), Stage::Dropped).await;
    tab.reads("232 entries").await;
    assert_eq!(tab.js(ASKED).await, 1, "bodies come once");
    tab.press("Show redacted bodies").await;
    tab.until("[...document.querySelectorAll('.timeline pre')].some((it) => it.innerText.includes('The last words'))").await;
    assert_eq!(tab.js(ASKED).await, 2, "and again for what came since");
    tab.press("Hide bodies").await;
    tab.until("document.querySelectorAll('.timeline pre').length === 0").await;
    finished(app, tab).await;
}
