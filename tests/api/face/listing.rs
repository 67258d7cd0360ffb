//! `GET /vapi/call`: Vapi's filters over our calls.

use ringback::call::time::Millis;
use serde_json::json;

use super::{call, words};
use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{message, talk},
    vapi::START,
};

on_every_engine! {
    calls_are_listed_newest_first_and_by_all_filters
}

async fn ids(app: &TestApp, query: &str) -> String {
    let list = call(&app.get(&format!("/vapi/call?{query}")).await, 200);
    let list = list.as_array().expect("a list").clone();
    list.iter().map(|call| call["id"].as_str().expect("an id")).collect::<Vec<_>>().join(" ")
}

fn at(seconds: i64) -> String {
    Millis(START.0 + seconds * 1_000).to_string()
}

async fn calls_are_listed_newest_first_and_by_all_filters(engine: Engine) {
    let app = Story::on(engine).begin().await;
    // Second after second a, b, c and d are heard of, with two assistants and two numbers.
    for (name, assistant, number) in [("a", "x", "1"), ("b", "y", "1"), ("c", "x", "2"), ("d", "y", "2")] {
        let call = json!({"id": name, "assistantId": assistant, "phoneNumberId": number});
        app.hears(&message("status-update", name, json!({"status": "ringing", "call": call}))).await;
        app.clock().advance(1_000);
    }
    // And after a while more is heard of a.
    app.clock().advance(6_000);
    app.hears(&message("status-update", "a", json!({"status": "in-progress"}))).await;
    for (query, expected) in [
        (String::new(), "d c b a"),
        ("limit=2".to_owned(), "d c"),
        ("limit=0".to_owned(), ""),
        ("limit=1000".to_owned(), "d c b a"),
        ("id=b".to_owned(), "b"),
        ("id=b&assistantId=x".to_owned(), ""),
        ("id=nobody".to_owned(), ""),
        ("id=no%20id".to_owned(), ""),
        ("assistantId=x".to_owned(), "c a"),
        ("assistantId=x&limit=1".to_owned(), "c"),
        ("phoneNumberId=1".to_owned(), "b a"),
        ("phoneNumberId=2&assistantId=y".to_owned(), "d"),
        (format!("createdAtGt={}", at(1)), "d c"),
        (format!("createdAtGe={}", at(1)), "d c b"),
        (format!("createdAtLt={}", at(1)), "a"),
        (format!("createdAtLe={}", at(1)), "b a"),
        (format!("createdAtGe={}&createdAtLt={}", at(1), at(3)), "c b"),
        (format!("createdAtGe={}&createdAtGt={}", at(1), at(2)), "d"),
        (format!("updatedAtGe={}", at(3)), "d a"),
        (format!("updatedAtGt={}", at(3)), "a"),
        (format!("updatedAtLe={}", at(2)), "c b"),
        (format!("updatedAtLt={}&phoneNumberId=1", at(9)), "b"),
        (format!("updatedAtGe={}&createdAtLt={}", at(1), at(2)), "b a"),
        (format!("id=a&updatedAtLt={}", at(5)), ""),
    ] {
        assert_eq!(ids(&app, &query).await, expected, "{query}");
    }
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn a_listed_call_is_the_call_as_it_is_read() {
    let app = Story::new().begin().await;
    app.hears_report(&talk("one")).await;
    let list = call(&app.get("/vapi/call").await, 200);
    assert_eq!(list, json!([call(&app.get("/vapi/call/one").await, 200)]));
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn what_can_not_be_answered_is_refused_and_never_left_aside() {
    let app = Story::new().begin().await;
    for (query, word) in [
        ("status=ended", "property status should not exist"),
        ("createdAtEq=2026-01-01T00:00:00Z", "property createdAtEq should not exist"),
        ("createdAt=2026-01-01T00:00:00Z", "property createdAt should not exist"),
        ("page=2", "property page should not exist"),
        ("limit=1001", "limit must be"),
        ("limit=-1", "limit must be"),
        ("limit=ten", "limit must be"),
        ("limit=", "limit must be"),
        ("createdAtGe=yesterday", "createdAtGe must be a valid ISO 8601 date string"),
        ("updatedAtLt=", "updatedAtLt must be"),
        ("limit=x&page=2&sort=up", "property sort should not exist"),
    ] {
        let refusal = call(&app.get(&format!("/vapi/call?{query}")).await, 400);
        let said = refusal["message"].as_array().expect("a list of what is wrong").clone();
        assert!(said.iter().any(|one| one.as_str().is_some_and(|one| one.starts_with(word))), "{query}: {said:?}");
        assert_eq!(said.len(), query.split('&').count(), "everything that is wrong: {said:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_page_ends_where_the_next_begins() {
    let app = Story::new().begin().await;
    for number in 0..230 {
        app.hears(&message("status-update", &format!("call-{number:03}"), json!({"status": "ringing"}))).await;
        app.clock().advance(10);
    }
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = call(&app.get(&format!("/vapi/call?limit=90{before}")).await, 200);
        let page = page.as_array().expect("a list").clone();
        let Some(last) = page.last() else { break };
        before = format!("&createdAtLt={}", last["createdAt"].as_str().expect("a time"));
        seen.extend(page.iter().map(|call| call["id"].as_str().expect("an id").to_owned()));
    }
    let all: Vec<_> = (0..230).rev().map(|number| format!("call-{number:03}")).collect();
    assert_eq!(seen, all);
    assert_eq!(call(&app.get("/vapi/call?phoneNumberId=none").await, 200), json!([]), "all were looked through");
    assert_eq!(words(&app.get("/vapi/call?limit=x").await, 400).matches("limit").count(), 1);
    app.finish().await;
}
