//! `GET /deliveries`: webhooks as they come in, for whoever looks on, such as `ringback listen --deliveries`.
//!
//! Nothing is kept for it, and while nobody looks on it costs nothing. It tells what reaches this instance, once it is committed, redacted as
//! everything that goes out. Who is too slow is let go, and told so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response, sse::Event},
};
use futures_util::stream;
use serde::Serialize;
use serde_json::{json, value::RawValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    Api,
    auth::{Admin, Caller},
    observe::Told,
    parameters::Parameters,
    stream::{Counted, until_over},
};
use crate::{
    call::{id::CallId, view::At},
    envelope::{Envelope, NoData},
    error::ApiError,
    registry::Known,
    vapi::redact,
};

/// Those who look on at once, at most.
const MOST: usize = 16;
/// Deliveries that one of them may be behind.
const ROOM: usize = 1_024;
/// Memory for deliveries that somebody is behind, in KiB.
const MEMORY: usize = 65_536;

/// Those who look on.
pub struct Onlookers {
    seats: Mutex<Vec<mpsc::Sender<Arc<Shown>>>>,
    memory: Arc<Semaphore>,
}

/// A delivery, put into words once for all of them.
struct Shown {
    kind: String,
    call_id: Option<CallId>,
    json: String,
    _memory: OwnedSemaphorePermit,
}

impl Default for Onlookers {
    fn default() -> Self {
        Self { seats: Mutex::default(), memory: Arc::new(Semaphore::new(MEMORY)) }
    }
}

impl Onlookers {
    /// Does anybody look on?
    pub(super) fn are_there(&self) -> bool {
        self.seats().iter().any(|seat| !seat.is_closed())
    }

    fn join(&self) -> Option<mpsc::Receiver<Arc<Shown>>> {
        let mut seats = self.seats();
        seats.retain(|seat| !seat.is_closed());
        let (sender, receiver) = mpsc::channel(ROOM);
        (seats.len() < MOST).then(|| {
            seats.push(sender);
            receiver
        })
    }

    /// Who has no room left loses its seat, and finds out when it has read what it has.
    fn show(&self, kind: &str, call_id: Option<&CallId>, json: String) {
        let units = u32::try_from(json.len().div_ceil(1_024)).unwrap_or(u32::MAX);
        let mut seats = self.seats();
        match Arc::clone(&self.memory).try_acquire_many_owned(units) {
            Ok(memory) => {
                let shown = Arc::new(Shown { kind: kind.to_owned(), call_id: call_id.cloned(), json, _memory: memory });
                seats.retain(|seat| seat.try_send(Arc::clone(&shown)).is_ok());
            }
            Err(_full) => seats.clear(),
        }
    }

    fn seats(&self) -> MutexGuard<'_, Vec<mpsc::Sender<Arc<Shown>>>> {
        // A panic under this lock can't leave the list half-changed.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that was taken in.
pub(super) struct Delivered<'a> {
    /// Vapi's name for it.
    pub(super) kind: &'a str,
    pub(super) call_id: Option<&'a CallId>,
    /// The event it became.
    pub(super) event_id: &'a str,
    pub(super) proof: Option<&'a str>,
    /// How it was taken, in the word of the metrics.
    pub(super) result: &'a str,
    /// As it came, in Vapi's words of today.
    pub(super) body: &'a Bytes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Words<'a> {
    r#type: &'a str,
    event_id: &'a str,
    proof: Option<&'a str>,
    result: &'a str,
    body: &'a RawValue,
}

/// Shows a delivery to those who look on, unless its call was erased, or nobody can tell.
pub(super) async fn show(api: &Api, delivered: Delivered<'_>) {
    let Delivered { kind, call_id, event_id, proof, result, body } = delivered;
    if let Some(id) = call_id
        && !matches!(api.registry.look_up(id).await, Ok(Known::Call(_) | Known::Nothing))
    {
        return;
    }
    let Some(body) = redact::redacted(body).and_then(|body| RawValue::from_string(body).ok()) else { return };
    let data = Words { r#type: kind, event_id, proof, result, body: &body };
    let event = told("delivery", api, call_id, &data);
    api.onlookers.show(kind, call_id, event);
}

/// As the events of the other streams look; `id` and `sequence` are for those.
fn told(kind: &'static str, api: &Api, call_id: Option<&CallId>, data: &impl Serialize) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Event<'a, T> {
        id: Option<&'a str>,
        r#type: &'static str,
        timestamp: At,
        call_id: Option<&'a CallId>,
        sequence: Option<u64>,
        data: &'a T,
    }
    let event = Event { id: None, r#type: kind, timestamp: At(api.clock.now()), call_id, sequence: None, data };
    serde_json::to_string(&event).unwrap_or_default()
}

/// Vapi's webhooks as they come in, redacted: each event is `delivery`, its data `{type, eventId, proof, result, body}`.
///
/// It begins now, has no ids to go on from, and tells what reaches this instance. Erased calls are left out.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/deliveries",
    operation_id = "streamDeliveries",
    tag = "Streams",
    params(
        ("types" = Option<String>, Query, description = "Types of messages by Vapi's names, separated by commas; all unless given"),
        ("callId" = Option<String>, Query, description = "Calls, separated by commas; all unless given"),
    ),
    responses(
        (status = 200, description = "The stream", body = String, content_type = "text/event-stream"),
        (status = 400, description = "INVALID_PARAMETER", body = Envelope<NoData>),
        (status = 429, description = "RATE_LIMITED: too many look on", body = Envelope<NoData>),
        (status = 503, description = "SHUTTING_DOWN", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn all(State(api): State<Api>, caller: Caller<Admin>, parameters: Parameters) -> Result<Response, ApiError> {
    let (types, calls) = (parameters.list("types")?, parameters.list("callId")?);
    if api.lifecycle.is_soft_stopped() {
        return Err(ApiError::ShuttingDown);
    }
    let receiver = api.onlookers.join().ok_or(ApiError::TooManyStreams)?;
    let told = Told::by(caller.token);
    let onlooker = Onlooker { api: api.clone(), receiver: Some(receiver), types, calls, _counted: Counted::new(&api, "sse") };
    let events = stream::unfold(onlooker, |mut onlooker| async move { Some((onlooker.next().await?, onlooker)) });
    Ok((told, until_over(&api, events, caller.until)).into_response())
}

/// One who looks on.
struct Onlooker {
    api: Api,
    /// `None` when it was told that it hears no more.
    receiver: Option<mpsc::Receiver<Arc<Shown>>>,
    types: Vec<String>,
    calls: Vec<String>,
    _counted: Counted,
}

impl Onlooker {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let receiver = self.receiver.as_mut()?;
            let shown = tokio::select! {
                shown = receiver.recv() => shown,
                () = self.api.lifecycle.soft_stopped() => return None,
            };
            let Some(shown) = shown else {
                self.receiver = None;
                let data = json!({"reason": "too_slow", "message": "Deliveries came faster than they were taken."});
                return Some(Event::default().event("stream.dropped").data(told("stream.dropped", &self.api, None, &data)));
            };
            let is_in = |list: &[String], word: &str| list.is_empty() || list.iter().any(|listed| listed == word);
            if is_in(&self.types, &shown.kind) && is_in(&self.calls, shown.call_id.as_ref().map_or("", CallId::as_str)) {
                return Some(Event::default().event("delivery").data(&shown.json));
            }
        }
    }
}
