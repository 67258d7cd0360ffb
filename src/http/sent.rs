//! Bodies of JSON that clients of the API send.

use axum::{
    extract::{FromRequest, Request},
    http::header,
};
use serde_json::Value;

use super::{Api, body::Held};
use crate::error::ApiError;

/// A body of JSON, whatever its content type says.
#[derive(Debug)]
pub(super) struct Sent {
    /// What it says.
    pub(super) json: Value,
    /// As it came.
    pub(super) held: Held,
}

impl FromRequest<Api> for Sent {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let held = api.bodies.read(body, announced, api.config.http.max_body_bytes).await?;
        match serde_json::from_slice(&held.bytes) {
            Ok(json) => Ok(Self { json, held }),
            Err(error) => Err(ApiError::InvalidPayload(format!("The body is no JSON: line {}, column {}.", error.line(), error.column()))),
        }
    }
}
