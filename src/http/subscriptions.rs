//! `/subscriptions`: who is told what.

mod shown;

use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{HeaderValue, StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use self::shown::{SecretDraft, Subscription, SubscriptionDraft, shown, shown_with_secret};
use super::{
    Api,
    auth::{Admin, Caller, Read},
    deliveries,
    observe::Told,
    place::{IDEMPOTENT_REPLAYED, IdempotencyKey},
    sent::Settings,
};
use crate::{
    envelope::{Envelope, NoData, Pagination},
    error::ApiError,
    push::{Draft, Once, Refusal, Tested, target::Standing},
};

/// What is said of an id that is none.
const MISSING: &str = "There is no subscription of this id.";
/// Characters of an id, at most.
const LONGEST_ID: usize = 64;

/// The routes.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/vapi/subscriptions", get(list).post(create))
        .route("/api/v1/vapi/subscriptions/{id}", get(read).patch(change).delete(remove))
        .route("/api/v1/vapi/subscriptions/{id}/rotate", post(rotate))
        .route("/api/v1/vapi/subscriptions/{id}/pause", post(pause))
        .route("/api/v1/vapi/subscriptions/{id}/resume", post(resume))
        .route("/api/v1/vapi/subscriptions/{id}/test", post(test))
        .route("/api/v1/vapi/subscriptions/{id}/deliveries", get(deliveries::list))
        .route("/api/v1/vapi/subscriptions/{id}/redeliver", post(deliveries::redeliver))
}

/// The `{id}` of the path.
#[derive(Debug)]
pub(super) struct SubscriptionPath(pub(super) String);

impl FromRequestParts<Api> for SubscriptionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let axum::extract::Path(id) =
            axum::extract::Path::<String>::from_request_parts(parts, api).await.map_err(|_odd| ApiError::NotFound(MISSING))?;
        let fits = id.len() <= LONGEST_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if fits { Ok(Self(id)) } else { Err(ApiError::NotFound(MISSING)) }
    }
}

/// What came of a removal.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Removed {
    /// It was there, and is gone.
    deleted: bool,
}

/// What came of a test event.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestOutcome {
    /// Its id, the header `webhook-id`.
    event_id: String,
    /// It was taken: a 2xx answer.
    delivered: bool,
    /// How the try went.
    attempt: deliveries::AttemptView,
}

pub(super) fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Invalid(errors) => errors.into(),
        Refusal::KeyReused => ApiError::IdempotencyKeyReused,
        Refusal::Missing => ApiError::NotFound(MISSING),
        Refusal::Store(error) => error.into(),
    }
}

/// All subscriptions, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/subscriptions",
    operation_id = "listSubscriptions",
    tag = "Subscriptions",
    responses((status = 200, description = "All of them", body = Envelope<Vec<Subscription>>)),
    security(("bearer" = ["read"]))
)]
pub(super) async fn list(State(api): State<Api>, caller: Caller<Read>) -> Result<Response, ApiError> {
    let rows: Vec<_> = api.push.subscriptions().await?.into_iter().map(shown).collect();
    let count = rows.len();
    Ok((Told::by(caller.token), Json(Envelope::of(rows).paged(count, Pagination::whole(count)))).into_response())
}

/// Makes a subscription: an address is told what happens from now on, signed as Standard Webhooks has it.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/subscriptions",
    operation_id = "createSubscription",
    tag = "Subscriptions",
    params(super::docs::IdempotencyKeyParameter),
    request_body = SubscriptionDraft,
    responses(
        (status = 201, description = "Made; `data.secret` is shown this once, and to the same Idempotency-Key", body = Envelope<Subscription>),
        (status = 400, description = "INVALID_PAYLOAD, INVALID_PARAMETER", body = Envelope<NoData>),
        (status = 413, description = "PAYLOAD_TOO_LARGE", body = Envelope<NoData>),
        (status = 422, description = "VALIDATION_FAILED: `details` names the fields; IDEMPOTENCY_KEY_REUSED", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller<Admin>,
    IdempotencyKey(key): IdempotencyKey,
    Settings(body): Settings,
) -> Result<Response, ApiError> {
    let draft = Draft::new(&body, &api.push.reach())?;
    let (made, replayed) = match key {
        None => (api.push.subscribe(draft).await.map_err(refused)?, false),
        Some(key) => {
            // The same JSON is the same body, however it is set.
            let (token, hash) = (caller.token.clone(), hex::encode(Sha256::digest(body.to_string())));
            api.push.subscribe_once(draft, Once { token, key, hash }).await.map_err(refused)?
        }
    };
    let again = replayed.then_some([(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"))]);
    let told = Told { made: Some(made.id.clone()), ..Told::by(caller.token) };
    Ok((StatusCode::CREATED, again, told, Json(Envelope::of(shown_with_secret(made)))).into_response())
}

/// One subscription.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/subscriptions/{id}",
    operation_id = "readSubscription",
    tag = "Subscriptions",
    params(("id" = String, Path, description = "The subscription's id")),
    responses(
        (status = 200, description = "The subscription", body = Envelope<Subscription>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller<Read>,
    SubscriptionPath(id): SubscriptionPath,
) -> Result<Response, ApiError> {
    let named = api.push.subscription(&id).await.map_err(refused)?;
    Ok((Told::by(caller.token), Json(Envelope::of(shown(named)))).into_response())
}

/// Changes what the body names; the rest stays. Lists, maps and headers are replaced whole.
#[utoipa::path(
    patch,
    path = "/api/v1/vapi/subscriptions/{id}",
    operation_id = "changeSubscription",
    tag = "Subscriptions",
    params(("id" = String, Path, description = "The subscription's id")),
    request_body = SubscriptionDraft,
    responses(
        (status = 200, description = "The subscription as it is now", body = Envelope<Subscription>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
        (status = 413, description = "PAYLOAD_TOO_LARGE", body = Envelope<NoData>),
        (status = 422, description = "VALIDATION_FAILED: `details` names the fields", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller<Admin>,
    SubscriptionPath(id): SubscriptionPath,
    Settings(body): Settings,
) -> Result<Response, ApiError> {
    let draft = Draft::changes(&body, &api.push.reach())?;
    let named = api.push.revise(&id, draft).await.map_err(refused)?;
    Ok((Told::by(caller.token), Json(Envelope::of(shown(named)))).into_response())
}

/// Drops a subscription and what is on its way to it.
#[utoipa::path(
    delete,
    path = "/api/v1/vapi/subscriptions/{id}",
    operation_id = "deleteSubscription",
    tag = "Subscriptions",
    params(("id" = String, Path, description = "The subscription's id")),
    responses(
        (status = 200, description = "It is gone", body = Envelope<Removed>),
        (status = 404, description = "NOT_FOUND: there can be none of this id", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller<Admin>,
    SubscriptionPath(id): SubscriptionPath,
) -> Result<Response, ApiError> {
    let deleted = api.push.unsubscribe(&id).await?;
    Ok((Told::by(caller.token), Json(Envelope::of(Removed { deleted }))).into_response())
}

/// Gives it another secret; the one before signs along for 24 hours.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/subscriptions/{id}/rotate",
    operation_id = "rotateSubscription",
    tag = "Subscriptions",
    params(("id" = String, Path, description = "The subscription's id")),
    request_body = SecretDraft,
    responses(
        (status = 200, description = "`data.secret` is shown this once", body = Envelope<Subscription>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
        (status = 422, description = "VALIDATION_FAILED: `details` names the fields", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn rotate(
    State(api): State<Api>,
    caller: Caller<Admin>,
    SubscriptionPath(id): SubscriptionPath,
    Settings(body): Settings,
) -> Result<Response, ApiError> {
    let secret = Draft::secret(&body)?;
    let named = api.push.rotate(&id, secret).await.map_err(refused)?;
    Ok((Told::by(caller.token), Json(Envelope::of(shown_with_secret(named)))).into_response())
}

/// Collects its news instead of telling them.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/subscriptions/{id}/pause",
    operation_id = "pauseSubscription",
    tag = "Subscriptions",
    params(("id" = String, Path, description = "The subscription's id")),
    responses(
        (status = 200, description = "The subscription as it is now", body = Envelope<Subscription>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn pause(api: State<Api>, caller: Caller<Admin>, id: SubscriptionPath) -> Result<Response, ApiError> {
    stand(api, caller, id, Standing::Paused).await
}

/// Tells its news again, those that were collected first; also after it was disabled.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/subscriptions/{id}/resume",
    operation_id = "resumeSubscription",
    tag = "Subscriptions",
    params(("id" = String, Path, description = "The subscription's id")),
    responses(
        (status = 200, description = "The subscription as it is now", body = Envelope<Subscription>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn resume(api: State<Api>, caller: Caller<Admin>, id: SubscriptionPath) -> Result<Response, ApiError> {
    stand(api, caller, id, Standing::Active).await
}

async fn stand(
    State(api): State<Api>,
    caller: Caller<Admin>,
    SubscriptionPath(id): SubscriptionPath,
    standing: Standing,
) -> Result<Response, ApiError> {
    let named = api.push.stand(&id, standing).await.map_err(refused)?;
    Ok((Told::by(caller.token), Json(Envelope::of(shown(named)))).into_response())
}

/// Sends an event `subscription.test` at once, and tells what came of it. It is tried once, and stands in no list.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/subscriptions/{id}/test",
    operation_id = "testSubscription",
    tag = "Subscriptions",
    params(("id" = String, Path, description = "The subscription's id")),
    responses(
        (status = 200, description = "How it went", body = Envelope<TestOutcome>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn test(
    State(api): State<Api>,
    caller: Caller<Admin>,
    SubscriptionPath(id): SubscriptionPath,
) -> Result<Response, ApiError> {
    let Tested { event_id, delivered, attempt } = api.push.test(&id).await.map_err(refused)?;
    let outcome = TestOutcome { event_id, delivered, attempt: attempt.into() };
    Ok((Told::by(caller.token), Json(Envelope::of(outcome))).into_response())
}
