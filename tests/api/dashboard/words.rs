//! Words of callers, models and other programs stay words, whatever they say; and codes are put into words.

use ringback::simulate::{CallScript, Stage};
use serde_json::json;

use crate::support::{
    app::{KEY, Story},
    browser::{Tab, is_tested},
    calls::{late_talk, talk, unanswered},
    vapi::CALL,
};

/// What people might say to whoever looks.
pub(super) const HOSTILE: [&str; 7] = [
    "<script>window.hurt=1</script>",
    "\"><img src=x onerror=\"window.hurt=1\">",
    "<svg onload=window.hurt=1><a href=javascript:window.hurt=1>click</a>",
    "${window.hurt=1} {{constructor.constructor('window.hurt=1')()}} &lt;b&gt;",
    "\u{202e}thgir ot tfel \u{2066}مرحبا بالعالم\u{2069} שלום",
    "👩‍🚒 crème brûlée \u{1f1fa}\u{1f1f8} zero\u{200b}width",
    "__proto__ constructor toString",
];

fn hostile() -> CallScript {
    let long = "lorem ".repeat(1_700) + &"x".repeat(10_000);
    let lines = HOSTILE.into_iter().chain([long.as_str()]);
    let [script, image, ..] = HOSTILE;
    let data = json!({image: script, "__proto__": script, "constructor": {"type": "script", "props": {"children": script}}, "list": [script, null, 1]});
    let mut call = talk(CALL)
        .with_lines(lines)
        .with_analysis(json!({"summary": HOSTILE.join(" "), "structuredData": data, "successEvaluation": script}))
        .with_output("o-1", image, &json!({"dangerouslySetInnerHTML": {"__html": image}}))
        .with_metadata(
            json!({"providerName": image, "userCriteria": script, "serviceNeeded": script, "location": image, script: {"deep": image}}),
        )
        .with_tool_asked(1, image, json!({"q": script}));
    call.ended_message = Some(image.to_owned());
    call
}

#[tokio::test]
async fn hostile_words_stay_words_on_every_page() {
    if !is_tested() {
        return;
    }
    let app = Story::new().begin().await;
    let tab = Tab::open(&app.listen().await, app.clock().now()).await;
    tab.reads("No call right now.").await;
    app.hears_status(&hostile(), Stage::InProgress).await;
    tab.until("document.querySelector('.call.on')").await;
    app.hears_report(&hostile()).await;
    tab.reads("Just ended").await;
    tab.go("#/calls").await;
    tab.until("document.querySelector('tbody tr')").await;
    assert!(tab.text().await.contains(HOSTILE[1]), "as text");
    tab.go(&format!("#/calls/{CALL}")).await;
    tab.reads("Particulars").await;
    tab.js("document.querySelectorAll('details').forEach((it) => { it.open = true; })").await;
    tab.press("Show redacted bodies").await;
    tab.until("document.querySelectorAll('.timeline pre').length").await;
    let text = tab.text().await;
    let bare = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in HOSTILE {
        assert!(bare(&text).contains(&bare(words)), "{words}");
    }
    assert!(text.contains(&"x".repeat(10_000)));
    assert_eq!(tab.js("window.hurt ?? null").await, json!(null), "nothing ran");
    // The page has an icon of its own, and nothing else of these.
    assert_eq!(
        tab.js(
            "document.querySelectorAll('main img, main svg, main script, main iframe, [onerror], [onload], a[href^=javascript]').length"
        )
        .await,
        0
    );
    tab.is_usable_by_all("a hostile call").await;
    tab.finish().await;
    app.work().await;
    app.finish().await;
}

/// A call, and the page says why it has no analysis.
async fn is_told(reason: &str, words: &str, script: CallScript, can_ask: bool, seconds: u32) {
    if !is_tested() {
        return;
    }
    let story = if can_ask { Story::new().with("VAPI_API_KEY", KEY) } else { Story::new().without("VAPI_API_KEY") };
    let app = story.begin().await;
    app.vapi_knows(&script, Stage::Analysed);
    app.hears_report(&script).await;
    app.live_through(seconds).await;
    assert_eq!(app.call(&script.id).await["outcome"]["analysisMissingReason"], reason);
    let tab = Tab::open(&app.listen().await, app.clock().now()).await;
    tab.go(&format!("#/calls/{}", script.id)).await;
    tab.until(&format!("document.querySelector('[data-missing={reason}]')")).await;
    tab.reads(words).await;
    tab.finish().await;
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn a_call_that_nobody_took_has_nothing_to_analyze() {
    is_told("not_connected", "Nobody picked up", unanswered(CALL), true, 0).await;
}

#[tokio::test]
async fn an_analysis_that_is_still_to_come_is_awaited() {
    is_told("still_fetching", "The analysis is not here yet.", late_talk(CALL), true, 0).await;
}

#[tokio::test]
async fn an_assistant_without_analysis_is_told_apart() {
    let off = json!({"analysisPlan": {"summaryPlan": {"enabled": false}, "structuredDataPlan": {"enabled": false}, "successEvaluationPlan": {"enabled": false}}});
    is_told("not_promised", "set up without an analysis", late_talk(CALL).with_assistant(off), true, 0).await;
}

#[tokio::test]
async fn a_conversation_too_short_to_analyze_is_told_apart() {
    is_told("too_short", "The conversation was too short", talk(CALL).with_turns(1).without_analysis(), true, 100).await;
}

#[tokio::test]
async fn without_a_key_nobody_could_ask_and_the_page_says_what_to_set() {
    is_told("could_not_ask", "Check VAPI_API_KEY", late_talk(CALL), false, 0).await;
}

#[tokio::test]
async fn an_analysis_that_never_came_is_told_apart() {
    is_told("never_came", "it has no analysis of this call", late_talk(CALL), true, 100).await;
}
