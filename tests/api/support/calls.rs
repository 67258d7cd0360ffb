//! Calls that stories are about.

use ringback::{
    call::time::{Millis, SECOND},
    simulate::CallScript,
};
use serde_json::{Value, json};

use super::vapi::START;

/// A minute before the story begins: calls of then have ended by now.
pub(crate) const BEFORE: Millis = Millis(START.0 - 60 * SECOND);

/// A talk with everything that was promised.
pub(crate) fn talk(id: &str) -> CallScript {
    CallScript::talk(id, BEFORE)
}

/// A talk whose analysis comes late.
pub(crate) fn late_talk(id: &str) -> CallScript {
    talk(id).without_analysis()
}

/// A call that nobody picked up.
pub(crate) fn unanswered(id: &str) -> CallScript {
    CallScript::unanswered(id, BEFORE, "customer-did-not-answer")
}

/// A message of this type about a call, with no more than it needs.
pub(crate) fn message(kind: &str, id: &str, fields: Value) -> Value {
    let mut message = json!({"type": kind, "timestamp": START.0, "call": {"id": id}});
    if let Value::Object(fields) = fields {
        fields.into_iter().for_each(|(key, value)| message[key] = value);
    }
    json!({"message": message})
}

/// A message of this type about no call.
pub(crate) fn message_of_no_call(kind: &str, fields: Value) -> Value {
    let mut body = message(kind, "", fields);
    body["message"].as_object_mut().expect("an object").remove("call");
    body
}

/// The path of a call.
pub(crate) fn path(id: &str) -> String {
    format!("/api/v1/vapi/calls/{id}")
}

/// The path of its result, with a query.
pub(crate) fn result(id: &str, query: &str) -> String {
    format!("{}/result?{query}", path(id))
}
