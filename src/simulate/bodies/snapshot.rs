//! The call as it was when it was placed, its assistant and its number.

use serde_json::{Value, json};

use crate::simulate::script::{CallScript, as_map};

/// The organisation of every simulated call.
pub(in crate::simulate) const ORGANISATION: &str = "ef012059-88a4-4662-9b81-4d9e1539c229";
/// The host of the sockets that steer a live call.
const SOCKET_HOST: &str = "phone-call-websocket.aws-us-west-2-backend-production2.vapi.ai";
/// `message.call`, and the core of the call in REST: says `queued` for ever.
pub(super) fn call(script: &CallScript) -> Value {
    let id = &script.id;
    let created = script.created_at.to_string();
    let mut call = script.request.clone();
    call.extend(as_map(json!({
        "id": id,
        "orgId": ORGANISATION,
        "createdAt": created,
        "updatedAt": created,
        "type": "outboundPhoneCall",
        "cost": 0,
        "monitor": {"listenUrl": format!("wss://{SOCKET_HOST}/{id}/listen"), "controlUrl": control(script)},
        "transport": {"callSid": format!("CA{id}"), "provider": "vapi.sip", "conversationType": "voice"},
        "phoneCallProvider": "vapi",
        "phoneCallProviderId": format!("CA{id}"),
        "phoneCallTransport": "pstn",
        "status": "queued",
    })));
    Value::Object(call)
}

/// Where a call is steered; of one that is played, at the fake itself.
fn control(script: &CallScript) -> String {
    let id = &script.id;
    if script.storage.starts_with("http:") {
        format!("{}/control/{id}", script.storage)
    } else {
        format!("https://{SOCKET_HOST}/{id}/control")
    }
}

/// `message.assistant`: the transient one, or a saved one of the id that was asked for; with its overrides.
pub(super) fn assistant(script: &CallScript) -> Value {
    let asked = |field: &str| script.request.get(field).cloned().unwrap_or_default();
    let mut assistant = as_map(asked("assistant"));
    if assistant.is_empty() {
        assistant = as_map(json!({
            "id": asked("assistantId"),
            "orgId": ORGANISATION,
            "name": "Availability check",
            "createdAt": "2026-01-05T10:00:00.000Z",
            "updatedAt": "2026-09-20T08:00:00.000Z",
            "model": {"provider": "openai", "model": "gpt-4o-mini", "messages": [{"role": "system", "content": script.prompt}]},
            "voice": {"provider": "vapi", "voiceId": "Elliot"},
            "transcriber": {"provider": "deepgram", "model": "nova-2", "language": "en"},
            "firstMessage": "Hi, this is Nora from the front desk.",
            "server": {"url": "https://hooks.example.com/api/v1/vapi/webhook", "timeoutSeconds": 20},
        }));
    }
    assistant.extend(as_map(asked("assistantOverrides")));
    Value::Object(assistant)
}

/// The system prompt, which stands in the assistant and opens every artifact.
pub(super) fn prompt(script: &CallScript) -> String {
    let assistant = assistant(script);
    let messages = assistant["model"]["messages"].as_array().cloned().unwrap_or_default();
    let system = messages.iter().find(|message| message["role"] == "system");
    system.and_then(|message| message["content"].as_str()).unwrap_or_default().to_owned()
}

/// `message.phoneNumber`.
pub(super) fn phone_number(script: &CallScript) -> Value {
    json!({
        "id": script.request.get("phoneNumberId").cloned().unwrap_or_default(),
        "orgId": ORGANISATION,
        "number": "+15550100000",
        "createdAt": "2026-01-05T10:00:00.000Z",
        "updatedAt": "2026-01-05T10:00:02.000Z",
        "name": "Main line",
        "provider": "vapi",
        "status": "active",
    })
}
