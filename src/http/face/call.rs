//! One call: `GET`, `PATCH` and `DELETE /vapi/call/{id}`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hyper::body::Bytes;
use tokio::time::timeout;

use super::{told, unknown_yet};
use crate::{
    call::{
        id::CallId,
        record::{Fetch, FetchOutcome, FetchReason},
    },
    dial::Named,
    error::{Absent, ApiError, VapiError},
    http::{
        Api,
        auth::{Caller, FaceAdmin, FaceRead},
        calls::json_answer,
        deadline::{CHANGE_DEADLINE, in_time},
        observe::Told,
        parameters::{AnyPath, CallPath},
        sent::{Sent, Settings},
    },
    registry::Change,
    store::{Loaded, StoredCall},
    vapi::{self, client::Changed, face::VapiCall, redact::redacted},
};

/// How long somebody waits for Vapi to tell of a call that is not known here, turns with the limiter included.
const LOOK_FOR: Duration = Duration::from_secs(20);

/// A call as Vapi's `GET /call/{id}` tells it, from our record. Of one that is not known here Vapi is asked, and the record begins with its answer.
#[utoipa::path(
    get,
    path = "/vapi/call/{id}",
    operation_id = "vapiGetCall",
    tag = "Vapi",
    params(("id" = String, Path, description = "The call's id, or its placing's")),
    responses(
        (status = 200, description = "The call as it stands", body = VapiCall),
        (status = 404, description = "Neither Ringback nor Vapi knows it, or it was deleted", body = VapiError),
        (status = 502, description = "It is not known here, and Vapi can't be asked", body = VapiError),
    ),
    security(("bearer" = ["read"]))
)]
pub(in crate::http) async fn read(State(api): State<Api>, caller: Caller<FaceRead>, AnyPath(id): AnyPath) -> Result<Response, ApiError> {
    let named = match api.dialer.named(&id).await? {
        Named::Call(id) => id,
        Named::Open(id) => return Ok((Told::about(caller.token, id.clone()), Json(unknown_yet(&id))).into_response()),
        Named::Nothing => return Err(ApiError::CallNotFound(id, Absent::NoPlacing)),
    };
    let call = match stored(&api, &named).await? {
        Some(call) => call,
        None => found(&api, &named).await?,
    };
    Ok((Told::about(caller.token, named), Json(told(&api, &call))).into_response())
}

/// The call from memory while it goes on, else from the store; `None` when nothing was ever heard of it.
async fn stored(api: &Api, id: &CallId) -> Result<Option<Arc<StoredCall>>, ApiError> {
    if let Some(call) = api.registry.in_memory(id.as_str()).and_then(|cached| cached.stored()) {
        return Ok(Some(call));
    }
    match in_time(CHANGE_DEADLINE, api.registry.store().load(id)).await? {
        Loaded::Found(call) => Ok(Some(call)),
        Loaded::Deleted => Err(ApiError::CallNotFound(id.clone(), Absent::Deleted)),
        Loaded::Missing => Ok(None),
    }
}

/// The call that Vapi tells of.
async fn found(api: &Api, id: &CallId) -> Result<Arc<StoredCall>, ApiError> {
    if api.enricher.is_unknown_to_vapi(id) {
        return Err(ApiError::CallNotFound(id.clone(), Absent::UnknownToVapi));
    }
    let late = |_elapsed| Ok(Some(FetchOutcome::Failed { error: "Vapi did not answer in time".to_owned() }));
    match timeout(LOOK_FOR, api.enricher.look_for(id)).await.unwrap_or_else(late)? {
        None | Some(FetchOutcome::Unknown) => Err(ApiError::CallNotFound(id.clone(), Absent::UnknownToVapi)),
        Some(FetchOutcome::Denied { .. }) => Err(ApiError::VapiAccount),
        Some(FetchOutcome::Failed { error }) => Err(ApiError::VapiUnavailable(error)),
        Some(FetchOutcome::Live | FetchOutcome::Ended { .. }) => {
            stored(api, id).await?.ok_or_else(|| ApiError::Internal("what Vapi told was not stored".to_owned()))
        }
    }
}

/// Changes a call at Vapi as `PATCH /call/{id}` does: it can be given another `name`. The record hears of it.
#[utoipa::path(
    patch,
    path = "/vapi/call/{id}",
    operation_id = "vapiUpdateCall",
    tag = "Vapi",
    params(("id" = String, Path, description = "The call's id, or its placing's")),
    request_body(content = Object, description = "The body of Vapi's PATCH /call/{id}", example = json!({"name": "Second try"})),
    responses(
        (status = 200, description = "Vapi's answer, redacted", body = VapiCall),
        (status = 404, description = "Vapi knows no such call", body = VapiError),
        (status = 502, description = "Vapi refuses our key, or can't be reached", body = VapiError),
    ),
    security(("bearer" = ["admin"]))
)]
pub(in crate::http) async fn change(
    State(api): State<Api>,
    caller: Caller<FaceAdmin>,
    CallPath(id): CallPath,
    sent: Sent,
) -> Result<Response, ApiError> {
    let Some(client) = &api.client else { return Err(ApiError::VapiAccount) };
    if !sent.json.is_object() {
        return Err(ApiError::InvalidPayload("The body must be a JSON object.".to_owned()));
    }
    let body = match client.change(&id, &sent.json).await {
        Changed::Done(body) => body,
        other => return refused(&id, other),
    };
    hear(&api, &id, &body).await;
    Ok((Told::about(caller.token, id), vapis_answer(&body)).into_response())
}

/// What Vapi answered is news of the call. That it can't be stored undoes nothing.
async fn hear(api: &Api, id: &CallId, body: &Bytes) {
    let at = api.clock.now();
    let Some(answer) = vapi::call::read(body, id, at) else { return };
    let fetch = Fetch { at, reason: FetchReason::Manual, outcome: answer.outcome };
    // It is none of the fetches that were planned.
    let change = Change { after_fetch: false, ..Change::fetched(id, fetch, Some(answer.event), None) };
    if let Err(error) = in_time(CHANGE_DEADLINE, api.registry.apply_change(change)).await {
        tracing::warn!(%error, call_id = id.as_str(), "A call was changed at Vapi, but that could not be stored");
    }
}

/// Deletes a call at Vapi as `DELETE /call/{id}` does, and then erases our record of it for good, as `DELETE /api/v1/vapi/calls/{id}` does.
#[utoipa::path(
    delete,
    path = "/vapi/call/{id}",
    operation_id = "vapiDeleteCall",
    tag = "Vapi",
    params(("id" = String, Path, description = "The call's id, or its placing's")),
    responses(
        (status = 200, description = "It is gone, there and here; the body is the call as it was", body = VapiCall),
        (status = 400, description = "`ids` is not known here: delete calls one by one", body = VapiError),
        (status = 404, description = "Neither Ringback nor Vapi knows it", body = VapiError),
        (status = 502, description = "Vapi refuses our key, or can't be reached; nothing was deleted here", body = VapiError),
    ),
    security(("bearer" = ["admin"]))
)]
pub(in crate::http) async fn remove(
    State(api): State<Api>,
    caller: Caller<FaceAdmin>,
    CallPath(id): CallPath,
    Settings(asked): Settings,
) -> Result<Response, ApiError> {
    let Some(client) = &api.client else { return Err(ApiError::VapiAccount) };
    // Vapi deletes many calls at once when a body lists them, whatever the path says.
    if asked.get("ids").is_some_and(|ids| !ids.is_null()) {
        return Err(ApiError::InvalidPayload("`ids` is not known here: delete calls one by one.".to_owned()));
    }
    let known = in_time(CHANGE_DEADLINE, api.registry.store().load(&id)).await?.found();
    let answer = match (client.remove(&id).await, known) {
        (Changed::Done(body), _) => vapis_answer(&body),
        // Whoever sends again finds it done there, and only there.
        (Changed::Unknown, Some(call)) => Json(told(&api, &call)).into_response(),
        (other, _) => return refused(&id, other),
    };
    in_time(CHANGE_DEADLINE, api.registry.delete(&id, true)).await?;
    Ok((Told::about(caller.token, id), answer).into_response())
}

/// Vapi did not do it, and says why.
fn refused(id: &CallId, outcome: Changed) -> Result<Response, ApiError> {
    match outcome {
        Changed::Unknown => Err(ApiError::CallNotFound(id.clone(), Absent::UnknownToVapi)),
        Changed::Refused { status: 401 | 403, .. } => Err(ApiError::VapiAccount),
        Changed::Refused { status, message } => {
            Ok(VapiError::new(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), message).into_response())
        }
        Changed::Failed(why) => Err(ApiError::VapiUnavailable(why)),
        Changed::Done(body) => Ok(vapis_answer(&body)),
    }
}

/// What Vapi answered, without what is secret.
fn vapis_answer(body: &Bytes) -> Response {
    json_answer(StatusCode::OK, redacted(body).unwrap_or_else(|| "{}".to_owned()), None)
}
