//! The parts of a [`super::CallResult`].

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{At, CallId, CallRecord, Json, Open, Settled, ToolCall, messages, metadata_text, text, verdict};
use crate::call::{
    field::Field,
    policy,
    record::{Line, Message, ToolAnswer},
};

/// Analyses of fewer turns than this are not made (Vapi's `minMessagesThreshold`).
const FEWEST_TURNS: usize = 2;

/// One thing said.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageView<'a> {
    /// `bot` or `user`.
    pub role: &'static str,
    /// The words.
    pub message: &'a str,
    /// When it began, in epoch milliseconds.
    pub time: Option<i64>,
    /// When it ended, in epoch milliseconds.
    pub end_time: Option<i64>,
    /// Milliseconds.
    pub duration: Option<i64>,
    /// Seconds from the start of the call; may be negative.
    pub seconds_from_start: Option<f64>,
}

impl<'a> MessageView<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        Self {
            role: message.role.as_str(),
            message: &message.message,
            time: message.time.map(|at| at.0),
            end_time: message.end_time.map(|at| at.0),
            duration: message.duration,
            seconds_from_start: message.seconds_from_start,
        }
    }

    pub(super) fn of_line(line: &'a Line) -> Self {
        let time = line.sent_at.map(|at| at.0);
        Self { role: line.role.as_str(), message: &line.text, time, end_time: None, duration: None, seconds_from_start: None }
    }
}

/// What Vapi made of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisView<'a> {
    /// The summary; `""` when there is none.
    pub summary: &'a str,
    /// The structured data; `{}` when there is none.
    #[schema(value_type = Object)]
    pub structured_data: Cow<'a, Json>,
    /// Structured data of several plans; `[]` when there is none.
    #[schema(value_type = Vec<Object>)]
    pub structured_data_multi: Cow<'a, Json>,
    /// The evaluation, as text, by the assistant's rubric.
    pub success_evaluation: &'a str,
}

impl<'a> AnalysisView<'a> {
    pub(super) fn of(record: &'a CallRecord) -> Self {
        let kept = |field: &'a Field<Json>, empty: Value| match field {
            Some(kept) => Cow::Borrowed(&kept.value),
            None => Cow::Owned(Json::from_value(&empty)),
        };
        Self {
            summary: text(&record.summary).unwrap_or_default(),
            structured_data: structured_data(record),
            structured_data_multi: kept(&record.structured_data_multi, json!([])),
            success_evaluation: text(&record.success_evaluation).unwrap_or_default(),
        }
    }
}

/// Structured data as kept; of a provider call over the defaults that its readers expect. The defaults are never stored and prove nothing.
fn structured_data(record: &CallRecord) -> Cow<'_, Json> {
    let kept = record.structured_data.as_ref().map(|it| &it.value);
    let of_provider = metadata_text(record, "providerName").is_some();
    match (kept, of_provider) {
        (Some(kept), false) => Cow::Borrowed(kept),
        (None, false) => Cow::Owned(Json::from_value(&json!({}))),
        (kept, true) => {
            let mut data = json!({
                "all_criteria_met": false, "availability": "unclear", "estimated_rate": "unknown", "recommended": false, "single_person_found": false,
            });
            match kept.map(Json::value) {
                Some(Value::Object(stated)) => data.as_object_mut().into_iter().for_each(|data| data.extend(stated.clone())),
                Some(other) => data = other,
                None => {}
            }
            Cow::Owned(Json::from_value(&data))
        }
    }
}

/// The provider that was called.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ProviderView<'a> {
    /// Metadata `providerName`.
    pub name: Option<String>,
    /// Metadata `providerPhone`, else the customer's number.
    #[schema(value_type = Option<String>)]
    pub phone: Option<Cow<'a, str>>,
    /// Metadata `serviceNeeded`.
    pub service: Option<String>,
    /// Metadata `location`.
    pub location: Option<String>,
}

impl<'a> ProviderView<'a> {
    pub(super) fn of(record: &'a CallRecord) -> Self {
        let phone = metadata_text(record, "providerPhone").map(Cow::Owned);
        Self {
            name: metadata_text(record, "providerName"),
            phone: phone.or_else(|| text(&record.customer_number).map(Cow::Borrowed)),
            service: metadata_text(record, "serviceNeeded"),
            location: metadata_text(record, "location"),
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RequestView {
    /// Metadata `userCriteria`.
    pub criteria: String,
    /// Metadata `urgency`.
    pub urgency: Option<String>,
}

impl RequestView {
    pub(super) fn of(record: &CallRecord) -> Self {
        Self { criteria: metadata_text(record, "userCriteria").unwrap_or_default(), urgency: metadata_text(record, "urgency") }
    }
}

/// Who was called.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CustomerView<'a> {
    /// A number in E.164, or a SIP address; web calls have none.
    pub number: Option<&'a str>,
    /// A name.
    pub name: Option<&'a str>,
}

/// Where that stands in structured data and outputs.
pub(super) const FEEDBACK_KEYS: [&str; 5] = ["nps_score", "overall_feedback", "positives", "detractors", "action_items"];

/// What the structured data state, and then the structured outputs, as far as that has members; only what they state, no defaults of ours.
pub(super) fn stated(record: &CallRecord) -> impl Iterator<Item = Map<String, Value>> {
    let data = record.structured_data.iter().map(|it| it.value.value());
    let outputs = record.structured_outputs.values().map(|it| named(it.value.0.value()));
    data.chain(outputs).filter_map(|value| if let Value::Object(members) = value { Some(members) } else { None })
}

/// An output as an object: its members, or the result of its one question under the output's name.
fn named(mut output: Value) -> Value {
    match output.get_mut("result").map(Value::take) {
        Some(result @ Value::Object(_)) => result,
        Some(result) => output["name"].as_str().map_or(Value::Null, |name| json!({ name: result })),
        None => Value::Null,
    }
}

/// What the customer thought of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackView {
    /// Net promoter score.
    pub nps_score: Option<f64>,
    /// In all; lists are joined by line breaks, here and below.
    pub overall_feedback: String,
    /// What was good.
    pub positives: String,
    /// What was not.
    pub detractors: String,
    /// What to do about it.
    pub action_items: String,
}

impl FeedbackView {
    pub(crate) fn of(record: &CallRecord) -> Self {
        let tells = |members: &Map<String, Value>| FEEDBACK_KEYS.iter().any(|key| members.contains_key(*key));
        let places: Vec<_> = stated(record).filter(tells).collect();
        let find = |key: &str| places.iter().find_map(|place| place.get(key).filter(|value| !value.is_null()));
        let words = |key: &str| find(key).map(prose).unwrap_or_default();
        Self {
            nps_score: find("nps_score").and_then(|score| score.as_f64().or_else(|| score.as_str()?.trim().parse().ok())),
            overall_feedback: words("overall_feedback"),
            positives: words("positives"),
            detractors: words("detractors"),
            action_items: words("action_items"),
        }
    }
}

fn prose(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(prose).collect::<Vec<_>>().join("\n"),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Is there a recording, and where.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RecordingView {
    /// Vapi mentioned one.
    pub available: bool,
    /// Our address for it, which never expires; `null` when there is none.
    pub url: Option<String>,
}

impl RecordingView {
    pub(super) fn of(id: &CallId, record: &CallRecord, base: &str) -> Self {
        let url = record.recorded.then(|| format!("{base}/api/v1/vapi/calls/{id}/recording"));
        Self { available: record.recorded, url }
    }
}

/// A tool that was asked.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ToolCallView<'a> {
    /// The id that question and answer share.
    pub id: &'a str,
    /// The tool's name.
    pub name: Option<&'a str>,
    /// What it was asked.
    #[schema(value_type = Object)]
    pub arguments: Open<'a>,
    /// What it answered; beside an `error`, the fallback that was said instead.
    pub result: Option<&'a str>,
    /// Why it did not answer.
    pub error: Option<&'a str>,
    /// When it was asked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<At>,
}

impl<'a> ToolCallView<'a> {
    pub(crate) fn of(id: &'a str, call: &'a ToolCall) -> Self {
        Self {
            id,
            name: text(&call.name),
            arguments: Open::Whole(call.arguments.as_ref().map(|it| &it.value)),
            result: answer(call, |it| if let ToolAnswer::Result(text) = it { Some(text) } else { None }),
            error: answer(call, |it| if let ToolAnswer::Error(text) = it { Some(text) } else { None }).or_else(|| text(&call.fallback)),
            at: call.at.map(At),
        }
    }
}

fn answer(call: &ToolCall, pick: impl Fn(&ToolAnswer) -> Option<&String>) -> Option<&str> {
    pick(&call.answer.as_ref()?.value).map(String::as_str)
}

/// How the call turned out, in detail.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeView {
    /// `completed`, `no_answer`, `busy`, `voicemail`, `timeout`, `canceled`, `error` or `unknown`; `null` before a result.
    pub kind: Option<&'static str>,
    /// Whose fault it was: `vapi`, `provider`, `config`, `transport`, `customer`, `assistant` or `unknown`.
    pub fault: Option<&'static str>,
    /// The rule that decided.
    pub rule: Option<&'static str>,
    /// Did anybody pick up?
    pub connected: bool,
    /// Did the other end say anything?
    pub user_spoke: bool,
    /// SIP status of the phone leg.
    pub sip_status: Option<i64>,
    /// There is a result, but neither summary nor structured data nor structured outputs.
    pub analysis_missing: bool,
    /// Why: `not_connected`, `still_fetching`, `not_promised`, `too_short`, `could_not_ask`, `never_came`, or `""`.
    pub analysis_missing_reason: &'static str,
}

impl OutcomeView {
    pub(crate) fn of(record: &CallRecord) -> Self {
        let verdict = record.has_result().then(|| verdict(record));
        let missing = record.has_result() && record.analysis_is_empty();
        Self {
            kind: verdict.map(|verdict| verdict.kind.as_str()),
            fault: verdict.map(|verdict| verdict.fault.as_str()),
            rule: verdict.map(|verdict| verdict.rule),
            connected: record.connected(),
            user_spoke: record.user_spoke(),
            sip_status: record.sip_status.as_ref().map(|status| status.value),
            analysis_missing: missing,
            analysis_missing_reason: if missing { why_missing(record) } else { "" },
        }
    }
}

fn why_missing(record: &CallRecord) -> &'static str {
    let turns = messages(record).len();
    let asked = record.fetches.values().any(|fetch| fetch.outcome.error().is_none());
    match record.settled {
        _ if record.never_connected() => "not_connected",
        None => "still_fetching",
        _ if !record.has_end() => "could_not_ask",
        _ if policy::promises_nothing(record) => "not_promised",
        _ if turns < FEWEST_TURNS => "too_short",
        Some(Settled::FetchFailed) => "could_not_ask",
        Some(Settled::Complete) if !asked => "could_not_ask",
        Some(Settled::Complete) => "never_came",
    }
}
