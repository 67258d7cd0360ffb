//! Flat events of older senders, on the sessions path only.

use serde_json::{Value, json};

use super::{one_tool, tool_calls};
use crate::support::{
    app::{Engine, SECRET, Story, TestApp, on_every_engine},
    calls::path,
    endpoint::Endpoint,
    vapi::CALL,
};

on_every_engine! { a_call_told_in_flat_events_has_a_result }

async fn posts(app: &TestApp, body: &Value) -> Value {
    let ask = app.ask("POST", "/api/v1/sessions/vapi/webhook").header("x-vapi-secret", SECRET).body(body.to_string());
    let answer = ask.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn a_call_told_in_flat_events_has_a_result(engine: Engine) {
    let app = Story::on(engine).without("VAPI_API_KEY").begin().await;
    let received = json!({"received": true});
    let line = json!({"type": "message", "timestamp": 1_790_421_482_411_u64, "data": {"callId": CALL, "role": "user", "content": "Is Monday free?"}});
    assert_eq!(posts(&app, &line).await, received);
    assert_eq!(app.call(CALL).await["messages"][0]["message"], "Is Monday free?");
    assert_eq!(posts(&app, &json!({"type": "error", "data": {"callId": CALL, "error": "a hiccup"}})).await, received);
    let end = json!({"type": "call-end", "data": {
        "callId": CALL, "endedReason": "customer-ended-call", "duration": 61, "summary": "Monday it is.", "cost": 0.12,
        "transcript": "User: Is Monday free?\nAI: It is, from nine in the morning until noon.",
    }});
    assert_eq!(posts(&app, &end).await, received);
    assert_eq!(posts(&app, &end).await, received, "a repeat");
    let call = app.poll(CALL).await.data(200);
    assert_eq!(
        (&call["status"], &call["durationSeconds"], &call["endedReason"]),
        (&json!("completed"), &json!(61.0), &json!("customer-ended-call"))
    );
    assert_eq!(call["analysis"]["summary"], "Monday it is.");
    let sources = app.get(&format!("{}/timeline", path(CALL))).await.data(200);
    let sources: Vec<_> = sources.as_array().unwrap().iter().map(|it| it["source"].as_str().unwrap().to_owned()).collect();
    assert_eq!(&sources[..3], ["transcript", "error", "end-of-call-report"]);
    app.finish().await;
}

#[tokio::test]
async fn a_flat_function_call_is_received_and_has_a_result() {
    let endpoint = Endpoint::start().await;
    let app = one_tool(Engine::Memory, &endpoint, "/fast").begin().await;
    let flat = json!({"type": "function-call", "data": {"callId": CALL, "name": "look_up", "parameters": {"day": "Monday"}}});
    assert_eq!(posts(&app, &flat).await, json!({"received": true, "result": r#"{"day":"Monday"} by look_up"#}));
    assert_eq!(app.call(CALL).await["toolCalls"][0]["name"], "look_up");
    app.finish().await;
    let app = Story::new().begin().await;
    assert_eq!(posts(&app, &flat).await, json!({"received": true, "result": "No tool is configured."}));
    app.finish().await;
}

#[tokio::test]
async fn messages_of_today_are_taken_there_too_and_flat_ones_nowhere_else() {
    let app = Story::new().begin().await;
    let today = posts(&app, &tool_calls(&[super::asks("t1", "x")])).await;
    assert_eq!(today["results"][0]["error"], "No tool is configured.");
    let flat = json!({"type": "message", "data": {"callId": CALL}});
    app.post_webhook(&flat).await.refused(400, "INVALID_PAYLOAD");
    let strange = app.ask("POST", "/api/v1/sessions/vapi/webhook").header("x-vapi-secret", SECRET);
    strange.body(json!({"type": "hang", "data": {}}).to_string()).send().await.refused(400, "INVALID_PAYLOAD");
    app.finish().await;
}
