//! Tool calls, in the forms in which they are asked and repeated.

use ringback::call::{
    join::join,
    record::{CallRecord, ToolAnswer},
};
use serde_json::json;

use crate::support::bodies::{CALL, MADE, facts, read_value};

/// Name, arguments, answer and milliseconds since the call was made.
fn shown(record: &CallRecord, id: &str) -> (String, String, Option<ToolAnswer>, Option<i64>) {
    let call = &record.tool_calls[id];
    let name = call.name.as_ref().map(|it| it.value.clone()).unwrap_or_default();
    let arguments = call.arguments.as_ref().map(|it| it.value.as_str().to_owned()).unwrap_or_default();
    (name, arguments, call.answer.as_ref().map(|it| it.value.clone()), call.at.map(|at| at.since(MADE)))
}

#[expect(clippy::unnecessary_wraps, reason = "what a field is")]
fn result(text: &str) -> Option<ToolAnswer> {
    Some(ToolAnswer::Result(text.to_owned()))
}

#[test]
fn arguments_come_as_object_as_text_and_as_parameters() {
    let object = facts("tool-calls");
    let arguments = r#"{"order":"HG-114","token":"[redacted]"}"#.to_owned();
    assert_eq!(
        shown(&object, "call_Seed01"),
        ("find_order".to_owned(), arguments, None, Some(12_000)),
        "first asked at 12.0 s, says the artifact"
    );
    assert_eq!(shown(&object, "call_Alder2").3, Some(12_100));
    let text = facts("tool-calls-text-arguments");
    let arguments = r#"{"api_key":"[redacted]","day":"Friday"}"#.to_owned();
    assert_eq!(shown(&text, "toolu_Moss3"), ("book".to_owned(), arguments, None, Some(12_100)));
    let flat = facts("tool-calls-flat");
    assert_eq!(shown(&flat, "note-1"), ("send_note".to_owned(), r#"{"to":"fern@example.net"}"#.to_owned(), None, None));
}

#[test]
fn arguments_that_are_no_json_stay_as_they_are() {
    let message = |arguments| json!({"message": {"type": "tool-calls", "call": {"id": CALL}, "toolCallList": [{"id": "t", "function": {"name": "n", "arguments": arguments}}]}});
    let of = |arguments| shown(&read_value(message(arguments)).event.facts, "t").1;
    assert_eq!(of(json!("half {")), r#""half {""#);
    assert_eq!(of(json!("{}")), "", "nothing is nothing");
    assert_eq!(of(json!("[1, 2]")), "[1,2]");
    assert_eq!(of(json!(null)), "");
}

#[test]
fn question_and_answer_come_from_different_events() {
    let (asked, answered) = (facts("tool-calls"), facts("end-of-call-report"));
    let arguments = r#"{"order":"HG-114","token":"[redacted]"}"#.to_owned();
    let expected = ("find_order".to_owned(), arguments, result("HG-114: 40 seedlings, paid"), Some(12_000));
    for record in [join(asked.clone(), answered.clone()), join(answered, asked)] {
        assert_eq!(shown(&record, "call_Seed01"), expected);
        assert_eq!(shown(&record, "call_Alder2").2, None, "nobody answered that one");
    }
}

#[test]
fn a_question_keeps_the_answer_that_its_own_message_brings() {
    let message = json!({"message": {"type": "tool-calls", "timestamp": MADE.0 + 9_000, "call": {"id": CALL}, "toolCallList": [{"id": "t", "function": {"name": "n"}}],
        "artifact": {"messages": [
            {"role": "tool_calls", "toolCalls": [{"id": "t", "function": {"name": "n", "arguments": "{\"a\":1}"}}], "time": MADE.0 + 8_000},
            {"role": "tool_call_result", "toolCallId": "t", "name": "n", "result": {"wait": true}}]}}});
    let record = *read_value(message).event.facts;
    assert_eq!(shown(&record, "t"), ("n".to_owned(), r#"{"a":1}"#.to_owned(), result(r#"{"wait":true}"#), Some(8_000)));
}

#[test]
fn an_answer_alone_tells_the_name() {
    let message = json!({"message": {"type": "hang", "call": {"id": CALL}, "messages": [{"role": "tool_call_result", "toolCallId": "t", "name": "n", "result": "done"}]}});
    assert_eq!(shown(&read_value(message).event.facts, "t"), ("n".to_owned(), String::new(), result("done"), None));
}

#[test]
fn an_old_function_call_is_the_open_question_of_its_name() {
    let asked = facts("function-call");
    assert_eq!(asked.tool_calls.len(), 1, "{:?}", asked.tool_calls.keys());
    assert_eq!(shown(&asked, "call_Name1").1, r#"{"name":"Rowan"}"#);
    let record = join(asked, facts("end-of-call-report-2024-07"));
    assert_eq!(record.tool_calls.len(), 1);
    assert_eq!(shown(&record, "call_Name1").2, result("saved"));
}

#[test]
fn an_old_function_call_without_messages_is_named_after_its_event() {
    let asked = facts("function-call-alone");
    let id = asked.tool_calls.keys().next().unwrap();
    assert!(id.starts_with("function-call-") && id.len() == "function-call-".len() + 16, "{id}");
    assert_eq!(shown(&asked, id).0, "save_name");
    assert!(
        read_value(json!({"message": {"type": "function-call", "call": {"id": CALL}}})).event.facts.tool_calls.is_empty(),
        "nothing asked"
    );
}

#[test]
fn a_tool_without_an_id_is_not_a_call_but_fails_nothing() {
    let message = json!({"message": {"type": "tool-calls", "call": {"id": CALL}, "toolCallList": [{"function": {"name": "n"}}, null, 5, "x", {"id": 9}]}});
    assert!(read_value(message).event.facts.tool_calls.is_empty());
}
