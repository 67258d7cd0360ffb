//! How we talk to Vapi, and how Vapi proves itself to us.

use std::{ops::RangeInclusive, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::{
    ConfigError, ToolsConfig,
    access::{SECRET_CHARACTERS, digest},
    http::{BASE_URL, base_url, is_loopback_url},
    reader::{Reader, boolean, milliseconds, parts},
};

/// Requests to Vapi in one second, of all kinds together. Vapi publishes no limit; this stays far below those seen.
const REQUESTS_PER_SECOND: u32 = 5;
/// How long placing a call may take. Whoever finds a placing a minute later takes its outcome for unknown.
const CREATE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bounds of the tolerance for signed timestamps; the greatest is one day.
const TOLERANCE_SECONDS: RangeInclusive<u32> = 0..=86_400;
/// The proofs there are.
const PROOFS: [&str; 4] = ["secret", "bearer", "signature", "standard"];
/// Where Vapi's messages are taken; the first is the one to configure, the others are for older senders.
pub const WEBHOOK_PATHS: [&str; 4] = [WEBHOOK_ROUTE, "/api/v1/vapi/webhooks/vapi", "/api/v1/webhooks/vapi", SESSIONS_PATH];
/// The path of the webhook route.
pub const WEBHOOK_ROUTE: &str = "/api/v1/vapi/webhook";
/// The webhook path that also takes flat events.
pub const SESSIONS_PATH: &str = "/api/v1/sessions/vapi/webhook";
/// Marks a key of Standard Webhooks.
const STANDARD_PREFIX: &str = "whsec_";
/// Paths that are routes of ours, or have routes of ours beneath them.
const TAKEN: [&str; 22] = [
    "/api/v1/vapi/analytics",
    "/api/v1/vapi/assistant-config",
    "/api/v1/vapi/audit",
    "/api/v1/vapi/backfill",
    "/api/v1/vapi/batches",
    "/api/v1/vapi/cache",
    "/api/v1/vapi/calls",
    "/api/v1/vapi/deliveries",
    "/api/v1/vapi/events",
    "/api/v1/vapi/subscriptions",
    "/api/v1/vapi/tokens",
    "/api/v1/vapi/ws",
    "/api/v1/webhooks/vapi/test",
    "/vapi",
    "/dashboard",
    "/session",
    "/t",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
];

/// Messages that an assistant sends only when told to, and that somebody may be set up to answer.
const ASKED_FOR: [&str; 2] = ["handoff-destination-request", "transfer-destination-request"];

/// How we talk to Vapi.
#[derive(Debug, Clone)]
pub struct VapiConfig {
    /// Without it nothing is fetched.
    pub api_key: Option<SecretString>,
    /// Base address of the API, without a slash at its end.
    pub api_url: String,
    /// Requests in one second, of all kinds together.
    pub requests_per_second: u32,
    /// How long placing a call may take.
    pub create_timeout: Duration,
    /// What the Vapi-shaped face does not serve itself is passed on, for admin tokens.
    pub passthrough: bool,
}

impl VapiConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let api_key = reader.optional("VAPI_API_KEY", "one word of visible ASCII characters", |text| {
            text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| SecretString::from(text))
        });
        let api_url = reader.value("VAPI_API_URL", BASE_URL, base_url);
        if api_key.is_some() && api_url.starts_with("http:") && !is_loopback_url(&api_url) {
            reader.warn("VAPI_API_URL is http, so VAPI_API_KEY crosses the network in clear");
        }
        let passthrough = reader.value("VAPI_PASSTHROUGH", "true or false", boolean);
        if passthrough && api_key.is_none() {
            reader.warn("VAPI_PASSTHROUGH needs VAPI_API_KEY to pass anything on");
        }
        Self { api_key, api_url, requests_per_second: REQUESTS_PER_SECOND, create_timeout: CREATE_TIMEOUT, passthrough }
    }
}

impl VapiConfig {
    /// Is this our key? Takes as long for a wrong one as for a right one.
    #[must_use]
    pub fn is_key(&self, shown: &str) -> bool {
        self.api_key.as_ref().is_some_and(|key| digest(key.expose_secret()).ct_eq(&digest(shown)).into())
    }
}

/// How Vapi reaches us and proves itself.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// The whole address that Vapi sends to.
    pub url: Option<String>,
    /// One more path that takes webhooks.
    pub path: Option<String>,
    /// Shared secrets, newest first.
    pub secrets: Vec<SecretString>,
    /// The proofs that count, of `secret`, `bearer`, `signature`, `standard`.
    pub auth: Vec<String>,
    /// The `authenticationPlan` of Vapi's HMAC credential, a JSON object. It may hold the key itself.
    pub hmac: Option<SecretString>,
    /// Milliseconds by which a signed timestamp may differ from our clock.
    pub tolerance_ms: i64,
}

impl WebhookConfig {
    /// The secret that placed calls send as `x-vapi-secret`, if that proof counts.
    #[must_use]
    pub fn header_secret(&self) -> Option<SecretString> {
        let counts = self.auth.iter().any(|word| word == "secret");
        self.secrets.iter().find(|secret| counts && !secret.expose_secret().starts_with(STANDARD_PREFIX)).cloned()
    }

    pub(super) fn read(reader: &mut Reader<'_>, public_url: Option<&str>, exposed: bool) -> Self {
        let webhook = Self {
            url: url(reader, public_url),
            path: path(reader),
            secrets: secrets(reader, exposed),
            auth: proofs(reader),
            hmac: plan(reader),
            tolerance_ms: milliseconds(reader.seconds("VAPI_WEBHOOK_TOLERANCE_SECONDS", TOLERANCE_SECONDS)),
        };
        let standard_only = |secret: &SecretString| secret.expose_secret().starts_with(STANDARD_PREFIX);
        if !webhook.secrets.is_empty() && webhook.secrets.iter().all(standard_only) && !webhook.auth.iter().any(|word| word == "standard") {
            reader.problem(
                "VAPI_WEBHOOK_SECRET has keys for `standard` only, which VAPI_WEBHOOK_AUTH leaves out; add it there, or add another secret",
            );
        }
        webhook
    }
}

/// Where the assistants of placed calls send their messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerConfig {
    /// The whole address; without one they go where the organisation's settings at Vapi say.
    pub url: Option<String>,
    /// The credential at Vapi that proves them.
    pub credential_id: Option<String>,
    /// What they send besides the usual, because somebody is set up to answer it.
    pub messages: Vec<String>,
}

impl ServerConfig {
    /// Only what writing an assistant takes.
    ///
    /// # Errors
    /// When a value can't be used.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&lookup);
        let public_url = super::http::public_url(&mut reader);
        let url = url(&mut reader, public_url.as_deref());
        let tools = ToolsConfig::read(&mut reader);
        let server = Self::read(&mut reader, url, &tools);
        reader.finish(server).map(|(server, _)| server)
    }

    pub(super) fn read(reader: &mut Reader<'_>, url: Option<String>, tools: &ToolsConfig) -> Self {
        let asked = ASKED_FOR.iter().filter(|kind| tools.requests.contains_key(**kind));
        Self { url, credential_id: word(reader, "VAPI_CREDENTIAL_ID"), messages: asked.map(|kind| (*kind).to_owned()).collect() }
    }
}

/// An id of something at Vapi.
pub(super) fn word(reader: &mut Reader<'_>, name: &'static str) -> Option<String> {
    reader.optional(name, "an id of Vapi's, one word", |text| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)).then(|| text.to_owned())
    })
}

fn url(reader: &mut Reader<'_>, public_url: Option<&str>) -> Option<String> {
    let expected = "a whole https address such as https://ringback.example.com/api/v1/vapi/webhook; http only on loopback";
    let given = reader.optional("VAPI_WEBHOOK_URL", expected, |text| {
        let url = Url::parse(text).ok()?;
        let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback_url(text));
        (safe && url.fragment().is_none() && url.password().is_none()).then(|| url.to_string())
    });
    let url = given.or_else(|| public_url.map(|base| format!("{base}{WEBHOOK_ROUTE}")))?;
    if url.starts_with("http:") && !is_loopback_url(&url) {
        reader.warn("PUBLIC_URL is http, but Vapi should send webhooks to an https address; set PUBLIC_URL or VAPI_WEBHOOK_URL to one");
    }
    Some(url)
}

fn path(reader: &mut Reader<'_>) -> Option<String> {
    reader.optional("VAPI_WEBHOOK_PATH", "a path such as /hooks/vapi that is not one of Ringback's own", |text| {
        let path = text.trim_end_matches('/');
        let letters = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte));
        let taken = TAKEN.iter().any(|own| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        (letters && path.starts_with('/') && !path.contains("//") && !taken).then(|| path.to_owned())
    })
}

fn secrets(reader: &mut Reader<'_>, exposed: bool) -> Vec<SecretString> {
    let Some(text) = reader.text("VAPI_WEBHOOK_SECRET") else { return Vec::new() };
    let mut secrets = Vec::new();
    for (index, secret) in parts(&text).enumerate() {
        let place = index + 1;
        if secret.is_empty() {
            reader.problem(format!("VAPI_WEBHOOK_SECRET: entry {place} is empty; take the extra comma away"));
        } else if secret.strip_prefix(STANDARD_PREFIX).is_some_and(|key| STANDARD.decode(key).is_err()) {
            reader.problem(format!("VAPI_WEBHOOK_SECRET: entry {place} must have base64 after whsec_"));
        } else if secret.strip_prefix(STANDARD_PREFIX).unwrap_or(&secret).chars().count() < SECRET_CHARACTERS {
            reader.problem_if(exposed, format!("VAPI_WEBHOOK_SECRET: entry {place} should have {SECRET_CHARACTERS} characters or more"));
        }
        secrets.push(SecretString::from(secret));
    }
    secrets
}

fn proofs(reader: &mut Reader<'_>) -> Vec<String> {
    let words = reader.list("VAPI_WEBHOOK_AUTH");
    if words.is_empty() || words.iter().any(|word| !PROOFS.contains(&word.as_str())) {
        reader.problem(format!("VAPI_WEBHOOK_AUTH must list some of {}", PROOFS.join(", ")));
    }
    words
}

fn plan(reader: &mut Reader<'_>) -> Option<SecretString> {
    let expected = "the JSON object of Vapi's authenticationPlan (in .env between single quotes)";
    let plan = reader.optional("VAPI_WEBHOOK_HMAC", expected, |text| match serde_json::from_str(text) {
        Ok(Value::Object(plan)) => Some((SecretString::from(text), plan)),
        _ => None,
    });
    let (text, plan) = plan?;
    if plan.get("payloadFormat").is_some_and(|format| !format.as_str().is_some_and(|format| format.contains("{body}"))) {
        reader.problem("VAPI_WEBHOOK_HMAC must have {body} in its payloadFormat, or a signature would not cover what was sent");
    }
    Some(text)
}
