//! `POST /call`: a call is placed, or it is certain that none was, or nobody knows.
//!
//! Only what is certain counts: a refusal is an answer that says so, or a connection that never came about. Everything else (no answer, half
//! an answer, a page in the place of one) leaves open whether somebody's phone rings.

use std::time::Duration;

use hyper::body::Bytes;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{NoAnswer, Shared, VapiClient, Whole, answer, in_words, whole};
use crate::{call::id::CallId, vapi::redact::REDACTED};

/// Whoever wants a call placed waits this long for a turn with the limiter; then nothing is sent.
const PATIENCE: Duration = Duration::from_secs(20);
/// Characters of one of Vapi's reasons that are passed on.
const MOST_REASON: usize = 500;
/// Reasons that are passed on.
const MOST_REASONS: usize = 20;
/// What Vapi says when all lines are taken, whatever the status.
const NO_LINE: &str = "concurren";

/// What came of asking for a new call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// There is a call.
    Call {
        /// Its id.
        id: CallId,
        /// The whole call, as Vapi sent it.
        body: Bytes,
    },
    /// There is none.
    Refused(Refusal),
    /// There may be one. The text says why nobody knows.
    Unknown(String),
}

/// Why there is no call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Whose doing it is.
    pub reason: RefusalReason,
    /// Vapi's status and words.
    pub details: Value,
    /// How long Vapi asks to be left alone, in milliseconds; at most one hour.
    pub retry_after_ms: Option<i64>,
}

impl Refusal {
    /// In words, with those of who refused if it had any; without them, with the status of its answer.
    #[must_use]
    pub fn words(&self) -> String {
        let who = if self.reason == RefusalReason::Kestra { "Kestra" } else { "Vapi" };
        let said = match &self.details["message"] {
            Value::String(text) => text.clone(),
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
            _ => self.details["status"].as_u64().map(|status| format!("it answered {status}")).unwrap_or_default(),
        };
        if said.is_empty() { format!("{who} did not place the call.") } else { format!("{who} did not place the call: {said}") }
    }
}

/// Whose doing a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// Vapi can't do what was asked for.
    Rejected,
    /// The key, the plan or the credit does not suffice.
    Account,
    /// Too many requests, or no free line.
    RateLimited,
    /// Vapi failed, and says so; or it can't be reached.
    Unavailable,
    /// Not Vapi was asked but Kestra, which is not well, or does not start its flow.
    Kestra,
}

/// Why a request has no whole answer.
enum Lost {
    /// It never left.
    NotSent(String),
    /// It may have arrived.
    Sent(String),
}

impl VapiClient {
    /// Waits for the turn that [`Self::create`] needs. It is taken before a placing is written down: what was written and not sent, because
    /// somebody killed us while we waited, would be looked for in vain.
    ///
    /// # Errors
    /// [`Refusal`] when too many wait already.
    pub async fn turn(&self) -> Result<(), Refusal> {
        let turn = tokio::time::timeout(PATIENCE, self.shared.limiter.urgent()).await;
        turn.map_err(|_late| refusal(RefusalReason::RateLimited, "Too many requests to Vapi wait here already."))
    }

    /// Asks for a new call, once and at once: `POST /call`. Whoever asks had a [`Self::turn`].
    pub async fn create(&self, body: &Value) -> Created {
        let shared = &*self.shared;
        let answered = tokio::time::timeout(shared.create_timeout, shared.post(body)).await;
        let late = || Err(Lost::Sent(NoAnswer::late(shared.create_timeout).to_string()));
        let answered = answered.unwrap_or_else(|_| late());
        self.asked("create", answered.as_ref().ok().map(|whole| whole.status.as_u16()));
        match answered {
            Ok(whole) => {
                let mut created = of_create(whole, |whole| answer::retry_after(&whole.headers, shared.clock.now()));
                if let Created::Refused(refusal) = &mut created {
                    hide(&mut refusal.details, self.key());
                }
                created
            }
            Err(Lost::NotSent(why)) => Created::Refused(refusal(RefusalReason::Unavailable, &why)),
            Err(Lost::Sent(why)) => Created::Unknown(why),
        }
    }
}

impl Shared {
    async fn post(&self, body: &Value) -> Result<Whole, Lost> {
        let response = self.request(Method::POST, &["call"], &[]).json(body).send().await.map_err(|error| {
            let why = in_words(&error);
            if error.is_connect() || error.is_builder() { Lost::NotSent(why) } else { Lost::Sent(why) }
        })?;
        whole(response).await.map_err(|error| Lost::Sent(error.to_string()))
    }
}

/// Takes a secret out of Vapi's words, should they quote it.
pub fn hide(words: &mut Value, secret: &str) {
    match words {
        Value::String(text) if !secret.is_empty() && text.contains(secret) => *text = text.replace(secret, REDACTED),
        Value::Array(all) => all.iter_mut().for_each(|one| hide(one, secret)),
        Value::Object(fields) => fields.values_mut().for_each(|one| hide(one, secret)),
        _ => {}
    }
}

fn refusal(reason: RefusalReason, message: &str) -> Refusal {
    Refusal { reason, details: json!({"status": null, "message": message}), retry_after_ms: None }
}

/// What an answer to `POST /call` means.
fn of_create(whole: Whole, retry_after: impl FnOnce(&Whole) -> Option<i64>) -> Created {
    let status = whole.status;
    if status.is_success() {
        return match id_of(&whole.body) {
            Some(id) => Created::Call { id, body: whole.body },
            None => Created::Unknown(format!("Vapi answered {} with something that is no call", status.as_u16())),
        };
    }
    let error = words_of(&whole.body);
    let reason = match status.as_u16() {
        _ if error.as_ref().is_some_and(|error| error.to_string().to_lowercase().contains(NO_LINE)) => RefusalReason::RateLimited,
        401..=403 => RefusalReason::Account,
        429 => RefusalReason::RateLimited,
        // What was sent was not taken: it is wanted elsewhere, as when http stands for https in an address.
        301 | 307 | 308 => RefusalReason::Unavailable,
        500.. if error.is_some() => RefusalReason::Unavailable,
        // Whoever gave up waiting for us stands before Vapi, and may have passed on what it had.
        408 => return unknown(status),
        400..500 => RefusalReason::Rejected,
        _ => return unknown(status),
    };
    let retry_after_ms = retry_after(&whole);
    let mut details = error.unwrap_or_else(|| json!({"message": "Vapi answered with a page instead of JSON."}));
    details["status"] = status.as_u16().into();
    Created::Refused(Refusal { reason, details, retry_after_ms })
}

fn unknown(status: StatusCode) -> Created {
    Created::Unknown(format!("Vapi, or what stands before it, answered {}", status.as_u16()))
}

fn id_of(body: &[u8]) -> Option<CallId> {
    let call: Value = serde_json::from_slice(body).ok()?;
    CallId::parse(call.get("id")?.as_str()?).ok()
}

/// Vapi's own words, shortened: `{message, error, statusCode}`, of which `message` may be a list.
pub(super) fn words_of(body: &[u8]) -> Option<Value> {
    let error: Value = serde_json::from_slice(body).ok()?;
    let error = error.as_object()?;
    if !error.contains_key("message") && !error.contains_key("statusCode") {
        return None;
    }
    let short = |text: &str| text.chars().take(MOST_REASON).collect::<String>();
    let message = match error.get("message") {
        Some(Value::String(text)) => short(text).into(),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).take(MOST_REASONS).map(short).collect::<Vec<_>>().into(),
        _ => Value::Null,
    };
    Some(json!({"message": message, "error": error.get("error").and_then(Value::as_str).map(short)}))
}

#[cfg(test)]
mod tests {
    use reqwest::{StatusCode, header::HeaderMap};

    use super::{Created, RefusalReason, Whole, of_create};

    fn answered(status: u16, body: &str) -> Created {
        let status = StatusCode::from_u16(status).expect("a status");
        of_create(Whole { status, headers: HeaderMap::new(), body: body.to_owned().into() }, |_| None)
    }

    fn reason(status: u16, body: &str) -> Option<RefusalReason> {
        match answered(status, body) {
            Created::Refused(refusal) => Some(refusal.reason),
            Created::Call { .. } | Created::Unknown(_) => None,
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_status_and_by_vapis_words() {
        let json = r#"{"message":["customer.number must be E.164"],"error":"Bad Request","statusCode":400}"#;
        for (status, expected) in [
            (400, RefusalReason::Rejected),
            (404, RefusalReason::Rejected),
            (409, RefusalReason::Rejected),
            (422, RefusalReason::Rejected),
            (401, RefusalReason::Account),
            (402, RefusalReason::Account),
            (403, RefusalReason::Account),
            (429, RefusalReason::RateLimited),
            (500, RefusalReason::Unavailable),
            (503, RefusalReason::Unavailable),
            (308, RefusalReason::Unavailable),
        ] {
            assert_eq!(reason(status, json), Some(expected), "{status}");
        }
        assert_eq!(reason(400, r#"{"message":"Over Concurrency Limit","statusCode":400}"#), Some(RefusalReason::RateLimited));
        assert_eq!(reason(429, "<html>"), Some(RefusalReason::RateLimited));
    }

    #[test]
    fn what_is_not_certain_is_no_refusal() {
        for (status, body) in
            [(500, "<html>"), (502, ""), (524, "<html>"), (408, "{\"message\":\"x\"}"), (303, ""), (201, "<html>"), (201, "{}")]
        {
            assert!(matches!(answered(status, body), Created::Unknown(_)), "{status} {body}");
        }
        assert!(matches!(answered(201, r#"{"id":"call-1"}"#), Created::Call { .. }));
    }

    #[test]
    fn vapis_words_are_passed_on_but_not_without_end() {
        let Created::Refused(refusal) = answered(400, &format!(r#"{{"message":"{}","statusCode":400}}"#, "x".repeat(10_000))) else {
            unreachable!("it is a refusal")
        };
        assert_eq!((refusal.details["status"].as_u64(), refusal.details["message"].as_str().map(str::len)), (Some(400), Some(500)));
    }
}
