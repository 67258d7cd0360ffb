//! The face that looks like Vapi: what its SDKs send and expect.

mod changing;
mod listing;
mod other;
mod placing;
mod reading;
mod refusals;

use serde_json::{Value, json};

use crate::support::{answer::Answer, app::TestApp, ask::Ask};

/// Where calls are made and listed.
pub(crate) const CALL: &str = "/vapi/call";

/// What an SDK sends for a saved assistant.
pub(crate) fn saved() -> Value {
    json!({"assistantId": "nora", "customer": {"number": "+15551234567", "name": "Hill Plumbing"}, "metadata": {"team": "north"}})
}

pub(crate) fn asking<'a>(app: &'a TestApp, body: &Value) -> Ask<'a> {
    app.ask("POST", CALL).body(body.to_string())
}

/// The call that an answer with this status tells.
#[track_caller]
pub(crate) fn call(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    answer.json()
}

/// Its id.
pub(crate) fn id(call: &Value) -> String {
    call["id"].as_str().unwrap_or_else(|| panic!("{call}")).to_owned()
}

/// Places a call, and tells its id.
pub(crate) async fn placed(app: &TestApp) -> String {
    id(&call(&asking(app, &saved()).send().await, 201))
}

/// How often Vapi was asked for a new call.
pub(crate) fn sent(app: &TestApp) -> usize {
    app.vapi.count("POST", "/call")
}

/// The address of a call.
pub(crate) fn at(id: &str) -> String {
    format!("{CALL}/{id}")
}

/// The message of a refusal, which must have this status.
#[track_caller]
pub(crate) fn words(answer: &Answer, status: u16) -> String {
    let message = &call(answer, status)["message"];
    message.as_str().map_or_else(|| message.to_string(), str::to_owned)
}
