//! What pollers see of a call: the JSON of [`CallResult`].
//!
//! Every key is always there, so that no template fails on a missing one: absent free text is `""`, lists are `[]`, open maps `{}`, everything
//! else `null`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{
    field::Field,
    id::CallId,
    json::Json,
    outcome,
    record::{CallRecord, CallState, Fetch, FetchOutcome, Settled, ToolCall},
    time::Millis,
};

mod parts;
mod session;

pub use parts::{
    AnalysisView, CustomerView, FeedbackView, MessageView, OutcomeView, ProviderView, RecordingView, RequestView, ToolCallView,
};
pub use session::SessionView;

/// How much of a call goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// Everything.
    Full,
    /// The same keys, with `transcript`, `messages`, `toolCalls`, `costBreakdown` and `metadata` empty.
    Summary,
}

/// What is not joined, but shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// Counts what pollers see change.
    pub version: u64,
    /// First heard of; `None`: never.
    pub created_at: Option<Millis>,
    /// Last changed; `None`: never.
    pub updated_at: Option<Millis>,
    /// Next fetch of a call that has a result.
    pub next_fetch_at: Option<Millis>,
}

/// One reliable result of one call. Times are RFC 3339 in UTC with milliseconds, money is US dollars.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallResult<'a> {
    /// The call's id, as `callId`.
    #[schema(example = "019c758b-c31b-781d-be9b-73dfed5cadf8")]
    pub id: &'a str,
    /// The call's id.
    pub call_id: &'a str,
    /// How did the call turn out? `pending` until there is a result, then `completed`, `no_answer`, `voicemail`, `timeout` or `error`.
    pub status: &'static str,
    /// How the call was placed: `kestra`, `direct_vapi` or `simulated`.
    pub call_method: &'static str,
    /// Where is the line now? `unknown`, `scheduled`, `queued`, `ringing`, `in-progress`, `forwarding` or `ended`; never goes back.
    pub call_status: &'static str,
    /// How complete is our copy? `pending`, `partial`, `fetching`, `complete` or `fetch_failed`.
    pub data_status: &'static str,
    /// Minutes, with 4 decimals.
    pub duration: Option<f64>,
    /// Seconds.
    pub duration_seconds: Option<f64>,
    /// Vapi's reason, verbatim.
    pub ended_reason: Option<&'a str>,
    /// The conversation as one text.
    pub transcript: Cow<'a, str>,
    /// The conversation as messages: bot and user only.
    pub messages: Vec<MessageView<'a>>,
    /// What Vapi made of it.
    pub analysis: AnalysisView<'a>,
    /// Vapi's structured outputs by id: `{name, result, …}`.
    #[schema(value_type = Object)]
    pub structured_outputs: Open<'a>,
    /// A summary to show.
    pub session: SessionView<'a>,
    /// The provider that was called, from metadata.
    pub provider: ProviderView<'a>,
    /// What was asked for, from metadata.
    pub request: RequestView,
    /// Who was called.
    pub customer: CustomerView<'a>,
    /// US dollars.
    pub cost: Option<f64>,
    /// What the cost consists of.
    #[schema(value_type = Object)]
    pub cost_breakdown: Open<'a>,
    /// When the conversation began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<At>,
    /// When the line dropped.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<At>,
    /// First heard of.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<At>,
    /// Last changed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub updated_at: Option<At>,
    /// The assistant that talked.
    pub assistant_id: Option<&'a str>,
    /// The number that was used.
    pub phone_number_id: Option<&'a str>,
    /// Metadata of the call and its assistant.
    #[schema(value_type = Object)]
    pub metadata: Open<'a>,
    /// From metadata.
    pub service_request_id: Option<String>,
    /// From metadata.
    pub provider_id: Option<String>,
    /// Somebody's own id of the call: `variableValues.call_id`, or `call_id` in the structured data.
    pub correlation_id: Option<String>,
    /// What the customer thought of it, from the structured data.
    pub feedback: FeedbackView,
    /// Is there a recording, and where.
    pub recording: RecordingView,
    /// Tools that were asked, in order of time.
    pub tool_calls: Vec<ToolCallView<'a>>,
    /// How the call turned out, in detail.
    pub outcome: OutcomeView,
    /// What went wrong, in words; `""` when nothing did.
    pub error: &'a str,
    /// When the report came by webhook.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub webhook_received_at: Option<At>,
    /// When Vapi last answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub fetched_at: Option<At>,
    /// How often Vapi was asked.
    pub fetch_attempts: usize,
    /// Why the latest fetch failed; `""` when it did not.
    pub fetch_error: &'a str,
    /// When Vapi is asked next.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_fetch_at: Option<At>,
    /// Counts what pollers see change; the `ETag`.
    pub version: u64,
}

/// A moment, written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(pub Millis);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An open map: somebody else's JSON, or `{}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Open<'a> {
    /// Values by key.
    Members(Vec<(&'a str, &'a Json)>),
    /// An object as it came.
    Whole(Option<&'a Json>),
}

impl Serialize for Open<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Members(members) => serializer.collect_map(members.iter().map(|(key, value)| (key, value.raw()))),
            Self::Whole(Some(value)) => value.serialize(serializer),
            Self::Whole(None) => serializer.collect_map::<&str, (), _>(std::iter::empty()),
        }
    }
}

impl<'a> CallResult<'a> {
    /// What `view` shows of a record. `base` is the address under which the world reaches us, or `""`.
    #[must_use]
    pub fn of(id: &'a CallId, record: &'a CallRecord, meta: Meta, view: View, base: &str) -> Self {
        let full = view == View::Full;
        let outputs = record.structured_outputs.iter().map(|(id, it)| (id.as_str(), &it.value.0));
        let metadata = record.metadata.iter().filter(|_| full).map(|(key, it)| (key.as_str(), &it.value));
        Self {
            id: id.as_str(),
            call_id: id.as_str(),
            status: status(record),
            call_method: call_method(record),
            call_status: call_state(record).as_str(),
            data_status: data_status(record),
            duration: duration_seconds(record).map(|seconds| (seconds / 60.0 * 1e4).round() / 1e4),
            duration_seconds: duration_seconds(record),
            ended_reason: text(&record.ended_reason),
            transcript: if full { transcript(record) } else { Cow::Borrowed("") },
            messages: if full { messages(record) } else { Vec::new() },
            analysis: AnalysisView::of(record),
            structured_outputs: Open::Members(outputs.collect()),
            session: SessionView::of(record),
            provider: ProviderView::of(record),
            request: RequestView::of(record),
            customer: CustomerView { number: text(&record.customer_number), name: text(&record.customer_name) },
            cost: record.cost.as_ref().map(|cost| cost.value.0),
            cost_breakdown: Open::Whole(record.cost_breakdown.as_ref().map(|it| &it.value).filter(|_| full)),
            started_at: started_at(record).map(At),
            ended_at: ended_at(record).map(At),
            created_at: meta.created_at.map(At),
            updated_at: meta.updated_at.map(At),
            assistant_id: text(&record.assistant_id),
            phone_number_id: text(&record.phone_number_id),
            metadata: Open::Members(metadata.collect()),
            service_request_id: metadata_text(record, "serviceRequestId"),
            provider_id: metadata_text(record, "providerId"),
            correlation_id: correlation_id(record),
            feedback: FeedbackView::of(record),
            recording: RecordingView::of(id, record, base),
            tool_calls: if full { tool_calls(record) } else { Vec::new() },
            outcome: OutcomeView::of(record),
            error: error(record),
            webhook_received_at: record.webhook_received_at.map(At),
            fetched_at: fetched_at(record).map(At),
            fetch_attempts: record.fetches.len(),
            fetch_error: fetch_error(record),
            next_fetch_at: meta.next_fetch_at.map(At),
            version: meta.version,
        }
    }
}

/// `callStatus`: a call with a result has ended, whatever else was heard.
#[must_use]
pub fn call_state(record: &CallRecord) -> CallState {
    if record.has_end() { CallState::Ended } else { record.state }
}

/// `status`: how the call turned out.
#[must_use]
pub fn status(record: &CallRecord) -> &'static str {
    if record.has_result() { outcome::status(verdict(record).kind, record.user_spoke()) } else { "pending" }
}

/// `dataStatus`: how complete the record is.
#[must_use]
pub fn data_status(record: &CallRecord) -> &'static str {
    match record.settled {
        _ if !record.has_result() => "pending",
        Some(Settled::Complete) => "complete",
        Some(Settled::FetchFailed) => "fetch_failed",
        None if !record.fetches.is_empty() => "fetching",
        None => "partial",
    }
}

fn verdict(record: &CallRecord) -> outcome::Verdict {
    let verdict = outcome::classify(text(&record.ended_reason).unwrap_or_default());
    outcome::refine(verdict, record.sip_status.as_ref().map(|status| status.value))
}

/// When the conversation began: as stated, else the earliest *in-progress*.
#[must_use]
pub fn started_at(record: &CallRecord) -> Option<Millis> {
    record.started_at.as_ref().map(|at| at.value).or(record.live_at)
}

/// When the line dropped: as stated, else the earliest *ended*, else the earliest report or ended REST answer.
#[must_use]
pub fn ended_at(record: &CallRecord) -> Option<Millis> {
    record.ended_at.as_ref().map(|at| at.value).or(record.dropped_at).or(record.resulted_at)
}

/// How long it lasted: as stated, else from its start to its end.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a call lasts hours, not aeons")]
pub fn duration_seconds(record: &CallRecord) -> Option<f64> {
    let stated = record.duration_seconds.as_ref().map(|duration| duration.value);
    stated.or_else(|| started_at(record).zip(ended_at(record)).map(|(from, to)| to.since(from).max(0) as f64 / 1e3))
}

/// The text of a field.
#[expect(clippy::ref_option, reason = "a field is an Option by its type, and every caller has a reference to one")]
fn text(field: &Field<String>) -> Option<&str> {
    field.as_ref().map(|it| it.value.as_str())
}

/// A metadata value as text: texts as they are, numbers and booleans written out; `None` when it says nothing.
#[must_use]
pub fn metadata_text(record: &CallRecord, key: &str) -> Option<String> {
    match record.metadata.get(key)?.value.value() {
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

/// Who placed the call. What we had Kestra place says so in its metadata, beside the id of the placing.
fn call_method(record: &CallRecord) -> &'static str {
    let by_kestra = metadata_text(record, "callMethod").is_some_and(|method| method == "kestra");
    if by_kestra && record.metadata.contains_key("placementId") { "kestra" } else { "direct_vapi" }
}

/// Somebody's own id of the call.
#[must_use]
pub fn correlation_id(record: &CallRecord) -> Option<String> {
    text(&record.variable_call_id)
        .map(str::to_owned)
        .or_else(|| named_id(&record.structured_data.as_ref()?.value.value()))
        .or_else(|| first_id(&record.structured_data_multi.as_ref()?.value.value()))
}

fn named_id(data: &Value) -> Option<String> {
    match data.get("call_id")? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// The data of each plan stands under the plan's name, at times under `result` there.
fn first_id(data: &Value) -> Option<String> {
    named_id(data).or_else(|| match data {
        Value::Array(entries) => entries.iter().find_map(first_id),
        Value::Object(members) => members.values().find_map(first_id),
        _ => None,
    })
}

fn transcript(record: &CallRecord) -> Cow<'_, str> {
    let artifact = record.transcript_text();
    if record.transcript.as_ref().is_some_and(|it| it.authoritative && !it.value.is_empty()) || record.lines.is_empty() {
        return Cow::Borrowed(artifact);
    }
    let mut heard = String::new();
    for line in &record.lines {
        heard.extend([line.role.label(), ": ", line.text.trim(), "\n"]);
    }
    if heard.chars().count() > artifact.chars().count() { Cow::Owned(heard) } else { Cow::Borrowed(artifact) }
}

fn messages(record: &CallRecord) -> Vec<MessageView<'_>> {
    let artifact = record.message_list();
    let authoritative = record.messages.as_ref().is_some_and(|it| it.authoritative && !it.value.is_empty());
    if authoritative || record.lines.len() <= artifact.len() {
        return artifact.iter().map(MessageView::of).collect();
    }
    record.lines.iter().map(MessageView::of_line).collect()
}

fn tool_calls(record: &CallRecord) -> Vec<ToolCallView<'_>> {
    let mut calls: Vec<(&String, &ToolCall)> = record.tool_calls.iter().collect();
    calls.sort_by_key(|(_, call)| call.at);
    calls.into_iter().map(|(id, call)| ToolCallView::of(id, call)).collect()
}

fn fetched_at(record: &CallRecord) -> Option<Millis> {
    let answered = |fetch: &&Fetch| matches!(fetch.outcome, FetchOutcome::Live | FetchOutcome::Ended { .. });
    record.fetches.values().filter(answered).map(|fetch| fetch.at).max()
}

fn fetch_error(record: &CallRecord) -> &str {
    match record.last_fetch().map(|fetch| &fetch.outcome) {
        // Given up, though every answer was whole: there is a report, and REST lags behind it.
        Some(FetchOutcome::Live) if record.settled == Some(Settled::FetchFailed) => "Vapi says that the call still goes on",
        Some(outcome) => outcome.error().unwrap_or_default(),
        None => "",
    }
}

fn error(record: &CallRecord) -> &str {
    let failed = fetch_error(record);
    if failed.is_empty() && status(record) == "error" { text(&record.ended_message).unwrap_or_default() } else { failed }
}
