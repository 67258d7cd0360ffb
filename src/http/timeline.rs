//! Everything that happened to a call, in order of time.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json, value::RawValue};

use super::{
    Api,
    auth::{Caller, Read},
    calls::enveloped,
    observe::Told,
    parameters::{CallPath, Parameters},
};
use crate::{call::view::At, error::ApiError, registry::Known, store::TimelineEntry};

/// What happened to a call and when: deliveries, fetches, decisions. `body=1` adds the redacted bodies, as long as they are kept.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/calls/{id}/timeline",
    operation_id = "readTimeline",
    tag = "Calls",
    params(
        ("id" = String, Path, description = "The call's id"),
        ("body" = Option<bool>, Query, description = "Add the redacted bodies"),
    ),
    responses(
        (status = 200, description = "Its entries, earliest first", body = super::docs::TimelineEnvelope),
        (status = 404, description = "CALL_NOT_FOUND", body = super::docs::ErrorEnvelope),
        (status = 410, description = "CALL_DELETED", body = super::docs::ErrorEnvelope),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller<Read>,
    CallPath(id): CallPath,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    match api.registry.look_up(&id).await? {
        Known::Call(_) => {}
        Known::Deleted => return Err(ApiError::CallDeleted(id)),
        Known::Nothing => return Err(ApiError::CallNotFound(id)),
    }
    let bodies = parameters.switch("body");
    let entries: Vec<Value> = api.registry.store().timeline(&id, bodies).await?.iter().map(|entry| shown(entry, bodies)).collect();
    let mut body = enveloped(Some(&id), &json!(entries));
    body["count"] = entries.len().into();
    body["pagination"] = json!({"limit": entries.len(), "nextCursor": null, "hasMore": false});
    let told = Told { token: caller.token, call_id: Some(id), ..Told::default() };
    Ok((axum::Extension(told), Json(body)).into_response())
}

fn shown(entry: &TimelineEntry, bodies: bool) -> Value {
    let mut shown = json!({
        "at": At(entry.at), "kind": entry.kind, "source": entry.source, "eventId": entry.event_id, "sentAt": entry.sent_at.map(At),
        "proof": entry.proof, "duplicate": entry.duplicate, "changed": entry.changed, "version": entry.version, "details": entry.details,
    });
    if bodies {
        shown["body"] = entry.body.as_deref().and_then(|body| serde_json::from_str::<&RawValue>(body).ok()).map_or(Value::Null, |body| json!(body));
    }
    shown
}
