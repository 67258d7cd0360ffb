//! What an endpoint answered becomes one line of text: Vapi drops a result that has more.

use serde_json::Value;

use crate::call::record::ToolAnswer;

/// Characters of a line; a model is to read it while somebody waits.
const LONGEST: usize = 16_384;
/// What an endpoint says that did it and says nothing.
const DONE: &str = "Done.";

/// Text, JSON, `{"result":…}`, `{"error":…}`, or Vapi's own `{"results":[…]}`.
pub(super) fn answer_of(body: &[u8], id: &str) -> ToolAnswer {
    let text = String::from_utf8_lossy(body);
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(object)) => {
            let listed = object.get("results").and_then(Value::as_array).and_then(|list| list.iter().find(|it| it["toolCallId"] == *id));
            match listed.and_then(said).or_else(|| said(&Value::Object(object))) {
                Some(answer) => answer,
                None => ToolAnswer::Result(one_line(&text)),
            }
        }
        Ok(Value::String(words)) => ToolAnswer::Result(one_line(&words)),
        // A number stays as it was written, and so does a list but for its line breaks.
        _ => ToolAnswer::Result(one_line(&text)),
    }
}

/// What `{"result":…}` or `{"error":…}` says.
pub(super) fn said(entry: &Value) -> Option<ToolAnswer> {
    match (entry.get("result"), entry.get("error").filter(|error| !error.is_null())) {
        (None | Some(Value::Null), Some(error)) => Some(ToolAnswer::Error(words(error))),
        (Some(result), _) => Some(ToolAnswer::Result(words(result))),
        (None, None) => None,
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => DONE.to_owned(),
        Value::String(words) => one_line(words),
        other => one_line(&other.to_string()),
    }
}

/// Line breaks of every kind, and whatever else moves a printer's head, become one space.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST));
    let breaks = |it: char| it.is_control() || it.is_whitespace() || matches!(it, '\u{2028}' | '\u{2029}' | '\u{feff}');
    for word in text.split(breaks).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => line.truncate(end),
        None if line.is_empty() => DONE.clone_into(&mut line),
        None => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::{ToolAnswer, answer_of};

    fn result(text: &str) -> ToolAnswer {
        ToolAnswer::Result(text.to_owned())
    }

    fn error(text: &str) -> ToolAnswer {
        ToolAnswer::Error(text.to_owned())
    }

    #[test]
    fn every_form_of_an_answer_becomes_a_line() {
        for (body, answer) in [
            ("It ships on Monday.", result("It ships on Monday.")),
            ("It ships\r\n\ton  Monday.\n", result("It ships on Monday.")),
            ("one\u{2028}two\u{85}three\0four", result("one two three four")),
            ("\"in quotes\"", result("in quotes")),
            ("007", result("007")),
            ("1.50", result("1.50")),
            ("true", result("true")),
            ("", result("Done.")),
            (" \n ", result("Done.")),
            (r#"{"result":"a\nb"}"#, result("a b")),
            (r#"{"result":{"b":1,"a":"x\ny"}}"#, result(r#"{"a":"x\ny","b":1}"#)),
            (r#"{"result":null}"#, result("Done.")),
            (r#"{"result":false,"error":null}"#, result("false")),
            (r#"{"error":"no\nsuch order"}"#, error("no such order")),
            (r#"{"result":null,"error":"gone"}"#, error("gone")),
            (r#"{"error":{"code":7}}"#, error(r#"{"code":7}"#)),
            (r#"{"results":[{"toolCallId":"s","result":"not this"},{"toolCallId":"t","result":"this"}]}"#, result("this")),
            ("{\"day\":\n \"Monday\"}", result(r#"{"day": "Monday"}"#)),
            ("[1,\n2]", result("[1, 2]")),
            ("<h1>Hello</h1>", result("<h1>Hello</h1>")),
        ] {
            assert_eq!(answer_of(body.as_bytes(), "t"), answer, "{body:?}");
        }
        assert_eq!(answer_of(b"\xff\xfe", "t"), result("\u{fffd}\u{fffd}"));
    }

    proptest! {
        #[test]
        fn whatever_it_answers_is_one_line_that_is_not_empty(body: Vec<u8>, words in "\\PC*[\\n\\r\\t ]{0,3}\\PC*") {
            for body in [&body[..], words.as_bytes(), serde_json::json!({"result": words}).to_string().as_bytes()] {
                let (ToolAnswer::Result(line) | ToolAnswer::Error(line)) = answer_of(body, "t");
                prop_assert!(!line.is_empty() && !line.contains(['\n', '\r', '\u{2028}']), "{line:?}");
            }
        }
    }
}
