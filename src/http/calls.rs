//! One call: read it, erase it, have Vapi asked again.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Api,
    auth::{Admin, Caller, Place, Poll},
    deadline::{CHANGE_DEADLINE, in_time},
    observe::Told,
    parameters::{AnyPath, CallPath, IfNoneMatch, Parameters},
};
use crate::{
    call::{
        id::CallId,
        record::FetchReason,
        view::{CallResult, View},
    },
    dial::{Named, is_placement_id},
    envelope::{Envelope, NoData},
    error::{Absent, ApiError},
    registry::{CachedCall, Known, never_heard_of},
};

/// Seconds after which a poller may ask again.
pub(super) const RETRY_AFTER: u32 = 2;

/// The result of a call, at once: 404 until there is one, then 200 as it stands. Poll it, or wait at `/result`.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/calls/{id}",
    operation_id = "readCall",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id"), super::docs::ViewParameter),
    responses(
        (status = 200, description = "There is a result; `done` tells whether more is to come", body = Envelope<CallResult>),
        (status = 304, description = "The version in If-None-Match still stands"),
        (status = 404, description = "CALL_NOT_FOUND: nothing heard of it, or it was deleted; CALL_NOT_READY: it has no result yet", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE", body = Envelope<NoData>),
    ),
    security(("bearer" = ["poll"]))
)]
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller<Poll>,
    CallPath(id): CallPath,
    parameters: Parameters,
    if_none_match: IfNoneMatch,
) -> Result<Response, ApiError> {
    let told = Told::about(caller.token, id.clone());
    let answer = look_up(&api, &id).await.and_then(|known| match known {
        Known::Call(call) if call.has_result => shown(&call, &parameters, &if_none_match, StatusCode::OK),
        Known::Call(_) => Err(ApiError::CallNotReady(id)),
        Known::Deleted => Err(ApiError::CallNotFound(id, Absent::Deleted)),
        Known::Nothing => {
            api.enricher.somebody_asks_for(&id);
            Err(ApiError::CallNotFound(id, Absent::Unheard))
        }
    });
    // Most polls are answered 404: the log is to say whose they are.
    Ok((told, answer).into_response())
}

/// The call from memory, else from the store.
pub(super) async fn look_up(api: &Api, id: &CallId) -> Result<Known, ApiError> {
    Ok(api.registry.look_up(id).await?)
}

/// A known call as an answer: 304 if the caller has this version, else its bytes.
pub(super) fn shown(
    call: &Arc<CachedCall>,
    parameters: &Parameters,
    known: &IfNoneMatch,
    status: StatusCode,
) -> Result<Response, ApiError> {
    let unchanged = known.0.as_ref().is_some_and(|known| matches_etag(known, &call.etag));
    if unchanged && status == StatusCode::OK {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, call.etag.clone())]).into_response());
    }
    let body = match parameters.view(View::Full)? {
        View::Full => call.body(),
        View::Summary => summary(call).map_err(|error| ApiError::Internal(error.to_string()))?,
    };
    Ok(json_answer(status, body, Some(&call.etag)))
}

/// What a summary leaves empty, and how.
const BULK: [(&str, &str); 5] =
    [("transcript", "\"\""), ("messages", "[]"), ("toolCalls", "[]"), ("costBreakdown", "{}"), ("metadata", "{}")];

/// The summary, made of the full answer: so it is of the same version, and is served from memory as well.
fn summary(call: &CachedCall) -> serde_json::Result<Bytes> {
    let body = call.body();
    let mut answer: BTreeMap<&str, &RawValue> = serde_json::from_slice(&body)?;
    let mut data: BTreeMap<&str, &RawValue> = serde_json::from_str(answer.get("data").map_or("{}", |data| data.get()))?;
    for (key, empty) in BULK {
        data.insert(key, serde_json::from_str(empty)?);
    }
    let data = to_raw_value(&data)?;
    answer.insert("data", &data);
    serde_json::to_vec(&answer).map(Bytes::from)
}

/// Headers of an answer about a call, with those that every answer gets: room for them is made once.
const ANSWER_HEADERS: usize = 8;

/// Serialised JSON as an answer; one that is not final says when to ask again.
pub(super) fn json_answer(status: StatusCode, body: impl Into<Bytes>, etag: Option<&HeaderValue>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(ANSWER_HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag.clone());
    }
    if status == StatusCode::ACCEPTED {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER.into());
    }
    response
}

fn matches_etag(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(known), Ok(etag)) = (known.to_str(), etag.to_str()) else { return false };
    known.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == etag || one == "*")
}

/// What a deletion did.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Erased {
    /// The call was known, and is gone.
    deleted: bool,
    /// `all`, or `cache` when only memory was cleared.
    scope: &'static str,
}

/// Erases a call, its record and its events, for good; ends no call at Vapi. `scope=cache` only drops it from memory.
#[utoipa::path(
    delete,
    path = "/api/v1/vapi/calls/{id}",
    operation_id = "deleteCall",
    tag = "Calls",
    params(
        ("id" = String, Path, description = "The call's id"),
        ("scope" = Option<String>, Query, description = "`cache`: only drop it from memory"),
        ("always" = Option<bool>, Query, description = "Leave a tombstone even if the call was not known"),
    ),
    responses(
        (status = 200, description = "It is gone", body = Envelope<Erased>),
        (status = 404, description = "Of the id of a placing only: CALL_NOT_READY as long as nobody knows its call, and nothing was erased; CALL_NOT_FOUND when nothing was placed by it", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn erase(
    State(api): State<Api>,
    caller: Caller<Admin>,
    CallPath(id): CallPath,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let told = Told::about(caller.token, id.clone());
    let always = parameters.switch("always")?;
    let data = match parameters.text("scope") {
        Some("cache") => {
            api.registry.cache().forget(&id);
            Erased { deleted: false, scope: "cache" }
        }
        None => {
            let known = in_time(CHANGE_DEADLINE, api.registry.delete(&id, always)).await?;
            Erased { deleted: known, scope: "all" }
        }
        Some(_) => return Err(ApiError::InvalidParameter("scope must be cache, or be left out.".to_owned())),
    };
    Ok((told, Json(Envelope::of(data).about(id.as_str()))).into_response())
}

/// Has Vapi asked for this call again, as soon as possible.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/calls/{id}/fetch",
    operation_id = "fetchCall",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 202, description = "Vapi will be asked; `data` as it stands", body = Envelope<CallResult>),
        (status = 404, description = "CALL_NOT_FOUND: no placing of ours has this id", body = Envelope<NoData>),
        (status = 410, description = "CALL_DELETED", body = Envelope<NoData>),
        (status = 502, description = "VAPI_ACCOUNT: there is no VAPI_API_KEY to ask with", body = Envelope<NoData>),
    ),
    security(("bearer" = ["place"]))
)]
pub(super) async fn fetch(State(api): State<Api>, caller: Caller<Place>, AnyPath(id): AnyPath) -> Result<Response, ApiError> {
    if api.client.is_none() {
        return Err(ApiError::VapiAccount);
    }
    let id = match api.dialer.named(&id).await? {
        Named::Call(id) => id,
        Named::Nothing => return Err(ApiError::CallNotFound(id, Absent::NoPlacing)),
        Named::Open(id) => {
            api.dialer.hurry(&id).await?;
            let told = Told::about(caller.token, id.clone());
            return Ok((told, json_answer(StatusCode::ACCEPTED, never_heard_of(&id), None)).into_response());
        }
    };
    let told = Told::about(caller.token, id.clone());
    let response = match look_up(&api, &id).await? {
        Known::Deleted => return Err(ApiError::CallDeleted(id)),
        Known::Nothing => {
            api.enricher.ask_at_once(&id);
            json_answer(StatusCode::ACCEPTED, never_heard_of(&id), None)
        }
        // A lost placing is no call that Vapi could be asked for.
        Known::Call(call) if is_placement_id(id.as_str()) => json_answer(StatusCode::ACCEPTED, call.body(), Some(&call.etag)),
        Known::Call(call) => {
            in_time(CHANGE_DEADLINE, api.registry.ask_now(&id, FetchReason::Manual)).await?;
            json_answer(StatusCode::ACCEPTED, call.body(), Some(&call.etag))
        }
    };
    Ok((told, response).into_response())
}
