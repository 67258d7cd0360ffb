//! What people do at the dashboard, in a browser.

use ringback::{
    call::time::SECOND,
    simulate::{CallScript, Stage},
};
use serde_json::json;

use super::{ADMIN, PLACE, READ, guarded};
use crate::support::{
    app::{Engine, Story, TestApp},
    browser::{Look, Tab, is_tested},
    calls::{message, result, talk, unanswered},
    proxy::Proxy,
    vapi::{CALL, START},
};

/// Looks at a page in every light; takes pictures if somebody wants some.
pub(super) async fn looked_at(tab: &Tab, name: &str) {
    let pictures = std::env::var_os(PICTURES).map(std::path::PathBuf::from);
    for look in Look::ALL {
        tab.look(look).await;
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        tab.is_usable_by_all(&format!("{name}, {look:?}")).await;
        if let Some(folder) = &pictures {
            tab.picture(&folder.join(format!("{name}-{look:?}.png").to_lowercase()), look).await;
        }
    }
    tab.look(Look::Light).await;
}

/// Where pictures of the pages are put, if somebody wants some.
const PICTURES: &str = "RINGBACK_PICTURES";

pub(super) async fn opened(story: Story) -> (TestApp, Tab) {
    let app = story.begin().await;
    let url = app.listen().await;
    let tab = Tab::open(&url, app.clock().now()).await;
    (app, tab)
}

pub(super) async fn finished(app: TestApp, tab: Tab) {
    tab.finish().await;
    app.work().await;
    app.finish().await;
}

/// A line of the conversation, as Vapi tells it while it is spoken.
pub(super) fn spoken(id: &str, role: &str, words: &str, at: i64, is_final: bool) -> serde_json::Value {
    let kind = if is_final { "final" } else { "partial" };
    let mut body = message("transcript", id, json!({"role": role, "transcriptType": kind, "transcript": words}));
    body["message"]["timestamp"] = json!(START.0 + at);
    body
}

#[tokio::test]
async fn a_call_is_watched_live_searched_opened_and_every_control_works() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new()).with_vapi(|options| options.pace = 0.15)).await;
    tab.fill("#token", "not-a-token-0123456789", Some("Enter")).await;
    tab.reads("No such token").await;
    tab.was_refused(401).await;
    tab.sign_in(ADMIN).await;
    tab.reads("No call right now.").await;
    tab.reads("Server URL").await;
    let id = app.vapi.place(json!({"assistantId": "a-1", "customer": {"number": "+15550123456", "name": "Ada Lovelace"}}));
    tab.until("document.querySelector('.call.on .badge')?.innerText === 'Talking'").await;
    tab.reads("Do you have availability this week?").await;
    tab.until("document.querySelectorAll('.call.on [role=log] .said.user').length").await;
    app.vapi.played().await;
    tab.reads("Just ended").await;
    tab.reads("Completed").await;
    let lines = "[...document.querySelectorAll('.call [role=log] .said p')].map((it) => it.innerText)";
    assert_eq!(tab.js(&format!("{lines}.length - new Set({lines}).size")).await, 0, "no line stands there twice");

    tab.press("Calls").await;
    tab.fill("#q", "nobody knows these words", Some("Enter")).await;
    tab.reads("No call fits.").await;
    tab.fill("#q", "lovelace thursday", Some("Enter")).await;
    tab.until("document.querySelectorAll('tbody tr').length === 1").await;
    tab.js("(document.querySelector('#status').value = 'no_answer', document.querySelector('#status').dispatchEvent(new Event('change', { bubbles: true })))").await;
    tab.reads("No call fits.").await;
    assert!(tab.js("location.hash").await.as_str().is_some_and(|hash| hash.contains("q=lovelace") && hash.contains("status=no_answer")));
    tab.js("history.back()").await;
    tab.press("Ada Lovelace").await;
    tab.reads("customer-ended-call").await;
    tab.reads("Thursday morning for eighty dollars").await;
    tab.press("0:00").await;
    tab.until("document.querySelector('audio').currentTime > 0").await;
    tab.press("Timeline").await;
    tab.reads("end-of-call-report").await;
    tab.press("Show redacted bodies").await;
    tab.until("[...document.querySelectorAll('.timeline pre')].some((it) => it.innerText.includes('endedReason'))").await;
    tab.press("Fetch again").await;
    tab.reads("Vapi is being asked.").await;
    tab.press("Delete…").await;
    tab.press("Keep it").await;
    tab.until("!document.querySelector('dialog[open]')").await;
    tab.press("Delete…").await;
    tab.press("Delete for good").await;
    tab.reads("This call was deleted").await;
    assert_eq!(app.ask("GET", &result(&id, "")).token(READ).send().await.status, 410);

    tab.press("Health").await;
    tab.reads("Records are stored in clear.").await;
    tab.reads("none was refused").await;
    tab.press("Sign out").await;
    tab.until("document.querySelector('#token')").await;
    tab.go("#/calls").await;
    tab.until("document.querySelector('#token')").await;
    finished(app, tab).await;
}

#[tokio::test]
async fn words_come_while_they_are_spoken_and_none_is_lost_with_the_connection() {
    if !is_tested() {
        return;
    }
    let app = guarded(Story::new()).begin().await;
    let url = app.listen().await;
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let road = Proxy::to(port).await;
    let tab = Tab::open(&format!("http://127.0.0.1:{}", road.port()), app.clock().now()).await;
    tab.sign_in(READ).await;
    tab.reads("Live").await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    app.hears(&spoken(CALL, "user", "Is anybody", 1_000, false)).await;
    tab.until("document.querySelector('.said.passing')?.innerText.includes('Is anybody')").await;
    app.hears(&spoken(CALL, "user", "Is anybody there?", 2_000, true)).await;
    tab.until("!document.querySelector('.said.passing') && document.querySelector('[role=log]').innerText.includes('Is anybody there?')")
        .await;
    road.close();
    tab.reads("reconnecting").await;
    app.hears(&spoken(CALL, "assistant", "Yes, I am.", 3_000, true)).await;
    road.open();
    tab.reads("Yes, I am.").await;
    tab.until("document.querySelector('.connection.up')").await;
    assert_eq!(tab.js("document.querySelectorAll('[role=log] .said').length").await, 2, "each once");
    // The browser says that the connection was lost; that is what this is about.
    let faults = tab.faults();
    assert!(faults.iter().all(|fault| fault.contains("net::ERR")), "{faults:?}");
    finished(app, tab).await;
}

#[tokio::test]
async fn buttons_are_there_for_those_who_may_press_them() {
    if !is_tested() {
        return;
    }
    for (token, buttons) in [(READ, json!([])), (PLACE, json!(["Fetch again"])), (ADMIN, json!(["Fetch again", "Tell again…", "Delete…"]))]
    {
        let (app, tab) = opened(guarded(Story::new())).await;
        app.hears_report(&talk(CALL)).await;
        tab.sign_in(token).await;
        tab.go(&format!("#/calls/{CALL}")).await;
        tab.reads("Particulars").await;
        assert_eq!(tab.js("[...document.querySelectorAll('.actions > button')].map((it) => it.innerText)").await, buttons);
        finished(app, tab).await;
    }
}

#[tokio::test]
async fn a_session_that_is_over_asks_to_sign_in_again_and_goes_on_where_it_was() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new())).await;
    app.hears_report(&talk(CALL)).await;
    tab.sign_in(READ).await;
    tab.go("#/health").await;
    tab.reads("Webhooks").await;
    app.clock().advance(13 * 3_600 * SECOND);
    tab.go("#/calls?status=completed").await;
    tab.reads("Your session is over.").await;
    tab.was_refused(401).await;
    tab.sign_in(READ).await;
    tab.until("document.querySelectorAll('tbody tr').length === 1").await;
    finished(app, tab).await;
}

#[tokio::test]
async fn on_this_machine_nobody_needs_to_sign_in_and_older_calls_are_a_page_away() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new()).await;
    tab.reads("open on this machine").await;
    tab.go("#/calls").await;
    tab.reads("No calls yet.").await;
    for number in 0..30 {
        app.clock().advance(SECOND);
        app.hears_report(&unanswered(&format!("call-{number:02}"))).await;
    }
    tab.go("#/").await;
    tab.go("#/calls").await;
    tab.until("document.querySelectorAll('tbody tr').length === 25").await;
    tab.press("Older").await;
    tab.until("document.querySelectorAll('tbody tr').length === 5").await;
    tab.press("Newest").await;
    tab.until("document.querySelectorAll('tbody tr').length === 25").await;
    tab.go("#/calls/nobody-heard-of-it").await;
    tab.reads("Nothing was heard of this call").await;
    tab.go("#/calls/not%20an%20id").await;
    tab.reads("The id in the path can't be").await;
    tab.faults();
    finished(app, tab).await;
}

#[tokio::test]
async fn all_of_it_can_be_reached_without_a_mouse() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new())).await;
    app.hears_report(&talk(CALL)).await;
    // One can type at once.
    tab.until("document.activeElement.id === 'token'").await;
    tab.sign_in(ADMIN).await;
    tab.go("#/calls").await;
    tab.until("document.activeElement.tagName === 'H1' && document.activeElement.innerText === 'Calls'").await;
    assert_eq!(tab.js("document.title").await, "Calls · Ringback");
    tab.js("document.querySelector('.skip').focus()").await;
    assert_eq!(tab.js("getComputedStyle(document.querySelector('.skip')).top").await, "12px", "it shows itself");
    tab.key("Enter").await;
    tab.until("document.activeElement.id === 'main'").await;
    assert_eq!(tab.js("location.hash").await, "#/calls", "skipping is no going");
    tab.js("document.querySelector('tbody a').focus()").await;
    assert_ne!(tab.js("getComputedStyle(document.activeElement).outlineStyle").await, "none");
    tab.key("Enter").await;
    tab.reads("Particulars").await;
    tab.js("document.querySelector('.actions .danger').focus()").await;
    tab.key("Enter").await;
    tab.until("document.querySelector('dialog[open]') && document.activeElement.innerText === 'Keep it'").await;
    tab.key("Escape").await;
    tab.until("!document.querySelector('dialog[open]') && document.activeElement.innerText === 'Delete…'").await;
    finished(app, tab).await;
}

#[tokio::test]
async fn where_no_token_is_set_the_page_says_what_to_set() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new().with("HOST", "0.0.0.0").with("ALLOW_UNAUTHENTICATED", "reads")).await;
    tab.reads("API_TOKENS=me=A_LONG_RANDOM_TOKEN").await;
    assert_eq!(tab.js("document.querySelector('#token')").await, json!(null));
    tab.is_usable_by_all("nobody can sign in").await;
    finished(app, tab).await;
}

#[tokio::test]
async fn with_a_key_the_pages_say_that_records_are_encrypted_and_what_the_search_finds() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::on(Engine::Sqlite).with("DATA_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")).await;
    tab.go("#/calls").await;
    tab.reads("Records are encrypted: the search looks only into").await;
    tab.go("#/health").await;
    tab.reads("Records are encrypted with DATA_KEY.").await;
    finished(app, tab).await;
}

/// Every page in every light, looked at by axe; and by us, when `RINGBACK_PICTURES` names a folder.
#[tokio::test]
async fn every_page_is_usable_by_all_in_every_light_and_on_a_phone() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new())).await;
    looked_at(&tab, "sign-in").await;
    tab.fill("#token", "not-a-token-0123456789", Some("Enter")).await;
    tab.was_refused(401).await;
    looked_at(&tab, "refused").await;
    tab.sign_in(ADMIN).await;
    tab.reads("Server URL").await;
    looked_at(&tab, "connect").await;
    tab.go("#/calls").await;
    tab.reads("No calls yet.").await;
    looked_at(&tab, "no-calls").await;
    populate(&app).await;
    tab.is_now(app.clock().now()).await;
    tab.go("#/").await;
    tab.reads("eighty dollars").await;
    app.hears(&spoken("live-2", "assistant", LINES[4], app.clock().now().since(START), false)).await;
    tab.until("document.querySelector('.said.passing')").await;
    looked_at(&tab, "now").await;
    tab.go("#/calls").await;
    tab.until("document.querySelectorAll('tbody tr').length > 6").await;
    looked_at(&tab, "calls").await;
    tab.go(&format!("#/calls/{CALL}")).await;
    tab.reads("Particulars").await;
    tab.press("Timeline").await;
    tab.reads("end-of-call-report").await;
    looked_at(&tab, "call").await;
    tab.press("Show redacted bodies").await;
    tab.until("document.querySelectorAll('.timeline pre').length").await;
    looked_at(&tab, "timeline").await;
    tab.press("Delete…").await;
    looked_at(&tab, "delete").await;
    tab.press("Keep it").await;
    tab.go("#/health").await;
    tab.reads("In clear".to_lowercase().as_str()).await;
    looked_at(&tab, "health").await;
    finished(app, tab).await;
}

/// Calls of every kind, minutes apart, and two that go on.
async fn populate(app: &TestApp) {
    let story = json!({"providerName": "Springfield Gardens", "serviceNeeded": "Hedge trimming", "userCriteria": "One person, this week, under 100 dollars an hour"});
    happens(app, talk_now(app, CALL, "Springfield Gardens").with_metadata(story).with_tool_asked(2, "look_up", json!({"day": "Thursday"})))
        .await;
    for (name, reason) in [
        ("Marta's Plumbing", "customer-did-not-answer"),
        ("Blue Door Clinic", "voicemail"),
        ("Harbor Bakery", "customer-busy"),
        ("Lakeside Auto", "call.in-progress.error-sip-telephony-provider-failed-to-connect-call"),
    ] {
        let script = talk_now(app, name, name);
        happens(
            app,
            CallScript { started_at: None, entries: Vec::new(), ended_reason: reason.to_owned(), ..script }.with_analysis(json!({})),
        )
        .await;
    }
    let fully_booked = json!({"summary": "The clinic is booked out until the middle of next month and keeps a list for canceled appointments.", "successEvaluation": "false"});
    happens(
        app,
        talk_now(app, "Elm Street Dental", "Elm Street Dental").with_lines(LINES.into_iter().cycle().take(14)).with_analysis(fully_booked),
    )
    .await;
    for (id, name, lines) in [("live-1", "Oak Hill Movers", 2), ("live-2", "Sunrise Electric", 4)] {
        let script = CallScript { entries: Vec::new(), ..talk_now(app, id, name) };
        app.hears_status(&script, Stage::Ringing).await;
        app.clock().advance(9 * SECOND);
        app.hears_status(&script, Stage::InProgress).await;
        for (role, words) in ["assistant", "user"].into_iter().cycle().zip(LINES).take(lines) {
            app.clock().advance(3 * SECOND);
            app.hears(&spoken(id, role, words, app.clock().now().since(START), true)).await;
        }
    }
}

/// What a pleasant call is about.
const LINES: [&str; 5] = [
    "Hi, this is Nora from the front desk. Do you have availability this week?",
    "Yes, we could come on Thursday morning.",
    "Thursday morning sounds good. What is your rate?",
    "It is eighty dollars an hour, two hours at least.",
    "Eighty dollars an hour. And could one person",
];

/// A talk that begins now.
fn talk_now(app: &TestApp, id: &str, name: &str) -> CallScript {
    let id = id.to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let number = id.bytes().fold(0, |sum, byte| (sum * 7 + i32::from(byte)) % 10_000);
    CallScript::talk(id, app.clock().now())
        .with_metadata(json!({"providerName": name}))
        .with_requested("customer", json!({"number": format!("+1555010{number:04}")}))
}

/// The call takes place, as Vapi tells it, and some minutes pass.
async fn happens(app: &TestApp, script: CallScript) {
    app.hears_status(&script, Stage::Ringing).await;
    if let Some(started) = script.started_at {
        app.clock().advance(started.since(script.created_at));
        app.hears_status(&CallScript { entries: Vec::new(), ..script.clone() }, Stage::InProgress).await;
    }
    app.clock().advance(script.ended_at.since(app.clock().now()) + 2 * SECOND);
    app.hears_report(&script).await;
    app.clock().advance(214 * SECOND);
}
