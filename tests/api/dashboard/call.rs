//! What people do with one call.

use ringback::simulate::{Fault, Stage};
use serde_json::json;

use super::{
    ADMIN, PLACE, guarded,
    pages::{finished, looked_at, opened},
};
use crate::{
    placing::{id, place, vapis_call},
    support::{
        app::Story,
        browser::{Tab, is_tested},
        calls::{late_talk, talk},
        subscriber::{Subscriber, to},
        vapi::CALL,
    },
};

/// Tabs that a page may take until one is where one wants to be.
const MOST_TABS: usize = 60;

/// Goes on with the key Tab until the focus is on what reads so.
async fn tab_to(tab: &Tab, words: &str) {
    for _ in 0..MOST_TABS {
        if tab.js("document.activeElement.innerText.trim()").await == words {
            return;
        }
        tab.key("Tab").await;
    }
    panic!("no way to {words}");
}

#[tokio::test]
async fn a_call_that_goes_on_is_hung_up() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new().placing()).with_vapi(|options| options.pace = 1.0)).await;
    let call = app.vapi.place(json!({"assistantId": "a-1", "customer": {"number": "+15550123456", "name": "Ada Lovelace"}}));
    tab.sign_in(PLACE).await;
    tab.go(&format!("#/calls/{call}")).await;
    tab.press("Hang up…").await;
    tab.press("Let it go on").await;
    tab.press("Hang up…").await;
    looked_at(&tab, "hang-up").await;
    tab.press("Hang up").await;
    tab.reads("Vapi was told to hang up.").await;
    tab.reads("Ended because").await;
    tab.until("![...document.querySelectorAll('main button')].some((it) => it.innerText.startsWith('Hang up'))").await;
    finished(app, tab).await;
}

#[tokio::test]
async fn a_placing_of_which_nobody_knows_yet_is_looked_for_and_becomes_its_call() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new().placing()).await;
    app.vapi.fail_next(Fault::Page(502));
    let placement = id(&place(&app).await);
    tab.go(&format!("#/calls/{placement}")).await;
    tab.reads("A call being placed").await;
    looked_at(&tab, "placing").await;
    tab.press("Look for it now").await;
    tab.reads("Vapi is being asked.").await;
    app.advance(1.0).await;
    tab.reads("Hill Plumbing").await;
    tab.reads("Particulars").await;
    app.vapi.played().await;
    tab.reads("Completed").await;
    app.advance(61.0).await;
    finished(app, tab).await;
}

#[tokio::test]
async fn a_placing_that_is_nowhere_says_so_and_offers_nothing_that_vapi_would_refuse() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new().placing()).await;
    app.vapi.fail_next(Fault::Page(502));
    app.vapi.deliver_to("http://127.0.0.1:9/nobody");
    let placement = id(&place(&app).await);
    app.vapi.remove_call(&vapis_call(&app));
    for _ in 0..25 {
        app.advance(60.0).await;
    }
    tab.go(&format!("#/calls/{placement}")).await;
    tab.reads("list does not have the call").await;
    assert_eq!(
        tab.js("[...document.querySelectorAll('.actions > button')].map((it) => it.innerText)").await,
        json!(["Tell again…", "Delete…"])
    );
    finished(app, tab).await;
}

#[tokio::test]
async fn those_who_were_told_of_a_call_are_told_again() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new().with("OUTBOUND_ALLOW", "127.0.0.1")).await;
    let (billing, pager) = (Subscriber::start().await, Subscriber::start().await);
    app.hears_report(&talk("before")).await;
    for (subscriber, name) in [(&billing, "Billing"), (&pager, "Pager")] {
        let mut body = to(&subscriber.url(), &["call.done", "call.ended"]);
        body["description"] = json!(name);
        app.ask("POST", "/api/v1/vapi/subscriptions").body(body.to_string()).send().await.data(201);
    }
    app.hears_report(&talk(CALL)).await;
    let tell = async || {
        while app.api().push.step().await.expect("the store answers") > 0 {}
    };
    tell().await;
    assert_eq!((billing.told().len(), pager.told().len()), (2, 2));
    tab.go(&format!("#/calls/{CALL}")).await;
    tab.press("Tell again…").await;
    tab.reads("Billing 2 events").await;
    looked_at(&tab, "tell-again").await;
    tab.press("Leave it").await;
    tab.press("Tell again…").await;
    tab.until("document.querySelectorAll('dialog[open] input').length === 2").await;
    tab.js(
        "[...document.querySelectorAll('dialog[open] label')].find((it) => it.innerText.includes('Pager')).querySelector('input').click()",
    )
    .await;
    tab.press("Tell them").await;
    tab.reads("2 deliveries go out again.").await;
    tell().await;
    assert_eq!((billing.told().len(), pager.told().len()), (4, 2), "only whom one meant");
    tab.go("#/calls/before").await;
    tab.press("Tell again…").await;
    tab.reads("No subscription was told of this call.").await;
    finished(app, tab).await;
}

#[tokio::test]
async fn without_a_summary_by_vapi_ours_says_whose_it_is_and_without_a_key_nobody_is_asked() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new().without("VAPI_API_KEY")).await;
    app.hears_report(&late_talk(CALL)).await;
    tab.go(&format!("#/calls/{CALL}")).await;
    tab.reads("Not by Vapi: sentences of the transcript").await;
    tab.reads("Without VAPI_API_KEY Vapi can't be asked").await;
    assert_eq!(
        tab.js("[...document.querySelectorAll('.actions > button')].find((it) => it.innerText === 'Fetch again').disabled").await,
        true
    );
    let rated = json!({"summary": "Fine.", "structuredData": {"nps_score": 9, "overall_feedback": "<b>Good</b>"}});
    app.hears_report(&talk("rated").with_analysis(rated)).await;
    tab.go("#/calls/rated").await;
    tab.reads("<b>Good</b>").await;
    finished(app, tab).await;
}

#[tokio::test]
async fn without_a_mouse_one_signs_in_opens_a_call_and_leaves_a_dialog_where_one_was() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new())).await;
    app.hears_report(&talk(CALL)).await;
    app.hears_status(&talk("live"), Stage::InProgress).await;
    tab.until("document.activeElement.id === 'token'").await;
    tab.types(ADMIN).await;
    tab.key("Enter").await;
    tab.until("document.querySelector('.bar')").await;
    tab.js("document.querySelector('.skip').focus()").await;
    tab_to(&tab, "Calls").await;
    tab.key("Enter").await;
    tab.until("document.querySelectorAll('tbody a').length === 2").await;
    let name = tab.js("document.querySelectorAll('tbody a')[1].innerText").await;
    tab_to(&tab, name.as_str().expect("a name")).await;
    tab.key("Enter").await;
    tab.reads("Particulars").await;
    for (button, first) in [("Tell again…", "Leave it"), ("Delete…", "Keep it")] {
        tab_to(&tab, button).await;
        tab.key("Enter").await;
        tab.until(&format!("document.querySelector('dialog[open]') && document.activeElement.innerText === '{first}'")).await;
        tab.key("Escape").await;
        tab.until(&format!("!document.querySelector('dialog[open]') && document.activeElement.innerText === '{button}'")).await;
    }
    finished(app, tab).await;
}
