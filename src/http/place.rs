//! `POST /calls`: a call is placed, once.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{
    Api,
    auth::{Caller, Place},
    calls::{json_answer, shown},
    observe::Told,
    parameters::{IfNoneMatch, Parameters},
    result::known_within,
    sent::Sent,
};
use crate::{
    call::{
        id::CallId,
        view::{CallResult, View},
    },
    dial::{Asked, DialError, Key, Named, Order, Outcome},
    envelope::{Envelope, NoData},
    error::ApiError,
    registry::{Known, never_heard_of},
};

/// Characters of an idempotency key, at most.
const LONGEST_KEY: usize = 255;
/// What an idempotency key was used for here.
const ROUTE: &str = "calls";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
pub(super) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The header `Idempotency-Key`.
#[derive(Debug)]
pub(super) struct IdempotencyKey(pub(super) Option<String>);

impl FromRequestParts<Api> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        let Some(key) = parts.headers.get(&IDEMPOTENCY_KEY) else { return Ok(Self(None)) };
        let key = key.to_str().ok().filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
        key.map(|key| Self(Some(key.to_owned())))
            .ok_or_else(|| ApiError::InvalidParameter(format!("Idempotency-Key must have 1 to {LONGEST_KEY} visible ASCII characters.")))
    }
}

/// Places a call, once: the same `Idempotency-Key` gives the same call, for 24 hours.
///
/// The body is a `CallRequest`, or Vapi's own for creating a call. Either may carry a `callback`, which is told once the call is done: a webhook, or
/// a paused execution of n8n or Kestra. When Vapi's answer is lost, nothing is sent again: the answer is 202 with the
/// id of the placing as `callId`, which stands for the call wherever an id is asked for, and the call is looked for.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/calls",
    operation_id = "placeCall",
    tag = "Placing",
    params(
        ("wait" = Option<f64>, Query, description = "Seconds to wait for the call to be done, 0 (default) to WAIT_MAX_SECONDS"),
        super::docs::ViewParameter,
        super::docs::IdempotencyKeyParameter,
    ),
    request_body(content = Object, description = "A CallRequest, or the body of Vapi's POST /call", example = json!({"providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap"})),
    responses(
        (status = 201, description = "Placed; `Location` leads to the result", body = Envelope<CallResult>),
        (status = 202, description = "Nobody knows yet whether it was placed; ask for the result of `callId`", body = Envelope<CallResult>),
        (status = 400, description = "INVALID_PAYLOAD, INVALID_PARAMETER", body = Envelope<NoData>),
        (status = 403, description = "NUMBER_NOT_ALLOWED; FORBIDDEN, AUTH_NOT_CONFIGURED, FOREIGN_ORIGIN", body = Envelope<NoData>),
        (status = 410, description = "CALL_DELETED: the same key placed a call that was erased since", body = Envelope<NoData>),
        (status = 413, description = "PAYLOAD_TOO_LARGE", body = Envelope<NoData>),
        (status = 422, description = "VALIDATION_FAILED, IDEMPOTENCY_KEY_REUSED, VAPI_REJECTED", body = Envelope<NoData>),
        (status = 429, description = "RATE_LIMITED, VAPI_RATE_LIMITED", body = Envelope<NoData>),
        (status = 502, description = "VAPI_ACCOUNT, VAPI_UNAVAILABLE, KESTRA_UNAVAILABLE: nothing was placed", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE, SHUTTING_DOWN: nothing was placed", body = Envelope<NoData>),
    ),
    security(("bearer" = ["place"]))
)]
pub(super) async fn place(
    State(api): State<Api>,
    caller: Caller<Place>,
    parameters: Parameters,
    IdempotencyKey(key): IdempotencyKey,
    sent: Sent,
) -> Result<Response, ApiError> {
    let wait = parameters.wait(&api)?;
    // Found out after the call is placed, it would be a refusal of what is done.
    parameters.view(View::Full)?;
    let hash = hex::encode(Sha256::digest(&sent.held.bytes));
    let key = key.map(|key| Key::sent(key, ROUTE));
    let Sent { json, held } = sent;
    let Asked { wanted, callback, method } = Asked::parse(json, &api.push.reach())?;
    // Its memory is not needed while somebody waits.
    drop(held);
    let method = method.unwrap_or(api.dialer.method());
    let order = Order { wanted, method, callback, token: caller.token.clone(), key, hash };
    let Outcome { named, replayed } = api.dialer.place(order).await?;
    let waiting = Instant::now();
    let named = match named {
        Named::Open(id) if !wait.is_zero() => api.dialer.named_within(&id, wait).await.unwrap_or(Named::Open(id)),
        named => named,
    };
    let (id, mut response) = match named {
        Named::Call(id) => {
            let left = wait.saturating_sub(waiting.elapsed());
            let response = placed(&api, (&id, replayed), left, &parameters).await?;
            (id, response)
        }
        Named::Open(id) => {
            // One that was given up has a record by now, which says so.
            let response = match api.registry.look_up(&id).await {
                Ok(Known::Call(lost)) => shown(&lost, &parameters, &IfNoneMatch(None), StatusCode::ACCEPTED)?,
                _ => json_answer(StatusCode::ACCEPTED, never_heard_of(&id), None),
            };
            (id, response)
        }
        Named::Nothing => return Err(ApiError::Internal("a placing is gone that was there just now".to_owned())),
    };
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(format!("/api/v1/vapi/calls/{id}/result")).ok().map(|place| (header::LOCATION, place)));
    if replayed {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    let told = Told { waited: waiting.elapsed(), ..Told::about(caller.token, id) };
    Ok((told, response).into_response())
}

/// There is a call: whatever fails from here on, the answer says so.
async fn placed(api: &Api, (id, replayed): (&CallId, bool), wait: Duration, parameters: &Parameters) -> Result<Response, ApiError> {
    match known_within(api, id, wait).await {
        Ok(Known::Deleted) if replayed => Err(ApiError::CallDeleted(id.clone())),
        Ok(Known::Call(call)) => shown(&call, parameters, &IfNoneMatch(None), StatusCode::CREATED),
        Ok(Known::Deleted | Known::Nothing) | Err(_) => Ok(json_answer(StatusCode::CREATED, never_heard_of(id), None)),
    }
}

impl From<DialError> for ApiError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::NoKey => Self::VapiAccount,
            DialError::NumberNotAllowed => Self::NumberNotAllowed,
            DialError::TooMany => Self::TooManyCalls,
            DialError::KeyReused => Self::IdempotencyKeyReused,
            DialError::Refused(refusal) => Self::VapiRefused(refusal),
            DialError::Store(error) => error.into(),
            DialError::Crashed => Self::Internal(error.to_string()),
            DialError::Template(error) => error.into(),
            DialError::Stopping => Self::ShuttingDown,
        }
    }
}
