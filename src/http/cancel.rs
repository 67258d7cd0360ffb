//! `POST /calls/{id}/cancel`: a call is hung up, or does not take place.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    Api,
    auth::{Caller, Place},
    calls::{json_answer, look_up},
    deadline::{CHANGE_DEADLINE, in_time},
    observe::Told,
    parameters::CallPath,
};
use crate::{
    call::{record::FetchReason, view::CallResult},
    dial::is_placement_id,
    envelope::{Envelope, NoData},
    error::{Absent, ApiError},
    registry::{Known, never_heard_of},
    vapi::client::Canceled,
};

/// Hangs up a call that goes on, or unschedules one that has not begun. How it ended is told by its result, as of any call.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/calls/{id}/cancel",
    operation_id = "cancelCall",
    tag = "Placing",
    params(("id" = String, Path, description = "The call's id, or its placing's")),
    responses(
        (status = 202, description = "Vapi was told; `data` as it stands", body = Envelope<CallResult>),
        (status = 404, description = "CALL_NOT_FOUND: Vapi knows no such call; CALL_NOT_READY: nobody knows yet which call the placing became", body = Envelope<NoData>),
        (status = 409, description = "CALL_ENDED", body = Envelope<NoData>),
        (status = 410, description = "CALL_DELETED", body = Envelope<NoData>),
        (status = 502, description = "VAPI_ACCOUNT, VAPI_UNAVAILABLE", body = Envelope<NoData>),
    ),
    security(("bearer" = ["place"]))
)]
pub(super) async fn cancel(State(api): State<Api>, caller: Caller<Place>, CallPath(id): CallPath) -> Result<Response, ApiError> {
    let Some(client) = &api.client else { return Err(ApiError::VapiAccount) };
    match look_up(&api, &id).await? {
        Known::Deleted => return Err(ApiError::CallDeleted(id)),
        Known::Call(call) if call.has_result => return Err(ApiError::CallEnded(id)),
        // A lost placing is no call that could be called off.
        _ if is_placement_id(id.as_str()) => return Err(ApiError::CallNotFound(id, Absent::NoPlacing)),
        Known::Call(_) | Known::Nothing => {}
    }
    let outcome = client.cancel(&id).await;
    if matches!(outcome, Canceled::Done | Canceled::Ended)
        && in_time(CHANGE_DEADLINE, api.registry.ask_now(&id, FetchReason::Manual)).await.is_err()
    {
        // Done is done: the record hears of it by webhook, or when Vapi is asked next.
        tracing::warn!(call_id = id.as_str(), "A call was called off, but its record could not be told to ask");
    }
    match outcome {
        Canceled::Done => {}
        Canceled::Ended => return Err(ApiError::CallEnded(id)),
        Canceled::Unknown => return Err(ApiError::CallNotFound(id, Absent::UnknownToVapi)),
        Canceled::Denied => return Err(ApiError::VapiAccount),
        Canceled::Failed(why) => return Err(ApiError::VapiUnavailable(why)),
    }
    let response = match look_up(&api, &id).await {
        Ok(Known::Call(call)) => json_answer(StatusCode::ACCEPTED, call.body(), Some(&call.etag)),
        _ => json_answer(StatusCode::ACCEPTED, never_heard_of(&id), None),
    };
    Ok((Told::about(caller.token, id), response).into_response())
}
