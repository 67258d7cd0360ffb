//! All facts of one call. A record is also what one event states: then only few fields are set.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    field::{Cost, Field, Longest, Measured, Stamped},
    json::Json,
    time::Millis,
};

mod assistant;
mod fetch;

pub use assistant::{Output, Promise, Promises, ToolAnswer, ToolCall};
pub use fetch::{Fetch, FetchOutcome, FetchReason, Settled};

/// Where the line is. The order is the order in which it advances; it never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallState {
    /// Nothing heard of the line.
    #[default]
    Unknown,
    /// Planned for later.
    Scheduled,
    /// Waiting for a line.
    Queued,
    /// The phone rings.
    Ringing,
    /// Somebody talks.
    InProgress,
    /// Handed over to another number.
    Forwarding,
    /// The line dropped.
    Ended,
}

impl CallState {
    /// Vapi's word for it, the `callStatus` that pollers see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Forwarding => "forwarding",
            Self::Ended => "ended",
        }
    }

    /// Was the call picked up, as far as this state tells?
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::InProgress | Self::Forwarding)
    }
}

/// Who said a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The assistant.
    Bot,
    /// The person at the other end.
    User,
}

impl Speaker {
    /// How Vapi opens this speaker's lines in a transcript.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Bot => "AI",
            Self::User => "User",
        }
    }

    /// The `role` that pollers see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::User => "user",
        }
    }
}

/// One thing said. Never a system prompt, never blank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who said it.
    pub role: Speaker,
    /// The words.
    pub message: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Millis>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Millis>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,
    /// Seconds from the start of the call; may be negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_from_start: Option<f64>,
}

impl Measured for Arc<[Message]> {
    fn measure(&self) -> usize {
        self.len()
    }
    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A final transcript line, heard live.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// When it was sent.
    pub sent_at: Option<Millis>,
    /// Who said it.
    pub role: Speaker,
    /// The words.
    pub text: String,
}

/// The join of everything heard about one call.
///
/// Stored as JSON; every field may be absent, so that neighbouring versions read each other's records.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "what was heard, each joined by OR; no state machine")]
pub struct CallRecord {
    /// Where the line is: the furthest state heard.
    pub state: CallState,
    /// In-progress or forwarding was heard.
    pub heard_live: bool,
    /// A report was heard.
    pub reported: bool,
    /// A REST answer said ended.
    pub rest_ended: bool,
    /// A recording was mentioned.
    pub recorded: bool,
    /// Earliest report received by webhook.
    pub webhook_received_at: Option<Millis>,
    /// Latest webhook received: a silent call is one where this is long ago.
    pub heard_at: Option<Millis>,
    /// Earliest *in-progress* said.
    pub live_at: Option<Millis>,
    /// Earliest *ended* said by a status-update.
    pub dropped_at: Option<Millis>,
    /// Earliest report or ended REST answer said.
    pub resulted_at: Option<Millis>,
    /// When the conversation began, as stated.
    pub started_at: Field<Millis>,
    /// When the line dropped, as stated.
    pub ended_at: Field<Millis>,
    /// Vapi's reason, verbatim.
    pub ended_reason: Field<String>,
    /// Vapi's human text beside it.
    pub ended_message: Field<String>,
    /// Stated duration, in seconds.
    pub duration_seconds: Field<f64>,
    /// US dollars.
    pub cost: Field<Cost>,
    /// What it consists of.
    pub cost_breakdown: Field<Json>,
    /// What each component cost, as Vapi lists it.
    pub costs: Field<Json>,
    /// SIP status of the phone leg, from REST.
    pub sip_status: Field<i64>,
    /// `analysis.summary`.
    pub summary: Field<String>,
    /// `analysis.successEvaluation`, as text.
    pub success_evaluation: Field<String>,
    /// `analysis.structuredData`.
    pub structured_data: Field<Json>,
    /// `analysis.structuredDataMulti`.
    pub structured_data_multi: Field<Json>,
    /// `artifact.structuredOutputs`, by id: `{name, result, …}`.
    pub structured_outputs: BTreeMap<String, Stamped<Output>>,
    /// The conversation as one text.
    pub transcript: Option<Longest<String>>,
    /// The conversation as messages. They never change, and are shared by all the states of a call.
    pub messages: Option<Longest<Arc<[Message]>>>,
    /// Final lines heard live; dropped once report or REST brought both of the above.
    pub lines: BTreeSet<Line>,
    /// Tool calls by id.
    pub tool_calls: BTreeMap<String, ToolCall>,
    /// Metadata by key.
    pub metadata: BTreeMap<String, Stamped<Json>>,
    /// `variableValues.call_id`, somebody's own id for the call.
    pub variable_call_id: Field<String>,
    /// The assistant that talked.
    pub assistant_id: Field<String>,
    /// The number that was used.
    pub phone_number_id: Field<String>,
    /// The organisation at Vapi.
    pub org_id: Field<String>,
    /// Vapi's word for the kind of call, such as `outboundPhoneCall`.
    pub call_type: Field<String>,
    /// What somebody named the call at Vapi.
    pub name: Field<String>,
    /// The customer's number or SIP address.
    pub customer_number: Field<String>,
    /// The customer's name.
    pub customer_name: Field<String>,
    /// What the assistant promised.
    pub promises: Promises,
    /// Every time Vapi was asked, by fetch id.
    pub fetches: BTreeMap<String, Fetch>,
    /// We tried to place this call, Vapi's answer was lost, and its list did not have the call by then (the earliest).
    pub lost_at: Option<Millis>,
    /// What policy decided.
    pub settled: Option<Settled>,
    /// When it did (the earliest).
    pub settled_at: Option<Millis>,
    /// Where its webhooks go, as a hash: the address may hold what is nobody's business.
    pub server: Field<String>,
    /// A report by webhook was to be expected, although nothing was heard of the call.
    pub owed: bool,
    /// The report counts as lost since then (the earliest).
    pub recovered_at: Option<Millis>,
    /// Where the trace of what was heard goes on (`traceparent`), if there is one: what is done later belongs to it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Field<String>,
    /// Erased: absorbs everything.
    pub deleted_at: Option<Millis>,
}

impl CallRecord {
    /// A report, or a REST answer that says ended, is known; or that there is nothing to be known.
    #[must_use]
    pub fn has_result(&self) -> bool {
        self.has_end() || self.lost_at.is_some()
    }

    /// A report, or a REST answer that says ended, is known.
    #[must_use]
    pub fn has_end(&self) -> bool {
        self.reported || self.rest_ended
    }

    /// May a poller stop waiting?
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.settled.is_some() && self.has_result()
    }

    /// Is there a result that only REST brought, although a report was to be expected that does not count as lost yet?
    #[must_use]
    pub fn misses_report(&self) -> bool {
        let expected = (self.heard_at.is_some() || self.owed) && !self.promises.report_is(Promise::Off);
        self.rest_ended && !self.reported && self.recovered_at.is_none() && expected
    }

    /// The transcript, as far as an artifact brought one; `""` if none.
    #[must_use]
    pub fn transcript_text(&self) -> &str {
        self.transcript.as_ref().map_or("", |it| it.value.as_str())
    }

    /// The messages, as far as an artifact brought them.
    #[must_use]
    pub fn message_list(&self) -> &[Message] {
        self.messages.as_ref().map_or(&[], |it| &*it.value)
    }

    /// Did the other end say anything?
    #[must_use]
    pub fn user_spoke(&self) -> bool {
        self.message_list().iter().any(|message| message.role == Speaker::User)
            || self.lines.iter().any(|line| line.role == Speaker::User)
            || self.transcript_text().lines().any(|line| line.strip_prefix("User:").is_some_and(|said| !said.trim().is_empty()))
    }

    /// Did anybody pick up: a start, a live state, a duration, a transcript (of an artifact, or of lines heard live), a word of the user?
    #[must_use]
    pub fn connected(&self) -> bool {
        self.started_at.is_some()
            || self.heard_live
            || self.duration_seconds.as_ref().is_some_and(|it| it.value > 0.0)
            || !self.transcript_text().is_empty()
            || !self.lines.is_empty()
            || self.user_spoke()
    }

    /// Has ended, and what is known says that nobody ever picked up.
    #[must_use]
    pub fn never_connected(&self) -> bool {
        self.has_end() && !self.connected()
    }

    /// Summary, structured data and structured outputs are all empty.
    #[must_use]
    pub fn analysis_is_empty(&self) -> bool {
        !self.has_summary() && !self.has_structured_data() && !self.has_any_output()
    }

    /// A summary is there.
    #[must_use]
    pub fn has_summary(&self) -> bool {
        self.summary.as_ref().is_some_and(|it| !it.value.trim().is_empty())
    }

    /// Structured data is there.
    #[must_use]
    pub fn has_structured_data(&self) -> bool {
        [&self.structured_data, &self.structured_data_multi].into_iter().flatten().any(|it| !it.value.is_empty())
    }

    /// At least one structured output has a result.
    #[must_use]
    pub fn has_any_output(&self) -> bool {
        self.structured_outputs.values().any(|it| it.value.has_result())
    }

    /// The latest fetch, by time and then by what came of it.
    #[must_use]
    pub fn last_fetch(&self) -> Option<&Fetch> {
        self.fetches.values().max()
    }
}
