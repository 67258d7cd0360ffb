//! `GET /calls/{id}/events`, `GET /events`: calls as they go on, as server-sent events.

use std::{convert::Infallible, future::pending, time::Duration};

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    Api,
    auth::{Caller, PollStream, ReadStream},
    calls::look_up,
    list::{digits, one_of},
    observe::Told,
    parameters::{AnyPath, Parameters},
};
use crate::{
    call::{id::CallId, measures::STATUSES, time::Millis},
    dial::Named,
    envelope::{Envelope, NoData},
    error::{Absent, ApiError},
    registry::{Filter, Known, Reader, Said, Since, TYPES},
    telemetry::Metrics,
};

/// A client whose stream was cut comes back after this.
const RETRY: Duration = Duration::from_secs(2);
/// How often a comment shows that a quiet stream is alive.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Tells nginx, and those who learned from it, to pass on each event at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What a client wants to hear, and where it was.
#[derive(Debug)]
pub(super) struct Wish {
    filter: Filter,
    since: Since,
    close_when_done: bool,
}

impl FromRequestParts<Api> for Wish {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let parameters = Parameters::from_request_parts(parts, api).await?;
        let types = parameters.list("types")?;
        if let Some(strange) = types.iter().find(|word| !TYPES.contains(&word.as_str())) {
            let strange: String = strange.chars().take(40).collect();
            return Err(ApiError::InvalidParameter(format!("types takes {}; not {strange}.", TYPES.join(", "))));
        }
        let close_when_done = match parameters.text("close") {
            None => false,
            Some("done") => true,
            Some(_) => return Err(ApiError::InvalidParameter("close must be done, or be left out.".to_owned())),
        };
        let filter = Filter {
            types,
            assistants: parameters.list("assistantId")?,
            // A mistake would be a stream that stays silent.
            phones: parameters.list("phone")?.iter().map(|phone| digits("phone", phone)).collect::<Result<_, _>>()?,
            statuses: one_of(&parameters, "status", &STATUSES)?,
        };
        Ok(Self { filter, since: since(&parts.headers, &parameters), close_when_done })
    }
}

/// A client that comes back says where it was in the header, whatever its address said at first.
fn since(headers: &HeaderMap, parameters: &Parameters) -> Since {
    let header = headers.get(LAST_EVENT_ID).map(|id| String::from_utf8_lossy(id.as_bytes()).trim().to_owned()).filter(|id| !id.is_empty());
    header.or_else(|| parameters.text("last_event_id").map(str::to_owned)).map_or(Since::Now, Since::Event)
}

/// Counts a client as long as it is there.
pub(super) struct Counted {
    metrics: Metrics,
    transport: &'static str,
}

impl Counted {
    pub(super) fn new(api: &Api, transport: &'static str) -> Self {
        api.metrics.stream_clients(transport, 1);
        Self { metrics: api.metrics.clone(), transport }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.stream_clients(self.transport, -1);
    }
}

/// One call as it goes on: first how it stands, if it is known, then whatever happens to it.
///
/// Events are `call.updated`, `call.ended`, `call.done`, `call.recovered`, `call.deleted`, `call.transcript`, `call.tool`; each line of data is
/// `{id, type, timestamp, callId, sequence, data}`. The stream of a call not heard of yet opens and waits, and so does that of a placing until its
/// call is known.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/calls/{id}/events",
    operation_id = "streamCall",
    tag = "Streams",
    params(
        ("id" = String, Path, description = "The call's id, or its placing's"),
        super::docs::StreamParameters,
        ("close" = Option<String>, Query, description = "`done`: the stream ends after call.done"),
        ("last_event_id" = Option<String>, Query, description = "Go on after this event; the header Last-Event-ID outranks it"),
        ("access_token" = Option<String>, Query, description = "A poll or read token, for clients that can't send a header"),
    ),
    responses(
        (status = 200, description = "The stream", body = String, content_type = "text/event-stream"),
        (status = 204, description = "With close=done: the call is done, and the client has heard all of it"),
        (status = 400, description = "INVALID_PARAMETER", body = Envelope<NoData>),
        (status = 404, description = "CALL_NOT_FOUND: of the id of a placing only, by which nothing was placed", body = Envelope<NoData>),
        (status = 410, description = "CALL_DELETED", body = Envelope<NoData>),
        (status = 429, description = "RATE_LIMITED: too many streams are open", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE, SHUTTING_DOWN", body = Envelope<NoData>),
    ),
    security(("bearer" = ["poll"]))
)]
pub(super) async fn one(
    State(api): State<Api>,
    caller: Caller<PollStream>,
    AnyPath(id): AnyPath,
    wish: Wish,
) -> Result<Response, ApiError> {
    let id = match api.dialer.named(&id).await? {
        Named::Call(id) => id,
        Named::Nothing => return Err(ApiError::CallNotFound(id, Absent::NoPlacing)),
        Named::Open(id) => return of_placing(api, caller, id, wish).await,
    };
    let known = look_up(&api, &id).await?;
    match &known {
        Known::Deleted => return Err(ApiError::CallDeleted(id)),
        Known::Nothing => api.enricher.somebody_asks_for(&id),
        Known::Call(_) => {}
    }
    let is_done = matches!(&known, Known::Call(call) if call.done);
    let told = Told::about(caller.token, id.clone());
    // A browser comes back to a stream that ended. This tells it to stay away.
    if let (true, true, Since::Event(last)) = (wish.close_when_done, is_done, &wish.since)
        && !api.registry.is_told_after(&id, last).await?
    {
        return Ok((told, StatusCode::NO_CONTENT).into_response());
    }
    let reader = listen(&api, Some(id), wish).await?;
    Ok((told, events(&api, reader, caller.until)).into_response())
}

/// The stream of an open placing: as soon as its call is known, that call's. It ends when there is no call, and when that can't be found out; who
/// comes back then is told.
async fn of_placing(api: Api, caller: Caller<PollStream>, id: CallId, wish: Wish) -> Result<Response, ApiError> {
    let told = Told::about(caller.token, id.clone());
    // It takes a seat from the beginning.
    let seat = listen(&api, Some(id.clone()), Wish { filter: Filter::default(), since: Since::Now, close_when_done: false }).await?;
    let (counted, asking) = (Counted::new(&api, "sse"), api.clone());
    let seated = async move {
        let call = known_call(&asking, &id).await?;
        drop(seat);
        Some((listen(&asking, Some(call), wish).await.ok()?, counted))
    };
    let events = stream::once(seated).filter_map(std::future::ready).flat_map(|(reader, counted)| said(reader, counted));
    Ok((told, until_over(&api, events, caller.until)).into_response())
}

/// The call that a placing became, as soon as somebody knows.
async fn known_call(api: &Api, placing: &CallId) -> Option<CallId> {
    while !api.lifecycle.is_soft_stopped() {
        match api.dialer.named_within(placing, HEARTBEAT).await.ok()? {
            Named::Open(_) => {}
            Named::Call(id) => return Some(id),
            Named::Nothing => return None,
        }
    }
    None
}

/// All calls as they go on, from now or from Last-Event-ID on.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/events",
    operation_id = "streamCalls",
    tag = "Streams",
    params(
        super::docs::StreamParameters,
        ("close" = Option<String>, Query, description = "`done`: the stream ends after the first call.done"),
        ("last_event_id" = Option<String>, Query, description = "Go on after this event; the header Last-Event-ID outranks it"),
        ("access_token" = Option<String>, Query, description = "A read token, for clients that can't send a header"),
    ),
    responses(
        (status = 200, description = "The stream", body = String, content_type = "text/event-stream"),
        (status = 400, description = "INVALID_PARAMETER", body = Envelope<NoData>),
        (status = 429, description = "RATE_LIMITED: too many streams are open", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE, SHUTTING_DOWN", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn all(State(api): State<Api>, caller: Caller<ReadStream>, wish: Wish) -> Result<Response, ApiError> {
    let reader = listen(&api, None, wish).await?;
    Ok((Told::by(caller.token), events(&api, reader, caller.until)).into_response())
}

/// Lets a client listen as it wishes.
pub(super) async fn listen(api: &Api, scope: Option<CallId>, wish: Wish) -> Result<Reader, ApiError> {
    if api.lifecycle.is_soft_stopped() {
        return Err(ApiError::ShuttingDown);
    }
    let reader = api.registry.listen(scope, wish.since, wish.filter, wish.close_when_done).await?;
    reader.ok_or(ApiError::TooManyStreams)
}

fn events(api: &Api, reader: Reader, until: Option<(Millis, CancellationToken)>) -> Response {
    until_over(api, said(reader, Counted::new(api, "sse")), until)
}

fn said(reader: Reader, counted: Counted) -> impl Stream<Item = Event> + Send {
    stream::unfold((reader, counted), |(mut reader, counted)| async move { Some((event(&reader.next().await?), (reader, counted))) })
}

/// Who listens with a session listens no longer than that lasts.
pub(super) fn until_over(
    api: &Api,
    events: impl Stream<Item = Event> + Send + 'static,
    until: Option<(Millis, CancellationToken)>,
) -> Response {
    let until = until.map(|(until, over)| (Duration::from_millis(until.since(api.clock.now()).max(0).unsigned_abs()), over));
    let over = async move {
        match until {
            Some((left, over)) => drop(timeout(left, over.cancelled_owned()).await),
            None => pending().await,
        }
    };
    answer(events.take_until(Box::pin(over)))
}

/// An answer that tells these events as they come.
fn answer(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let begin = stream::iter([Event::default().retry(RETRY)]);
    let events = begin.chain(events).map(Ok::<_, Infallible>);
    let mut answer = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    answer.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn event(said: &Said) -> Event {
    let event = Event::default().event(said.kind());
    said.id().into_iter().fold(event, Event::id).data(said.json())
}
