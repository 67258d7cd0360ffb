//! What is seen of every request: its id, one log line, its metrics, and the envelope of its failure.

use std::{any::Any, net::IpAddr, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::info;

use super::{Api, server::Peer};
use crate::{
    call::id::CallId,
    error::{ApiError, Failure},
    lifecycle::panic_reason,
};

/// The longest request id that is taken over.
const LONGEST_REQUEST_ID: usize = 128;
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_CALL_ID: HeaderName = HeaderName::from_static("x-call-id");

/// The address a request came from, past trusted proxies.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientIp(pub(super) IpAddr);

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

/// Runs a request and notes what there is to note.
pub(super) async fn observe(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let started = tokio::time::Instant::now();
    let id = request_id(request.headers().get(&X_REQUEST_ID));
    let client = client_ip(&api, &request);
    let method = request.method().clone();
    let trace = trace_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(ClientIp(client));

    let mut response = next.run(request).await;

    let failure = response.extensions_mut().remove::<Failure>();
    let told = response.extensions_mut().remove::<Told>().unwrap_or_default();
    let call_id = told.call_id.as_ref().or_else(|| failure.as_ref().and_then(Failure::call_id));
    let status = response.status().as_u16();
    let latency = started.elapsed().saturating_sub(told.waited);
    api.meters.observe(route.as_ref().map(MatchedPath::as_str), method.as_str(), status, latency);
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    info!(
        request_id = id.to_str().unwrap_or_default(),
        trace_id = trace.as_deref(),
        route,
        method = method.as_str(),
        status,
        duration_ms = started.elapsed().as_secs_f64() * 1e3,
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

fn client_ip(api: &Api, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.0.0);
    api.config.access.trusted_proxies.client_ip(peer, request.headers())
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that the panic layer calls")]
/// A handler panicked: 500 in the envelope, the cause in the log.
pub(super) fn panicked(cause: Box<dyn Any + Send>) -> Response {
    ApiError::Internal(format!("panic: {}", panic_reason(cause.as_ref()))).into_response()
}
