//! What pollers see of a record.

mod analysis;
mod defaults;
mod keys;
mod outcome;
mod session;
mod snapshot;
mod times;
mod words;

use ringback::call::{
    field::{Rank, Stamped},
    join::join,
    json::Json,
    record::CallRecord,
    time::Millis,
    view::{CallResult, Meta, View},
};
use serde_json::Value;

use crate::support::{bodies::CALL, vapi::id};

/// A record as pollers see it.
fn seen(record: &CallRecord, view: View) -> Value {
    serde_json::to_value(CallResult::of(&id(CALL), record, Meta::default(), view, "https://ringback.example.com"))
        .expect("a view serialises")
}

/// The full view of several facts joined.
fn full(parts: impl IntoIterator<Item = CallRecord>) -> Value {
    seen(&parts.into_iter().reduce(join).unwrap_or_default(), View::Full)
}

#[expect(clippy::unnecessary_wraps, reason = "what a field is")]
fn stamped<T>(value: T) -> Option<Stamped<T>> {
    Some(Stamped { value, rank: Rank::REPORT, sent_at: None })
}

fn words(value: &str) -> Option<Stamped<String>> {
    stamped(value.to_owned())
}

fn data(value: &Value) -> CallRecord {
    CallRecord { structured_data: stamped(Json::from_value(value)), ..CallRecord::default() }
}

/// `{key: value}` as metadata of the call.
fn metadata(value: &Value) -> CallRecord {
    let stamp = |value: &Value| Stamped { value: Json::from_value(value), rank: Rank::CALL_METADATA, sent_at: None };
    let metadata = value.as_object().expect("an object").iter().map(|(key, value)| (key.clone(), stamp(value))).collect();
    CallRecord { metadata, ..CallRecord::default() }
}

/// A report with this reason.
fn report(reason: &str) -> CallRecord {
    CallRecord { reported: true, ended_reason: if reason.is_empty() { None } else { words(reason) }, ..CallRecord::default() }
}

/// The call was picked up.
fn picked_up() -> CallRecord {
    CallRecord { started_at: stamped(Millis(1_778_751_004_000)), ..CallRecord::default() }
}

/// What stands at `path`, its parts divided by dots.
fn at<'a>(shown: &'a Value, path: &str) -> &'a Value {
    shown.pointer(&format!("/{}", path.replace('.', "/"))).unwrap_or_else(|| panic!("{path} is not there"))
}
