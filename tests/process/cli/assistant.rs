//! `assistant-config`: a request in, an assistant out, and no service.

use serde_json::Value;

use super::{CONFIGURATION, DONE, FAILED};
use crate::support::{home::Home, program::Program};

const REQUEST: &str = r#"{"providerName":"Hill Plumbing","providerPhone":"+15551234567","serviceNeeded":"a leaking tap"}"#;

#[test]
fn a_request_on_stdin_becomes_an_assistant_on_stdout() {
    let home = Home::new();
    let asking = Program::in_home(&home).set("PUBLIC_URL", "https://ringback.example.com").set("VAPI_CREDENTIAL_ID", "credential-1");
    // It opens no store.
    let written = asking.set("DATABASE_URL", "nonsense").with(["assistant-config"]).run_fed(REQUEST);
    assert_eq!((written.code, written.stderr.as_str()), (DONE, ""));
    let assistant: Value = serde_json::from_str(&written.stdout).expect("JSON");
    assert_eq!(assistant["server"]["url"], "https://ringback.example.com/api/v1/vapi/webhook");
    assert_eq!(assistant["server"]["credentialId"], "credential-1");
}

#[test]
fn what_is_wrong_is_told_on_stderr() {
    let home = Home::new();
    for (request, words) in [("", "no JSON"), ("{}", "providerName is required; providerPhone is required"), ("[]", "must be an object")] {
        let ended = Program::in_home(&home).with(["assistant-config"]).run_fed(request);
        assert_eq!((ended.code, ended.stdout.as_str()), (FAILED, ""), "{request}");
        assert!(ended.stderr.contains(words), "{request}: {}", ended.stderr);
    }
    let ended = Program::in_home(&home).set("VAPI_CREDENTIAL_ID", "two words").with(["assistant-config"]).run_fed(REQUEST);
    assert_eq!(ended.code, CONFIGURATION);
    assert!(ended.stderr.contains("VAPI_CREDENTIAL_ID"), "{}", ended.stderr);
}
