//! Everything that happened to a call, in order of time.

use std::borrow::Cow;

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
    parameters::{AnyPath, Parameters},
};
use crate::{
    call::{id::CallId, view::At},
    dial::{CallMethod, Named, OpenPlacing},
    envelope::{Envelope, NoData, Pagination},
    error::{Absent, ApiError},
    registry::Known,
    store::{Attempt, Delivery, DeliveryFilter, TimelineEntry},
};

/// Deliveries whose tries are shown; the latest.
const MOST_DELIVERIES: usize = 500;

/// One thing that happened.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::option_option, reason = "absent when not asked for, null when not kept any more")]
pub(super) struct TimelineItem<'a> {
    /// When it reached us.
    #[schema(value_type = String, format = DateTime)]
    at: At,
    /// `placed`, `delivery`, `fetch`, `tool`, `settled`, `recovered` (its report was lost), `deleted` or `outbound` (somebody was told).
    kind: &'a str,
    /// The message's type, `placed`, `rest`, `fetch` or `policy`; of what went out, the event's type.
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
    #[schema(value_type = Option<String>)]
    details: Option<Cow<'a, str>>,
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
        ("id" = String, Path, description = "The call's id, or its placing's: as long as nobody knows the call, what is known of the placing"),
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
    AnyPath(id): AnyPath,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let bodies = parameters.switch("body")?;
    let id = match api.dialer.named(&id).await? {
        Named::Call(id) => id,
        Named::Nothing => return Err(ApiError::CallNotFound(id, Absent::NoPlacing)),
        Named::Open(id) => {
            let placing = api.dialer.open_placing(&id).await?;
            return Ok(answer(&id, placing.iter().map(|placing| asked_for(placing, bodies)).collect(), caller.token));
        }
    };
    match api.registry.look_up(&id).await? {
        Known::Call(_) => {}
        Known::Deleted => return Err(ApiError::CallDeleted(id)),
        Known::Nothing => return Err(ApiError::CallNotFound(id, Absent::Unheard)),
    }
    let entries = api.registry.store().timeline(&id, bodies).await?;
    let filter = DeliveryFilter { call: Some(id.clone()), limit: MOST_DELIVERIES, ..DeliveryFilter::default() };
    let sent = api.registry.store().deliveries(filter).await?.deliveries;
    let mut items: Vec<TimelineItem<'_>> = entries.iter().map(|entry| shown(entry, bodies)).collect();
    items.extend(sent.iter().flat_map(|delivery| delivery.attempts.iter().map(|attempt| told(delivery, attempt, bodies))));
    items.sort_by_key(|item| item.at.0);
    Ok(answer(&id, items, caller.token))
}

fn answer(id: &CallId, items: Vec<TimelineItem<'_>>, token: Option<String>) -> Response {
    let count = items.len();
    let told = Told::about(token, id.clone());
    (told, Json(Envelope::of(items).about(id.as_str()).paged(count, Pagination::whole(count)))).into_response()
}

fn where_it_stands(placing: &OpenPlacing) -> String {
    let (who, lost) = match placing.method {
        CallMethod::DirectVapi => ("Vapi", "its answer was lost"),
        CallMethod::Kestra => ("Kestra", "no call was named"),
    };
    match placing.looks {
        None => format!("{who} is being asked for the call"),
        Some(_) if placing.goes_on => "Kestra's flow goes on, and has named no call yet".to_owned(),
        Some(0) => format!("{who} was asked for the call, and {lost}; it will be looked for"),
        Some(1) => format!("{who} was asked for the call, and {lost}; it was looked for once"),
        Some(looks) => format!("{who} was asked for the call, and {lost}; it was looked for {looks} times"),
    }
}

/// A call was asked for, and nobody knows yet what came of it.
fn asked_for(placing: &OpenPlacing, bodies: bool) -> TimelineItem<'_> {
    TimelineItem {
        at: At(placing.sent_at),
        kind: "placed",
        source: "placed",
        event_id: &placing.event_id,
        sent_at: None,
        proof: None,
        duplicate: false,
        changed: &[],
        version: None,
        details: Some(where_it_stands(placing).into()),
        body: bodies.then(|| serde_json::from_str(&placing.asked).ok()),
    }
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
        details: entry.details.as_deref().map(Cow::Borrowed),
        body: bodies.then(|| entry.body.as_deref().and_then(|body| serde_json::from_str(body).ok())),
    }
}

/// A try to tell somebody.
fn told<'a>(delivery: &'a Delivery, attempt: &'a Attempt, bodies: bool) -> TimelineItem<'a> {
    let came = match (&attempt.error, attempt.status) {
        (Some(error), _) => error.clone(),
        (None, Some(status)) => format!("answered {status}"),
        (None, None) => "done".to_owned(),
    };
    // What was refused before anything was sent took no time.
    let took = if attempt.took_ms == 0 { String::new() } else { format!(" ({} ms)", attempt.took_ms) };
    TimelineItem {
        at: At(attempt.at),
        kind: "outbound",
        source: &delivery.event.kind,
        event_id: &delivery.event.id,
        sent_at: None,
        proof: None,
        duplicate: false,
        changed: &[],
        version: None,
        details: Some(Cow::Owned(format!("{}: {came}{took}", delivery.target))),
        body: bodies.then_some(None),
    }
}
