//! Something heard about a call. Whatever it was in Vapi's words, inward it is this.

use bytes::Bytes;

use super::{id::CallId, record::CallRecord, time::Millis};

/// What kind of thing happened, as the timeline names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A webhook arrived.
    Delivery,
    /// Vapi answered, or did not.
    Fetch,
    /// We placed the call, or tried to.
    Placed,
    /// A tool was about to be asked, or answered.
    Tool,
    /// Policy settled the call.
    Settled,
    /// The report counts as lost.
    Recovered,
    /// The call was erased.
    Deleted,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Delivery, Self::Fetch, Self::Placed, Self::Tool, Self::Settled, Self::Recovered, Self::Deleted];

    /// The timeline's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Fetch => "fetch",
            Self::Placed => "placed",
            Self::Tool => "tool",
            Self::Settled => "settled",
            Self::Recovered => "recovered",
            Self::Deleted => "deleted",
        }
    }
}

/// How much of an event is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The redacted body.
    Whole,
    /// The redacted words; an older one of the same source gives way (the longest conversation-update).
    Replacing,
    /// Nothing: it makes no facts and only feeds streams and counters.
    Nothing,
}

/// One event, immutable. `id` decides what is a repeat.
#[derive(Debug, Clone)]
pub struct CallEvent {
    /// `webhook-id` under a Standard Webhooks proof, else SHA-256 of the canonical redacted body; a UUID for our own.
    pub id: String,
    /// What happened.
    pub kind: EventKind,
    /// The message's type, or `rest`.
    pub source: String,
    /// The call it is about, if it names one.
    pub call_id: Option<CallId>,
    /// When the sender says it was sent.
    pub sent_at: Option<Millis>,
    /// When it reached us.
    pub received_at: Millis,
    /// The proof that let it in; `None` for our own and for open loopback webhooks.
    pub proof: Option<&'static str>,
    /// How much of it is stored.
    pub keep: Keep,
    /// What it states. Boxed: a record is large.
    pub facts: Box<CallRecord>,
    /// False when its facts could not be read: stored raw, for the next version.
    pub folded: bool,
    /// The redacted body, canonical JSON; empty when there is none.
    pub body: Bytes,
    /// A line for the timeline, such as why a fetch failed.
    pub details: Option<String>,
}

impl CallEvent {
    /// An event of our own, with an id nobody else has, which states nothing yet.
    #[must_use]
    pub fn ours(kind: EventKind, call_id: Option<CallId>, at: Millis) -> Self {
        Self {
            id: uuid::Uuid::now_v7().to_string(),
            kind,
            source: String::new(),
            call_id,
            sent_at: Some(at),
            received_at: at,
            proof: None,
            keep: Keep::Whole,
            facts: Box::default(),
            folded: true,
            body: Bytes::new(),
            details: None,
        }
    }

    /// The event as the store takes it: the facts are in the record by then.
    #[must_use]
    pub fn without_facts(&self) -> Self {
        Self {
            id: self.id.clone(),
            kind: self.kind,
            source: self.source.clone(),
            call_id: self.call_id.clone(),
            sent_at: self.sent_at,
            received_at: self.received_at,
            proof: self.proof,
            keep: self.keep,
            facts: Box::default(),
            folded: self.folded,
            body: self.body.clone(),
            details: self.details.clone(),
        }
    }
}
