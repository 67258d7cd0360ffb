//! Bodies of JSON that clients of the API send.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{header, request::Parts},
};
use serde_json::{Value, json};

use super::{Api, body::Held};
use crate::error::ApiError;

/// Bytes of settings, at most: the largest have many headers.
const MOST_SETTINGS: u64 = 128 * 1_024;

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
        let held = held(&parts, body, api, api.config.http.max_body_bytes).await?;
        Ok(Self { json: json(&held)?, held })
    }
}

/// A small body of JSON; an empty one is an empty object.
#[derive(Debug)]
pub(super) struct Settings(pub(super) Value);

impl FromRequest<Api> for Settings {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let held = held(&parts, body, api, MOST_SETTINGS).await?;
        let is_empty = held.bytes.iter().all(u8::is_ascii_whitespace);
        Ok(Self(if is_empty { json!({}) } else { json(&held)? }))
    }
}

/// A whole body of at most so many bytes.
pub(super) async fn held(parts: &Parts, body: Body, api: &Api, most: u64) -> Result<Held, ApiError> {
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let usual = api.config.http.max_body_bytes;
    api.bodies.read(body, announced, most).await.map_err(|error| match error {
        ApiError::PayloadTooLarge(limit) if limit != usual => ApiError::SettingsTooLarge(limit),
        other => other,
    })
}

fn json(held: &Held) -> Result<Value, ApiError> {
    let odd = |error: serde_json::Error| format!("The body is no JSON: line {}, column {}.", error.line(), error.column());
    serde_json::from_slice(&held.bytes).map_err(|error| ApiError::InvalidPayload(odd(error)))
}
