//! What a tool answers, whatever it does, reaches Vapi in time, at HTTP 200, as one line.

use std::{
    fs,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{FALLBACK, asks, one_tool, only, story, tool, tool_calls};
use crate::support::{
    app::{Engine, on_every_engine},
    calls::{message, message_of_no_call, path},
    endpoint::Endpoint,
    vapi::CALL,
};

on_every_engine! {
    an_answer_is_a_line_and_stands_in_the_record
    without_the_store_no_tool_is_asked
}

async fn an_answer_is_a_line_and_stands_in_the_record(engine: Engine) {
    let endpoint = Endpoint::start().await;
    let app = one_tool(engine, &endpoint, "/lines").begin().await;
    let answer = app.hears(&tool_calls(&[asks("t1", "look_up")])).await;
    assert_eq!(answer, json!({"results": [{"toolCallId": "t1", "name": "look_up", "result": "one two three"}]}));
    let call = app.call(CALL).await;
    assert_eq!(call["toolCalls"][0]["result"], "one two three");
    assert_eq!(call["toolCalls"][0]["arguments"], json!({"order": 7, "token": "[redacted]"}), "stored without the secret");
    let [hit] = endpoint.hits().try_into().expect("asked once");
    let asked = hit.json();
    assert_eq!(asked["arguments"], json!({"order": 7, "token": "as it came"}), "asked with what came");
    assert_eq!((&asked["callId"], &asked["toolCallId"], &asked["name"]), (&json!(CALL), &json!("t1"), &json!("look_up")));
    assert_eq!(asked["call"]["id"], CALL);
    let timeline = app.get(&format!("{}/timeline", path(CALL))).await.data(200);
    let tools: Vec<_> = timeline.as_array().unwrap().iter().filter(|entry| entry["kind"] == "tool").collect();
    assert_eq!(tools.len(), 2, "{timeline}");
    assert!(tools.iter().all(|entry| entry["eventId"].as_str().unwrap().parse::<uuid::Uuid>().is_ok()), "{timeline}");
    let metrics = app.get("/metrics").await.text();
    assert!(metrics.contains(r#"ringback_tool_calls_total{tool="look_up",result="result"} 1"#), "{metrics}");
    app.finish().await;
}

async fn without_the_store_no_tool_is_asked(engine: Engine) {
    let endpoint = Endpoint::start().await;
    let app = one_tool(engine, &endpoint, "/fast").begin().await;
    app.lose_store().await;
    let answer = app.hears(&tool_calls(&[asks("t1", "look_up")])).await;
    assert_eq!(only(&answer)["result"], FALLBACK);
    assert!(endpoint.hits().is_empty());
    app.finish().await;
}

#[tokio::test]
async fn whatever_an_endpoint_does_vapi_gets_one_line_in_time() {
    let endpoint = Endpoint::start().await;
    let gone = { Endpoint::start().await.url("/fast") };
    let url = |path: &str| endpoint.url(path);
    for (url, field, said) in [
        (url("/fast"), "result", r#"{"order":7,"token":"as it came"} by look_up"#),
        (url("/slow"), "result", "slow but sure"),
        (url("/hang"), "result", FALLBACK),
        (url("/huge"), "result", FALLBACK),
        (url("/500"), "result", FALLBACK),
        (url("/404"), "result", FALLBACK),
        (url("/redirect"), "result", FALLBACK),
        (gone, "result", FALLBACK),
        (url("/html"), "result", "<p>no JSON</p>"),
        (url("/nothing"), "result", "Done."),
        (url("/error"), "error", "no such order"),
    ] {
        let app = story(Engine::Memory, &tool("look_up", &url)).begin().await;
        let begun = Instant::now();
        let entry = only(&app.hears(&tool_calls(&[asks("t1", "look_up")])).await);
        assert_eq!(entry, json!({"toolCallId": "t1", "name": "look_up", field: said}), "{url}");
        assert!(begun.elapsed() < Duration::from_millis(1_900), "{url} took {:?}", begun.elapsed());
        let kept = app.call(CALL).await["toolCalls"][0].take();
        assert_eq!(kept[field], said, "{url}");
        assert_eq!(kept["error"].is_null(), field == "result" && said != FALLBACK, "the record tells a fallback from an answer: {kept}");
        assert!(kept["at"].is_string(), "{kept}");
        app.finish().await;
    }
    assert_eq!(endpoint.hits().iter().filter(|hit| hit.path == "/fast").count(), 1, "the redirect was not followed");
}

#[tokio::test]
async fn several_tools_are_asked_at_once_and_each_has_its_own_answer() {
    let endpoint = Endpoint::start().await;
    let names = ["a", "b", "c", "d"];
    let tools: String = names.iter().map(|name| tool(name, &endpoint.url("/slow"))).collect();
    let app = story(Engine::Sqlite, &(tools + &tool("bad", &endpoint.url("/500")))).begin().await;
    let mut calls: Vec<Value> = names.iter().map(|name| asks(&format!("t-{name}"), name)).collect();
    calls.extend([asks("t-bad", "bad"), asks("t-x", "unknown")]);
    let begun = Instant::now();
    let answer = app.hears(&tool_calls(&calls)).await;
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    let results = answer["results"].as_array().unwrap();
    let said: Vec<_> =
        results.iter().map(|it| (it["toolCallId"].as_str().unwrap(), it.get("result").or(it.get("error")).unwrap())).collect();
    let slow = json!("slow but sure");
    let (fallback, nobody) = (json!(FALLBACK), json!("No tool is configured."));
    assert_eq!(said, [("t-a", &slow), ("t-b", &slow), ("t-c", &slow), ("t-d", &slow), ("t-bad", &fallback), ("t-x", &nobody)]);
    app.finish().await;
}

#[tokio::test]
async fn a_star_takes_every_tool_that_is_not_named() {
    let endpoint = Endpoint::start().await;
    let app = story(Engine::Memory, &(tool("*", &endpoint.url("/fast")) + &tool("other", &endpoint.url("/lines")))).begin().await;
    let answer = app.hears(&tool_calls(&[asks("t1", "anything"), asks("t2", "other")])).await;
    assert_eq!(answer["results"][1]["result"], "one two three");
    assert!(answer["results"][0]["result"].as_str().unwrap().ends_with("by anything"), "{answer}");
    app.finish().await;
}

#[tokio::test]
async fn a_request_is_signed_and_its_id_is_that_of_the_tool_call() {
    let (endpoint, key) = (Endpoint::start().await, "a key of thirty-two bytes, so it");
    let tools = tool("look_up", &endpoint.url("/fast")) + "secret_env = \"LOOKUP_SECRET\"\n";
    let app = story(Engine::Memory, &tools).with("LOOKUP_SECRET", &format!("whsec_{}", STANDARD.encode(key))).begin().await;
    app.hears(&tool_calls(&[asks("t1", "look_up")])).await;
    let hit = endpoint.hits().remove(0);
    assert_eq!(hit.header("webhook-id"), "t1");
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("t1.{}.", hit.header("webhook-timestamp")).as_bytes());
    mac.update(&hit.bytes);
    assert_eq!(hit.header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    assert_eq!(hit.header("x-vapi-secret"), "", "Vapi's secret stays here");
    app.finish().await;
}

#[tokio::test]
async fn every_tool_calls_body_there_is_gets_a_line_for_each_of_its_calls() {
    let endpoint = Endpoint::start().await;
    let app = story(Engine::Memory, &tool("*", &endpoint.url("/fast"))).begin().await;
    let mut bodies = 0;
    for folder in ["tests/fixtures/vapi/messages", "../shared/payloads", "../../shared/payloads"] {
        let Ok(files) = fs::read_dir(folder) else { continue };
        for file in files.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if !name.starts_with("tool-calls") || name.contains("response") {
                continue;
            }
            let body: Value = serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
            let answer = app.hears(&body).await;
            let results = answer["results"].as_array().unwrap_or_else(|| panic!("{name}: {answer}"));
            assert!(!results.is_empty(), "{name}");
            for entry in results {
                let line = entry["result"].as_str().unwrap_or_else(|| panic!("{name}: {entry}"));
                assert!(line.contains(" by ") && !line.contains('\n') && !line.starts_with("\"{"), "{name}: {line}");
                assert!(line.ends_with(entry["name"].as_str().unwrap()), "{name}: {entry}");
            }
            bodies += 1;
        }
    }
    assert!(bodies >= 3, "{bodies}");
    app.finish().await;
}

#[tokio::test]
async fn a_function_call_of_old_gets_a_result() {
    let endpoint = Endpoint::start().await;
    let app = one_tool(Engine::Memory, &endpoint, "/fast").begin().await;
    let question = json!({"functionCall": {"name": "look_up", "parameters": {"day": "Monday"}}});
    for body in [message("function-call", CALL, question.clone()), message_of_no_call("function-call", question)] {
        assert_eq!(app.hears(&body).await, json!({"result": r#"{"day":"Monday"} by look_up"#}));
    }
    let mut untimed = message("tool-calls", "untimed", json!({"toolCallList": [asks("t1", "look_up")]}));
    untimed["message"].as_object_mut().unwrap().remove("timestamp");
    app.hears(&untimed).await;
    let kept = app.call("untimed").await["toolCalls"][0].take();
    assert!(kept["at"].is_string() && kept["error"].is_null(), "a question without a timestamp was asked when we answered it: {kept}");
    app.finish().await;
}

#[tokio::test]
async fn other_questions_are_answered_from_the_file_or_by_an_endpoint_or_harmlessly() {
    let endpoint = Endpoint::start().await;
    let tools = format!(
        "[requests.assistant-request]\nurl = \"{}\"\n[requests.\"campaign.predial\"]\nanswer = {{ eligible = true }}\n\
         [requests.voice-request]\nurl = \"{}\"\ntimeout_seconds = 1\n[requests.knowledge-base-request]\nurl = \"{}\"\n",
        endpoint.url("/assistant"),
        endpoint.url("/hang"),
        endpoint.url("/html"),
    );
    let app = story(Engine::Memory, &tools).begin().await;
    assert_eq!(app.hears(&message("assistant-request", CALL, json!({}))).await, json!({"assistantId": "a-1"}));
    assert_eq!(endpoint.hits()[0].json()["type"], "assistant-request");
    assert_eq!(app.hears(&message("campaign.predial", CALL, json!({}))).await, json!({"eligible": true}));
    assert_eq!(app.hears(&message("voice-request", CALL, json!({}))).await, json!({"error": "No voice is configured."}));
    assert_eq!(app.hears(&message("knowledge-base-request", CALL, json!({}))).await, json!({"documents": []}));
    app.lose_store().await;
    assert_eq!(app.hears(&message("assistant-request", CALL, json!({"n": 2}))).await, json!({"assistantId": "a-1"}), "store or no store");
    app.finish().await;
}
