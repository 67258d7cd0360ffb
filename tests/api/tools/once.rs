//! A tool is asked at most once for each tool call: repeats, crowds, instances, crashes.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{FALLBACK, asks, one_tool, only, story, tool, tool_calls};
use crate::support::{
    app::{Engine, TestApp, on_every_engine},
    calls::message,
    endpoint::Endpoint,
    postgres as postgres_tests, redis as redis_tests,
    vapi::CALL,
};

on_every_engine! {
    a_crowd_of_the_same_question_is_asked_once_and_told_the_same
    a_repeat_under_another_event_gets_the_answer_given_before
    after_a_crash_between_claim_and_answer_nobody_is_asked_again
    a_deleted_call_asks_no_tool
}

async fn a_crowd_of_the_same_question_is_asked_once_and_told_the_same(engine: Engine) {
    let endpoint = Endpoint::start().await;
    let app = one_tool(engine, &endpoint, "/slow").begin().await;
    let question = tool_calls(&[asks("t1", "look_up")]);
    for answer in join_all((0..12).map(|_| app.hears(&question))).await {
        assert_eq!(only(&answer)["result"], "slow but sure");
    }
    assert_eq!(only(&app.hears(&question).await)["result"], "slow but sure");
    assert_eq!(endpoint.hits().len(), 1);
    app.finish().await;
}

async fn a_repeat_under_another_event_gets_the_answer_given_before(engine: Engine) {
    let endpoint = Endpoint::start().await;
    let app = one_tool(engine, &endpoint, "/lines").begin().await;
    let first = app.hears(&tool_calls(&[asks("t1", "look_up")])).await;
    let more = message("tool-calls", CALL, json!({"toolCallList": [asks("t1", "look_up"), asks("t2", "look_up")], "n": 2}));
    let second = app.hears(&more).await;
    assert_eq!(second["results"].as_array().unwrap().iter().find(|it| it["toolCallId"] == "t1"), Some(&only(&first)));
    assert_eq!(endpoint.hits().len(), 2, "t1 and t2, each once");
    let other = message("tool-calls", "another-call", json!({"toolCallList": [asks("t1", "look_up")]}));
    app.hears(&other).await;
    assert_eq!(endpoint.hits().len(), 3, "the same id in another call is another tool call");
    app.finish().await;
}

async fn after_a_crash_between_claim_and_answer_nobody_is_asked_again(engine: Engine) {
    if engine == Engine::Memory {
        return;
    }
    let endpoint = Endpoint::start().await;
    let app = one_tool(engine, &endpoint, "/hang").begin().await;
    let question = tool_calls(&[asks("t1", "look_up")]);
    let asked = async { tokio::time::timeout(Duration::from_millis(700), app.hears(&question)).await };
    let (cut, ()) = tokio::join!(asked, endpoint.has_hits(1));
    assert!(cut.is_err(), "nobody was answered before the crash");
    let app = app.restart().await;
    assert_eq!(only(&app.hears(&question).await)["result"], FALLBACK);
    assert_eq!(endpoint.hits().len(), 1, "asked before the crash, and never again");
    assert_eq!(app.call(CALL).await["toolCalls"][0]["result"], FALLBACK);
    app.finish().await;
}

async fn a_deleted_call_asks_no_tool(engine: Engine) {
    let endpoint = Endpoint::start().await;
    let app = one_tool(engine, &endpoint, "/fast").begin().await;
    app.hears(&message("hang", CALL, json!({}))).await;
    assert_eq!(app.ask("DELETE", &format!("/api/v1/vapi/calls/{CALL}")).send().await.status, 200);
    assert_eq!(only(&app.hears(&tool_calls(&[asks("t1", "look_up")])).await)["result"], FALLBACK);
    assert!(endpoint.hits().is_empty());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_postgres_ask_once_and_say_the_same() {
    if postgres_tests::is_tested() {
        two_instances(Engine::Postgres).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_redis_ask_once_and_say_the_same() {
    if redis_tests::is_tested() {
        two_instances(Engine::Redis).await;
    }
}

async fn two_instances(engine: Engine) {
    let endpoint = Endpoint::start().await;
    let here = one_tool(engine, &endpoint, "/slow").begin().await;
    let there = here.beside().await;
    for round in 0..8 {
        let question = tool_calls(&[asks(&format!("t{round}"), "look_up")]);
        let (a, b) = tokio::join!(here.hears(&question), there.hears(&question));
        assert_eq!((only(&a)["result"].as_str(), a), (Some("slow but sure"), b));
        assert_eq!(endpoint.hits().len(), round + 1);
    }
    finish([here, there]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_both_give_up_say_the_same_and_ask_once() {
    if !postgres_tests::is_tested() {
        return;
    }
    let endpoint = Endpoint::start().await;
    let here = one_tool(Engine::Postgres, &endpoint, "/hang").begin().await;
    let there = here.beside().await;
    let question = tool_calls(&[asks("t1", "look_up")]);
    let (a, b) = tokio::join!(here.hears(&question), there.hears(&question));
    assert_eq!((only(&a)["result"].as_str(), a), (Some(FALLBACK), b));
    assert_eq!(endpoint.hits().len(), 1);
    finish([here, there]).await;
}

#[tokio::test]
async fn who_hangs_up_leaves_an_answer_behind() {
    let endpoint = Endpoint::start().await;
    let app = one_tool(Engine::Sqlite, &endpoint, "/slow").begin().await;
    let question = tool_calls(&[asks("t1", "look_up")]);
    let asked = async { tokio::time::timeout(Duration::from_millis(200), app.hears(&question)).await };
    let (cut, ()) = tokio::join!(asked, endpoint.has_hits(1));
    assert!(cut.is_err());
    assert_eq!(only(&app.hears(&question).await)["result"], "slow but sure");
    assert_eq!(endpoint.hits().len(), 1);
    app.finish().await;
}

#[tokio::test]
async fn a_tool_that_takes_vapis_own_message_hears_of_each_tool_call_once() {
    let endpoint = Endpoint::start().await;
    let tools = tool("old", &endpoint.url("/vapi")) + "format = \"vapi\"\n";
    let app = story(Engine::Sqlite, &tools).begin().await;
    app.hears(&tool_calls(&[asks("t1", "old")])).await;
    app.hears(&tool_calls(&[asks("t1", "old"), asks("t2", "old"), asks("t3", "old")])).await;
    let asked: Vec<Value> = endpoint.hits().iter().map(|hit| hit.json()["message"]["toolCallList"].clone()).collect();
    let ids = |list: &Value| list.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(asked.iter().map(ids).collect::<Vec<_>>(), [vec!["t1"], vec!["t2", "t3"]]);
    app.finish().await;
}

async fn finish(apps: impl IntoIterator<Item = TestApp>) {
    for app in apps {
        app.finish().await;
    }
}
