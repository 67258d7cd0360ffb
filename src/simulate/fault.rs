//! What can go wrong when Vapi is asked, on purpose.

use std::{
    collections::{HashMap, VecDeque},
    io,
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The largest answer that is spoiled, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1_048_576;
/// How long an answer that is going to be cut is given to get onto the wire.
const TIME_TO_SEND: Duration = Duration::from_millis(10);

/// What happens to one answer of the fake Vapi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status, with Vapi's JSON error.
    Status(u16),
    /// 429 with Vapi's JSON error and this `Retry-After`.
    RateLimited(String),
    /// This status, with a page for people as Cloudflare sends it.
    Page(u16),
    /// 200 and JSON that breaks off.
    Garbage,
    /// The right answer, this much later.
    Slow(Duration),
    /// Headers and the first half of the right answer, then silence.
    Stall,
    /// Headers and the first half of the right answer, then the connection is cut.
    Cut,
    /// This status, content type and body.
    Answer(u16, &'static str, String),
}

impl Fault {
    /// Does it stand for an answer that Vapi itself gives instead of doing what it was asked?
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Status(_) | Self::RateLimited(_) | Self::Answer(..))
    }
}

/// The faults to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    of_calls: HashMap<String, VecDeque<Fault>>,
    of_all: VecDeque<Fault>,
    lasting: Option<Fault>,
}

impl Faults {
    pub(super) fn next_of(&mut self, id: &str, fault: Fault) {
        self.of_calls.entry(id.to_owned()).or_default().push_back(fault);
    }

    pub(super) fn next(&mut self, fault: Fault) {
        self.of_all.push_back(fault);
    }

    pub(super) fn last(&mut self, fault: Option<Fault>) {
        self.lasting = fault;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The fault of the answer to `path`: one meant for its call, else the next, else the lasting one.
    pub(super) fn take(&mut self, path: &str) -> Option<Fault> {
        let id = path.strip_prefix("/call/").map(|rest| rest.split('/').next().unwrap_or_default());
        let own = id.and_then(|id| self.of_calls.get_mut(id)?.pop_front());
        own.or_else(|| self.of_all.pop_front()).or_else(|| self.lasting.clone())
    }
}

/// Vapi's JSON error.
pub(super) fn vapi_error(status: StatusCode, message: &str) -> Response {
    let body = json!({"message": message, "error": status.canonical_reason().unwrap_or_default(), "statusCode": status.as_u16()});
    (status, axum::Json(body)).into_response()
}

/// Does to `right`, the right answer, what `fault` says.
pub(super) async fn spoil(fault: Fault, right: Response, stop: CancellationToken) -> Response {
    match fault {
        Fault::Status(code) => vapi_error(status(code), reason(code)),
        Fault::RateLimited(wait) => {
            let mut response = vapi_error(StatusCode::TOO_MANY_REQUESTS, reason(429));
            if let Ok(wait) = HeaderValue::try_from(wait) {
                response.headers_mut().insert(header::RETRY_AFTER, wait);
            }
            response
        }
        Fault::Page(code) => answer(code, "text/html; charset=UTF-8", page(code)),
        Fault::Garbage => answer(200, "application/json", r#"{"id": "019c758b-c31b", "status": "end"#.to_owned()),
        Fault::Slow(delay) => {
            let _ = tokio::time::timeout(delay, stop.cancelled()).await;
            right
        }
        Fault::Stall => half(right, Some(stop)).await,
        Fault::Cut => half(right, None).await,
        Fault::Answer(code, kind, body) => answer(code, kind, body),
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn reason(code: u16) -> &'static str {
    match code {
        401 => "Invalid Key. Hot tip, you may be using the private key instead of the public key, or vice versa.",
        403 => "Forbidden resource",
        404 => "Call not found",
        429 => "Rate limit exceeded",
        _ => "Internal server error",
    }
}

fn page(code: u16) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><title>api.vapi.ai | {code}</title></head><body><h1>Error {code}</h1><p>Cloudflare</p></body></html>"
    )
}

fn answer(code: u16, kind: &'static str, body: String) -> Response {
    (status(code), [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Promises the whole answer and sends half of it; then waits for `pause`, if any, and cuts the connection.
async fn half(right: Response, pause: Option<CancellationToken>) -> Response {
    let (mut parts, body) = right.into_parts();
    let whole = axum::body::to_bytes(body, MAX_ANSWER_BYTES).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let first = whole.slice(..whole.len() / 2);
    let cut = async move {
        match pause {
            Some(stop) => stop.cancelled().await,
            // Time for the first half to get out: an answer cut at once is not sent at all.
            None => tokio::time::sleep(TIME_TO_SEND).await,
        }
        Err(io::Error::other("cut on purpose"))
    };
    let pieces = stream::once(async { Ok::<Bytes, io::Error>(first) }).chain(stream::once(cut));
    Response::from_parts(parts, Body::from_stream(pieces))
}

#[cfg(test)]
mod tests {
    use super::{Fault, Faults};

    const PATH: &str = "/call/one";

    #[test]
    fn a_calls_own_fault_comes_before_the_next_and_that_before_the_lasting_one() {
        let mut faults = Faults::default();
        faults.last(Some(Fault::Status(500)));
        faults.next(Fault::Status(501));
        faults.next_of("one", Fault::Status(502));
        faults.next_of("one", Fault::Status(503));
        let order: Vec<Option<Fault>> = (0..5).map(|_| faults.take(PATH)).collect();
        assert_eq!(order, [502, 503, 501, 500, 500].map(|code| Some(Fault::Status(code))));
        faults.clear();
        assert_eq!(faults.take(PATH), None);
    }

    #[test]
    fn a_calls_fault_hits_its_recordings_too_and_nothing_else() {
        let mut faults = Faults::default();
        faults.next_of("one", Fault::Cut);
        for other in ["/call", "/call/", "/call/on", "/call/ones", "/call/two/one", "/one"] {
            assert_eq!(faults.take(other), None, "{other}");
        }
        assert_eq!(faults.take("/call/one/mono-recording"), Some(Fault::Cut));
        assert_eq!(faults.take(PATH), None);
    }
}
