//! `POST /vapi/call`: a call is placed, once, although clients of Vapi send again without saying so.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{told, unknown_yet};
use crate::{
    call::{id::CallId, time::Millis},
    dial::{CallMethod, Key, Named, Order, Outcome, Wanted},
    error::{Absent, ApiError, VapiError},
    http::{
        Api,
        auth::{Caller, FacePlace},
        calls::json_answer,
        deadline::{CHANGE_DEADLINE, in_time},
        observe::Told,
        place::{IDEMPOTENT_REPLAYED, IdempotencyKey},
        sent::Sent,
    },
    store::Loaded,
    vapi::face::VapiCall,
};

/// What a key was used for here: what a client chose, and what is made of its body.
const ROUTE: &str = "vapi/call";
const BODY: &str = "vapi/call:body";

/// Places a call as Vapi's `POST /call` does, once: the same bytes by the same token within 10 seconds are the same call.
///
/// The body is Vapi's own; it goes out field by field, with our server, messages and metadata added where it has none. The answer is Vapi's,
/// redacted. When Vapi's answer is lost, it is a call with the id of its placing and the status `queued`; that id stands for the call everywhere.
#[utoipa::path(
    post,
    path = "/vapi/call",
    operation_id = "vapiCreateCall",
    tag = "Vapi",
    params(super::super::docs::IdempotencyKeyParameter),
    request_body(content = Object, description = "The body of Vapi's POST /call", example = json!({"assistantId": "6b1f0a52-0f2c-4d1e-9a3b-3f0e7c1a2b3c", "customer": {"number": "+15551234567"}})),
    responses(
        (status = 201, description = "Placed, or nobody knows yet", body = VapiCall),
        (status = 400, description = "The body can't be used, or Vapi does not take it", body = VapiError),
        (status = 402, description = "Vapi asks for money", body = VapiError),
        (status = 403, description = "The number may not be called, or the token's scope is too small", body = VapiError),
        (status = 404, description = "The same was placed before, and the call was deleted here since; nothing is placed anew", body = VapiError),
        (status = 413, description = "The body is too large", body = VapiError),
        (status = 422, description = "The Idempotency-Key came with another body before", body = VapiError),
        (status = 429, description = "Too many calls, here or at Vapi, or no free line", body = VapiError),
        (status = 502, description = "Vapi refuses our key, or can't be reached; nothing was placed", body = VapiError),
        (status = 503, description = "The store can't be asked; nothing was placed", body = VapiError),
    ),
    security(("bearer" = ["place"]))
)]
pub(in crate::http) async fn place(
    State(api): State<Api>,
    caller: Caller<FacePlace>,
    IdempotencyKey(key): IdempotencyKey,
    sent: Sent,
) -> Result<Response, ApiError> {
    let hash = hex::encode(Sha256::digest(&sent.held.bytes));
    let (token, wanted) = (caller.token.clone(), Wanted::parse_body(&sent.json)?);
    drop(sent);
    let key = key.map_or_else(|| Key::of_body(hash.clone(), BODY), |key| Key::sent(key, ROUTE));
    let order = Order { wanted, method: CallMethod::DirectVapi, callback: None, token, key: Some(key), hash };
    let Outcome { named, replayed } = api.dialer.place(order).await?;
    let (id, body) = match named {
        Named::Call(id) => {
            let body = created(&api, &id, replayed).await?;
            (id, body)
        }
        Named::Open(id) => {
            let body = unknown_yet(&id).to_string();
            (id, body)
        }
        Named::Nothing => return Err(ApiError::Internal("a placing is gone that was there just now".to_owned())),
    };
    let mut response = json_answer(StatusCode::CREATED, body, None);
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok((Told::about(caller.token, id), response).into_response())
}

/// What Vapi answered when it made the call, redacted; else what is known of the call; in any case an answer, for there is a call. Unless that was
/// made before, and erased since.
async fn created(api: &Api, id: &CallId, replayed: bool) -> Result<String, ApiError> {
    let store = api.registry.store();
    let call = match in_time(CHANGE_DEADLINE, store.load(id)).await {
        Ok(Loaded::Found(call)) => call,
        Ok(Loaded::Deleted) if replayed => return Err(ApiError::CallNotFound(id.clone(), Absent::Deleted)),
        Ok(Loaded::Deleted | Loaded::Missing) | Err(_) => return Ok(unknown_yet(id).to_string()),
    };
    let timeline = in_time(CHANGE_DEADLINE, store.timeline(id, true)).await.unwrap_or_default();
    // It was stored together with the placing.
    let answer = timeline.into_iter().find(|entry| entry.source == "rest").and_then(|entry| as_made(&entry.body?, call.created_at));
    Ok(answer.unwrap_or_else(|| serde_json::to_string(&told(api, &call)).unwrap_or_default()))
}

/// Vapi's answer, with the moment that lists go by.
fn as_made(answer: &str, created_at: Millis) -> Option<String> {
    let mut call: Value = serde_json::from_str(answer).ok()?;
    call.as_object_mut()?.insert("createdAt".to_owned(), created_at.to_string().into());
    Some(call.to_string())
}
