//! Tool calls on their way to whoever answers them: what was asked as it came, and an answer of ours as a fact.

use serde_json::{Value, json};

use super::{
    json::{self, Arena},
    redact::redact,
};
use crate::call::{
    field::{Rank, Stamped},
    record::{CallRecord, ToolAnswer, ToolCall},
    time::Millis,
};

/// The lists of a message that hold copies of its tool calls.
const LISTS: [&str; 3] = ["toolCallList", "toolCalls", "toolWithToolCallList"];

/// The arguments of a tool call in a message as it came: an object, JSON text, or `parameters`; `{}` when there are none.
#[must_use]
pub fn arguments(message: &Value, id: &str) -> Value {
    let listed = LISTS.iter().filter_map(|list| message[*list].as_array()).flatten().map(call_of).find(|call| call["id"] == *id);
    let call = listed.unwrap_or(&message["functionCall"]);
    let function = &call["function"];
    let given = [&function["arguments"], &call["arguments"], &call["parameters"], &function["parameters"]];
    let given = given.into_iter().find(|arguments| !is_nothing(arguments)).cloned().unwrap_or_else(|| json!({}));
    let parsed = given.as_str().and_then(|text| serde_json::from_str(text).ok());
    parsed.unwrap_or(given)
}

/// The message without some of its tool calls.
#[must_use]
pub fn without(mut message: Value, ids: &[&str]) -> Value {
    for list in LISTS {
        if let Some(calls) = message.get_mut(list).and_then(Value::as_array_mut) {
            calls.retain(|call| !call_of(call)["id"].as_str().is_some_and(|id| ids.contains(&id)));
        }
    }
    message
}

fn call_of(entry: &Value) -> &Value {
    entry.get("toolCall").unwrap_or(entry)
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty()) || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// What an answer of ours states; `fallback` says why it is only what stands in for one. JSON in it is redacted: what is stored holds no secret,
/// whoever sent it.
#[must_use]
pub fn answered((id, name): (&str, &str), answer: &ToolAnswer, fallback: Option<&str>, at: Millis) -> CallRecord {
    let answer = match answer {
        ToolAnswer::Result(text) => ToolAnswer::Result(redacted(text)),
        ToolAnswer::Error(text) => ToolAnswer::Error(redacted(text)),
    };
    let name = (!name.is_empty()).then(|| Stamped { value: name.to_owned(), rank: Rank::OTHER, sent_at: Some(at) });
    let answer = Some(Stamped { value: answer, rank: Rank::OWN_ANSWER, sent_at: Some(at) });
    let fallback = fallback.map(|why| Stamped { value: why.to_owned(), rank: Rank::OWN_ANSWER, sent_at: Some(at) });
    // The question itself may not say when it was put; then it was a moment ago.
    let call = ToolCall { name, answer, fallback, at: Some(at), ..ToolCall::default() };
    CallRecord { tool_calls: [(id.to_owned(), call)].into(), ..CallRecord::default() }
}

/// The answer of ours that a record holds.
#[must_use]
pub fn own_answer(record: &CallRecord, id: &str) -> Option<ToolAnswer> {
    let answer = record.tool_calls.get(id)?.answer.as_ref()?;
    (answer.rank == Rank::OWN_ANSWER).then(|| answer.value.clone())
}

fn redacted(text: &str) -> String {
    let arena = Arena::default();
    match json::parse(text.as_bytes(), &arena) {
        Ok(node) if node.is_object() || !node.items().is_empty() => redact(&node, &arena).canonical(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{arguments, redacted, without};

    #[test]
    fn arguments_are_found_in_every_form_they_come_in() {
        let wanted = json!({"a": 1});
        for message in [
            json!({"toolCallList": [{"id": "t", "function": {"name": "f", "arguments": {"a": 1}}}]}),
            json!({"toolCalls": [{"id": "t", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]}),
            json!({"toolWithToolCallList": [{"name": "f", "toolCall": {"id": "t", "parameters": {"a": 1}}}]}),
            json!({"toolCallList": [{"id": "t", "arguments": null}], "toolCalls": [{"id": "s"}], "functionCall": {}}),
            json!({"functionCall": {"name": "f", "parameters": {"a": 1}}}),
        ] {
            let found = arguments(&message, "t");
            assert!(found == wanted || (found == json!({}) && message["functionCall"] == json!({})), "{message}: {found}");
        }
        assert_eq!(arguments(&json!({"toolCalls": [{"id": "t", "function": {"arguments": "no json"}}]}), "t"), json!("no json"));
    }

    #[test]
    fn the_calls_named_are_taken_out_of_every_list() {
        let message = json!({"toolCallList": [{"id": "a"}, {"id": "b"}], "toolWithToolCallList": [{"toolCall": {"id": "a"}}], "x": 1});
        assert_eq!(without(message, &["a"]), json!({"toolCallList": [{"id": "b"}], "toolWithToolCallList": [], "x": 1}));
    }

    #[test]
    fn json_loses_its_secrets_and_words_stay_as_they_are() {
        assert_eq!(redacted(r#"{"apiKey":"abc","day":"Monday"}"#), r#"{"apiKey":"[redacted]","day":"Monday"}"#);
        for words in ["On Monday.", "007", "1.50", "\"quoted\"", "[", "true"] {
            assert_eq!(redacted(words), words);
        }
    }
}
