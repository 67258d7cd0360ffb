//! `POST /assistant-config`: the assistant that a request would be called with.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{
    Api,
    auth::{Caller, Place},
    observe::Told,
    sent::Sent,
};
use crate::{
    envelope::{Envelope, NoData},
    error::ApiError,
    fields::FieldError,
    vapi::assistant::{CallRequest, TemplateError},
};

/// The assistant, as Vapi takes it, that a request would be called with. It holds no secret, so a placed call may have one header more.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/assistant-config",
    operation_id = "writeAssistant",
    tag = "Placing",
    request_body(content = Object, description = "A CallRequest", example = json!({"providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap"})),
    responses(
        (status = 200, description = "`data` is the assistant", body = Envelope<Object>),
        (status = 400, description = "INVALID_PAYLOAD: no JSON", body = Envelope<NoData>),
        (status = 413, description = "PAYLOAD_TOO_LARGE", body = Envelope<NoData>),
        (status = 422, description = "VALIDATION_FAILED: `details` names the fields", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE: no memory for bodies right now", body = Envelope<NoData>),
    ),
    security(("bearer" = ["place"]))
)]
pub(super) async fn write(State(api): State<Api>, caller: Caller<Place>, sent: Sent) -> Result<Response, ApiError> {
    let request = CallRequest::parse(&sent.json)?;
    let assistant = api.dialer.writer().assistant(&request)?;
    Ok((Told::by(caller.token), Json(Envelope::of(assistant))).into_response())
}

impl From<TemplateError> for ApiError {
    fn from(error: TemplateError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<Vec<FieldError>> for ApiError {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::ValidationFailed(serde_json::to_value(errors).unwrap_or(Value::Null))
    }
}
