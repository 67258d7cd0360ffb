//! A sender, and a verifier to send to. Signs by itself, with nothing of the code under test.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    call::time::Millis,
    vapi::signature::{Proof, ProofKind, Rejection, Request, Secrets, Settings, SetupError, Verifier},
};

/// A secret both sides know.
pub(super) const SECRET: &str = "correct-horse-battery-staple";
/// A body somebody signed.
pub(super) const BODY: &[u8] = br#"{"message":{"type":"hang","call":{"id":"c-1"}}}"#;
/// When it is: 2026-05-28T20:26:40Z.
pub(super) const NOW: Millis = Millis(1_780_000_000_000);
/// How far a timestamp may be from that, in milliseconds.
pub(super) const TOLERANCE: i64 = 300_000;
/// Where webhooks go.
pub(super) const PATH: &str = "/api/v1/vapi/webhook";

/// A verifier of everything, with Vapi's default plan.
pub(super) fn knowing(secrets: &str) -> Verifier {
    with_plan(secrets, "{}")
}

pub(super) fn with_plan(secrets: &str, plan: &str) -> Verifier {
    set_up(secrets, plan, &ProofKind::ALL).expect("the settings make sense")
}

pub(super) fn set_up(secrets: &str, plan: &str, kinds: &[ProofKind]) -> Result<Verifier, SetupError> {
    set_up_at(secrets, plan, kinds, &["https://calls.example.com/api/v1/vapi/webhook"])
}

pub(super) fn set_up_at(secrets: &str, plan: &str, kinds: &[ProofKind], urls: &[&str]) -> Result<Verifier, SetupError> {
    Verifier::new(&Settings {
        secrets: Secrets::parse(secrets).expect("a good list"),
        kinds: kinds.to_vec(),
        plan: plan.parse().expect("a good plan"),
        tolerance: TOLERANCE,
        urls: urls.iter().map(ToString::to_string).collect(),
    })
}

/// Headers, repeated ones too, of any bytes that HTTP lets through.
pub(super) fn headers<N: AsRef<str>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, V)>) -> HeaderMap {
    let header = |(name, value): (N, V)| {
        let name: HeaderName = name.as_ref().parse().expect("a header's name");
        (name, HeaderValue::from_bytes(value.as_ref()).expect("a header's value"))
    };
    let mut headers = HeaderMap::new();
    pairs.into_iter().map(header).for_each(|(name, value)| {
        headers.append(name, value);
    });
    headers
}

/// What a verifier says about [`BODY`] beside these headers, now.
pub(super) fn verify<N: AsRef<str>, V: AsRef<[u8]>>(
    verifier: &Verifier,
    pairs: impl IntoIterator<Item = (N, V)>,
) -> Result<Proof, Rejection> {
    verify_body(verifier, &headers(pairs), BODY)
}

pub(super) fn verify_body(verifier: &Verifier, headers: &HeaderMap, body: &[u8]) -> Result<Proof, Rejection> {
    verifier.verify(&Request { headers, body, method: "POST", path_and_query: PATH }, NOW)
}

/// HMAC-SHA256 of all parts, one after another.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The headers of Vapi's default plan.
pub(super) fn planned(secret: &str, timestamp: &str, body: &[u8]) -> Vec<(&'static str, String)> {
    let signature = hex::encode(mac(secret.as_bytes(), &[timestamp.as_bytes(), b".", body]));
    vec![("x-timestamp", timestamp.to_owned()), ("x-signature", signature)]
}

/// The headers of Standard Webhooks.
pub(super) fn standard(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> Vec<(&'static str, String)> {
    let signature = STANDARD.encode(mac(key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]));
    vec![("webhook-id", id.to_owned()), ("webhook-timestamp", timestamp.to_owned()), ("webhook-signature", format!("v1,{signature}"))]
}

/// A header with the secret itself.
pub(super) fn secret(secret: &str) -> Vec<(&'static str, String)> {
    vec![("x-vapi-secret", secret.to_owned())]
}
