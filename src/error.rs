//! Every failure a caller can see, and the envelope it is told in.
//!
//! Which variant to use: what the caller did wrong has a variant of its own; everything that is our fault is [`ApiError::Internal`] or
//! [`ApiError::StoreUnavailable`], whose cause is logged here, once, and never sent.

mod as_vapi;

pub use as_vapi::VapiError;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tracing::{error, warn};

use crate::{
    call::id::is_placement_id,
    call::{id::CallId, time::SECOND},
    config::Scope,
    envelope::{Envelope, NoData},
    store::StoreError,
    vapi::{
        client::{Refusal, RefusalReason},
        message::InvalidPayload,
    },
};

/// Seconds after which a caller may try again; Kestra blocks a worker for as long as it is told, so it stays small.
pub(crate) const RETRY_SOON: u32 = 5;

/// Seconds that anybody is told to wait, at most.
const LONGEST_RETRY: u32 = 30;

/// A failure, as its caller is to see it.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 401: no token, or none we know.
    #[error("Authentication required")]
    Unauthorized,
    /// 401: no proof, or a wrong one.
    #[error("Invalid webhook proof")]
    InvalidSignature(&'static str),
    /// 401: a right proof, too old or too new.
    #[error("Webhook timestamp out of range")]
    TimestampOutOfRange,
    /// 403: the token's scope does not suffice.
    #[error("Forbidden")]
    Forbidden(Scope),
    /// 403: nothing is configured that could let this request in.
    #[error("Authentication is not configured")]
    AuthNotConfigured(&'static str),
    /// 403: a page of another origin wants to write.
    #[error("Foreign origin")]
    ForeignOrigin,
    /// 404: there is no such call.
    #[error("Call not found")]
    CallNotFound(CallId, Absent),
    /// 404: the call is known, its result is not.
    #[error("Call result not ready")]
    CallNotReady(CallId),
    /// 404: no recording, or not yet.
    #[error("Recording not available")]
    RecordingNotAvailable(CallId),
    /// 404: no such route.
    #[error("Route not found")]
    RouteNotFound,
    /// 405.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// 409: the call has ended.
    #[error("Call ended")]
    CallEnded(CallId),
    /// 410: the call was deleted here.
    #[error("Call deleted")]
    CallDeleted(CallId),
    /// 413, with the limit in bytes.
    #[error("Payload too large")]
    PayloadTooLarge(u64),
    /// 413 of what is small by its nature, with the limit in bytes.
    #[error("Payload too large")]
    SettingsTooLarge(u64),
    /// 400: the body can't be used.
    #[error("Invalid payload")]
    InvalidPayload(String),
    /// 400: a parameter can't be used.
    #[error("Invalid parameter")]
    InvalidParameter(String),
    /// 404: nothing of this id.
    #[error("Not found")]
    NotFound(&'static str),
    /// 403: `DIAL_ALLOW` does not list the number.
    #[error("Number not allowed")]
    NumberNotAllowed,
    /// 422: an idempotency key came with another body before.
    #[error("Idempotency key reused")]
    IdempotencyKeyReused,
    /// 422, 429 or 502: Vapi, or Kestra, does not place the call; their words are in `details`.
    #[error("The call was not placed")]
    VapiRefused(Refusal),
    /// 429: as many calls were placed within a minute as may be.
    #[error("Too many calls")]
    TooManyCalls,
    /// 422: what is wrong, by field.
    #[error("Validation failed")]
    ValidationFailed(serde_json::Value),
    /// 429: as many streams are open as there may be.
    #[error("Too many streams")]
    TooManyStreams,
    /// 429: too many failed proofs or sign-ins from one address.
    #[error("Too many failed attempts")]
    RateLimited,
    /// 502: there is no key to ask Vapi with, or Vapi refuses it.
    #[error("No usable Vapi API key")]
    VapiAccount,
    /// 502: Vapi does not answer.
    #[error("Vapi is unavailable")]
    VapiUnavailable(String),
    /// 503: the store can't be asked, or could not commit.
    #[error("Store unavailable")]
    StoreUnavailable(String),
    /// 503: we are about to stop.
    #[error("Shutting down")]
    ShuttingDown,
    /// 500: our fault. The text is for the log.
    #[error("Internal error")]
    Internal(String),
}

/// Why there is no call of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Nothing was heard of it yet.
    Unheard,
    /// It was deleted here.
    Deleted,
    /// Vapi says that it knows none either.
    UnknownToVapi,
    /// It looks like the id of a placing, and there is no such placing.
    NoPlacing,
}

impl Absent {
    fn advice(self) -> &'static str {
        match self {
            Self::Unheard => "Nothing was heard of this call yet. Ask again later, or wait at /calls/{id}/result?wait=30.",
            Self::Deleted => "This call was deleted here: nothing of it is kept, and there will be no result.",
            Self::UnknownToVapi => {
                "Vapi knows no call of this id. Check the id, and that VAPI_API_KEY is of the organisation that placed the call."
            }
            Self::NoPlacing => "No call has this id: it looks like that of a placing, and nothing was placed here under it.",
        }
    }
}

/// Why Vapi places no call, as its own status and code.
fn refused(reason: RefusalReason) -> (StatusCode, &'static str) {
    match reason {
        RefusalReason::Rejected => (StatusCode::UNPROCESSABLE_ENTITY, "VAPI_REJECTED"),
        RefusalReason::Account => (StatusCode::BAD_GATEWAY, "VAPI_ACCOUNT"),
        RefusalReason::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "VAPI_RATE_LIMITED"),
        RefusalReason::Unavailable => (StatusCode::BAD_GATEWAY, "VAPI_UNAVAILABLE"),
        RefusalReason::Kestra => (StatusCode::BAD_GATEWAY, "KESTRA_UNAVAILABLE"),
    }
}

fn advice_on(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Rejected => "Vapi does not take this call: `details` has its words. Nothing was placed.",
        RefusalReason::Account => "Vapi refuses VAPI_API_KEY, or its plan or credit does not suffice: see `details`. Nothing was placed.",
        RefusalReason::RateLimited => {
            "Vapi takes no more calls right now, or has no free line: see `details`. Nothing was placed; try again."
        }
        RefusalReason::Unavailable => "Vapi failed, or can't be reached: see `details`. Nothing was placed; try again.",
        RefusalReason::Kestra => {
            "Kestra was to place this call, but is not well, or does not start KESTRA_FLOW: see `details`. Nothing was placed, and nothing else is tried."
        }
    }
}

/// What of a failure goes into the answer; the envelope is written where the request's id is known.
#[derive(Debug, Clone)]
pub struct Failure {
    code: &'static str,
    error: String,
    message: String,
    call_id: Option<CallId>,
    details: Option<serde_json::Value>,
}

impl ApiError {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::InvalidSignature(_) => (StatusCode::UNAUTHORIZED, "INVALID_SIGNATURE"),
            Self::TimestampOutOfRange => (StatusCode::UNAUTHORIZED, "TIMESTAMP_OUT_OF_RANGE"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "FORBIDDEN"),
            Self::AuthNotConfigured(_) => (StatusCode::FORBIDDEN, "AUTH_NOT_CONFIGURED"),
            Self::ForeignOrigin => (StatusCode::FORBIDDEN, "FOREIGN_ORIGIN"),
            Self::CallNotFound(..) => (StatusCode::NOT_FOUND, "CALL_NOT_FOUND"),
            Self::CallNotReady(_) => (StatusCode::NOT_FOUND, "CALL_NOT_READY"),
            Self::RecordingNotAvailable(_) => (StatusCode::NOT_FOUND, "RECORDING_NOT_AVAILABLE"),
            Self::RouteNotFound => (StatusCode::NOT_FOUND, "ROUTE_NOT_FOUND"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            Self::NumberNotAllowed => (StatusCode::FORBIDDEN, "NUMBER_NOT_ALLOWED"),
            Self::IdempotencyKeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED"),
            Self::VapiRefused(refusal) => refused(refusal.reason),
            Self::ValidationFailed(_) => (StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
            Self::CallEnded(_) => (StatusCode::CONFLICT, "CALL_ENDED"),
            Self::CallDeleted(_) => (StatusCode::GONE, "CALL_DELETED"),
            Self::PayloadTooLarge(_) | Self::SettingsTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
            Self::InvalidPayload(_) => (StatusCode::BAD_REQUEST, "INVALID_PAYLOAD"),
            Self::InvalidParameter(_) => (StatusCode::BAD_REQUEST, "INVALID_PARAMETER"),
            Self::RateLimited | Self::TooManyStreams | Self::TooManyCalls => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"),
            Self::VapiAccount => (StatusCode::BAD_GATEWAY, "VAPI_ACCOUNT"),
            Self::VapiUnavailable(_) => (StatusCode::BAD_GATEWAY, "VAPI_UNAVAILABLE"),
            Self::StoreUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "STORE_UNAVAILABLE"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "SHUTTING_DOWN"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        }
    }

    /// What the caller can do about it.
    fn advice(&self) -> String {
        match self {
            Self::Unauthorized => "Send a token of API_TOKENS as Authorization: Bearer.".to_owned(),
            Self::InvalidSignature(why) => (*why).to_owned(),
            Self::TimestampOutOfRange => "The proof is right, but its timestamp is too far from our clock; check both clocks.".to_owned(),
            Self::Forbidden(scope) => format!("This needs a token of scope {} or wider.", scope.as_str()),
            Self::AuthNotConfigured(what) | Self::NotFound(what) => (*what).to_owned(),
            Self::ValidationFailed(_) => "Correct the fields that `details` names.".to_owned(),
            Self::NumberNotAllowed => {
                "DIAL_ALLOW does not list this number, or the body does not name one that could be checked.".to_owned()
            }
            Self::IdempotencyKeyReused => "This Idempotency-Key came with another body before; take a new one.".to_owned(),
            Self::VapiRefused(refusal) => advice_on(refusal.reason).to_owned(),
            Self::TooManyCalls => "This instance has placed DIAL_MAX_PER_MINUTE calls within a minute. Try again later.".to_owned(),
            Self::ForeignOrigin => "A page of another origin may not write here; list the origin in CORS_ORIGINS to let it. If it is our own page behind a proxy, set PUBLIC_URL to its address.".to_owned(),
            Self::CallNotFound(_, why) => why.advice().to_owned(),
            Self::CallNotReady(id) if is_placement_id(id.as_str()) => {
                "Nobody knows yet which call this placing became: it is looked for. Wait at /calls/{id}/result?wait=30, then ask again."
                    .to_owned()
            }
            Self::CallNotReady(_) => "The call is known but has no result yet. Wait for it at /calls/{id}/result?wait=30.".to_owned(),
            Self::RecordingNotAvailable(_) => "Vapi has no such recording of this call, or not yet.".to_owned(),
            Self::RouteNotFound => "See /docs for the routes.".to_owned(),
            Self::MethodNotAllowed => "See the Allow header for the methods of this route.".to_owned(),
            Self::CallEnded(_) => "This call has ended; there is nothing to call off.".to_owned(),
            Self::CallDeleted(_) => "This call was deleted here; nothing of it is kept.".to_owned(),
            Self::PayloadTooLarge(limit) => format!("A body may have {limit} bytes; raise MAX_BODY_MB to take more."),
            Self::SettingsTooLarge(limit) => format!("The body of this request may have {limit} bytes, whatever MAX_BODY_MB is."),
            Self::InvalidPayload(why) | Self::InvalidParameter(why) | Self::VapiUnavailable(why) => why.clone(),
            Self::TooManyStreams => "This instance has as many streams open as it takes. Try again later.".to_owned(),
            Self::RateLimited => "Too many failed attempts from this address within a minute. Wait a minute, then try again.".to_owned(),
            Self::VapiAccount => "Set VAPI_API_KEY, or correct it: Vapi answers 401 or 403 to a wrong one.".to_owned(),
            Self::StoreUnavailable(_) => "The store can't be reached right now. Try again.".to_owned(),
            Self::ShuttingDown => "This instance is stopping. Try again.".to_owned(),
            Self::Internal(_) => "This is our fault; the log has the request id.".to_owned(),
        }
    }

    fn call_id(&self) -> Option<CallId> {
        match self {
            Self::CallNotFound(id, _)
            | Self::CallNotReady(id)
            | Self::CallEnded(id)
            | Self::RecordingNotAvailable(id)
            | Self::CallDeleted(id) => Some(id.clone()),
            _ => None,
        }
    }

    /// Seconds after which to try again.
    fn retry_after(&self) -> u32 {
        match self {
            Self::VapiRefused(refusal) => {
                let asked = refusal.retry_after_ms.map_or(RETRY_SOON, |wait| u32::try_from(wait / SECOND).unwrap_or(LONGEST_RETRY));
                asked.clamp(1, LONGEST_RETRY)
            }
            _ => RETRY_SOON,
        }
    }

    /// Logs causes that the caller is not told.
    fn record(&self) {
        match self {
            Self::Internal(cause) => error!(cause, "A request failed by our fault"),
            Self::StoreUnavailable(cause) => warn!(cause, "The store is unavailable"),
            _ => {}
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.record();
        let (status, code) = self.status();
        let (error, message, call_id) = (self.to_string(), self.advice(), self.call_id());
        let wait = self.retry_after();
        let details = match self {
            Self::ValidationFailed(details) | Self::VapiRefused(Refusal { details, .. }) => Some(details),
            _ => None,
        };
        let failure = Failure { code, error, message, call_id, details };
        let mut response = (status, Body::empty()).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status.as_u16(), 404 | 429 | 503) {
            headers.insert(header::RETRY_AFTER, wait.into());
        }
        response.extensions_mut().insert(failure);
        response
    }
}

impl Failure {
    /// The envelope of an error, serialised.
    #[must_use]
    pub fn envelope(&self, request_id: &str) -> Vec<u8> {
        let call_id = self.call_id.as_ref().map(CallId::as_str);
        let (code, error, message) = (Some(self.code), Some(self.error.as_str()), Some(self.message.as_str()));
        Envelope {
            success: false,
            call_id,
            code,
            error,
            message,
            details: self.details.as_ref(),
            request_id: Some(request_id),
            ..Envelope::of(NoData)
        }
        .to_bytes()
    }

    /// The call it is about.
    #[must_use]
    pub fn call_id(&self) -> Option<&CallId> {
        self.call_id.as_ref()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::StoreUnavailable(error.to_string())
    }
}

impl From<InvalidPayload> for ApiError {
    fn from(error: InvalidPayload) -> Self {
        Self::InvalidPayload(error.to_string())
    }
}
