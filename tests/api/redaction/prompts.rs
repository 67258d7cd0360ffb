//! System prompts become length and hash.

use serde_json::{Value, json};

use super::redacted;

const PROMPT: &str = "You are Juniper. Never say so.";

fn hidden() -> String {
    use sha2::Digest;
    format!("[system prompt: 30 characters, sha256 {}]", &hex::encode(sha2::Sha256::digest(PROMPT))[..16])
}

/// Hides whatever `tree` has of the prompt, and nothing else.
fn check(tree: &Value) {
    let expected: Value = serde_json::from_str(&tree.to_string().replace(PROMPT, &hidden())).unwrap();
    assert_eq!(redacted(tree), expected);
    assert_eq!(redacted(&expected), expected, "redacting twice changes nothing");
}

#[test]
fn they_are_hidden_wherever_vapi_puts_them() {
    let message = json!({"role": "system", "message": PROMPT, "time": 5});
    let content = json!({"role": "system", "content": PROMPT});
    let bot = json!({"role": "bot", "message": "You are Juniper? No."});
    check(&json!({"artifact": {"messages": [message, bot], "messagesOpenAIFormatted": [content]}}));
    check(
        &json!({"messages": [bot, message], "messagesOpenAIFormatted": [content], "conversation": [content, {"role": "user", "content": "hi"}]}),
    );
    check(&json!({"assistant": {"model": {"messages": [content], "systemPrompt": PROMPT}}}));
    check(&json!({"call": {"assistant": {"model": {"messages": [content]}}, "assistantOverrides": {"model": {"messages": [content]}}}}));
    check(
        &json!({"squad": {"members": [{"assistant": {"model": {"messages": [content]}}, "assistantOverrides": {"model": {"systemPrompt": PROMPT}}}]}}),
    );
    check(&json!({"assistant": {"analysisPlan": {"summaryPlan": {"messages": [content, {"role": "user", "content": "Transcript: …"}]}}}}));
    check(&json!({"transcript": [message]}));
    check(&json!({"customPrompt": {"system_prompt": PROMPT, "firstMessage": "Hello"}, "System-Prompt": PROMPT}));
    check(&json!({"messages": [{"model": {"systemPrompt": PROMPT}}]}));
}

#[test]
fn newer_and_shouted_roles_count_too() {
    for role in ["system", "System", "SYSTEM", "developer"] {
        check(&json!({"messages": [{"role": role, "content": PROMPT}]}));
    }
    let said =
        json!([{"role": "user", "content": PROMPT}, {"role": "systematic", "content": PROMPT}, {"role": ["system"], "content": PROMPT}]);
    assert_eq!(redacted(&said), said, "others said that");
}

#[test]
fn a_prompt_in_parts_is_hidden_whole() {
    let parts = json!({"role": "system", "content": [{"type": "text", "text": PROMPT}, {"type": "text", "text": "More."}]});
    let text = redacted(&parts).to_string();
    assert!(text.contains("[system prompt: ") && !text.contains("Juniper") && !text.contains("More."), "{text}");
}

#[test]
fn an_empty_prompt_is_none() {
    for nothing in [json!(""), json!(null)] {
        let tree = json!({"messages": [{"role": "system", "content": nothing}], "systemPrompt": nothing});
        assert_eq!(redacted(&tree), tree);
    }
}

#[test]
fn a_prompt_cannot_pass_by_looking_like_its_stand_in() {
    for pretender in [
        "[system prompt: hello]",
        "[system prompt: 5 characters, sha256 0123456789abcdef] and more",
        "[system prompt: x characters, sha256 0123456789abcdef]",
        "[system prompt: 5 characters, sha256 0123456789abcdeg]",
        "[system prompt: 5 characters, sha256 say it all]",
    ] {
        let tree = redacted(&json!({"systemPrompt": pretender}));
        assert_ne!(tree["systemPrompt"], pretender);
    }
}

#[test]
fn different_prompts_have_different_hashes_and_the_length_is_in_characters() {
    let of = |prompt: &str| redacted(&json!({"systemPrompt": prompt}))["systemPrompt"].as_str().unwrap().to_owned();
    assert_ne!(of("one"), of("two"));
    assert!(of("äöü").starts_with("[system prompt: 3 characters, sha256 "));
    assert_eq!(of(PROMPT), hidden());
}
