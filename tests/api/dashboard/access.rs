//! Who may do what and who did what, as people see it.

use serde_json::json;

use super::{
    ADMIN, PLACE, READ, guarded,
    pages::{finished, looked_at, opened},
};
use crate::support::{
    app::Story,
    browser::is_tested,
    calls::{path, talk},
    vapi::CALL,
};

const CACHE: &str = "/api/v1/vapi/cache";
const ROWS: &str = "document.querySelectorAll('.audit tbody tr').length";

#[tokio::test]
async fn the_page_says_who_did_what_to_which_call_and_which_token_nobody_uses() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(guarded(Story::new())).await;
    for call in [CALL, "another"] {
        app.hears_report(&talk(call)).await;
    }
    app.ask("POST", &format!("{}/cancel", path(CALL))).token(PLACE).send().await.refused(409, "CALL_ENDED");
    assert_eq!(app.ask("DELETE", &path("another")).token(ADMIN).send().await.status, 200);
    tab.sign_in(READ).await;
    tab.press("Access").await;
    tab.until(&format!("{ROWS} === 3")).await;
    let rows = tab.js("[...document.querySelectorAll('.audit tbody tr')].map((row) => [...row.cells].slice(1).map((cell) => cell.innerText.trim()).join('|').replace(/\\s+/g, ' '))").await;
    assert_eq!(
        rows,
        json!([
            "eyes|Signed in|Done|127.0.0.1",
            "ops|Deleted a call another|Done|127.0.0.1",
            format!("dial|Had a call hung up {CALL}|Refused (409)|127.0.0.1")
        ])
    );
    let tokens = tab.js("[...document.querySelectorAll('[aria-label=Tokens] tbody tr')].map((row) => [row.cells[0], row.cells[1], row.cells[3]].map((cell) => cell.innerText === 'Never' || cell !== row.cells[3] ? cell.innerText.trim() : 'Used'))").await;
    assert_eq!(tokens, json!([["ops", "admin", "Used"], ["dial", "place", "Used"], ["eyes", "read", "Used"], ["wait", "poll", "Never"]]));
    looked_at(&tab, "access").await;
    tab.press(CALL).await;
    tab.reads("Particulars").await;

    for _ in 0..60 {
        assert_eq!(app.ask("DELETE", CACHE).token(ADMIN).send().await.status, 200);
    }
    tab.go("#/access").await;
    tab.until(&format!("{ROWS} === 50")).await;
    tab.press("Older").await;
    tab.until(&format!("{ROWS} === 13")).await;
    assert!(tab.js("location.hash").await.as_str().is_some_and(|hash| hash.contains("cursor=")));
    tab.press("Newest").await;
    tab.until(&format!("{ROWS} === 50")).await;
    finished(app, tab).await;
}

#[tokio::test]
async fn where_nothing_was_done_and_no_token_is_set_the_page_says_what_would_stand_there() {
    if !is_tested() {
        return;
    }
    let (app, tab) = opened(Story::new()).await;
    tab.go("#/access").await;
    tab.reads("There is no token.").await;
    tab.reads("Nothing was changed yet.").await;
    looked_at(&tab, "access-empty").await;
    finished(app, tab).await;
}
