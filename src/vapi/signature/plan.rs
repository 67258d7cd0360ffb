//! How Vapi's HMAC credential signs.

use std::str::FromStr;

use axum::http::HeaderName;
use serde_json::{Map, Value};

use super::{
    format::{Format, Place},
    mac::{Algorithm, Encoding},
};

/// Vapi's defaults (OpenAPI, `HMACAuthenticationPlan`).
const SIGNATURE_HEADER: &str = "x-signature";
const TIMESTAMP_HEADER: &str = "x-timestamp";
const FORMAT: &str = "{timestamp}.{body}";
const FORMAT_WITHOUT_TIMESTAMP: &str = "{body}";

/// The `authenticationPlan` of a Vapi HMAC credential, as far as it says how to check a signature. Its `secretKey` is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacPlan {
    pub(super) algorithm: Algorithm,
    pub(super) signature_header: HeaderName,
    pub(super) signature_prefix: String,
    pub(super) signature_encoding: Encoding,
    pub(super) timestamp_header: HeaderName,
    /// There whenever the format needs it.
    pub(super) message_id_header: Option<HeaderName>,
    pub(super) format: Format,
    pub(super) secret_is_base64: bool,
}

/// What is wrong with a plan. Values are not repeated: a secret may be among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It cannot be read.
    #[error("it must be a JSON object, the authenticationPlan of a Vapi HMAC credential")]
    NoObject,
    /// A key has a value that means nothing.
    #[error("{key} must be {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What may stand there.
        expected: &'static str,
    },
    /// Signatures would not cover the content.
    #[error("payloadFormat must contain {{body}}: without it a signature would vouch for any content")]
    NoBody,
    /// The timestamp is signed, but not sent.
    #[error("payloadFormat contains {{timestamp}}, but includeTimestamp is false")]
    NoTimestamp,
    /// The message id is signed, but nothing says where it is sent.
    #[error("payloadFormat contains {{svix-id}}, but messageIdHeader is missing")]
    NoMessageId,
}

impl HmacPlan {
    /// Does the signature cover no more than the body, as a bare `x-vapi-signature` does, with the same hash and keys?
    pub(super) fn is_bare(&self) -> bool {
        self.format.is_bare() && self.algorithm == Algorithm::Sha256 && !self.secret_is_base64
    }

    /// Does the signature cover the address of the webhook?
    #[must_use]
    pub fn signs_url(&self) -> bool {
        self.format.has(Place::Url)
    }
}

impl Default for HmacPlan {
    /// Vapi's defaults, with SHA-256.
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Sha256,
            signature_header: HeaderName::from_static(SIGNATURE_HEADER),
            signature_prefix: String::new(),
            signature_encoding: Encoding::Hex,
            timestamp_header: HeaderName::from_static(TIMESTAMP_HEADER),
            message_id_header: None,
            format: Format::parse(FORMAT),
            secret_is_base64: false,
        }
    }
}

impl FromStr for HmacPlan {
    type Err = PlanError;

    /// Reads Vapi's JSON verbatim; `null` is as good as absent, and unknown keys are ignored.
    fn from_str(json: &str) -> Result<Self, PlanError> {
        // Read by hand, not derived: serde's errors repeat the value that was wrong.
        let keys = Keys(serde_json::from_str(json).ok().ok_or(PlanError::NoObject)?);
        keys.word("type", "\"hmac\"", |word| (word == "hmac").then_some(()))?;
        let algorithm = keys.word("algorithm", "sha256, sha512 or sha1", |word| match word {
            "sha256" => Some(Algorithm::Sha256),
            "sha512" => Some(Algorithm::Sha512),
            "sha1" => Some(Algorithm::Sha1),
            _ => None,
        })?;
        let encoding = keys.word("signatureEncoding", "hex or base64", |word| match word {
            "hex" => Some(Encoding::Hex),
            "base64" => Some(Encoding::Base64),
            _ => None,
        })?;
        let sends_timestamp = keys.flag("includeTimestamp")?.unwrap_or(true);
        let default_format = if sends_timestamp { FORMAT } else { FORMAT_WITHOUT_TIMESTAMP };
        let default = Self::default();
        let plan = Self {
            algorithm: algorithm.unwrap_or(default.algorithm),
            signature_header: keys.header("signatureHeader")?.unwrap_or(default.signature_header),
            signature_prefix: keys.text("signaturePrefix")?.unwrap_or_default().to_owned(),
            signature_encoding: encoding.unwrap_or(default.signature_encoding),
            timestamp_header: keys.header("timestampHeader")?.unwrap_or(default.timestamp_header),
            message_id_header: keys.header("messageIdHeader")?,
            format: Format::parse(keys.text("payloadFormat")?.unwrap_or(default_format)),
            secret_is_base64: keys.flag("secretIsBase64")?.unwrap_or_default(),
        };
        plan.checked(sends_timestamp)
    }
}

impl HmacPlan {
    fn checked(self, sends_timestamp: bool) -> Result<Self, PlanError> {
        if !self.format.has(Place::Body) {
            return Err(PlanError::NoBody);
        }
        if self.format.has(Place::Timestamp) && !sends_timestamp {
            return Err(PlanError::NoTimestamp);
        }
        if self.format.has(Place::MessageId) && self.message_id_header.is_none() {
            return Err(PlanError::NoMessageId);
        }
        Ok(self)
    }
}

/// The keys of a plan's JSON.
struct Keys(Map<String, Value>);

impl Keys {
    fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &'static str) -> Result<Option<&str>, PlanError> {
        let read = |value| Value::as_str(value).ok_or(PlanError::Value { key, expected: "a text" });
        self.value(key).map(read).transpose()
    }

    fn word<T>(&self, key: &'static str, expected: &'static str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, PlanError> {
        let read = |value: &Value| value.as_str().and_then(&read).ok_or(PlanError::Value { key, expected });
        self.value(key).map(read).transpose()
    }

    fn header(&self, key: &'static str) -> Result<Option<HeaderName>, PlanError> {
        // An emptied field of a form is no wish for a header without a name.
        if self.text(key)? == Some("") {
            return Ok(None);
        }
        self.word(key, "the name of a header", |name| name.parse().ok())
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, PlanError> {
        let read = |value: &Value| value.as_bool().ok_or(PlanError::Value { key, expected: "true or false" });
        self.value(key).map(read).transpose()
    }
}

#[cfg(test)]
mod tests;
