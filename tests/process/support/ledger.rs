//! What was sent, what was acknowledged, and whether a service has it.

use std::{collections::BTreeMap, path::Path};

use ringback::call::time::Millis;
use serde_json::Value;

use super::{messages::Message, service::Service};

/// A message that was sent, and whether a 200 came back.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) message: Message,
    pub(crate) acknowledged: bool,
}

/// What was sent about each call.
pub(crate) type Ledger = BTreeMap<String, Vec<Sent>>;

/// What was sent, by call.
pub(crate) fn ledger(sent: impl IntoIterator<Item = Sent>) -> Ledger {
    let mut ledger = Ledger::new();
    for sent in sent {
        ledger.entry(sent.message.call.clone()).or_default().push(sent);
    }
    ledger
}

/// Every acknowledged message is there, once; what is there is whole.
pub(crate) fn check(service: &Service, ledger: &Ledger) {
    let mut wire = service.wire();
    for (call, sent) in ledger {
        // A connection may have been closed as idle, when the machine slept.
        let mut ask = |path: &str| {
            wire.ask("GET", path, &[], b"").unwrap_or_else(|_| {
                wire = service.wire();
                wire.ask("GET", path, &[], b"").expect("an answer")
            })
        };
        let timeline = ask(&format!("/api/v1/vapi/calls/{call}/timeline"));
        let known = ask(&format!("/api/v1/vapi/calls/{call}"));
        let result = ask(&format!("/api/v1/vapi/calls/{call}/result"));
        let story = format!("{sent:?}\n{}\n{}", timeline.json(), result.json());
        let entries = timeline.json()["data"].as_array().cloned().unwrap_or_default();
        for one in sent {
            let found = entries.iter().filter(|entry| is_of(entry, &one.message) && entry["duplicate"] == false).count();
            assert!(found == 1 || (found == 0 && !one.acknowledged), "{:?} is there {found} times\n{story}", one.message);
        }
        assert_eq!(timeline.status, if entries.is_empty() { 404 } else { 200 }, "{story}");
        let reported = entries.iter().any(|entry| entry["source"] == "end-of-call-report");
        assert_eq!(known.status, if reported { 200 } else { 404 }, "{story}");
        is_whole(&entries, &result.json(), &story);
    }
}

fn is_of(entry: &Value, message: &Message) -> bool {
    let at = entry["sentAt"].as_str().and_then(Millis::parse_rfc3339);
    entry["source"] == message.kind && at == Some(message.sent_at)
}

/// An event, its record and what policy made of it were committed together: the record says what the events say.
fn is_whole(entries: &[Value], result: &Value, story: &str) {
    let has = |source: &str| entries.iter().any(|entry| entry["source"] == source && entry["kind"] == "delivery");
    let settled = entries.iter().filter(|entry| entry["kind"] == "settled").count();
    let (reported, data) = (has("end-of-call-report"), &result["data"]);
    assert_eq!(settled, usize::from(reported), "without a key a report settles its call in the same commit\n{story}");
    assert_eq!(result["done"], Value::Bool(reported), "{story}");
    assert_eq!(data["webhookReceivedAt"].is_string(), reported, "{story}");
    assert_eq!(!data["analysis"]["summary"].as_str().unwrap_or_default().is_empty(), reported, "{story}");
    let words = data["messages"].as_array().map_or(0, Vec::len);
    assert!(words > 0 || !(reported || has("transcript")), "{story}");
    let versions = entries.iter().filter_map(|entry| entry["version"].as_u64()).max();
    assert_eq!(data["version"].as_u64().filter(|version| *version > 0), versions, "{story}");
}

/// SQLite itself finds nothing wrong with the file.
pub(crate) fn is_sound(store: &Path) {
    let db = rusqlite::Connection::open(store).expect("the file opens");
    let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
    assert_eq!(verdict, "ok");
}
