//! The fixtures hold a secret in every listed place.

use ringback::vapi::{call, message};
use serde_json::json;

use super::{SECRET_KEYS, redacted};
use crate::support::{
    bodies::{CALL, NOW, body, heard, rest_body},
    vapi::id,
};

/// What no stored byte may hold: secrets, signatures, the system prompt.
const MARKS: [&str; 7] = ["in-clear", "X-Amz", "4be1c0ffee", "log-token", "pick-token", "/control", "Ask whether the ordered seedlings"];

fn check(file: &str, raw: &[u8], kept: &[u8], facts: &ringback::call::record::CallRecord) {
    let (kept, facts) = (String::from_utf8_lossy(kept), serde_json::to_string(facts).unwrap());
    for mark in MARKS {
        assert!(!kept.contains(mark), "{file}: {mark} in the body");
        assert!(!facts.contains(mark), "{file}: {mark} in the facts");
    }
    assert!(!facts.contains("garden-token"), "{file}: a tool's token in the facts");
    assert!(!raw.is_empty());
}

#[test]
fn no_fixture_leaves_a_secret_behind() {
    let mut marks_seen = 0;
    for kind in ["messages", "calls"] {
        let folder = format!("{}/tests/fixtures/vapi/{kind}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            if kind == "messages" {
                let raw = body(&file);
                marks_seen += MARKS.iter().filter(|mark| String::from_utf8_lossy(&raw).contains(**mark)).count();
                for keep_all in [false, true] {
                    let event = message::read(&raw, message::Delivery { keep_all, ..message::Delivery::default() }, NOW).unwrap().event;
                    check(&file, &raw, &event.body, &event.facts);
                }
            } else {
                let raw = rest_body(&file);
                let event = call::read(&raw, &id(CALL), NOW).unwrap().event;
                check(&file, &raw, &event.body, &event.facts);
            }
        }
    }
    assert!(marks_seen > 60, "the fixtures do hold secrets: {marks_seen}");
}

#[test]
fn a_second_delivery_with_other_links_is_the_same_event() {
    assert_ne!(body("end-of-call-report"), body("end-of-call-report-sent-again"));
    let (first, second) = (heard("end-of-call-report"), heard("end-of-call-report-sent-again"));
    assert_eq!(first.id, second.id);
    assert_eq!(first.body, second.body);
    assert_eq!(first.facts, second.facts);
}

#[test]
fn every_listed_key_is_hidden_in_every_spelling() {
    for key in SECRET_KEYS {
        let snake = key
            .chars()
            .flat_map(|letter| letter.is_uppercase().then_some('_').into_iter().chain(letter.to_lowercase()))
            .collect::<String>();
        for spelling in [
            key.to_owned(),
            key.to_uppercase(),
            key.to_lowercase(),
            snake.clone(),
            snake.replace('_', "-"),
            format!("_{key}-"),
            format!("{snake}__"),
        ] {
            assert_eq!(redacted(&json!({ &spelling: "s" })), json!({ &spelling: "[redacted]" }), "{spelling}");
            assert_eq!(redacted(&json!([{"a": {&spelling: "s"}}])), json!([{"a": {&spelling: "[redacted]"}}]), "{spelling}");
        }
    }
}

#[test]
fn keys_that_only_resemble_secrets_are_left_alone() {
    let plain = json!({"tokens": "3", "secretary": "Rowan", "promptTokens": 5, "a": {"tokenizer": "x"}, "apiKeyId": "k", "jwts": "n", "credentialId": "c", "header": "h",
        "presignedUrls": "none"});
    assert_eq!(redacted(&plain), plain);
}

#[test]
fn only_texts_are_hidden() {
    let form =
        json!({"properties": {"password": {"type": "string", "minLength": 8}, "token": true}, "secret": 5, "apiKey": null, "jwt": false});
    assert_eq!(redacted(&form), form, "a form describes a secret and holds none");
    assert_eq!(redacted(&json!({"token": ["a", ["b"], 5, {"x": "y"}]})), json!({"token": ["[redacted]", ["[redacted]"], 5, {"x": "y"}]}));
}

#[test]
fn everything_under_headers_and_credentials_is_hidden() {
    for branch in ["headers", "Headers", "credentials", "CREDENTIALS"] {
        let tree = json!({branch: {"a": "s", "b": ["s", {"c": "s", "messages": "s", "systemPrompt": "s", "role": "system", "content": "s"}], "n": 5}});
        let hidden = json!({branch: {"a": "[redacted]", "b": ["[redacted]", {"c": "[redacted]", "messages": "[redacted]", "systemPrompt": "[redacted]", "role": "[redacted]", "content": "[redacted]"}], "n": 5}});
        assert_eq!(redacted(&tree), hidden);
        assert_eq!(redacted(&json!({branch: "s"})), json!({branch: "[redacted]"}));
    }
}

#[test]
fn what_people_and_models_said_stays_as_it_is() {
    let said = json!({"token": "t", "headers": {"a": "b"}, "url": "https://x.example/?token=1", "deep": [{"secret": "s"}], "text": "{\"token\":\"t\"}"});
    for branch in ["transcript", "messages", "analysis", "structuredOutputs"] {
        let tree = json!({"artifact": {branch: said}, branch: [said]});
        assert_eq!(redacted(&tree), tree, "{branch}");
    }
    let prompt_like = json!({"analysis": {"role": "system", "content": "c", "systemPrompt": "p"}, "structuredOutputs": {"o": {"result": {"role": "system", "message": "m"}}}});
    assert_eq!(redacted(&prompt_like), prompt_like, "a model's output is no prompt");
}

#[test]
fn json_inside_a_text_is_redacted_like_the_tree_it_stands_for() {
    let arguments = |text: &str| redacted(&json!({"function": {"arguments": text}}))["function"]["arguments"].as_str().unwrap().to_owned();
    assert_eq!(arguments(r#"{"day": "Friday", "api_key": "s"}"#), r#"{"api_key":"[redacted]","day":"Friday"}"#);
    assert_eq!(arguments(r#" [{"token":"s"}]"#), r#"[{"token":"[redacted]"}]"#);
    assert_eq!(arguments(r#"{"inner": "{\"token\": \"s\"}"}"#), r#"{"inner":"{\"token\":\"[redacted]\"}"}"#);
    assert_eq!(arguments(r#"{"u": "https://x.example/a?sig=1", "b": 1}"#), r#"{"b":1,"u":"https://x.example/a"}"#);
    for untouched in [r#"{"day": "Friday",  "n": 1.50}"#, "{not json", "[", "{}", r#"{"broken": "{\"token\": \"s\""}"#] {
        assert_eq!(arguments(untouched), untouched, "as it came, to the last space");
    }
}
