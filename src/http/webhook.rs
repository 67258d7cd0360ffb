//! `POST /webhook`: a message of Vapi's comes in, and is answered once it is durable.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::warn;

use super::{
    Api,
    deadline::{CHANGE_DEADLINE, in_time},
    observe::Told,
    onlookers::{self, Delivered},
    proof::VerifiedWebhook,
};
use crate::{
    call::id::CallId,
    envelope::{Envelope, NoData},
    error::ApiError,
    reconcile::names_in,
    registry::Applied,
    store::StoreError,
    telemetry::metrics::{EXAMINED, FAILED, INVALID_PAYLOAD},
    tools::{Answer, Heard},
    vapi::{
        flat::unflattened,
        message::{self, Inbound},
        probe,
    },
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
pub(super) async fn receive(State(api): State<Api>, webhook: VerifiedWebhook) -> Result<Response, ApiError> {
    if let Some(nonce) = probe::nonce_of(&webhook.body.bytes) {
        return Ok(examined(&api, &nonce));
    }
    let raw = webhook.body.bytes.clone();
    Ok(take(&api, webhook, raw).await?.response())
}

/// A test event of `ringback doctor`: counted, but no sign that Vapi sends anything.
fn examined(api: &Api, nonce: &str) -> Response {
    api.metrics.webhook_delivered(probe::TYPE, EXAMINED);
    let told = Told { event_type: Some(probe::TYPE.to_owned()), ..Told::default() };
    (told, Json(probe::answer(nonce))).into_response()
}

/// As [`receive`]; older senders post flat events here.
pub(super) async fn receive_session(State(api): State<Api>, mut webhook: VerifiedWebhook) -> Result<Response, ApiError> {
    let raw = webhook.body.bytes.clone();
    let Some((_, message)) = unflattened(&raw) else { return Ok(take(&api, webhook, raw).await?.response()) };
    webhook.body.bytes = message.into();
    let mut taken = take(&api, webhook, raw).await?;
    taken.answer = match taken.answer {
        Answer::Ours(mut answer) if taken.is_question => {
            answer["received"] = json!(true);
            Answer::Ours(answer)
        }
        Answer::Theirs(answer) => Answer::Ours(with_received(&answer)),
        Answer::Ours(_) => Answer::Ours(json!({"received": true})),
    };
    Ok(taken.response())
}

/// What an endpoint answered, and that it was received.
fn with_received(answer: &[u8]) -> Value {
    let mut answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("received".to_owned(), json!(true));
    }
    answer
}

/// A message that was taken in, and what its sender is answered.
struct Taken {
    told: Told,
    answer: Answer,
    is_question: bool,
}

impl Taken {
    fn response(self) -> Response {
        let Self { told, answer, .. } = self;
        match answer {
            Answer::Ours(answer) => (told, Json(answer)).into_response(),
            Answer::Theirs(answer) => (told, [(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        }
    }
}

/// Takes in a message; `raw` is what came, where that is not Vapi's own form.
async fn take(api: &Api, webhook: VerifiedWebhook, raw: Bytes) -> Result<Taken, ApiError> {
    let started = Instant::now();
    let VerifiedWebhook { mut body, delivery, headers } = webhook;
    let Inbound { event, question, partial, odd_call_id } =
        message::read(&body.bytes, delivery, api.clock.now()).inspect_err(|_invalid| api.metrics.webhook_rejected(INVALID_PAYLOAD))?;
    // The event has what it needs: while its commit is waited for, the next request can have the memory.
    let bytes = std::mem::take(&mut body.bytes);
    let shown = api.onlookers.are_there().then(|| (bytes.clone(), event.id.clone(), event.proof));
    let heard = (question.is_some() || api.tools.are_configured()).then(|| {
        let (kind, event_id, call_id) = (event.source.clone(), event.id.clone(), event.call_id.clone());
        let (body, raw) = if api.tools.are_configured() { (bytes, raw) } else { Default::default() };
        Arc::new(Heard { kind, event_id, call_id, body, raw, headers, arrived: started })
    });
    let (kind, call_id, whose) = (event.source.clone(), event.call_id.clone(), names_in(&event.facts));
    if let (Some(line), Some(id)) = (&partial, &call_id) {
        api.registry.pass_on(id, line).await;
    }
    let deadline = if question.is_some() { QUESTION_DEADLINE } else { CHANGE_DEADLINE };
    let commit = async {
        let applied = in_time(deadline, api.registry.apply(event)).await;
        api.metrics.webhook_committed(started.elapsed());
        if let (Some((body, event_id, proof)), Ok(taken)) = (&shown, &applied) {
            let (kind, call_id, result) = (&kind, call_id.as_ref(), result_label(Ok(taken), odd_call_id));
            onlookers::show(api, Delivered { kind, call_id, event_id, proof: *proof, result, body }).await;
        }
        applied
    };
    let answer = async {
        match (&heard, &question) {
            (Some(heard), Some(question)) => Some(api.tools.answer(heard, question).await),
            _ => None,
        }
    };
    // Together: the claim of a tool then is in the same group of commits as its question.
    let (applied, answer) = tokio::join!(commit, answer);
    match &applied {
        Ok(_) => api.reconciler.delivery_taken(&whose),
        Err(_) => api.reconciler.delivery_refused(),
    }
    api.metrics.webhook_received(api.clock.now());
    api.metrics.webhook_delivered(&kind, result_label(applied.as_ref(), odd_call_id));
    if let (Some(heard), Ok(Applied::Stored | Applied::NotKept)) = (&heard, &applied) {
        api.tools.pass_on(heard, question.as_ref());
    }
    let is_question = question.is_some();
    let answer = match (answer, applied) {
        (Some(answer), applied) => {
            if let Err(error) = applied {
                warn!(%error, event_type = kind, "A question was answered without being stored");
            }
            answer
        }
        (None, Ok(applied)) => Answer::Ours(acknowledged(applied, call_id.as_ref())),
        (None, Err(error)) => return Err(error.into()),
    };
    let event_type = Some(kind.chars().take(LONGEST_TYPE).collect());
    Ok(Taken { told: Told { call_id, event_type, ..Told::default() }, answer, is_question })
}

fn result_label(applied: Result<&Applied, &StoreError>, odd_call_id: bool) -> &'static str {
    match applied {
        Ok(_) if odd_call_id => "odd_call_id",
        Ok(Applied::Stored) => "stored",
        Ok(Applied::Duplicate) => "duplicate",
        Ok(Applied::Deleted) => "deleted",
        Ok(Applied::NotKept) => "not_kept",
        Err(_) => FAILED,
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
