//! All facts of one call. A record is also what one event states: then only few fields are set.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use super::{
    field::{Cost, Evidence, Field, Longest, Measured},
    json::Json,
    time::Millis,
};

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

impl Measured for Vec<Message> {
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

/// What a part of the analysis plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Promise {
    /// Nothing is said about it.
    #[default]
    Silent,
    /// `enabled: false`.
    Off,
    /// The plan is there and not switched off.
    On,
}

/// What the assistant seen in an event promises to deliver after the call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Promises {
    /// `analysisPlan.summaryPlan`.
    pub summary: Promise,
    /// `analysisPlan.structuredDataPlan`.
    pub structured_data: Promise,
    /// `artifactPlan.structuredOutputIds`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub outputs: BTreeSet<String>,
}

impl Promises {
    /// Does it promise anything?
    #[must_use]
    pub fn any(&self) -> bool {
        self.summary == Promise::On || self.structured_data == Promise::On || !self.outputs.is_empty()
    }

    /// Is everything explicitly off? A summary is what an assistant makes unless told otherwise, so its plan decides.
    #[must_use]
    pub fn explicitly_none(&self) -> bool {
        !self.any() && self.summary == Promise::Off
    }
}

impl Evidence for Promises {
    fn fill(&self) -> u8 {
        u8::from(*self != Self::default())
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        Cow::Owned(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// One question the assistant put to a tool, and what came back. Question and answer are joined apart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ToolCall {
    /// The tool's name at Vapi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Field<String>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Field<Json>,
    /// What it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Field<String>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Field<String>,
    /// When it was asked, earliest heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Millis>,
}

/// Why Vapi was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FetchReason {
    /// The call has a result that is not complete yet.
    Enrich,
    /// The call went silent without a report.
    Check,
    /// Somebody asked for it.
    Manual,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum FetchOutcome {
    /// No usable answer: network, 429, 5xx, HTML, cut, late.
    Failed {
        /// Why, in words for a poller.
        error: String,
    },
    /// Vapi refuses our key (401, 403).
    Denied {
        /// Why, in words for a poller.
        error: String,
    },
    /// Vapi knows no such call (404).
    Unknown,
    /// The call goes on.
    Live,
    /// The call ended.
    Ended {
        /// Its `updatedAt`, verbatim: two equal ones mean that Vapi is done with it.
        updated_at: String,
    },
}

impl FetchOutcome {
    /// Why there is no answer, in words for a poller; `None` when there is one.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Failed { error } | Self::Denied { error } => Some(error),
            Self::Unknown => Some("Vapi knows no such call (404)"),
            Self::Live | Self::Ended { .. } => None,
        }
    }
}

/// One time that Vapi was asked about the call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fetch {
    /// When it was answered, or given up.
    pub at: Millis,
    /// Why it was asked.
    pub reason: FetchReason,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: FetchOutcome,
}

/// How policy settled the call; complete wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// Vapi could not be asked; what is there is all there is.
    FetchFailed,
    /// Nothing more is to be expected.
    Complete,
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
    pub structured_outputs: BTreeMap<String, super::field::Stamped<Json>>,
    /// The conversation as one text.
    pub transcript: Option<Longest<String>>,
    /// The conversation as messages.
    pub messages: Option<Longest<Vec<Message>>>,
    /// Final lines heard live; dropped once report or REST brought both of the above.
    pub lines: BTreeSet<Line>,
    /// Tool calls by id.
    pub tool_calls: BTreeMap<String, ToolCall>,
    /// Metadata by key.
    pub metadata: BTreeMap<String, super::field::Stamped<Json>>,
    /// `variableValues.call_id`, somebody's own id for the call.
    pub variable_call_id: Field<String>,
    /// The assistant that talked.
    pub assistant_id: Field<String>,
    /// The number that was used.
    pub phone_number_id: Field<String>,
    /// The customer's number or SIP address.
    pub customer_number: Field<String>,
    /// The customer's name.
    pub customer_name: Field<String>,
    /// What the assistant promised.
    pub promises: Field<Promises>,
    /// Every time Vapi was asked, by fetch id.
    pub fetches: BTreeMap<String, Fetch>,
    /// What policy decided.
    pub settled: Option<Settled>,
    /// Erased: absorbs everything.
    pub deleted_at: Option<Millis>,
}

impl CallRecord {
    /// A report, or a REST answer that says ended, is known.
    #[must_use]
    pub fn has_result(&self) -> bool {
        self.reported || self.rest_ended
    }

    /// May a poller stop waiting?
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.settled.is_some() && self.has_result()
    }

    /// The transcript, as far as an artifact brought one; `""` if none.
    #[must_use]
    pub fn transcript_text(&self) -> &str {
        self.transcript.as_ref().map_or("", |it| it.value.as_str())
    }

    /// The messages, as far as an artifact brought them.
    #[must_use]
    pub fn message_list(&self) -> &[Message] {
        self.messages.as_ref().map_or(&[], |it| it.value.as_slice())
    }

    /// Did the other end say anything?
    #[must_use]
    pub fn user_spoke(&self) -> bool {
        self.message_list().iter().any(|message| message.role == Speaker::User)
            || self.lines.iter().any(|line| line.role == Speaker::User)
            || self.transcript_text().lines().any(|line| line.strip_prefix("User:").is_some_and(|said| !said.trim().is_empty()))
    }

    /// Did anybody pick up: a start, a live state, a duration, words?
    #[must_use]
    pub fn connected(&self) -> bool {
        self.started_at.is_some()
            || self.heard_live
            || self.duration_seconds.as_ref().is_some_and(|it| it.value > 0.0)
            || !self.transcript_text().is_empty()
            || self.user_spoke()
    }

    /// Has a result, and it says that nobody ever picked up.
    #[must_use]
    pub fn never_connected(&self) -> bool {
        self.has_result() && !self.connected()
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
        self.structured_outputs.values().any(|it| !it.value.is_empty())
    }

    /// The latest fetch, by time and then by what came of it.
    #[must_use]
    pub fn last_fetch(&self) -> Option<&Fetch> {
        self.fetches.values().max()
    }
}
