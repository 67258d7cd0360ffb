//! Lists of calls: newest first, filtered, page by page without gaps or repeats.

use std::collections::BTreeSet;

use ringback::simulate::Stage;
use serde_json::{Value, json};

use crate::support::{
    answer::keys,
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{late_talk, message, talk, unanswered},
    vapi::START,
};

const LIST: &str = "/api/v1/vapi/calls";

on_every_engine! {
    calls_are_listed_newest_first_live_ones_included
    every_filter_finds_its_calls
    words_are_looked_for_in_names_numbers_ids_summary_and_transcript
    moments_bound_a_list_by_what_is_asked
    pages_have_no_gaps_and_no_repeats_while_new_calls_come_in
    pages_by_phone_skip_as_they_are_told
    a_filter_that_holds_too_much_is_refused_and_not_an_outage
}

async fn ids(app: &TestApp, query: &str) -> Vec<String> {
    let answer = app.get(&format!("{LIST}{query}")).await;
    let rows = answer.data(200);
    rows.as_array().expect("a list").iter().map(|row| row["id"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn assert_finds(app: &TestApp, query: &str, expected: &[&str]) {
    let found: BTreeSet<String> = ids(app, query).await.into_iter().collect();
    assert_eq!(found, expected.iter().map(|id| (*id).to_owned()).collect(), "{query}");
}

/// Four calls, a second apart: one talked, one is live, one was not answered, one misses its analysis.
async fn four_calls(engine: Engine) -> TestApp {
    let app = Story::on(engine).begin().await;
    let metadata = json!({"providerId": "p-1", "serviceRequestId": "r-1", "providerName": "Rohr AG", "providerPhone": "+41 44 123 45 67",
        "campaign": "spring", "number": 7, "flag": true, "nested": {"a": 1}});
    let talked =
        talk("talked").with_metadata(metadata).with_requested("assistantOverrides", json!({"variableValues": {"call_id": "ours-1"}}));
    app.hears_report(&talked).await;
    app.clock().advance(1_000);
    let live = talk("live").with_requested("assistantId", json!("a-2")).with_metadata(json!({"campaign": "autumn", "providerId": "p-2"}));
    app.hears_status(&live, Stage::InProgress).await;
    app.clock().advance(1_000);
    app.hears_report(&unanswered("nobody").with_requested("customer", json!({"number": "+15550100001", "name": "Ada Lovelace"}))).await;
    app.clock().advance(1_000);
    app.hears_report(&late_talk("late").with_metadata(json!({"campaign": "spring,summer"}))).await;
    app
}

async fn calls_are_listed_newest_first_live_ones_included(engine: Engine) {
    let app = four_calls(engine).await;
    assert_eq!(ids(&app, "").await, ["late", "nobody", "live", "talked"]);
    let answer = app.get(LIST).await;
    let body = answer.json();
    assert_eq!(body["pagination"], json!({"limit": 20, "nextCursor": null, "hasMore": false}));
    assert_eq!((&body["count"], &body["callId"], answer.header("etag")), (&json!(4), &Value::Null, ""));
    let row = &body["data"][3];
    assert_eq!((&row["transcript"], &row["messages"], &row["metadata"]), (&json!(""), &json!([]), &json!({})), "a summary");
    assert_eq!((row["provider"]["name"].as_str(), row["correlationId"].as_str()), (Some("Rohr AG"), Some("ours-1")));
    let full = app.get(&format!("{LIST}?view=full")).await.data(200);
    assert_eq!((keys(&full[3]), &full[3]), (keys(row), &app.call("talked").await));
    let summary = app.get(&format!("{LIST}/talked?view=summary")).await.data(200);
    assert_eq!(&summary, row, "the summary of one call is the row of the list");
    app.finish().await;
}

async fn every_filter_finds_its_calls(engine: Engine) {
    let app = four_calls(engine).await;
    for (query, expected) in [
        ("?status=completed", vec!["talked", "late"]),
        ("?status=no_answer", vec!["nobody"]),
        ("?status=pending", vec!["live"]),
        ("?status=pending,no_answer", vec!["live", "nobody"]),
        ("?status=%20pending%20,,no_answer,", vec!["live", "nobody"]),
        ("?callStatus=in-progress", vec!["live"]),
        ("?callStatus=ended", vec!["talked", "nobody", "late"]),
        ("?dataStatus=partial", vec!["late"]),
        ("?dataStatus=complete,pending", vec!["talked", "nobody", "live"]),
        ("?assistantId=a-2", vec!["live"]),
        ("?providerId=p-1", vec!["talked"]),
        ("?providerId=p-1,p-2", vec!["talked", "live"]),
        ("?serviceRequestId=r-1", vec!["talked"]),
        ("?correlationId=ours-1", vec!["talked"]),
        ("?metadata.campaign=autumn", vec!["live"]),
        ("?metadata.campaign=spring", vec!["talked"]),
        ("?metadata.campaign=spring,autumn", vec!["talked", "live"]),
        ("?metadata.number=7", vec!["talked"]),
        ("?metadata.flag=true", vec!["talked"]),
        ("?metadata.campaign=spring&metadata.number=8", vec![]),
        ("?metadata.none=x", vec![]),
        ("?phone=%2B15550100001", vec!["nobody"]),
        ("?phone=+15550100001", vec!["nobody"]),
        ("?phone=1-555-010-0001", vec!["nobody"]),
        ("?phone=41441234567", vec!["talked"]),
        ("?phone=5550100001", vec![]),
        ("?phone=15550100001,41441234567", vec!["nobody", "talked"]),
        ("?status=completed&dataStatus=partial&callStatus=ended", vec!["late"]),
        ("?status=completed&providerId=p-2", vec![]),
        ("?status=", vec!["talked", "live", "nobody", "late"]),
        ("?unknown=1", vec!["talked", "live", "nobody", "late"]),
        ("?metadata.=x", vec![]),
        ("?assistantId=%27%20OR%201=1%20--", vec![]),
        ("?metadata.%22%5D%27=x", vec![]),
    ] {
        assert_finds(&app, query, &expected).await;
    }
    app.finish().await;
}

async fn words_are_looked_for_in_names_numbers_ids_summary_and_transcript(engine: Engine) {
    let app = four_calls(engine).await;
    let by_model = json!({"structuredData": {"call_id": "by-the-model-9"}});
    app.hears_report(&talk("modelled").with_analysis(by_model)).await;
    for (query, expected) in [
        ("?q=lovelace", vec!["nobody"]),
        ("?q=LOVELACE%20ada", vec!["nobody"]),
        ("?q=rohr", vec!["talked"]),
        ("?q=%2B15550100001", vec!["nobody"]),
        ("?q=talked", vec!["talked"]),
        ("?q=ours-1", vec!["talked"]),
        ("?q=by-the-model-9", vec!["modelled"]),
        ("?q=a-2", vec!["live"]),
        ("?q=p-1%20r-1", vec!["talked"]),
        ("?q=dollars%20THURSDAY%20nora", vec!["talked", "late", "modelled"]),
        ("?q=asked%20for%20availability", vec!["talked"]),
        ("?q=nora%20lovelace", vec![]),
        ("?q=nora&dataStatus=partial", vec!["late"]),
        ("?q=%25", vec![]),
        ("?q=%20", vec!["talked", "live", "nobody", "late", "modelled"]),
    ] {
        assert_finds(&app, query, &expected).await;
    }
    app.finish().await;
}

async fn moments_bound_a_list_by_what_is_asked(engine: Engine) {
    let app = four_calls(engine).await;
    let at = |seconds: i64| START.plus(seconds * 1_000).to_string();
    for (query, expected) in [
        (format!("?since={}", at(1)), vec!["live", "nobody", "late"]),
        (format!("?until={}", at(1)), vec!["talked"]),
        (format!("?since={}&until={}", at(1), at(3)), vec!["live", "nobody"]),
        (format!("?since={}&by=createdAt", at(3)), vec!["late"]),
        (format!("?since={}", at(4)), vec![]),
        ("?since=2026-09-26T13:18:04.411%2B02:00".to_owned(), vec!["nobody", "late"]),
    ] {
        assert_finds(&app, &query, &expected).await;
    }
    app.clock().advance(10_000);
    app.hears_report(&talk("live").with_metadata(json!({"campaign": "autumn"}))).await;
    assert_eq!(ids(&app, "?by=updatedAt").await, ["live", "late", "nobody", "talked"]);
    assert_finds(&app, &format!("?by=updatedAt&since={}", at(10)), &["live"]).await;
    assert_eq!(ids(&app, "").await, ["late", "nobody", "live", "talked"], "first heard of stays");
    let ended = ids(&app, "?by=endedAt&limit=10").await;
    assert_eq!(ended.len(), 4);
    app.hears_status(&talk("ringing"), Stage::Ringing).await;
    assert_finds(&app, "?by=endedAt", &["talked", "live", "nobody", "late"]).await;
    app.work().await;
    app.finish().await;
}

async fn pages_have_no_gaps_and_no_repeats_while_new_calls_come_in(engine: Engine) {
    let app = Story::on(engine).begin().await;
    for number in 0..23 {
        app.hears(&message("status-update", &format!("call-{number:02}"), json!({"status": "ringing"}))).await;
        // Some come at the same moment.
        app.clock().advance(i64::from(number % 3 == 0));
    }
    for by in ["createdAt", "updatedAt"] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let answer = app.get(&format!("{LIST}?limit=5&by={by}&until=2026-09-26T11:18:03.000Z{cursor}")).await;
            let body = answer.json();
            seen.extend(body["data"].as_array().expect("a list").iter().map(|row| row["id"].to_string()));
            pages += 1;
            app.clock().advance(1_000);
            app.hears(&message("status-update", &format!("new-{by}-{pages}"), json!({"status": "ringing"}))).await;
            assert_eq!(body["pagination"]["hasMore"], !body["pagination"]["nextCursor"].is_null());
            let Some(next) = body["pagination"]["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let distinct: BTreeSet<&String> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len(), pages), (23, 23, 5), "{by}");
    }
    let exact = app.get(&format!("{LIST}?limit=23&until=2026-09-26T11:18:03.000Z")).await.json();
    assert_eq!((&exact["count"], &exact["pagination"]["hasMore"]), (&json!(23), &json!(false)));
    app.finish().await;
}

async fn pages_by_phone_skip_as_they_are_told(engine: Engine) {
    let app = Story::on(engine).begin().await;
    for number in 0..5 {
        app.hears_report(&unanswered(&format!("call-{number}"))).await;
        app.clock().advance(1);
    }
    app.hears_report(&unanswered("other").with_requested("customer", json!({"number": "+4412345"}))).await;
    app.hears_report(&talk("web").with_requested("customer", Value::Null)).await;
    for phone in ["+15550199123", "15550199123", "%2B15550199123", "+1%20(555)%20019-9123"] {
        assert_eq!(ids(&app, &format!("/by-phone/{phone}")).await.len(), 5, "{phone}");
    }
    let page = app.get(&format!("{LIST}/by-phone/15550199123?limit=2&offset=1")).await.json();
    let shown: Vec<&str> = page["data"].as_array().expect("a list").iter().filter_map(|row| row["callId"].as_str()).collect();
    assert_eq!(shown, ["call-3", "call-2"]);
    let pagination = &page["pagination"];
    assert_eq!((&pagination["limit"], &pagination["offset"], &pagination["hasMore"]), (&json!(2), &json!(1), &json!(true)));
    let last = app.get(&format!("{LIST}/by-phone/15550199123?limit=2&offset=3")).await.json();
    assert_eq!((&last["count"], &last["pagination"]["hasMore"]), (&json!(2), &json!(false)));
    assert_eq!(app.get(&format!("{LIST}/by-phone/15550199123?offset=99")).await.json()["count"], 0);
    assert_eq!(ids(&app, "/by-phone/999").await.len(), 0);
    for wrong in ["abc", "%20", "%FF", "15550199123?limit=0", "15550199123?limit=101", "15550199123?offset=-1", "15550199123?offset=x"] {
        app.get(&format!("{LIST}/by-phone/{wrong}")).await.refused(400, "INVALID_PARAMETER");
    }
    app.finish().await;
}

#[tokio::test]
async fn parameters_that_cannot_be_are_refused_by_name() {
    let app = Story::new().begin().await;
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.5", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("since=yesterday", "since"),
        ("since=2026-13-01T00:00:00Z", "since"),
        ("since=2026-01-01", "since"),
        ("until=1790421482411", "until"),
        ("by=cost", "by"),
        ("status=done", "status"),
        ("callStatus=nonsense", "callStatus takes unknown, scheduled"),
        ("callStatus=ended,Ended", "callStatus"),
        ("dataStatus=done", "dataStatus"),
        ("dataStatus=ready", "dataStatus"),
        ("view=all", "view"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%F0%9F", "cursor"),
        ("cursor=MTIzfmEgYg", "cursor"),
        ("phone=abc", "phone"),
    ] {
        let answer = app.get(&format!("{LIST}?{query}")).await.refused(400, "INVALID_PARAMETER");
        assert!(answer.json()["message"].as_str().is_some_and(|said| said.contains(name)), "{query}: {}", answer.text());
    }
    app.get(&format!("{LIST}?limit=1")).await.data(200);
    app.get(&format!("{LIST}?limit=100")).await.data(200);
    app.finish().await;
}

async fn a_filter_that_holds_too_much_is_refused_and_not_an_outage(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_report(&unanswered("a")).await;
    let many = vec!["1"; 20_000].join(",");
    for name in ["phone", "assistantId", "metadata.key"] {
        let answer = app.get(&format!("{LIST}?{name}={many}")).await;
        assert!(matches!(answer.status, 200 | 400), "{name}: {}", answer.text());
    }
    let distinct: Vec<String> = (0..12_000).map(|number| number.to_string()).collect();
    let answer = app.get(&format!("{LIST}?phone={}", distinct.join(","))).await;
    assert!(matches!(answer.status, 200 | 400), "{}", answer.text());
    let keys: Vec<String> = (0..3_000).map(|number| format!("metadata.{number}=1")).collect();
    let answer = app.get(&format!("{LIST}?{}", keys.join("&"))).await;
    assert!(matches!(answer.status, 200 | 400), "{}", answer.text());
    app.finish().await;
}
