//! `POST /backfill`: what is missing is fetched from Vapi, a page a request.

use ringback::simulate::{CallScript, Fault, Stage, bodies};
use serde_json::{Value, json};

use crate::{
    lost::lost,
    support::{
        answer::Answer,
        app::{Story, TestApp},
        vapi::START,
    },
    sweep::lists,
};

const TOKEN: &str = "an-admin-token-of-the-tests";
const READER: &str = "a-reader-token-of-the-tests";

async fn page(app: &TestApp, query: &str) -> Answer {
    app.ask("POST", &format!("/api/v1/vapi/backfill?{query}")).send().await
}

/// All pages; the sums of what they brought, and how many there were.
async fn all_pages(app: &TestApp, query: &str) -> (Value, usize) {
    let (mut sums, mut cursor, mut pages) = (json!({}), String::new(), 0);
    loop {
        let data = page(app, &format!("{query}{cursor}")).await.data(200);
        for name in ["seen", "imported", "updated", "known", "foreign", "skipped"] {
            sums[name] = json!(sums[name].as_u64().unwrap_or_default() + data[name].as_u64().unwrap());
        }
        pages += 1;
        match data["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (sums, pages),
        }
    }
}

fn put(app: &TestApp, id: &str, assistant: &str, made: i64) {
    let script = CallScript::unanswered(id, START.plus(made), "customer-busy");
    let script = script.with_requested("assistantId", json!(assistant)).with_requested("phoneNumberId", json!(assistant));
    app.vapi.put_call(bodies::rest_call(&script, Stage::Analysed, START.plus(made + 10_000)));
}

#[tokio::test]
async fn an_empty_store_takes_all_calls_since_then_and_a_second_time_none() {
    let app = Story::new().begin().await;
    for number in 0..130 {
        put(&app, &format!("call-{number}"), "anybody", -1_000_000 + number * 5_000);
    }
    put(&app, "too-early", "anybody", -9_000_000);
    let (sums, pages) = all_pages(&app, &format!("since={}", START.plus(-2_000_000))).await;
    assert_eq!((&sums["imported"], pages, lists(&app).len()), (&json!(130), 3, 3), "{sums}");
    let (sums, _) = all_pages(&app, &format!("since={}", START.plus(-2_000_000))).await;
    assert_eq!((&sums["imported"], &sums["updated"]), (&json!(0), &json!(0)), "{sums}");
    assert_eq!(app.poll("call-7").await.data(200)["outcome"]["kind"], "busy");
    app.poll("too-early").await.refused(404, "CALL_NOT_FOUND");
    app.live_through(60).await;
    assert_eq!((lost(&app, "report").await, lost(&app, "all").await), (0, 0), "no webhook of theirs was to be expected");
    app.finish().await;
}

#[tokio::test]
async fn only_what_is_ours_is_taken_unless_all_is_wanted() {
    let app = Story::new().begin().await;
    let known = CallScript::unanswered("known", START, "customer-busy").with_requested("assistantId", json!("nora"));
    app.hears_report(&known).await;
    put(&app, "ours", "nora", -60_000);
    put(&app, "theirs", "somebody", -60_000);
    put(&app, "later", "nora", 60_000);
    let since = format!("since={}&until={}", START.plus(-600_000), START);
    let sums = page(&app, &since).await.data(200);
    assert_eq!((&sums["seen"], &sums["imported"], &sums["foreign"], &sums["nextCursor"]), (&json!(2), &json!(1), &json!(1), &Value::Null));
    let sums = page(&app, &format!("{since}&all=1")).await.data(200);
    assert_eq!((&sums["imported"], &sums["known"], &sums["foreign"]), (&json!(1), &json!(1), &json!(0)));
    app.poll("later").await.refused(404, "CALL_NOT_FOUND");
    app.finish().await;
}

#[tokio::test]
async fn what_is_too_old_to_keep_is_not_fetched() {
    let app = Story::new().with("RETENTION_DAYS", "30").begin().await;
    put(&app, "old", "nora", -40 * 86_400_000);
    put(&app, "young", "nora", -20 * 86_400_000);
    let sums = page(&app, "since=2020-01-01T00:00:00Z").await.data(200);
    assert_eq!((&sums["imported"], &sums["skipped"]), (&json!(1), &json!(1)));
    app.finish().await;
}

#[tokio::test]
async fn failures_say_what_to_do_and_the_same_page_can_be_had_again() {
    let app = Story::new().begin().await;
    put(&app, "call-1", "nora", -60_000);
    let since = "since=2026-09-26T00:00:00Z";
    app.vapi.fail_next(Fault::Page(502));
    page(&app, since).await.refused(502, "VAPI_UNAVAILABLE");
    app.vapi.fail_next(Fault::Status(401));
    page(&app, since).await.refused(502, "VAPI_ACCOUNT");
    app.vapi.fail_next(Fault::Answer(200, "application/json", "{\"results\":[]}".to_owned()));
    page(&app, since).await.refused(502, "VAPI_UNAVAILABLE");
    for wrong in [
        "",
        "since=yesterday",
        "since=2026-09-26T00:00:00Z&cursor=x",
        "since=2026-09-26T00:00:00Z&until=x",
        "since=2999-01-01T00:00:00Z",
        "since=1999-01-01T00:00:00Z",
    ] {
        page(&app, wrong).await.refused(400, "INVALID_PARAMETER");
    }
    assert_eq!(page(&app, since).await.data(200)["imported"], 1);
    app.finish().await;

    let app = Story::new().without("VAPI_API_KEY").begin().await;
    page(&app, since).await.refused(502, "VAPI_ACCOUNT");
    app.finish().await;
}

#[tokio::test]
async fn only_an_admin_may_fetch() {
    let app = Story::new().with("API_TOKENS", &format!("read:reader={READER},admin={TOKEN}")).begin().await;
    let ask = |token| app.ask("POST", "/api/v1/vapi/backfill?since=2026-09-26T00:00:00Z").token(token).send();
    assert_eq!((ask(READER).await.status, ask(TOKEN).await.status), (403, 200));
    app.finish().await;
}
