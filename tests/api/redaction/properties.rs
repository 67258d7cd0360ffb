//! Secrets planted at random never come through.

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use ringback::vapi::{
    json,
    message::{Delivery, read},
    redact::redact,
};
use serde_json::{Value, json};

use super::{SECRET_KEYS, redacted};
use crate::support::bodies::{CALL, NOW};

const SECRET: &str = "s3cr3t-v4lu3";

/// A key in random case, with `_` and `-` strewn in.
fn disguised(keys: &'static [&'static str]) -> impl Strategy<Value = String> {
    (prop::sample::select(keys), prop::collection::vec((any::<bool>(), 0..4_u8), 32)).prop_map(|(key, whims)| {
        let mut spelled = String::new();
        for (letter, (upper, gap)) in key.chars().zip(whims) {
            spelled.extend(match gap {
                0 => Some('_'),
                1 => Some('-'),
                _ => None,
            });
            spelled.push(if upper { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() });
        }
        spelled
    })
}

/// Something with the secret in it that must not come through.
fn planted() -> impl Strategy<Value = Value> {
    let under_key = disguised(&SECRET_KEYS).prop_map(|key| json!({ key: SECRET }));
    let listed = disguised(&SECRET_KEYS).prop_map(|key| json!({ key: ["x", [SECRET]] }));
    let under_branch = (disguised(&["headers", "credentials"]), "[a-z-]{1,8}").prop_map(|(branch, key)| json!({branch: [{key: [SECRET]}]}));
    let in_url = prop::sample::select(vec!["X-Amz-Signature", "token", "sig", "access_token"])
        .prop_map(|name| json!({"url": format!("https://files.example.net/a?x=1&{name}={SECRET}")}));
    let prompt =
        prop::sample::select(vec!["system", "developer"]).prop_map(|role| json!([{"role": role, "content": SECRET, "message": [SECRET]}]));
    let leaf = prop_oneof![under_key, listed, under_branch, in_url, prompt];
    prop_oneof![3 => leaf.clone(), 1 => leaf.prop_map(|inner| json!({"arguments": inner.to_string()}))]
}

/// Keys under which nothing is exempt; some are read as facts.
const PLAIN_KEYS: [&str; 12] = [
    "artifact",
    "assistant",
    "call",
    "metadata",
    "customer",
    "model",
    "server",
    "toolCallList",
    "function",
    "arguments",
    "conversation",
    "variableValues",
];

/// A tree with the secret somewhere inside.
fn tree() -> impl Strategy<Value = Value> {
    let key = || prop_oneof![prop::sample::select(PLAIN_KEYS.to_vec()).prop_map(str::to_owned), "[a-z]{1,5}".prop_map(String::from)];
    planted().prop_recursive(6, 24, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
            prop::collection::vec((key(), inner), 1..3).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Any JSON that has no messages and no prompts in it.
fn promptless() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<bool>().prop_map(Value::from), any::<i32>().prop_map(Value::from), "[ -~]{0,16}".prop_map(Value::from)];
    let key = || prop_oneof![disguised(&SECRET_KEYS), disguised(&["headers", "credentials"]), "[a-q]{1,5}".prop_map(String::from)];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_secret_never_comes_through(tree in tree()) {
        prop_assert!(tree.to_string().contains(SECRET));
        prop_assert!(!redacted(&tree).to_string().contains(SECRET), "{}", redacted(&tree));
    }

    #[test]
    fn nor_into_an_event(tree in tree(), kind in prop::sample::select(vec!["end-of-call-report", "tool-calls", "function-call", "hang", "x"]), place in prop::sample::select(PLAIN_KEYS.to_vec())) {
        let mut message = json!({"type": kind, "timestamp": NOW.0});
        message[place] = tree.clone();
        message["call"] = json!({"id": CALL, "assistantOverrides": tree});
        let event = read(json!({"message": message}).to_string().as_bytes(), Delivery { keep_all: true, ..Delivery::default() }, NOW).unwrap().event;
        prop_assert!(!String::from_utf8(event.body.to_vec()).unwrap().contains(SECRET));
        prop_assert!(!serde_json::to_string(&event.facts).unwrap().contains(SECRET));
    }

    #[test]
    fn redacting_twice_changes_nothing(a in tree(), b in promptless()) {
        let once = redacted(&json!([a, b]));
        prop_assert_eq!(redacted(&once), once);
    }

    #[test]
    fn exempt_branches_are_untouched(said in promptless(), branch in prop::sample::select(vec!["transcript", "messages", "analysis", "structuredOutputs"])) {
        let tree = json!({"a": [{branch: said}]});
        prop_assert_eq!(redacted(&tree), tree);
    }

    #[test]
    fn what_is_not_secret_is_untouched(words in prop::collection::btree_map("[a-h]{1,4}", "[ -9;-~]{0,20}", 0..6)) {
        let text = json!({"x": words}).to_string();
        let arena = json::Arena::default();
        let tree = json::parse(text.as_bytes(), &arena).unwrap();
        prop_assert_eq!(redact(&tree, &arena), tree);
    }
}
