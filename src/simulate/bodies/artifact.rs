//! The artifact: what was said, in Vapi's form, in that of `OpenAI` and as one text, and where the recordings are.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{money, snapshot};
use crate::{
    call::time::Millis,
    simulate::script::{CallScript, Entry, Voice, as_map},
};

/// The artifact of a live message: prompt and conversation up to `at`.
pub(super) fn so_far(script: &CallScript, at: Millis) -> Value {
    let Some(started) = script.started_at else {
        return json!({"messages": [], "messagesOpenAIFormatted": []});
    };
    let prompt = snapshot::prompt(script);
    let said = || script.entries.iter().filter(|entry| entry.at() <= at);
    let mut messages = vec![json!({"role": "system", "message": prompt, "time": started.0, "secondsFromStart": 0})];
    messages.extend(said().map(|entry| vapi_form(entry, started)));
    let mut openai = vec![json!({"role": "system", "content": prompt})];
    openai.extend(said().map(openai_form));
    json!({"messages": messages, "messagesOpenAIFormatted": openai})
}

/// The artifact of a report and of an ended call in REST.
pub(super) fn whole(script: &CallScript) -> Value {
    let last = script.entries.iter().map(Entry::at).max().unwrap_or(script.ended_at);
    let mut artifact = as_map(so_far(script, script.ended_at.max(last)));
    if script.started_at.is_none() {
        return Value::Object(artifact);
    }
    let recording = |kind: &str| link(script, &format!("{kind}.wav"));
    artifact.extend(as_map(json!({
        "transcript": transcript(script),
        "recordingUrl": recording("mono"),
        "stereoRecordingUrl": recording("stereo"),
        "recording": {
            "stereoUrl": recording("stereo"),
            "mono": {"combinedUrl": recording("mono"), "assistantUrl": recording("assistant"), "customerUrl": recording("customer")},
        },
        "logUrl": link(script, "log.jsonl.gz"),
        "pcapUrl": link(script, "sip.pcap"),
        "nodes": [],
        "variableValues": variables(script),
        "variables": variables(script),
        "performanceMetrics": {"modelLatencyAverage": 1167.25, "voiceLatencyAverage": 587.25, "turnLatencyAverage": 2474.5},
        "structuredOutputs": script.structured_outputs,
        "scorecards": {},
        "transfers": [],
    })));
    Value::Object(artifact)
}

fn transcript(script: &CallScript) -> String {
    let line = |entry: &Entry| match entry {
        Entry::Said { by: Voice::Bot, text, .. } => Some(format!("AI: {text}\n")),
        Entry::Said { by: Voice::User, text, .. } => Some(format!("User: {text}\n")),
        _ => None,
    };
    script.entries.iter().filter_map(line).collect()
}

fn variables(script: &CallScript) -> Value {
    let overrides = script.request.get("assistantOverrides");
    let mut values = as_map(overrides.map(|it| it["variableValues"].clone()).unwrap_or_default());
    values.insert("now".to_owned(), json!(script.created_at.to_string()));
    if let Some(customer) = script.request.get("customer") {
        values.insert("customer".to_owned(), customer.clone());
    }
    Value::Object(values)
}

fn vapi_form(entry: &Entry, started: Millis) -> Value {
    let from_start = money::seconds(entry.at().since(started));
    match entry {
        Entry::Said { by, text, at, until } => {
            let role = if *by == Voice::Bot { "bot" } else { "user" };
            let duration = until.since(*at);
            json!({"role": role, "message": text, "time": at.0, "endTime": until.0, "secondsFromStart": from_start, "duration": duration, "source": ""})
        }
        Entry::Asked { id, name, arguments, at } => json!({
            "role": "tool_calls",
            "message": "",
            "toolCalls": [{"id": id, "type": "function", "function": {"name": name, "arguments": arguments.to_string()}}],
            "time": at.0,
            "secondsFromStart": from_start,
        }),
        Entry::Answered { id, name, result, at } => json!({
            "role": "tool_call_result",
            "name": name,
            "result": result,
            "toolCallId": id,
            "time": at.0,
            "secondsFromStart": from_start,
        }),
    }
}

fn openai_form(entry: &Entry) -> Value {
    match entry {
        Entry::Said { by: Voice::Bot, text, .. } => json!({"role": "assistant", "content": text}),
        Entry::Said { by: Voice::User, text, .. } => json!({"role": "user", "content": text}),
        // As Vapi sends it: without a `content` key.
        Entry::Asked { id, name, arguments, .. } => {
            let function = json!({"name": name, "arguments": arguments.to_string()});
            json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": function}]})
        }
        Entry::Answered { id, result, .. } => json!({"role": "tool", "tool_call_id": id, "content": result}),
    }
}

/// A link that is good for half an hour and has another signature in each delivery.
fn link(script: &CallScript, file: &str) -> String {
    let signature = hex::encode(Sha256::digest(format!("{}/{file}#{}", script.id, script.delivery)));
    let signed = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=1800&X-Amz-Signature=";
    format!("{}/hipaa-recordings/{}-{}-{file}?{signed}{signature}", script.storage, script.id, script.ended_at.0)
}
