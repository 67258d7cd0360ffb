//! What was sent to a subscription, and what came of it.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    Api,
    auth::{Admin, Caller, Read},
    cursor,
    observe::Told,
    parameters::Parameters,
    sent::Settings,
    subscriptions::{SubscriptionPath, refused},
};
use crate::{
    call::view::At,
    envelope::{Envelope, NoData, Pagination},
    error::ApiError,
    push::{self, Again},
    store::{Attempt, Delivery, DeliveryFilter, DeliveryState},
};

/// Rows of a page when nothing is said.
const DEFAULT_LIMIT: usize = 20;
/// Rows of a page at most.
const MOST_ROWS: usize = 100;

/// One try.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttemptView {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    at: At,
    /// How long it took, in milliseconds.
    took_ms: u64,
    /// The HTTP status of the answer, if there was one.
    status: Option<u16>,
    /// Why it counts as failed.
    error: Option<String>,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self { at: At(attempt.at), took_ms: attempt.took_ms, status: attempt.status, error: attempt.error }
    }
}

/// One event on its way to a subscription.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryView {
    /// The event's id, the header `webhook-id`.
    id: String,
    /// The event's type.
    r#type: String,
    /// The call.
    call_id: Option<String>,
    /// Counts within the call.
    sequence: Option<u64>,
    /// `pending`, `delivered` or `dead`.
    state: &'static str,
    /// Tries since it was made, or made again.
    tries: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: At,
    /// When it is tried next; `null` while an earlier one of its call is on its way.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<At>,
    /// When it was delivered or given up.
    #[schema(value_type = Option<String>, format = DateTime)]
    settled_at: Option<At>,
    /// The latest tries, oldest first.
    attempts: Vec<AttemptView>,
}

/// What is to be sent again: `ids`, or all `since` a moment.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "read for the document only")]
pub(super) struct RedeliverDraft {
    /// Ids of events.
    ids: Option<Vec<String>>,
    /// Deliveries made from this time on (RFC 3339).
    since: Option<String>,
    /// Of these the `delivered` or the `dead` ones; both unless given.
    state: Option<String>,
}

/// What came of it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SentAgain {
    /// So many deliveries are pending again.
    redelivered: usize,
    /// Of `ids`, those that are on their way already.
    pending: Vec<String>,
    /// Of `ids`, those that were never sent to this subscription, or so long ago that nothing is kept of it.
    unknown: Vec<String>,
}

fn shown(delivery: Delivery) -> DeliveryView {
    let Delivery { event, state, tries, due, created_at, settled_at, attempts, .. } = delivery;
    DeliveryView {
        id: event.id,
        r#type: event.kind,
        call_id: event.call_id.map(|id| id.as_str().to_owned()),
        sequence: event.sequence,
        state: state.as_str(),
        tries,
        created_at: At(created_at),
        next_attempt_at: due.map(At),
        settled_at: settled_at.map(At),
        attempts: attempts.into_iter().map(AttemptView::from).collect(),
    }
}

/// What was sent to a subscription or will be, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/subscriptions/{id}/deliveries",
    operation_id = "listDeliveries",
    tag = "Subscriptions",
    params(
        ("id" = String, Path, description = "The subscription's id"),
        ("state" = Option<String>, Query, description = "pending, delivered or dead"),
        ("limit" = Option<usize>, Query, description = "1 to 100, default 20"),
        ("cursor" = Option<String>, Query, description = "`pagination.nextCursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<Vec<DeliveryView>>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller<Read>,
    SubscriptionPath(id): SubscriptionPath,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::InvalidParameter("state takes pending, delivered, dead.".to_owned());
    let state = parameters.text("state").map(|word| DeliveryState::parse(word).ok_or_else(unknown)).transpose()?;
    let limit = parameters.number("limit", 1, MOST_ROWS, DEFAULT_LIMIT)?;
    let cursor = cursor::after(&parameters, |text| text.parse().ok())?;
    api.push.subscription(&id).await.map_err(refused)?;
    let filter = DeliveryFilter { target: Some(id), call: None, state, cursor, limit };
    let page = api.registry.store().deliveries(filter).await?;
    let rows: Vec<_> = page.deliveries.into_iter().map(shown).collect();
    let count = rows.len();
    let pagination = Pagination::after(limit, page.next.map(|next| next.to_string()));
    Ok((Told::by(caller.token), Json(Envelope::of(rows).paged(count, pagination))).into_response())
}

/// Sends deliveries again that were delivered or given up.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/subscriptions/{id}/redeliver",
    operation_id = "redeliver",
    tag = "Subscriptions",
    params(("id" = String, Path, description = "The subscription's id")),
    request_body = RedeliverDraft,
    responses(
        (status = 200, description = "How many are pending again, and which of `ids` are not", body = Envelope<SentAgain>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
        (status = 422, description = "VALIDATION_FAILED: `details` names the fields", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn redeliver(
    State(api): State<Api>,
    caller: Caller<Admin>,
    SubscriptionPath(id): SubscriptionPath,
    Settings(body): Settings,
) -> Result<Response, ApiError> {
    let again = Again::read(&body)?;
    let push::Redelivered { count, pending, unknown } = api.push.redeliver(&id, again).await.map_err(refused)?;
    Ok((Told::by(caller.token), Json(Envelope::of(SentAgain { redelivered: count, pending, unknown }))).into_response())
}
