//! Events of older senders, `{"type":…,"data":{…}}`, become the messages that Vapi sends today.

use serde_json::{Map, Value, json};

/// What such a sender says. The words are the whole list: anything else is no flat event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flat {
    /// A line that was said.
    Message,
    /// The report.
    CallEnd,
    /// A question to a tool.
    FunctionCall,
    /// Something went wrong there.
    Error,
}

/// Where the words of a line stand, by preference.
const WORDS: [&str; 4] = ["transcript", "content", "message", "text"];
/// Where the call's id stands, by preference.
const IDS: [&str; 2] = ["callId", "call_id"];

/// The message that a flat event stands for; `None` when the body is none.
#[must_use]
pub fn unflattened(body: &[u8]) -> Option<(Flat, Vec<u8>)> {
    let Value::Object(mut event) = serde_json::from_slice(body).ok()? else { return None };
    if event.get("message").is_some_and(Value::is_object) {
        return None;
    }
    let flat = match event.get("type")?.as_str()? {
        "message" => Flat::Message,
        "call-end" => Flat::CallEnd,
        "function-call" => Flat::FunctionCall,
        "error" => Flat::Error,
        _ => return None,
    };
    let data = event.remove("data").filter(Value::is_object);
    let Value::Object(data) = data.unwrap_or_else(|| json!({})) else { return None };
    let message = named(flat, &data);
    let message = with_time(with_call(message, &event, &data), &event);
    Some((flat, json!({"message": message}).to_string().into_bytes()))
}

fn named(flat: Flat, data: &Map<String, Value>) -> Map<String, Value> {
    let mut message = data.clone();
    let kind = match flat {
        Flat::Message => {
            let words = WORDS.iter().filter_map(|key| data.get(*key)).find(|words| words.is_string());
            message.insert("transcript".to_owned(), words.cloned().unwrap_or_default());
            message.insert("transcriptType".to_owned(), json!("final"));
            "transcript"
        }
        Flat::CallEnd => {
            if let (None, Some(seconds)) = (data.get("durationSeconds"), data.get("duration")) {
                message.insert("durationSeconds".to_owned(), seconds.clone());
            }
            "end-of-call-report"
        }
        Flat::FunctionCall => {
            if !data.get("functionCall").is_some_and(Value::is_object) {
                message.insert("functionCall".to_owned(), Value::Object(data.clone()));
            }
            "function-call"
        }
        Flat::Error => "error",
    };
    message.insert("type".to_owned(), json!(kind));
    message
}

/// The call is named beside the data, in it, or in a call object in either.
fn with_call(mut message: Map<String, Value>, event: &Map<String, Value>, data: &Map<String, Value>) -> Map<String, Value> {
    let text = |object: &Map<String, Value>, key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    let within = |object: &Map<String, Value>| object.get("call").and_then(Value::as_object).and_then(|call| text(call, "id"));
    let beside = |object: &Map<String, Value>| IDS.iter().find_map(|key| text(object, key));
    let id = within(data).or_else(|| within(event)).or_else(|| beside(data)).or_else(|| beside(event));
    if let Some(id) = id {
        let call = message.entry("call").or_insert_with(|| json!({}));
        if !call.is_object() {
            *call = json!({});
        }
        call["id"] = json!(id);
    }
    message
}

fn with_time(mut message: Map<String, Value>, event: &Map<String, Value>) -> Map<String, Value> {
    if let (None, Some(at)) = (message.get("timestamp"), event.get("timestamp")) {
        message.insert("timestamp".to_owned(), at.clone());
    }
    message
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Flat, unflattened};

    fn message(event: &Value) -> (Flat, Value) {
        let (flat, body) = unflattened(event.to_string().as_bytes()).unwrap();
        (flat, serde_json::from_slice::<Value>(&body).unwrap()["message"].take())
    }

    #[test]
    fn each_word_becomes_the_message_of_today() {
        let (flat, line) =
            message(&json!({"type": "message", "timestamp": 7, "data": {"callId": "c", "role": "user", "content": "Hello."}}));
        assert_eq!((flat, &line["type"], &line["transcript"]), (Flat::Message, &json!("transcript"), &json!("Hello.")));
        assert_eq!((&line["call"]["id"], &line["timestamp"], &line["transcriptType"]), (&json!("c"), &json!(7), &json!("final")));
        let (flat, report) = message(&json!({"type": "call-end", "data": {"call": {"id": "c"}, "duration": 61, "summary": "Done."}}));
        assert_eq!((flat, &report["type"], &report["durationSeconds"]), (Flat::CallEnd, &json!("end-of-call-report"), &json!(61)));
        let (flat, question) = message(&json!({"type": "function-call", "callId": "c", "data": {"name": "f", "parameters": {"a": 1}}}));
        assert_eq!((flat, &question["functionCall"]["name"], &question["call"]["id"]), (Flat::FunctionCall, &json!("f"), &json!("c")));
        assert_eq!(message(&json!({"type": "error", "data": null})), (Flat::Error, json!({"type": "error"})));
    }

    #[test]
    fn anything_else_is_no_flat_event() {
        for other in [json!({"message": {"type": "hang"}, "type": "message"}), json!({"type": "hang", "data": {}}), json!([1]), json!({})] {
            assert_eq!(unflattened(other.to_string().as_bytes()), None, "{other}");
        }
        assert_eq!(unflattened(b"no json"), None);
    }
}
