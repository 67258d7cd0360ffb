//! What is seen of every request: its id, one log line, its metrics, and the envelope of its failure.

use std::{
    any::Any,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    panic::AssertUnwindSafe,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::Instant;
use tower::{Layer, Service};
use tracing::info;

use super::{Api, audit::Slip, auth, face, server::Peer};
use crate::{
    call::id::CallId,
    error::{ApiError, Failure},
    lifecycle::panic_reason,
    telemetry::metrics::known_type,
    trace::Answering,
};

/// The longest request id that is taken over.
const LONGEST_REQUEST_ID: usize = 128;
/// Asked every few seconds by machines, and of no interest to a trace.
const PROBES: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// How a span names the call it is about, and what came in.
const CALL_ID: &str = "ringback.call_id";
const EVENT_TYPE: &str = "ringback.event_type";
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
    /// What was made, where that is no call.
    pub(super) made: Option<String>,
    /// Time spent waiting on purpose, which is no latency.
    pub(super) waited: Duration,
}

impl Told {
    /// Of a request with this token.
    pub(super) fn by(token: Option<String>) -> Self {
        Self { token, ..Self::default() }
    }

    /// Of a request with this token, about this call.
    pub(super) fn about(token: Option<String>, call_id: CallId) -> Self {
        Self { call_id: Some(call_id), ..Self::by(token) }
    }
}

impl IntoResponseParts for Told {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// The one layer around the routes: it costs every request, so it is a service of its own and not a stack of boxed functions.
#[derive(Clone)]
pub(super) struct Observe(pub(super) Api);

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, routes: S) -> Observed<S> {
        Observed { api: self.0.clone(), routes }
    }
}

/// Routes, observed.
#[derive(Clone)]
pub(super) struct Observed<S> {
    api: Api,
    routes: S,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.routes.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let api = self.api.clone();
        let seen = Seen::of(&api, &request);
        let slip = seen.slip(&api, request.uri());
        if let Some(slip) = &slip {
            request.extensions_mut().insert(slip.clone());
        }
        let answering = seen.answering(&api, request.headers());
        // No handler runs before the answer is awaited.
        let answer = auth::refuse_foreign_origin(&api, &request).map(|()| self.routes.call(request));
        Box::pin(async move {
            let response = match answer {
                Ok(answer) => {
                    let answer = AssertUnwindSafe(answer).catch_unwind();
                    let answered = match &answering {
                        Some(answering) => Box::pin(answering.within(answer)).await,
                        None => answer.await,
                    };
                    answered.map_or_else(panicked, |Ok(response)| response)
                }
                Err(refusal) => refusal.into_response(),
            };
            if let Some(slip) = slip {
                // Boxed: most requests change nothing.
                Box::pin(slip.close(&api, response.status(), made(&response))).await;
            }
            Ok(seen.noted(&api, response, answering))
        })
    }
}

/// What is known of a request before it is answered.
struct Seen {
    started: Instant,
    id: HeaderValue,
    trace: Option<String>,
    client: Peer,
    method: Method,
    route: Option<MatchedPath>,
    /// It came to the routes that look like Vapi's: its failure does, too.
    at_face: bool,
}

impl Seen {
    fn of(api: &Api, request: &Request) -> Self {
        let (headers, extensions) = (request.headers(), request.extensions());
        Self {
            started: Instant::now(),
            id: request_id(headers.get(&X_REQUEST_ID)),
            trace: trace_id(headers),
            client: client(api, extensions, headers),
            method: request.method().clone(),
            route: extensions.get::<MatchedPath>().cloned(),
            at_face: face::is_at(request.uri().path()),
        }
    }

    /// The request as a span, if anybody collects them. Probes would drown what there is to see.
    fn answering(&self, api: &Api, headers: &HeaderMap) -> Option<Answering> {
        let traces = api.registry.traces();
        if !traces.are_on() {
            return None;
        }
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        if PROBES.contains(&route) { None } else { traces.answering(headers, self.method.as_str(), route) }
    }

    /// What the request takes along if it may change something.
    fn slip(&self, api: &Api, uri: &Uri) -> Option<Slip> {
        let route = self.route.as_ref().map(MatchedPath::as_str);
        Slip::of(api, &self.method, (route, uri), (&self.id, self.client.address))
    }

    /// Notes the answer, and adds what every answer has.
    fn noted(self, api: &Api, mut response: Response, answering: Option<Answering>) -> Response {
        let Self { started, id, client, method, route, at_face, .. } = self;
        let trace = answering.as_ref().map(Answering::trace_id).or(self.trace);
        let failure = response.extensions_mut().remove::<Failure>();
        let told = response.extensions_mut().remove::<Told>().unwrap_or_default();
        let as_vapi = failure.as_ref().filter(|_| at_face).map(|failure| failure.as_vapi(response.status()));
        if let Some(error) = &as_vapi {
            *response.status_mut() = error.status();
        }
        let call_id = told.call_id.as_ref().or_else(|| failure.as_ref().and_then(Failure::call_id));
        let (status, taken) = (response.status().as_u16(), started.elapsed());
        api.meters.observe(route.as_ref().map(MatchedPath::as_str), method.as_str(), status, taken.saturating_sub(told.waited));
        let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
        info!(
            request_id = id.to_str().unwrap_or_default(),
            trace_id = trace.as_deref(),
            route,
            method = method.as_str(),
            status,
            duration_ms = milliseconds(taken),
            client_ip = &*client.words,
            call_id = call_id.map(CallId::as_str),
            token = told.token,
            event_type = told.event_type.as_deref(),
            "answered",
        );
        if let Some(answering) = answering {
            let call_id = call_id.map(|id| id.as_str().to_owned());
            // Anything can call itself a type, and a trace is read by others.
            let event_type = told.event_type.map(|kind| known_type(&kind).to_owned());
            answering.end(status, [("http.route", Some(route.to_owned())), (CALL_ID, call_id), (EVENT_TYPE, event_type)]);
        }
        let call_id = call_id.and_then(|id| HeaderValue::try_from(id.as_str()).ok());
        if let Some(failure) = failure {
            // Some routes have stated the length of the empty body by now.
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let envelope = || failure.envelope(id.to_str().unwrap_or_default());
            *response.body_mut() = Body::from(as_vapi.map_or_else(envelope, |error| serde_json::to_vec(&error).unwrap_or_default()));
        }
        let headers = response.headers_mut();
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
        headers.insert(X_REQUEST_ID, id);
        headers.extend(call_id.map(|id| (X_CALL_ID, id)));
        response
    }
}

/// The id of what was made.
fn made(response: &Response) -> Option<String> {
    let told = response.extensions().get::<Told>()?;
    told.made.clone().or_else(|| told.call_id.as_ref().map(|id| id.as_str().to_owned()))
}

/// A handler panicked: 500 in the envelope, the cause in the log.
#[expect(clippy::needless_pass_by_value, reason = "what catching a panic gives")]
fn panicked(cause: Box<dyn Any + Send>) -> Response {
    ApiError::Internal(format!("panic: {}", panic_reason(&*cause))).into_response()
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
    client(api, extensions, headers).address
}

fn client(api: &Api, extensions: &Extensions, headers: &HeaderMap) -> Peer {
    let nearest = extensions.get::<ConnectInfo<Peer>>().map_or_else(|| Peer::at(Ipv4Addr::LOCALHOST.into()), |peer| peer.0.clone());
    let address = api.config.access.trusted_proxies.client_ip(nearest.address, headers);
    if address == nearest.address { nearest } else { Peer::at(address) }
}

/// With three decimals: what is finer says nothing, and takes longer to write.
fn milliseconds(duration: Duration) -> f64 {
    f64::from(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)) / 1e3
}
