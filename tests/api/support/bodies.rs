//! Bodies as Vapi sends them, written by us in the shape of real ones, and what is read of them.

use ringback::{
    call::{event::CallEvent, record::CallRecord, time::Millis},
    vapi::{
        call::{self, Answer},
        message::{self, Delivery, Inbound},
    },
};

use super::vapi::id;

/// When the call of the fixtures was made: 2026-05-14T09:30:00Z.
pub(crate) const MADE: Millis = Millis(1_778_751_000_000);
/// When its bodies reach us.
pub(crate) const NOW: Millis = Millis(MADE.0 + 3_600_000);
/// The call of most fixtures.
pub(crate) const CALL: &str = "019e2609-4c00-7a1b-8c3d-2e4f60718293";
/// A web call.
pub(crate) const WEB_CALL: &str = "019e2609-9d11-7b2c-9d4e-3f5061728394";
/// A call of 2024.
pub(crate) const OLD_CALL: &str = "5d0c3b7e-91f4-4f2a-b6de-0a1c2e3f4b5d";

/// A fixture of a webhook body.
pub(crate) fn body(name: &str) -> Vec<u8> {
    fixture("messages", name)
}

/// A fixture of a REST object.
pub(crate) fn rest_body(name: &str) -> Vec<u8> {
    fixture("calls", name)
}

fn fixture(kind: &str, name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/vapi/{kind}/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reads a body as it would come in at `NOW`.
pub(crate) fn read(body: &[u8]) -> Inbound {
    message::read(body, Delivery::default(), NOW).expect("a usable body")
}

/// Reads a value as if it were a webhook's body.
#[expect(clippy::needless_pass_by_value, reason = "json!(…) is handed over at every place")]
pub(crate) fn read_value(value: serde_json::Value) -> Inbound {
    read(value.to_string().as_bytes())
}

/// What a webhook body of the fixtures states.
pub(crate) fn heard(name: &str) -> CallEvent {
    read(&body(name)).event
}

/// What it states as a record.
pub(crate) fn facts(name: &str) -> CallRecord {
    *heard(name).facts
}

/// Reads a REST object of the fixtures, answered at `at`.
pub(crate) fn answered(name: &str, at: Millis) -> Answer {
    call::read(&rest_body(name), &id(CALL), at).expect("the object of this call")
}

/// What it states as a record.
pub(crate) fn rest_facts(name: &str) -> CallRecord {
    *answered(name, NOW).event.facts
}
