//! A webhook's body reaches a handler only after its proof: [`VerifiedWebhook`] is an extractor.

use std::net::IpAddr;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, Uri},
};

use super::{Api, auth::is_of_this_machine, body::Held, failures::Failures, observe::client_ip, sent::held, session::Remembered};
use crate::{
    call::id::CallId,
    error::ApiError,
    telemetry::metrics::{DOCTOR, INVALID_PAYLOAD, NOT_CONFIGURED, TOO_LARGE},
    vapi::{
        message::Delivery,
        probe,
        signature::{self, Rejection, Verifier},
    },
};

/// Failed proofs of one address within a minute; further failures are 429.
const MOST_FAILURES: u32 = 50;

const SET_SECRET: &str = "Webhooks from elsewhere need a proof: set VAPI_WEBHOOK_SECRET, here and as the server credential at Vapi.";
const NO_PROOF: &str =
    "The request carries no proof: send x-vapi-secret, Authorization: Bearer, or a signature with one of VAPI_WEBHOOK_SECRET.";
const WRONG_PROOF: &str = "The proof does not fit any of VAPI_WEBHOOK_SECRET, or is of a kind that VAPI_WEBHOOK_AUTH does not allow.";

/// Checks proofs and remembers who failed.
pub struct Gate {
    verifier: Option<Verifier>,
    failures: Failures,
    /// Who failed to sign in at the dashboard.
    pub(super) sign_ins: Failures,
    /// Who showed tokens that nobody knows.
    pub(super) tokens: Failures,
    /// Who is signed in.
    pub(super) sessions: Remembered,
}

impl Gate {
    /// A gate for the configured secrets; `None`: no secret is configured.
    #[must_use]
    pub fn new(verifier: Option<Verifier>) -> Self {
        let (failures, sign_ins, tokens) = <(Failures, Failures, Failures)>::default();
        Self { verifier, failures, sign_ins, tokens, sessions: Remembered::default() }
    }
}

/// A body whose proof was checked.
#[derive(Debug)]
pub(super) struct VerifiedWebhook {
    /// The raw body.
    pub(super) body: Held,
    /// What the headers tell beside it.
    pub(super) delivery: Delivery,
    /// The headers themselves.
    pub(super) headers: HeaderMap,
}

impl FromRequest<Api> for VerifiedWebhook {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let is_test = request.headers().contains_key(probe::HEADER);
        let verified = Self::verified(request, api).await;
        // What the doctor sends without a proof was not meant to come in; whatever else was refused may be lost.
        if let Err(error) = &verified {
            if !is_test {
                api.reconciler.delivery_refused();
            }
            if let Some(reason) = reason(error) {
                api.metrics.webhook_rejected(if is_test { DOCTOR } else { reason });
            }
        }
        verified
    }
}

impl VerifiedWebhook {
    async fn verified(request: Request, api: &Api) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let client = client_ip(api, &parts.extensions, &parts.headers);
        let verifier = match &api.gate.verifier {
            Some(verifier) => Some(verifier),
            None => open_gate(api, &parts.headers).map(|()| None)?,
        };
        // Without any proof the body is not worth reading.
        if verifier.is_some_and(|verifier| !verifier.has_any_header(&parts.headers)) {
            let reason = if parts.headers.contains_key(probe::HEADER) { DOCTOR } else { Rejection::Missing.as_str() };
            return Err(refused(api, client, Rejection::Missing, reason));
        }
        let body = held(&parts, body, api, api.config.http.max_body_bytes).await?;
        let delivery = match verifier {
            None => Delivery { call_id: call_id(&parts.headers), ..Delivery::default() },
            Some(verifier) => {
                let request = signature::Request {
                    headers: &parts.headers,
                    body: &body.bytes,
                    method: parts.method.as_str(),
                    path_and_query: path_and_query(&parts.uri),
                };
                let proof =
                    verifier.verify(&request, api.clock.now()).map_err(|rejection| refused(api, client, rejection, rejection.as_str()))?;
                proven(&parts.headers, proof)
            }
        };
        Ok(Self { body, delivery: Delivery { keep_all: api.config.keep_all_events, ..delivery }, headers: parts.headers })
    }
}

/// Why it was refused, if not for its proof, which is counted where that is checked.
fn reason(error: &ApiError) -> Option<&'static str> {
    match error {
        ApiError::AuthNotConfigured(_) => Some(NOT_CONFIGURED),
        ApiError::PayloadTooLarge(_) => Some(TOO_LARGE),
        ApiError::InvalidPayload(_) => Some(INVALID_PAYLOAD),
        _ => None,
    }
}

fn proven(headers: &HeaderMap, proof: signature::Proof) -> Delivery {
    let bare = proof.is_bare_signature();
    Delivery {
        proof: Some(proof.kind.as_str()),
        webhook_id: proof.covers_message_id,
        call_id: call_id(headers).filter(|_| !bare),
        keep_all: false,
    }
}

/// Without a secret, webhooks are open to this machine, or where it was allowed.
fn open_gate(api: &Api, headers: &HeaderMap) -> Result<(), ApiError> {
    let allowed = api.config.access.open_webhooks || (api.config.http.is_loopback() && is_of_this_machine(headers));
    if allowed { Ok(()) } else { Err(ApiError::AuthNotConfigured(SET_SECRET)) }
}

/// `reason` is what is counted.
fn refused(api: &Api, client: IpAddr, rejection: Rejection, reason: &'static str) -> ApiError {
    api.metrics.webhook_rejected(reason);
    // A valid proof is never refused, whatever came before it.
    if api.gate.failures.count(client, api.clock.now()) > MOST_FAILURES {
        return ApiError::RateLimited;
    }
    match rejection {
        Rejection::Missing => ApiError::InvalidSignature(NO_PROOF),
        Rejection::Invalid => ApiError::InvalidSignature(WRONG_PROOF),
        Rejection::Stale => ApiError::TimestampOutOfRange,
    }
}

fn call_id(headers: &HeaderMap) -> Option<CallId> {
    headers.get("x-call-id").and_then(|id| id.to_str().ok()).and_then(|id| CallId::parse(id).ok())
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}
