//! `GET /calls/{id}/result?wait=N`: one question, answered when there is something to say.

use std::time::Duration;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, sleep};

use super::{
    Api,
    auth::{Caller, Poll},
    calls::{json_answer, look_up, shown},
    observe::Told,
    parameters::{AnyPath, IfNoneMatch, Parameters},
};
use crate::{
    call::{
        id::CallId,
        view::{CallResult, View},
    },
    dial::Named,
    envelope::{Envelope, NoData},
    error::{Absent, ApiError},
    registry::{Known, never_heard_of},
};

/// The result of a call as soon as it is done: 200 when it is, else 202 with `data` as it stands after at most `wait` seconds.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/calls/{id}/result",
    operation_id = "waitForCall",
    tag = "Calls",
    params(
        ("id" = String, Path, description = "The call's id"),
        super::docs::WaitParameter,
        super::docs::ViewParameter,
    ),
    responses(
        (status = 200, description = "Done", body = Envelope<CallResult>),
        (status = 202, description = "Not done yet; ask again", body = Envelope<CallResult>),
        (status = 400, description = "INVALID_PARAMETER", body = Envelope<NoData>),
        (status = 404, description = "CALL_NOT_FOUND: Vapi said twice that it knows no such call", body = Envelope<NoData>),
        (status = 410, description = "CALL_DELETED", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE", body = Envelope<NoData>),
    ),
    security(("bearer" = ["poll"]))
)]
pub(super) async fn wait(
    State(api): State<Api>,
    caller: Caller<Poll>,
    AnyPath(id): AnyPath,
    parameters: Parameters,
    if_none_match: IfNoneMatch,
) -> Result<Response, ApiError> {
    let wait = parameters.wait(&api)?;
    // Whatever is known of the call: a wrong parameter is one.
    parameters.view(View::Full)?;
    let started = Instant::now();
    let named = api.dialer.named_within(&id, wait).await;
    let (id, known) = match named {
        Ok(Named::Call(id)) => {
            let known = known_within(&api, &id, wait.saturating_sub(started.elapsed())).await;
            (id, known)
        }
        Ok(Named::Open(id)) => {
            let told = Told { waited: started.elapsed(), ..Told::about(caller.token, id.clone()) };
            return Ok((told, json_answer(StatusCode::ACCEPTED, never_heard_of(&id), None)).into_response());
        }
        Ok(Named::Nothing) => return Err(ApiError::CallNotFound(id, Absent::NoPlacing)),
        Err(error) => (id, Err(error.into())),
    };
    // Told of refusals too: they have been waited for as well.
    let told = Told { waited: started.elapsed(), ..Told::about(caller.token, id.clone()) };
    let answer = known.and_then(|known| match known {
        Known::Deleted => Err(ApiError::CallDeleted(id)),
        Known::Nothing if api.enricher.is_unknown_to_vapi(&id) => Err(ApiError::CallNotFound(id, Absent::UnknownToVapi)),
        Known::Nothing => Ok(json_answer(StatusCode::ACCEPTED, never_heard_of(&id), None)),
        Known::Call(call) if call.unknown_to_vapi => Err(ApiError::CallNotFound(id, Absent::UnknownToVapi)),
        Known::Call(call) => {
            let status = if call.done { StatusCode::OK } else { StatusCode::ACCEPTED };
            shown(&call, &parameters, &if_none_match, status)
        }
    });
    Ok((told, answer).into_response())
}

/// What is known of the call once it is done, or after `wait`, or when we are about to stop.
pub(super) async fn known_within(api: &Api, id: &CallId, wait: Duration) -> Result<Known, ApiError> {
    let known = ask(api, id).await?;
    if wait.is_zero() || is_final(api, id, &known) {
        return Ok(known);
    }
    let Some(ticket) = api.registry.waiters().register(id) else { return Ok(known) };
    let deadline = sleep(wait);
    tokio::pin!(deadline);
    loop {
        // Listen first, look second: what happens in between is not missed.
        let woken = ticket.woken();
        let known = ask(api, id).await?;
        if is_final(api, id, &known) {
            return Ok(known);
        }
        tokio::select! {
            () = woken => {}
            () = &mut deadline => return ask(api, id).await,
            () = api.lifecycle.soft_stopped() => return ask(api, id).await,
        }
    }
}

async fn ask(api: &Api, id: &CallId) -> Result<Known, ApiError> {
    let known = look_up(api, id).await?;
    if matches!(known, Known::Nothing) {
        api.enricher.somebody_asks_for(id);
    }
    Ok(known)
}

fn is_final(api: &Api, id: &CallId, known: &Known) -> bool {
    match known {
        Known::Call(call) => call.done || call.unknown_to_vapi,
        Known::Deleted => true,
        Known::Nothing => api.enricher.is_unknown_to_vapi(id),
    }
}
