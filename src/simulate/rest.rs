//! The REST interface of the fake Vapi: calls, and what `settings` adds.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, Request as HttpRequest, State},
    http::{Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    bodies,
    fault::{self, Fault},
    listing, play,
    script::as_map,
    settings,
    world::{Kept, Request, World},
};
use crate::vapi::client::RecordingKind;

/// The largest request that is read, in bytes.
const MAX_REQUEST_BYTES: usize = 10 * 1_048_576;
/// Where recordings are fetched from; opens without a key.
const RECORDINGS: &str = "/hipaa-recordings/";
/// Where calls are steered; opens without a key.
const CONTROL: &str = "/control/";
/// The recording of every call: 0.1 s of silence.
const SILENCE_SAMPLES: u16 = 800;
/// Fields of a request of which one must be there.
const WHO_TALKS: [&str; 6] = ["assistantId", "assistant", "squadId", "squad", "workflowId", "workflow"];

type Shared = State<Arc<World>>;

pub(super) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/call", post(create).get(list))
        .route("/call/{id}", get(read).patch(change).delete(remove))
        .route(&format!("{CONTROL}{{id}}"), post(control))
        .route("/call/{id}/{recording}", get(recording))
        .route(&format!("{RECORDINGS}{{file}}"), get(async || ([(header::CONTENT_TYPE, "audio/wav")], silence())))
        .merge(settings::router())
        .fallback(async || fault::vapi_error(StatusCode::NOT_FOUND, "Cannot find this route"))
        .layer(middleware::from_fn_with_state(Arc::clone(&world), guard))
        .with_state(world)
}

/// Notes the request, asks for the key, and spoils the answer if that is due.
async fn guard(State(world): Shared, request: HttpRequest, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await.unwrap_or_default();
    let path = parts.uri.path().to_owned();
    world.requests().push(Request {
        method: parts.method.to_string(),
        path: path.clone(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        at: world.options.clock.now(),
    });
    let key = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let open = path.starts_with(RECORDINGS) && parts.method == Method::GET || path.starts_with(CONTROL);
    // A refusal that is made up must be one: no call comes of it.
    let due = if open { None } else { world.faults().take(&path) };
    let refusal = parts.method == Method::POST && due.as_ref().is_some_and(Fault::is_refusal);
    let right = if refusal {
        Response::default()
    } else if open || key == Some(world.options.key.as_str()) {
        next.run(HttpRequest::from_parts(parts, Body::from(bytes))).await
    } else {
        fault::vapi_error(
            StatusCode::UNAUTHORIZED,
            "Invalid Key. Hot tip, you may be using the private key instead of the public key, or vice versa.",
        )
    };
    let mut answer = match due {
        Some(due) => fault::spoil(due, right, world.stop.clone()).await,
        None => right,
    };
    // Whatever time it is here: clocks are compared by this.
    let now = jiff::Timestamp::from_millisecond(world.options.clock.now().0).unwrap_or_default();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok();
    if let Some(date) = date.and_then(|date| date.try_into().ok()) {
        answer.headers_mut().insert(header::DATE, date);
    }
    answer
}

async fn create(State(world): Shared, body: axum::body::Bytes) -> Response {
    let Ok(Value::Object(request)) = serde_json::from_slice(&body) else {
        return fault::vapi_error(StatusCode::BAD_REQUEST, "Request body is no JSON object.");
    };
    if !WHO_TALKS.iter().any(|field| request.contains_key(*field)) {
        return fault::vapi_error(StatusCode::BAD_REQUEST, "Need one of assistantId, assistant, squadId, squad, workflowId, workflow.");
    }
    let script = play::place(&world, request);
    (StatusCode::CREATED, Json(bodies::created_call(&script))).into_response()
}

async fn list(State(world): Shared, Query(query): Query<HashMap<String, String>>) -> Response {
    match listing::newest_first(world.listed_calls(), &query) {
        Ok(calls) => Json(calls).into_response(),
        Err(wrong) => fault::vapi_error(StatusCode::BAD_REQUEST, &wrong),
    }
}

async fn read(State(world): Shared, Path(id): Path<String>) -> Response {
    world.rest_call(&id).map_or_else(not_found, |call| Json(call).into_response())
}

async fn change(State(world): Shared, Path(id): Path<String>, Json(fields): Json<Value>) -> Response {
    match world.calls().get_mut(&id) {
        Some(Kept::Put(call)) => as_map(fields).into_iter().for_each(|(field, value)| call[field] = value),
        Some(Kept::Played { patched, .. }) => as_map(fields).into_iter().for_each(|(field, value)| patched[field] = value),
        None => return not_found(),
    }
    read(State(world), Path(id)).await
}

async fn control(State(world): Shared, Path(id): Path<String>, Json(order): Json<Value>) -> Response {
    if order["type"] == "end-call" && play::hang_up(&world, &id) {
        StatusCode::OK.into_response()
    } else {
        fault::vapi_error(StatusCode::BAD_REQUEST, "This call can't be steered so.")
    }
}

async fn remove(State(world): Shared, Path(id): Path<String>) -> Response {
    let told = world.rest_call(&id);
    match world.calls().remove(&id) {
        Some(Kept::Played { play, .. }) => play.cancel(),
        Some(Kept::Put(_)) => {}
        None => return not_found(),
    }
    Json(told.unwrap_or_else(|| json!({}))).into_response()
}

async fn recording(State(world): Shared, Path((id, kind)): Path<(String, String)>) -> Response {
    let Some(call) = world.rest_call(&id) else { return not_found() };
    let known = RecordingKind::ALL.iter().any(|one| one.route() == kind && *one != RecordingKind::Video);
    let recorded = call["artifact"]["recordingUrl"].is_string();
    if !known || !recorded {
        return fault::vapi_error(StatusCode::NOT_FOUND, "Recording not found");
    }
    let signature = world.chance().message_id();
    let link = format!("{}{RECORDINGS}{id}-{kind}.wav?X-Amz-Expires=1800&X-Amz-Signature={signature}", world.url);
    (StatusCode::FOUND, [(header::LOCATION, link)]).into_response()
}

fn not_found() -> Response {
    fault::vapi_error(StatusCode::NOT_FOUND, "Call not found")
}

/// A WAV file with nothing to hear: 8 kHz, mono, 8 bit.
fn silence() -> Vec<u8> {
    let samples = u32::from(SILENCE_SAMPLES);
    let mut file = Vec::from(*b"RIFF");
    file.extend((36 + samples).to_le_bytes());
    file.extend(*b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    // PCM, one channel, 8000 samples and bytes a second, one byte a sample, 8 bits.
    for field in [1_u16, 1] {
        file.extend(field.to_le_bytes());
    }
    for rate in [8_000_u32, 8_000] {
        file.extend(rate.to_le_bytes());
    }
    for field in [1_u16, 8] {
        file.extend(field.to_le_bytes());
    }
    file.extend(*b"data");
    file.extend(samples.to_le_bytes());
    file.extend(vec![0x80_u8; usize::from(SILENCE_SAMPLES)]);
    file
}
