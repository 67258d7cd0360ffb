//! An answer of the service, and what must be true of every one of them.

use std::collections::{BTreeSet, HashMap};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
};
use serde_json::Value;

/// Keys of every JSON answer; lists have two more.
const ENVELOPE: &str = "success done callId data code error message details requestId";
/// Keys of every call.
const CALL: &str = "id callId status callMethod callStatus dataStatus duration durationSeconds endedReason transcript messages analysis \
    structuredOutputs session provider request customer cost costBreakdown startedAt endedAt createdAt updatedAt assistantId \
    phoneNumberId metadata serviceRequestId providerId correlationId feedback recording toolCalls outcome error webhookReceivedAt \
    fetchedAt fetchAttempts fetchError nextFetchAt version";
/// Keys of what stands in a call.
const PARTS: [(&str, &str); 8] = [
    ("analysis", "summary structuredData structuredDataMulti successEvaluation"),
    ("session", "summary source keyInsights"),
    ("provider", "name phone service location"),
    ("request", "criteria urgency"),
    ("customer", "number name"),
    ("feedback", "npsScore overallFeedback positives detractors actionItems"),
    ("recording", "available url"),
    ("outcome", "kind fault rule connected userSpoke sipStatus analysisMissing analysisMissingReason"),
];
/// Keys of listed objects in a call.
const LISTED: [(&str, &str); 2] =
    [("messages", "role message time endTime duration secondsFromStart"), ("toolCalls", "id name arguments result error at")];
/// The closed list of codes, as far as this release has them.
const CODES: [(u16, &str); 14] = [
    (400, "INVALID_PAYLOAD INVALID_PARAMETER"),
    (401, "UNAUTHORIZED INVALID_SIGNATURE TIMESTAMP_OUT_OF_RANGE"),
    (403, "FORBIDDEN AUTH_NOT_CONFIGURED FOREIGN_ORIGIN NUMBER_NOT_ALLOWED"),
    (404, "CALL_NOT_FOUND CALL_NOT_READY ROUTE_NOT_FOUND NOT_FOUND RECORDING_NOT_AVAILABLE"),
    (405, "METHOD_NOT_ALLOWED"),
    (409, "CALL_ENDED"),
    (410, "CALL_DELETED"),
    (413, "PAYLOAD_TOO_LARGE"),
    (415, "UNSUPPORTED_MEDIA_TYPE"),
    (422, "VALIDATION_FAILED IDEMPOTENCY_KEY_REUSED VAPI_REJECTED"),
    (429, "RATE_LIMITED VAPI_RATE_LIMITED"),
    (500, "INTERNAL"),
    (502, "VAPI_ACCOUNT VAPI_UNAVAILABLE KESTRA_UNAVAILABLE"),
    (503, "STORE_UNAVAILABLE SHUTTING_DOWN"),
];
/// Statuses that say when to ask again.
const ASK_AGAIN: [u16; 4] = [202, 404, 429, 503];
/// Nobody is to be kept waiting longer, in seconds.
const LONGEST_RETRY_AFTER: u64 = 30;
/// Where answers have a shape of their own when all went well.
const OTHER_SHAPES: [&str; 12] = [
    "format=csv",
    "/dashboard/",
    "/events",
    "/vapi/deliveries",
    "/api/v1/webhooks/vapi/test",
    "/cache/stats",
    "/docs",
    "/livez",
    "/metrics",
    "/openapi.json",
    "/readyz",
    "/recording",
];
/// Of what is posted, these are answered as all else is.
const POSTS_IN_THE_ENVELOPE: [&str; 5] = ["/subscriptions", "/fetch", "/assistant-config", "/calls", "/batches"];
/// The words of `callStatus` in their order.
const STATES: [&str; 7] = ["unknown", "scheduled", "queued", "ringing", "in-progress", "forwarding", "ended"];

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{} is no JSON: {error}: {}", self.status, self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// A header's text, `""` if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }

    /// `data`, of an answer with this status.
    pub(crate) fn data(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()["data"].take()
    }

    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or("no code").to_owned())
    }

    /// The answer, which must be this refusal.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!(self.refusal(), (status, code.to_owned()), "{}", self.text());
        self
    }
}

/// What was seen of every call: versions go up, done stays, and one version has one look.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    calls: HashMap<String, (u64, bool, usize)>,
    looks: HashMap<(String, u64, bool), Bytes>,
}

impl Seen {
    /// Looks at an answer to a request.
    pub(crate) fn check(&mut self, method: &str, path: &str, answer: &Answer) {
        if method == "OPTIONS" && answer.status == 200 {
            // A preflight: nobody but browsers looks at it.
            return;
        }
        let context = format!("{method} {path}: {} {}", answer.status, answer.text());
        if path.starts_with("/vapi/") {
            check_face(method, answer, &context);
            return;
        }
        check_headers(answer, &context);
        let success = (200..300).contains(&answer.status);
        let own_shape = OTHER_SHAPES.iter().any(|own| path.contains(own))
            || path.trim_matches('/').is_empty()
            || method == "POST" && !POSTS_IN_THE_ENVELOPE.iter().any(|own| path.contains(own));
        if method == "HEAD" || answer.status == 304 {
            assert!(answer.bytes.is_empty(), "{context}");
        } else if (!success || !own_shape) && !matches!(answer.status, 302 | 307 | 416) && !path.starts_with("/readyz") {
            check_envelope(answer, success, &context);
            self.check_calls(path, answer, &context);
        }
    }

    /// A call that was purged may come back as a new one.
    pub(crate) fn forget(&mut self, id: &str) {
        self.calls.remove(id);
        self.looks.retain(|(call, _, _), _| call != id);
    }

    fn check_calls(&mut self, path: &str, answer: &Answer, context: &str) {
        let body = answer.json();
        let calls = body["data"].as_array().cloned().unwrap_or_else(|| vec![body["data"].clone()]);
        for call in calls.iter().filter(|call| call["dataStatus"].is_string()) {
            self.check_call(call, context);
        }
        let data = &body["data"];
        if data["dataStatus"].is_string() {
            let done = matches!(data["dataStatus"].as_str(), Some("complete" | "fetch_failed"));
            assert_eq!(body["done"], done, "{context}");
            assert_eq!((&data["id"], &data["callId"]), (&body["callId"], &body["callId"]), "{context}");
            assert_eq!(answer.header("x-call-id"), body["callId"], "{context}");
            if let Some(version) = data["version"].as_u64().filter(|version| *version > 0) {
                assert_eq!(answer.header("etag"), format!("\"{version}\""), "{context}");
                let look = (body["callId"].as_str().unwrap_or_default().to_owned(), version, path.contains("view=summary"));
                let first = self.looks.entry(look).or_insert_with(|| answer.bytes.clone());
                assert_eq!(String::from_utf8_lossy(first), answer.text(), "one version, two looks: {context}");
            }
        }
    }

    fn check_call(&mut self, call: &Value, context: &str) {
        assert_eq!(keys(call), words(CALL), "{context}");
        for (part, expected) in PARTS {
            assert_eq!(keys(&call[part]), words(expected), "{part}: {context}");
        }
        for (list, expected) in LISTED {
            for entry in call[list].as_array().expect("a list") {
                assert_eq!(keys(entry), words(expected), "{list}: {context}");
            }
        }
        let word = |key: &str| call[key].as_str().unwrap_or_default();
        let done = matches!(word("dataStatus"), "complete" | "fetch_failed");
        let state = STATES.iter().position(|state| *state == word("callStatus")).expect("one of Vapi's words");
        assert!(["pending", "completed", "no_answer", "voicemail", "timeout", "error"].contains(&word("status")), "{context}");
        assert!(["pending", "partial", "fetching", "complete", "fetch_failed"].contains(&word("dataStatus")), "{context}");
        assert_eq!(word("status") == "pending", word("dataStatus") == "pending", "{context}");
        let now = (call["version"].as_u64().expect("a number"), done, state);
        let seen = self.calls.entry(word("id").to_owned()).or_insert(now);
        assert!(now.0 >= seen.0 && now.1 >= seen.1 && now.2 >= seen.2, "it went back from {seen:?}: {context}");
        *seen = now;
    }
}

fn check_headers(answer: &Answer, context: &str) {
    assert!(!answer.header("x-request-id").is_empty(), "{context}");
    assert_eq!(answer.header("cache-control"), "no-store", "{context}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{context}");
    if ASK_AGAIN.contains(&answer.status) {
        let seconds: u64 = answer.header("retry-after").parse().unwrap_or_else(|_| panic!("no Retry-After: {context}"));
        assert!((1..=LONGEST_RETRY_AFTER).contains(&seconds), "{seconds}: {context}");
    }
    if answer.status == 401 {
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{context}");
    }
    if answer.status == 405 {
        assert!(!answer.header("allow").is_empty(), "{context}");
    }
}

/// What looks like Vapi has no envelope, and errors as Nest has them.
fn check_face(method: &str, answer: &Answer, context: &str) {
    assert!(!answer.header("x-request-id").is_empty(), "{context}");
    assert_eq!(answer.header("cache-control"), "no-store", "{context}");
    if answer.status >= 400 && method != "HEAD" {
        assert_eq!(answer.header("content-type"), "application/json", "{context}");
        let body = answer.json();
        assert_eq!(keys(&body), words("message error statusCode"), "{context}");
        assert_eq!(body["statusCode"], answer.status, "{context}");
        let status = StatusCode::from_u16(answer.status).expect("a status");
        assert_eq!(body["error"].as_str(), status.canonical_reason(), "{context}");
        let said = |text: &Value| text.as_str().is_some_and(|text| !text.is_empty());
        let list = body["message"].as_array().is_some_and(|all| !all.is_empty() && all.iter().all(said));
        assert!(said(&body["message"]) || list, "{context}");
    }
}

fn check_envelope(answer: &Answer, success: bool, context: &str) {
    assert_eq!(answer.header("content-type"), "application/json", "{context}");
    let body = answer.json();
    let mut expected = words(ENVELOPE);
    if body["data"].is_array() {
        expected.extend(["count", "pagination"]);
        assert_eq!(body["count"], body["data"].as_array().map_or(0, Vec::len), "{context}");
        assert!(body["pagination"]["limit"].is_u64() && body["pagination"]["hasMore"].is_boolean(), "{context}");
    }
    assert_eq!(keys(&body), expected, "{context}");
    assert_eq!(body["success"], success, "{context}");
    assert!(body["done"].is_boolean() && (body["callId"].is_string() || body["callId"].is_null()), "{context}");
    let nothing = |keys: &[&str]| keys.iter().all(|key| body[key].is_null());
    if success {
        assert!(body["data"].is_object() || body["data"].is_array(), "{context}");
        assert!(nothing(&["code", "error", "message", "details", "requestId"]), "{context}");
    } else {
        assert!(nothing(&["data"]) && body["done"] == false, "{context}");
        assert_eq!(body["requestId"], answer.header("x-request-id"), "{context}");
        assert!(["error", "message"].iter().all(|key| body[key].as_str().is_some_and(|text| !text.is_empty())), "{context}");
        let code = body["code"].as_str().expect("a code");
        let known = CODES.iter().any(|(status, codes)| *status == answer.status && words(codes).contains(code));
        assert!(known, "a code outside the list: {context}");
    }
}

/// The keys of an object.
pub(crate) fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap_or_else(|| panic!("{object} is no object")).keys().map(String::as_str).collect()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split_whitespace().collect()
}
