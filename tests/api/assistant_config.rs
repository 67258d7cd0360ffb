//! `POST /assistant-config`: anyone who may place calls can have the assistant that one would be placed with.

use ringback::config::ServerConfig;
use serde_json::{Value, json};

use crate::support::app::{SECRET, Story, TestApp};

const PATH: &str = "/api/v1/vapi/assistant-config";

fn request() -> Value {
    json!({"providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap"})
}

async fn ask(app: &TestApp, body: &Value) -> crate::support::answer::Answer {
    app.ask("POST", PATH).body(body.to_string()).send().await
}

#[tokio::test]
async fn a_request_becomes_an_assistant_that_sends_its_messages_here_and_holds_no_secret() {
    let story = Story::new().with("PUBLIC_URL", "https://ringback.example.com").with("VAPI_CREDENTIAL_ID", "credential-1");
    let app = story.begin().await;
    let assistant = ask(&app, &request()).await.data(200);
    assert_eq!(assistant["server"]["url"], "https://ringback.example.com/api/v1/vapi/webhook");
    assert_eq!(assistant["server"]["credentialId"], "credential-1");
    assert_eq!(assistant["metadata"]["providerName"], "Hill Plumbing");
    assert!(!assistant.to_string().contains(SECRET) && assistant["server"]["headers"].is_null(), "no secret goes out");
    assert_eq!(ask(&app, &request()).await.data(200), assistant, "the same request makes the same assistant");
    app.finish().await;
}

#[tokio::test]
async fn without_an_address_of_ours_the_assistant_has_no_server() {
    let app = Story::new().begin().await;
    let assistant = ask(&app, &request()).await.data(200);
    assert!(assistant["server"].is_null() && assistant["serverMessages"].is_array(), "{assistant}");
    app.finish().await;
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_request_is_named_at_once() {
    let app = Story::new().begin().await;
    let refused = ask(&app, &json!({"providerPhone": "555", "colour": "red"})).await.refused(422, "VALIDATION_FAILED");
    let details = refused.json()["details"].take();
    let fields: Vec<&str> = details.as_array().unwrap().iter().filter_map(|error| error["field"].as_str()).collect();
    assert_eq!(fields, ["providerName", "providerPhone", "serviceNeeded", "colour"], "{details}");
    assert!(details.as_array().unwrap().iter().all(|error| error["message"].as_str().is_some_and(|words| !words.is_empty())));
    app.ask("POST", PATH).body("{\"providerName\":").send().await.refused(400, "INVALID_PAYLOAD");
    app.ask("POST", PATH).send().await.refused(400, "INVALID_PAYLOAD");
    app.finish().await;
}

#[tokio::test]
async fn only_who_may_place_calls_may_ask() {
    let app = Story::new().with("API_TOKENS", "read:r=read-token-0123456789,place:p=place-token-0123456789").begin().await;
    let asked = || app.ask("POST", PATH).body(request().to_string());
    asked().send().await.refused(401, "UNAUTHORIZED");
    asked().token("read-token-0123456789").send().await.refused(403, "FORBIDDEN");
    asked().token("place-token-0123456789").send().await.data(200);
    app.finish().await;
}

#[test]
fn messages_are_asked_for_that_somebody_is_set_up_to_answer() {
    let tools =
        "[requests.transfer-destination-request]\nanswer = { error = \"no\" }\n[requests.assistant-request]\nanswer = { error = \"no\" }";
    let read = ServerConfig::from_env(|name| (name == "TOOLS").then(|| tools.to_owned())).unwrap();
    assert_eq!(read.messages, ["transfer-destination-request"], "an assistant-request is no message of an assistant");
}
