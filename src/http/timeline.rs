//! Everything that happened to a call, in order of time.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Api,
    auth::{Caller, Read},
    observe::Told,
    parameters::{CallPath, Parameters},
};
use crate::{
    call::view::At,
    envelope::{Envelope, NoData, Pagination},
    error::ApiError,
    registry::Known,
    store::TimelineEntry,
};

/// One thing that happened.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::option_option, reason = "absent when not asked for, null when not kept any more")]
pub(super) struct TimelineItem<'a> {
    /// When it reached us.
    #[schema(value_type = String, format = DateTime)]
    at: At,
    /// `delivery`, `fetch`, `tool`, `settled`, `recovered` (its report was lost) or `deleted`.
    kind: &'a str,
    /// The message's type, `rest`, `fetch` or `policy`.
    source: &'a str,
    /// The event's id: equal for equal messages.
    event_id: &'a str,
    /// When its sender says it was sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    sent_at: Option<At>,
    /// The proof that let it in: `secret`, `bearer`, `signature` or `standard`.
    proof: Option<&'a str>,
    /// A repeat of an event that was there before.
    duplicate: bool,
    /// What it changed, by the names of `CallResult`.
    changed: &'a [String],
    /// The version it led to.
    version: Option<u64>,
    /// A line of explanation.
    details: Option<&'a str>,
    /// With `body=1`: the redacted body, `null` once it is not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    body: Option<Option<&'a RawValue>>,
}

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
        (status = 200, description = "Its entries, earliest first", body = Envelope<Vec<TimelineItem>>),
        (status = 404, description = "CALL_NOT_FOUND", body = Envelope<NoData>),
        (status = 410, description = "CALL_DELETED", body = Envelope<NoData>),
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
    let entries = api.registry.store().timeline(&id, bodies).await?;
    let items: Vec<TimelineItem<'_>> = entries.iter().map(|entry| shown(entry, bodies)).collect();
    let count = items.len();
    let pagination = Pagination { limit: count, offset: None, next_cursor: None, has_more: false };
    let told = Told { token: caller.token, call_id: Some(id.clone()), ..Told::default() };
    Ok((axum::Extension(told), Json(Envelope::of(items).about(id.as_str()).paged(count, pagination))).into_response())
}

fn shown(entry: &TimelineEntry, bodies: bool) -> TimelineItem<'_> {
    TimelineItem {
        at: At(entry.at),
        kind: &entry.kind,
        source: &entry.source,
        event_id: &entry.event_id,
        sent_at: entry.sent_at.map(At),
        proof: entry.proof.as_deref(),
        duplicate: entry.duplicate,
        changed: &entry.changed,
        version: entry.version,
        details: entry.details.as_deref(),
        body: bodies.then(|| entry.body.as_deref().and_then(|body| serde_json::from_str(body).ok())),
    }
}
