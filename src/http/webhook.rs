//! `POST /webhook`: a message of Vapi's comes in, and is answered once it is durable.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tracing::warn;

use super::{
    Api,
    deadline::{CHANGE_DEADLINE, in_time},
    observe::Told,
    proof::VerifiedWebhook,
};
use crate::{
    call::id::CallId,
    envelope::{Envelope, NoData},
    error::ApiError,
    registry::Applied,
    store::StoreError,
    vapi::message::{self, Inbound, Question},
};

/// Whoever asks, waits with a caller on the line: the answer goes out after this time, stored or not. The commit goes on.
const QUESTION_DEADLINE: Duration = Duration::from_secs(2);

/// Characters of a message's type that the log shows; Vapi's have less, and anything can call itself a type.
const LONGEST_TYPE: usize = 64;

/// Takes one message. 200 means that it is committed; a repeat is 200 and changes nothing.
///
/// Asking messages (tool calls and the like) are answered in any case: somebody at a phone waits.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/webhook",
    operation_id = "receiveWebhook",
    tag = "Webhooks",
    request_body(content = Object, description = "A Vapi server message: {\"message\":{\"type\":…}}", example = json!({"message": {"type": "status-update", "status": "in-progress", "timestamp": 1_790_421_495_120_u64, "call": {"id": "019c758b-c31b-781d-be9b-73dfed5cadf8"}}})),
    responses(
        (status = 200, description = "Committed", body = Object, example = json!({"success": true, "status": "success", "received": true, "message": "Stored.", "callId": "019c758b-c31b-781d-be9b-73dfed5cadf8"})),
        (status = 400, description = "INVALID_PAYLOAD: no JSON, or no message.type", body = Envelope<NoData>),
        (status = 401, description = "INVALID_SIGNATURE, TIMESTAMP_OUT_OF_RANGE", body = Envelope<NoData>),
        (status = 413, description = "PAYLOAD_TOO_LARGE", body = Envelope<NoData>),
        (status = 429, description = "RATE_LIMITED: too many failed proofs", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE: not committed, send it again", body = Envelope<NoData>),
    ),
    security((), ("vapiSecret" = []), ("bearer" = []))
)]
pub(super) async fn receive(State(api): State<Api>, VerifiedWebhook { mut body, delivery }: VerifiedWebhook) -> Result<Response, ApiError> {
    let Inbound { event, question, partial, odd_call_id } = message::read(&body.bytes, delivery, api.clock.now())?;
    // The event has what it needs: while its commit is waited for, the next request can have the memory.
    drop(std::mem::take(&mut body.bytes));
    let (kind, call_id) = (event.source.clone(), event.call_id.clone());
    if let (Some(line), Some(id)) = (&partial, &call_id) {
        api.registry.pass_on(id, line).await;
    }
    let started = tokio::time::Instant::now();
    let deadline = if question.is_some() { QUESTION_DEADLINE } else { CHANGE_DEADLINE };
    let applied = in_time(deadline, api.registry.apply(event)).await;
    api.metrics.webhook_received(api.clock.now());
    api.metrics.webhook_committed(started.elapsed());
    api.metrics.webhook_delivered(&kind, result_label(applied.as_ref(), odd_call_id));
    let answer = match (question, applied) {
        (Some(question), applied) => {
            if let Err(error) = applied {
                warn!(%error, event_type = kind, "A question was answered without being stored");
            }
            harmless(&question)
        }
        (None, Ok(applied)) => acknowledged(applied, call_id.as_ref()),
        (None, Err(error)) => return Err(error.into()),
    };
    let event_type = Some(kind.chars().take(LONGEST_TYPE).collect());
    let told = Told { call_id, event_type, ..Told::default() };
    Ok((axum::Extension(told), Json(answer)).into_response())
}

fn result_label(applied: Result<&Applied, &StoreError>, odd_call_id: bool) -> &'static str {
    match applied {
        Ok(_) if odd_call_id => "odd_call_id",
        Ok(Applied::Stored) => "stored",
        Ok(Applied::Duplicate) => "duplicate",
        Ok(Applied::Deleted) => "deleted",
        Ok(Applied::NotKept) => "not_kept",
        Err(_) => "failed",
    }
}

fn acknowledged(applied: Applied, call_id: Option<&CallId>) -> Value {
    let message = match applied {
        Applied::Stored => "Stored.",
        Applied::Duplicate => "Stored before; nothing changed.",
        Applied::Deleted => "The call was deleted; ignored.",
        Applied::NotKept => "Received; messages of this type are not kept.",
    };
    json!({"success": true, "status": "success", "received": true, "message": message, "callId": call_id.map(CallId::as_str)})
}

/// What is answered while nothing is configured: it harms no call.
fn harmless(question: &Question) -> Value {
    const NO_TOOL: &str = "No tool is configured.";
    match question {
        Question::ToolCalls(tools) => {
            let results = tools.iter().map(|(id, name)| json!({"toolCallId": id, "name": name, "error": NO_TOOL}));
            json!({"results": results.collect::<Vec<_>>()})
        }
        Question::FunctionCall => json!({"result": NO_TOOL}),
        Question::Assistant => json!({"error": "No assistant is configured to take this call."}),
        Question::Destination => json!({"error": "No destination is configured."}),
        Question::Documents => json!({"documents": []}),
        Question::Endpointing => json!({"timeoutSeconds": 0.6}),
        Question::Predial => json!({"eligible": false}),
        Question::Voice => json!({"error": "No voice is configured."}),
    }
}

/// Shows that the webhook's address can be reached. Open to everyone.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/vapi/test",
    operation_id = "testWebhook",
    tag = "Webhooks",
    responses((status = 200, description = "Reachable", body = Object, example = json!({"message": "VAPI webhook endpoint is accessible", "status": "ok"}))),
    security(())
)]
pub(super) async fn test() -> Json<Value> {
    Json(json!({"message": "VAPI webhook endpoint is accessible", "status": "ok"}))
}
