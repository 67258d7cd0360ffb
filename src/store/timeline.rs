//! What happened to a call.

use crate::call::time::Millis;

/// One entry of a call's timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineEntry {
    /// When it reached us.
    pub at: Millis,
    /// `delivery`, `fetch`, `settled`, `deleted`.
    pub kind: String,
    /// The message's type, or `rest`.
    pub source: String,
    /// The event's id.
    pub event_id: String,
    /// When the sender says it was sent.
    pub sent_at: Option<Millis>,
    /// The proof that let it in.
    pub proof: Option<String>,
    /// A repeat of an event that was there before.
    pub duplicate: bool,
    /// What it changed, by the names of `CallResult`.
    pub changed: Vec<String>,
    /// The version it led to.
    pub version: Option<u64>,
    /// A line of explanation.
    pub details: Option<String>,
    /// Its facts could be read.
    pub folded: bool,
    /// The redacted body as JSON text, when asked for and still kept.
    pub body: Option<String>,
}
