//! The bodies that Vapi sends, in the shape of real ones: a stale snapshot of the call, copies of the same thing in several places,
//! milliseconds, and links that are signed afresh for each delivery.
//!
//! All builders are pure: the same script and moment give the same body.

mod artifact;
mod money;
mod snapshot;

pub(super) use snapshot::ORGANISATION;

use serde_json::{Map, Value, json};

use super::script::{CallScript, Entry, Voice, as_map};
use crate::call::time::Millis;

/// How often a line of the conversation stands in a report: twice as a message, once as `OpenAI` has it, twice in the transcript.
pub(crate) const COPIES_OF_A_LINE: usize = 5;

/// How far a call is, as REST tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Placed.
    Queued,
    /// The phone rings.
    Ringing,
    /// Somebody talks.
    InProgress,
    /// The line dropped, and nothing is worked out yet.
    Dropped,
    /// Everything is there but the analysis.
    Reported,
    /// Everything is there.
    Analysed,
}

impl Stage {
    /// Vapi's word for it.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Dropped | Self::Reported | Self::Analysed => "ended",
        }
    }
}

/// `status-update`, with the artifact so far once somebody talks. `ended` carries the reason.
#[must_use]
pub fn status_update(script: &CallScript, stage: Stage, at: Millis) -> Value {
    let mut fields = json!({"status": stage.status()});
    if stage.status() == "ended" {
        fields["endedReason"] = json!(script.ended_reason);
    }
    match stage {
        Stage::Queued | Stage::Ringing => message(script, "status-update", at, fields),
        _ => with_artifact(script, "status-update", at, fields),
    }
}

/// `assistant.started`.
#[must_use]
pub fn assistant_started(script: &CallScript, at: Millis) -> Value {
    let assistant = snapshot::assistant(script);
    let fields = json!({"newAssistant": {"id": assistant["id"], "name": assistant["name"]}});
    with_artifact(script, "assistant.started", at, fields)
}

/// `speech-update`: the speaker of an entry has started or stopped.
#[must_use]
pub fn speech_update(script: &CallScript, entry: usize, started: bool, at: Millis) -> Value {
    let (role, _) = spoken(script, entry);
    let status = if started { "started" } else { "stopped" };
    with_artifact(script, "speech-update", at, json!({"status": status, "role": role, "turn": entry}))
}

/// `transcript` of an entry: the whole line when `is_final`, else its first half.
#[must_use]
pub fn transcript(script: &CallScript, entry: usize, is_final: bool, at: Millis) -> Value {
    let (role, text) = spoken(script, entry);
    let half = text.chars().count() / 2;
    let heard: String = if is_final { text.to_owned() } else { text.chars().take(half).collect() };
    let kind = if is_final { "final" } else { "partial" };
    with_artifact(script, "transcript", at, json!({"role": role, "transcriptType": kind, "transcript": heard}))
}

/// `conversation-update`: everything said up to `at`.
#[must_use]
pub fn conversation_update(script: &CallScript, at: Millis) -> Value {
    let so_far = artifact::so_far(script, at);
    let fields = json!({
        "conversation": so_far["messagesOpenAIFormatted"],
        "messages": so_far["messages"],
        "messagesOpenAIFormatted": so_far["messagesOpenAIFormatted"],
    });
    with_artifact(script, "conversation-update", at, fields)
}

/// `tool-calls`: the assistant asks the tool of one [`Entry::Asked`]; anything else asks nothing.
#[must_use]
pub fn tool_calls(script: &CallScript, entry: usize, at: Millis) -> Value {
    let asked = match script.entries.get(entry) {
        Some(Entry::Asked { id, name, arguments, .. }) => vec![(id, name, arguments)],
        _ => Vec::new(),
    };
    let call = |(id, name, arguments): &(&String, &String, &Value)| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let list: Vec<Value> = asked.iter().map(call).collect();
    let with_tool = |one: &Value| json!({"type": "function", "function": {"name": one["function"]["name"]}, "toolCall": one});
    let fields = json!({
        "toolCalls": list,
        "toolCallList": list,
        "toolWithToolCallList": list.iter().map(with_tool).collect::<Vec<Value>>(),
    });
    with_artifact(script, "tool-calls", at, fields)
}

/// `hang`: the assistant did not answer in time.
#[must_use]
pub fn hang(script: &CallScript, at: Millis) -> Value {
    with_artifact(script, "hang", at, json!({}))
}

/// `call.artifact.upload`: late news of what was stored, with an artifact that is shorter than the report's.
#[must_use]
pub fn artifact_upload(script: &CallScript, at: Millis) -> Value {
    let short = script.started_at.unwrap_or(script.created_at).plus(1_500);
    let artifacts = json!([{"type": "recording-mono", "success": true}, {"type": "log", "success": false}]);
    message(script, "call.artifact.upload", at, json!({"artifacts": artifacts, "artifact": artifact::so_far(script, short)}))
}

/// `end-of-call-report`, sent at `at`. A call that nobody picked up has no times, no costs and no recording.
#[must_use]
pub fn end_of_call_report(script: &CallScript, at: Millis) -> Value {
    let mut fields = as_map(outcome(script));
    let artifact = artifact::whole(script);
    if let Some(started) = script.started_at {
        let duration = script.ended_at.since(started);
        fields.extend(as_map(json!({
            "durationMs": duration,
            "durationSeconds": money::seconds(duration),
            "durationMinutes": money::minutes(duration),
            "recordingUrl": artifact["recordingUrl"],
            "stereoRecordingUrl": artifact["stereoRecordingUrl"],
        })));
    }
    fields.insert("artifact".to_owned(), artifact);
    message(script, "end-of-call-report", at, Value::Object(fields))
}

/// A message of any type with these `fields`, without artifact.
#[must_use]
pub fn message(script: &CallScript, kind: &str, at: Millis, fields: Value) -> Value {
    let mut message = as_map(json!({"timestamp": at.0, "type": kind}));
    message.extend(as_map(fields));
    message.insert("call".to_owned(), snapshot::call(script));
    message.insert("phoneNumber".to_owned(), snapshot::phone_number(script));
    if let Some(customer) = script.request.get("customer") {
        message.insert("customer".to_owned(), customer.clone());
    }
    message.insert("assistant".to_owned(), snapshot::assistant(script));
    json!({"message": message})
}

/// `GET /call/{id}` at a stage, last changed at `updated_at`.
#[must_use]
pub fn rest_call(script: &CallScript, stage: Stage, updated_at: Millis) -> Value {
    let mut call = as_map(snapshot::call(script));
    call.insert("status".to_owned(), json!(stage.status()));
    call.insert("updatedAt".to_owned(), json!(updated_at.to_string()));
    if let (Some(started), true) = (script.started_at, !matches!(stage, Stage::Queued | Stage::Ringing)) {
        call.insert("startedAt".to_owned(), json!(started.to_string()));
    }
    match stage {
        Stage::Queued | Stage::Ringing | Stage::InProgress => {}
        Stage::Dropped => call.extend(as_map(ending(script))),
        Stage::Reported => finish(&mut call, &script.clone().without_analysis()),
        Stage::Analysed => finish(&mut call, script),
    }
    Value::Object(call)
}

/// The answer to `POST /call`.
#[must_use]
pub fn created_call(script: &CallScript) -> Value {
    let mut call = snapshot::call(script);
    call["subscriptionLimits"] = json!({"concurrencyBlocked": false, "concurrencyLimit": 10, "remainingConcurrentCalls": 9});
    call
}

fn finish(call: &mut Map<String, Value>, script: &CallScript) {
    call.extend(as_map(outcome(script)));
    if let Some((status, reason)) = script.sip {
        call.insert("phoneCallProviderDetails".to_owned(), json!({"sipStatus": status, "sipReason": reason}));
    }
    if script.started_at.is_some() {
        let artifact = artifact::whole(script);
        for copied in ["recordingUrl", "stereoRecordingUrl"] {
            call.insert(copied.to_owned(), artifact[copied].clone());
        }
        call.insert("artifact".to_owned(), artifact);
    } else {
        // A call that nobody picked up has nothing of the sort in REST.
        call.remove("analysis");
    }
}

/// Why and when it ended.
fn ending(script: &CallScript) -> Value {
    let mut fields = json!({"endedReason": script.ended_reason});
    if let Some(text) = &script.ended_message {
        fields["endedMessage"] = json!(text);
    }
    if script.started_at.is_some() {
        fields["endedAt"] = json!(script.ended_at.to_string());
    }
    fields
}

/// What report and REST have in common at their top level.
fn outcome(script: &CallScript) -> Value {
    let mut fields = as_map(ending(script));
    fields.insert("analysis".to_owned(), script.analysis.clone());
    fields.insert("cost".to_owned(), json!(0));
    if let Some(started) = script.started_at {
        let artifact = artifact::whole(script);
        fields.extend(as_map(money::costs(script, started)));
        fields.extend(as_map(json!({
            "startedAt": started.to_string(),
            "summary": script.analysis.get("summary").cloned().unwrap_or_else(|| json!("")),
            "transcript": artifact["transcript"],
            "messages": artifact["messages"],
        })));
    }
    Value::Object(fields)
}

fn with_artifact(script: &CallScript, kind: &str, at: Millis, mut fields: Value) -> Value {
    fields["artifact"] = artifact::so_far(script, at);
    message(script, kind, at, fields)
}

/// Who says an entry, in the words of live messages, and what; nothing when it is no line.
fn spoken(script: &CallScript, entry: usize) -> (&'static str, &str) {
    match script.entries.get(entry) {
        Some(Entry::Said { by: Voice::Bot, text, .. }) => ("assistant", text),
        Some(Entry::Said { by: Voice::User, text, .. }) => ("user", text),
        _ => ("assistant", ""),
    }
}
