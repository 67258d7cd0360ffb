//! Calls are placed, and each one once.

mod bodies;
mod callbacks;
mod cancel;
mod erased;
mod faults;
mod kestra;
mod keys;
mod late;
mod limits;
mod many;
mod once;
mod searching;
mod stalled;
mod unheard;

use ringback::dial::{CallMethod, Key, Order, Wanted};
use serde_json::{Value, json};

use crate::support::{answer::Answer, app::TestApp, ask::Ask};

pub(crate) const CALLS: &str = "/api/v1/vapi/calls";

/// What somebody asks for.
pub(crate) fn request() -> Value {
    json!({"providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap"})
}

pub(crate) fn asking<'a>(app: &'a TestApp, body: &Value) -> Ask<'a> {
    app.ask("POST", CALLS).body(body.to_string())
}

pub(crate) async fn place(app: &TestApp) -> Answer {
    asking(app, &request()).send().await
}

/// The same, as it is ordered of the dialer.
fn order(key: Option<Key>) -> Order {
    let wanted = Wanted::parse(&request()).expect("it is fine");
    Order { wanted, method: CallMethod::DirectVapi, callback: None, token: None, key, hash: "a hash".to_owned() }
}

/// The id that an answer is about.
pub(crate) fn id(answer: &Answer) -> String {
    answer.json()["callId"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

/// How often Vapi was asked for a new call.
pub(crate) fn sent(app: &TestApp) -> usize {
    app.vapi.count("POST", "/call")
}

/// What Vapi was asked for the last time.
pub(crate) fn asked(app: &TestApp) -> Value {
    let mut requests = app.vapi.requests();
    requests.retain(|request| request.method == "POST");
    requests.pop().expect("a call was asked for").body
}

/// The one call that Vapi has.
pub(crate) fn vapis_call(app: &TestApp) -> String {
    app.vapi.calls().pop().expect("Vapi has a call")
}

/// How long before everything that was played is heard.
pub(crate) async fn played(app: &TestApp) {
    app.vapi.played().await;
}
