//! The lines of an export: JSON, one thing a line. The first is a head, the last an end; without that one, something is missing.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    call::{
        event::{CallEvent, EventKind, Keep},
        id::CallId,
        record::{CallRecord, FetchReason},
        time::Millis,
    },
    store::{Due, StoredCall, TimelineEntry, moving::PastEvent},
};

/// Of what is written here. A reader refuses a greater one.
pub const FORMAT: u32 = 1;
/// The message whose body other programs read as the raw report.
const REPORT: &str = "end-of-call-report";

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// The first line.
    Ringback(Head),
    /// A call with everything that happened to it.
    Call(Box<MovedCall>),
    /// An event that belongs to no record, and each repeat of it.
    Event(Box<MovedEvent>),
    /// A deleted call.
    Tombstone(MovedGrave),
    /// The last line.
    End(End),
}

/// What opens an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// [`FORMAT`].
    pub format: u32,
    /// The release that wrote it.
    pub version: String,
    /// When it was begun, in epoch milliseconds.
    pub exported_at: i64,
    /// The key of the tombstones' hashes, base64.
    pub tombstone_key: String,
}

/// What closes an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many lines there are, head and end included.
    pub lines: u64,
}

/// A call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedCall {
    /// Its id.
    pub id: CallId,
    /// Counts every write.
    pub revision: u64,
    /// Counts what a poller saw change.
    pub version: u64,
    /// Counts what was told of it.
    #[serde(default)]
    pub news: u64,
    /// First heard of.
    pub created_at: Millis,
    /// Last changed.
    pub updated_at: Millis,
    /// When Vapi is to be asked next: `enrich`, `manual` or `check`, and when.
    #[serde(default)]
    pub due: Option<(String, Millis)>,
    /// All its facts.
    pub record: CallRecord,
    /// What happened to it, repeats included.
    #[serde(default)]
    pub events: Vec<MovedEvent>,
}

/// An event, or a repeat of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedEvent {
    /// Its id.
    pub id: String,
    /// The call it is about, if that is not said by the line it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<CallId>,
    /// The timeline's word.
    pub kind: String,
    /// The message's type.
    pub source: String,
    /// When it reached us.
    pub at: Millis,
    /// When it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Millis>,
    /// The proof that let it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// A repeat.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// What it changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// The version it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// A line of explanation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// Its facts could not be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    /// The redacted body: a text that holds JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Where an export goes on behind this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// A tombstone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedGrave {
    /// The hash of the call's id, base64.
    pub hash: String,
    /// When it was deleted, in epoch milliseconds.
    pub at: i64,
}

impl MovedCall {
    /// The line of a call and its timeline.
    #[must_use]
    pub fn of(call: &StoredCall, timeline: Vec<TimelineEntry>) -> Self {
        let due = call.due.map(|due| (word(due.reason).to_owned(), due.at));
        Self {
            id: call.id.clone(),
            revision: call.revision,
            version: call.version,
            news: call.news,
            created_at: call.created_at,
            updated_at: call.updated_at,
            due,
            record: call.record.clone(),
            events: timeline.into_iter().map(|entry| MovedEvent::of(None, entry)).collect(),
        }
    }

    /// The call, and what happened to it.
    #[must_use]
    pub fn parts(self) -> (StoredCall, Vec<MovedEvent>) {
        let due = self.due.map(|(word, at)| Due { at, reason: reason(&word) });
        let Self { id, revision, version, news, created_at, updated_at, record, events, .. } = self;
        (StoredCall { id, record, revision, version, created_at, updated_at, due, news }, events)
    }
}

fn word(reason: FetchReason) -> &'static str {
    match reason {
        FetchReason::Enrich => "enrich",
        FetchReason::Manual => "manual",
        FetchReason::Check => "check",
    }
}

/// What a later release says is looked at like a check: to look is never wrong.
fn reason(word: &str) -> FetchReason {
    match word {
        "enrich" => FetchReason::Enrich,
        "manual" => FetchReason::Manual,
        _ => FetchReason::Check,
    }
}

impl MovedEvent {
    /// An entry of a timeline; `call_id` where the line does not say it.
    #[must_use]
    pub fn of(call_id: Option<CallId>, entry: TimelineEntry) -> Self {
        Self {
            id: entry.event_id,
            call_id,
            kind: entry.kind,
            source: entry.source,
            at: entry.at,
            sent_at: entry.sent_at,
            proof: entry.proof,
            duplicate: entry.duplicate,
            changed: entry.changed,
            version: entry.version,
            details: entry.details,
            unread: !entry.folded,
            body: entry.body,
            place: None,
        }
    }

    /// The event, about this call or none; `None` when only a later release knows what it is.
    #[must_use]
    pub fn past(self, call_id: Option<CallId>) -> Option<PastEvent> {
        let kind = EventKind::ALL.into_iter().find(|kind| kind.as_str() == self.kind)?;
        let proof = self.proof.map(|word| ["secret", "bearer", "signature", "standard"].into_iter().find(|it| *it == word));
        let reported = self.source == REPORT;
        let event = CallEvent {
            id: self.id,
            kind,
            source: self.source,
            call_id,
            sent_at: self.sent_at,
            received_at: self.at,
            proof: proof.flatten(),
            keep: Keep::Whole,
            // Not stored again: only so that the report is known for what it is.
            facts: Box::new(CallRecord { reported, ..CallRecord::default() }),
            folded: !self.unread,
            body: self.body.map(Bytes::from).unwrap_or_default(),
            details: self.details,
        };
        Some(PastEvent { event, changed: self.changed, version: self.version })
    }
}

/// Bytes as lines have them.
#[must_use]
pub fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Those bytes again.
#[must_use]
pub fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
