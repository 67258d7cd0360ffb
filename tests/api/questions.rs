//! Messages that ask something: somebody at a phone waits for the answer, store or no store.

use ringback::simulate::{CallScript, bodies};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{message, message_of_no_call, path, talk},
    vapi::CALL,
};

on_every_engine! {
    every_question_gets_an_answer_that_harms_no_call
    every_question_is_answered_when_the_store_is_gone
    a_repeated_question_gets_the_answer_given_before
    what_a_tool_was_asked_is_in_the_record
}

const NO_TOOL: &str = "No tool is configured.";

/// A `tool-calls` message with one question, in each form that Vapi has had.
fn tool_questions() -> Vec<Value> {
    let nested = json!({"id": "t1", "type": "function", "function": {"name": "look_up", "arguments": {"a": 1}}});
    let flat = json!({"id": "t1", "name": "look_up", "parameters": {"a": 1}});
    let texts = json!({"id": "t1", "type": "function", "function": {"name": "look_up", "arguments": "{\"a\":1}"}});
    vec![
        json!({"toolCallList": [nested], "toolCalls": [nested]}),
        json!({"toolCalls": [nested]}),
        json!({"toolWithToolCallList": [{"name": "look_up", "toolCall": nested}]}),
        json!({"toolCallList": [flat]}),
        json!({"toolCallList": [texts]}),
    ]
}

/// Every question but for tools, and its answer.
fn questions() -> Vec<(&'static str, Value)> {
    let error = |what: &str| json!({"error": what});
    vec![
        ("function-call", json!({"result": NO_TOOL})),
        ("assistant-request", error("No assistant is configured to take this call.")),
        ("transfer-destination-request", error("No destination is configured.")),
        ("handoff-destination-request", error("No destination is configured.")),
        ("knowledge-base-request", json!({"documents": []})),
        ("call.endpointing.request", json!({"timeoutSeconds": 0.6})),
        ("campaign.predial", json!({"eligible": false})),
        ("voice-request", error("No voice is configured.")),
    ]
}

async fn every_question_gets_an_answer_that_harms_no_call(engine: Engine) {
    let app = Story::on(engine).begin().await;
    all_answered(&app).await;
    app.finish().await;
}

async fn every_question_is_answered_when_the_store_is_gone(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.lose_store().await;
    all_answered(&app).await;
    app.post_webhook(&message("hang", CALL, json!({}))).await.refused(503, "STORE_UNAVAILABLE");
    app.finish().await;
}

async fn all_answered(app: &TestApp) {
    for (number, fields) in tool_questions().into_iter().enumerate() {
        let answer = app.hears(&message("tool-calls", &format!("asked-{number}"), fields)).await;
        assert_eq!(answer, json!({"results": [{"toolCallId": "t1", "name": "look_up", "error": NO_TOOL}]}), "form {number}");
    }
    for (kind, expected) in questions() {
        assert_eq!(app.hears(&message(kind, "asked", json!({"functionCall": {"name": "f", "parameters": {}}}))).await, expected, "{kind}");
        assert_eq!(app.hears(&message_of_no_call(kind, json!({}))).await, expected, "{kind} about no call");
        assert_eq!(app.hears(&message(kind, "odd id", json!({}))).await, expected, "{kind} about an odd id");
    }
}

#[tokio::test]
async fn every_tool_of_several_gets_its_own_line_and_none_gets_none() {
    let app = Story::new().begin().await;
    let asked = |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": {}}});
    let list = json!({"toolCallList": [asked("b", "two\nlines"), asked("a", "one"), {"id": "c"}, {"name": "no id"}, null, 7]});
    let answer = app.hears(&message("tool-calls", CALL, list)).await;
    let results = answer["results"].as_array().expect("a list");
    let ids: std::collections::BTreeSet<&str> = results.iter().filter_map(|result| result["toolCallId"].as_str()).collect();
    assert_eq!(ids, std::collections::BTreeSet::from(["a", "b", "c"]));
    for result in results {
        assert!(result["error"].as_str().is_some_and(|line| !line.is_empty() && !line.contains('\n')), "{result}");
        assert!(result["name"].is_string(), "{result}");
    }
    assert_eq!(app.hears(&message("tool-calls", CALL, json!({}))).await, json!({"results": []}));
    app.finish().await;
}

async fn a_repeated_question_gets_the_answer_given_before(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let tools = message("tool-calls", CALL, tool_questions().remove(0));
    let first = app.hears(&tools).await;
    let version = app.call(CALL).await["version"].clone();
    assert_eq!(app.hears(&tools).await, first);
    for (kind, _) in questions() {
        let question = message(kind, CALL, json!({}));
        let first = app.hears(&question).await;
        assert_eq!(app.hears(&question).await, first, "{kind}");
    }
    assert_eq!(app.call(CALL).await["version"], version, "what asks nothing of a tool shows nothing new");
    app.finish().await;
}

async fn what_a_tool_was_asked_is_in_the_record(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let script = CallScript::talk(CALL, app.clock().now()).with_tool_asked(2, "check_availability", json!({"day": "Thursday"}));
    app.hears(&bodies::tool_calls(&script, 2, app.clock().now())).await;
    let call = app.call(CALL).await;
    let [asked] = call["toolCalls"].as_array().expect("a list").as_slice() else { panic!("{}", call["toolCalls"]) };
    assert_eq!((&asked["name"], &asked["arguments"]), (&json!("check_availability"), &json!({"day": "Thursday"})));
    assert!(asked["at"].is_string() && asked["result"].is_null(), "{asked}");
    app.hears_report(&script).await;
    let call = app.poll(CALL).await.data(200);
    assert_eq!(call["toolCalls"].as_array().map(Vec::len), Some(1), "the report has the same question");
    assert!(call["toolCalls"][0]["result"].is_string());
    app.finish().await;
}

#[tokio::test]
async fn a_question_without_a_proof_is_no_question() {
    let app = Story::new().begin().await;
    let body = message("assistant-request", CALL, json!({})).to_string();
    app.ask("POST", "/api/v1/vapi/webhook").body(body).send().await.refused(401, "INVALID_SIGNATURE");
    app.finish().await;
}

#[tokio::test]
async fn a_question_alone_makes_no_result() {
    let app = Story::new().begin().await;
    app.hears(&message("assistant-request", CALL, json!({"call": {"id": CALL, "status": "ended", "type": "inboundPhoneCall"}}))).await;
    app.poll(CALL).await.refused(404, "CALL_NOT_READY");
    assert_eq!(app.call(CALL).await["callStatus"], "unknown", "the snapshot beside it proves nothing");
    app.hears_report(&talk(CALL)).await;
    assert_eq!(app.poll(CALL).await.status, 200);
    let sources = app.get(&format!("{}/timeline", path(CALL))).await.data(200);
    assert_eq!((&sources[0]["source"], &sources[1]["source"]), (&json!("assistant-request"), &json!("end-of-call-report")));
    app.finish().await;
}
