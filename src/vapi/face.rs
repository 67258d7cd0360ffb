//! A call as Vapi's own REST interface tells it, made of our record: for clients that were written for Vapi.
//!
//! Everything that the record knows stands where Vapi has it today, and where its answers still have it besides. What is not known is left out, as
//! Vapi does. What is never kept is never here: assistants, system prompts, addresses to listen or to steer (`monitor`), links that expire.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::call::{
    field::Field,
    id::CallId,
    json::Json,
    record::{CallRecord, CallState},
    view::{At, CallResult, MessageView, Meta, ToolCallView, View, call_state},
};

/// Why a call ended of which nobody knows whether there was one.
const LOST: &str = "unknown-error";

/// A call, in Vapi's words.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VapiCall<'a> {
    /// The call's id.
    #[schema(example = "019c758b-c31b-781d-be9b-73dfed5cadf8")]
    pub id: &'a str,
    /// The organisation at Vapi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_id: Option<&'a str>,
    /// `inboundPhoneCall`, `outboundPhoneCall`, `webCall` or `vapi.websocketCall`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<&'a str>,
    /// What somebody named the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// `scheduled`, `queued`, `ringing`, `in-progress`, `forwarding` or `ended`.
    pub status: &'static str,
    /// Vapi's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_reason: Option<&'a str>,
    /// Vapi's text beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_message: Option<&'a str>,
    /// When Ringback first heard of the call, which for placed calls is when it was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<At>,
    /// When Ringback's record last changed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub updated_at: Option<At>,
    /// When the conversation began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<At>,
    /// When the line dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<At>,
    /// The saved assistant that talked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assistant_id: Option<&'a str>,
    /// The number that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<&'a str>,
    /// Who was called: `{number, name}`, or `{sipUri, name}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub customer: BTreeMap<&'static str, &'a str>,
    /// Metadata of the call and its assistant.
    #[schema(value_type = Object)]
    pub metadata: BTreeMap<&'a str, &'a Json>,
    /// US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// What it consists of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub cost_breakdown: Option<&'a Json>,
    /// What each component cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub costs: Option<&'a Json>,
    /// What Vapi made of the conversation: `summary`, `structuredData`, `structuredDataMulti`, `successEvaluation`.
    #[schema(value_type = Object)]
    pub analysis: Analysis<'a>,
    /// `transcript`, `messages`, `recording`, `structuredOutputs` and older places of them.
    #[schema(value_type = Object)]
    pub artifact: Artifact<'a>,
    /// As in the artifact.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub messages: Vec<Value>,
    /// As in the artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
    /// As in the analysis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<&'a str>,
    /// As in the artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_url: Option<String>,
    /// As in the artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stereo_recording_url: Option<String>,
    /// `{sipStatus}` of the phone leg.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub phone_call_provider_details: Option<Value>,
}

/// What Vapi made of the conversation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_data: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_data_multi: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_evaluation: Option<&'a str>,
}

/// What the call left behind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stereo_recording_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    structured_outputs: BTreeMap<&'a str, &'a Json>,
}

impl<'a> VapiCall<'a> {
    /// What a record says. `base` is the address under which the world reaches us, or `""`: recordings have an address of ours, which asks for
    /// a token and never expires.
    #[must_use]
    pub fn of(id: &'a CallId, record: &'a CallRecord, meta: Meta, base: &str) -> Self {
        let seen = CallResult::of(id, record, meta, View::Full, base);
        let is_lost = record.lost_at.is_some() && !record.has_end();
        let recording = |kind: &str| seen.recording.url.as_ref().map(|url| format!("{url}?kind={kind}"));
        let (mono, stereo) = (recording("mono"), recording("stereo"));
        let transcript = Some(seen.transcript.into_owned()).filter(|text| !text.is_empty());
        let messages = messages(&seen.messages, &seen.tool_calls);
        let summary = text(&record.summary);
        Self {
            id: id.as_str(),
            org_id: text(&record.org_id),
            r#type: text(&record.call_type),
            name: text(&record.name),
            status: if is_lost { CallState::Ended.as_str() } else { status(record) },
            ended_reason: text(&record.ended_reason).or_else(|| is_lost.then_some(LOST)),
            ended_message: text(&record.ended_message).or_else(|| is_lost.then_some(seen.error)),
            created_at: seen.created_at,
            updated_at: seen.updated_at,
            started_at: seen.started_at,
            ended_at: seen.ended_at.or_else(|| record.lost_at.filter(|_| is_lost).map(At)),
            assistant_id: text(&record.assistant_id),
            phone_number_id: text(&record.phone_number_id),
            customer: customer(record),
            metadata: record.metadata.iter().map(|(key, it)| (key.as_str(), &it.value)).collect(),
            cost: record.cost.as_ref().map(|it| it.value.0),
            cost_breakdown: json(&record.cost_breakdown),
            costs: json(&record.costs),
            analysis: Analysis {
                summary,
                structured_data: json(&record.structured_data),
                structured_data_multi: json(&record.structured_data_multi),
                success_evaluation: text(&record.success_evaluation),
            },
            artifact: Artifact {
                messages: messages.clone(),
                transcript: transcript.clone(),
                recording_url: mono.clone(),
                stereo_recording_url: stereo.clone(),
                recording: mono.as_ref().map(|mono| json!({"stereoUrl": stereo, "mono": {"combinedUrl": mono}})),
                structured_outputs: record.structured_outputs.iter().map(|(id, it)| (id.as_str(), &it.value.0)).collect(),
            },
            messages,
            transcript,
            summary,
            recording_url: mono,
            stereo_recording_url: stereo,
            phone_call_provider_details: record.sip_status.as_ref().map(|it| json!({"sipStatus": it.value})),
        }
    }
}

/// Vapi has no word for a call of whose line nothing was heard; every call is queued first.
fn status(record: &CallRecord) -> &'static str {
    match call_state(record) {
        CallState::Unknown => CallState::Queued.as_str(),
        state => state.as_str(),
    }
}

fn customer(record: &CallRecord) -> BTreeMap<&'static str, &str> {
    let key = |number: &str| if number.starts_with("sip") { "sipUri" } else { "number" };
    let number = text(&record.customer_number).map(|number| (key(number), number));
    number.into_iter().chain(text(&record.customer_name).map(|name| ("name", name))).collect()
}

/// What was said, and which tools were asked, in order of time.
fn messages(said: &[MessageView<'_>], asked: &[ToolCallView<'_>]) -> Vec<Value> {
    let mut all: Vec<(Option<i64>, Value)> = said.iter().map(|it| (it.time, spoken(it))).collect();
    let start = said.iter().find_map(start_by);
    // Of tools that were asked at a time unknown nobody can say where they belong.
    for tool in asked {
        let at = tool.at.map_or(i64::MAX, |at| at.0.0);
        let place = all.iter().position(|(time, _)| time.is_some_and(|time| time > at)).unwrap_or(all.len());
        let time = tool.at.map(|at| at.0.0);
        let when = json!({"time": time, "secondsFromStart": start.zip(time).map(|(start, time)| seconds(time - start))});
        let both = [Some(question(tool)), answer(tool)].into_iter().flatten().map(|message| (time, with(message, &when)));
        all.splice(place..place, both);
    }
    all.into_iter().map(|(_, message)| message).collect()
}

fn spoken(it: &MessageView<'_>) -> Value {
    without_nulls(json!({
        "role": it.role, "message": it.message, "time": it.time, "endTime": it.end_time, "duration": it.duration,
        "secondsFromStart": it.seconds_from_start,
    }))
}

/// When the call began, by what was said at which second of it.
fn start_by(it: &MessageView<'_>) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and calls last hours")]
    let after = (it.seconds_from_start? * 1e3) as i64;
    Some(it.time? - after)
}

#[expect(clippy::cast_precision_loss, reason = "a call lasts hours, not aeons")]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1e3
}

fn question(tool: &ToolCallView<'_>) -> Value {
    let arguments = serde_json::to_string(&tool.arguments).unwrap_or_default();
    let call = json!({"id": tool.id, "type": "function", "function": {"name": tool.name, "arguments": arguments}});
    json!({"role": "tool_calls", "message": "", "toolCalls": [call]})
}

fn answer(tool: &ToolCallView<'_>) -> Option<Value> {
    let result = tool.result.or(tool.error)?;
    Some(json!({"role": "tool_call_result", "name": tool.name, "result": result, "toolCallId": tool.id}))
}

/// A message and its time.
fn with(mut message: Value, when: &Value) -> Value {
    if let (Some(members), Some(when)) = (message.as_object_mut(), when.as_object()) {
        members.extend(when.clone());
    }
    without_nulls(message)
}

fn without_nulls(mut message: Value) -> Value {
    if let Some(members) = message.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    message
}

#[expect(clippy::ref_option, reason = "a field is an Option by its type, and every caller has a reference to one")]
fn text(field: &Field<String>) -> Option<&str> {
    field.as_ref().map(|it| it.value.as_str())
}

#[expect(clippy::ref_option, reason = "a field is an Option by its type, and every caller has a reference to one")]
fn json(field: &Field<Json>) -> Option<&Json> {
    field.as_ref().map(|it| &it.value)
}
