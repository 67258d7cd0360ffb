//! What is seen of every request: its id, one log line, its metrics, and the envelope of its failure.

use std::{net::IpAddr, panic::AssertUnwindSafe, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use tracing::info;

use super::{Api, auth, server::Peer};
use crate::{
    call::id::CallId,
    error::{ApiError, Failure},
    lifecycle::panic_reason,
};

/// The longest request id that is taken over.
const LONGEST_REQUEST_ID: usize = 128;
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_CALL_ID: HeaderName = HeaderName::from_static("x-call-id");

/// What handlers tell the log about a request, by response extension.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The call it is about.
    pub(super) call_id: Option<CallId>,
    /// The token that was used, by name.
    pub(super) token: Option<String>,
    /// The type of message that came in.
    pub(super) event_type: Option<String>,
    /// Time spent waiting on purpose, which is no latency.
    pub(super) waited: Duration,
}

/// Runs a request and notes what there is to note. The only layer around the routes: each one costs a request about half a microsecond.
pub(super) async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let started = tokio::time::Instant::now();
    let id = request_id(request.headers().get(&X_REQUEST_ID));
    let client = client_ip(&api, request.extensions(), request.headers());
    let method = request.method().clone();
    let trace = trace_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().cloned();

    let mut response = answer(&api, request, next).await;

    let failure = response.extensions_mut().remove::<Failure>();
    let told = response.extensions_mut().remove::<Told>().unwrap_or_default();
    let call_id = told.call_id.as_ref().or_else(|| failure.as_ref().and_then(Failure::call_id));
    let status = response.status().as_u16();
    let taken = started.elapsed();
    let latency = taken.saturating_sub(told.waited);
    api.meters.observe(route.as_ref().map(MatchedPath::as_str), method.as_str(), status, latency);
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    info!(
        request_id = id.to_str().unwrap_or_default(),
        trace_id = trace.as_deref(),
        route,
        method = method.as_str(),
        status,
        duration_ms = milliseconds(taken),
        client_ip = %client,
        call_id = call_id.map(CallId::as_str),
        token = told.token,
        event_type = told.event_type,
        "{method} {route} {status}",
    );
    if let Some(value) = call_id.and_then(|id| HeaderValue::try_from(id.as_str()).ok()) {
        response.headers_mut().insert(X_CALL_ID, value);
    }
    if let Some(failure) = failure {
        // Some routes have stated the length of the empty body by now.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.body_mut() = Body::from(failure.envelope(id.to_str().unwrap_or_default()));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

/// What the routes answer. A page of another origin may not write, and when a handler panics the answer is 500 and the cause is in the log.
async fn answer(api: &Api, request: Request, next: Next) -> Response {
    if let Err(refusal) = auth::refuse_foreign_origin(api, &request) {
        return refusal.into_response();
    }
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answered.unwrap_or_else(|panic| ApiError::Internal(format!("panic: {}", panic_reason(panic.as_ref()))).into_response())
}

fn request_id(sent: Option<&HeaderValue>) -> HeaderValue {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    let usable = |id: &&HeaderValue| (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().copied().all(harmless);
    sent.filter(usable).cloned().unwrap_or_else(|| {
        let mut buffer = uuid::Uuid::encode_buffer();
        let id = uuid::Uuid::new_v4().simple().encode_lower(&mut buffer);
        HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
    })
}

/// The trace that the caller works in (W3C `traceparent`), so that its log lines and ours are found together.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let [_version, trace, _parent, ..] = headers.get("traceparent")?.to_str().ok()?.split('-').collect::<Vec<_>>()[..] else { return None };
    (trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| trace.to_owned())
}

/// The address a request came from, past trusted proxies.
pub(super) fn client_ip(api: &Api, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<Peer>>().map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.0.0);
    api.config.access.trusted_proxies.client_ip(peer, headers)
}

/// With three decimals: what is finer says nothing, and takes longer to write.
fn milliseconds(duration: Duration) -> f64 {
    f64::from(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)) / 1e3
}
