//! `/batches`: many calls are placed, so many at once, and waited for together.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{
    Api,
    auth::{Caller, Place, Read},
    calls::json_answer,
    cursor,
    observe::Told,
    parameters::Parameters,
    place::{IDEMPOTENT_REPLAYED, IdempotencyKey},
    sent::Sent,
};
use crate::{
    batch::{self, Batch, view::BatchResult},
    call::view::View,
    dial::batches::{Made, NewBatch, draft::Draft},
    envelope::{Envelope, NoData, Pagination},
    error::ApiError,
    store::document,
};

/// What is said of an id that is none.
const MISSING: &str = "There is no batch of this id.";
/// Rows of a page when nothing is said.
const DEFAULT_LIMIT: usize = 20;
/// Rows of a page at most.
const MOST_ROWS: usize = 100;

/// The routes.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/vapi/batches", get(list).post(create))
        .route("/api/v1/vapi/batches/{id}", get(read))
        .route("/api/v1/vapi/batches/{id}/result", get(wait))
        .route("/api/v1/vapi/batches/{id}/cancel", post(cancel))
}

/// The `{id}` of the path.
#[derive(Debug)]
pub(super) struct BatchPath(String);

impl FromRequestParts<Api> for BatchPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, api).await;
        path.ok().map(|path| path.0).filter(|id| batch::is_id(id)).map(Self).ok_or(ApiError::NotFound(MISSING))
    }
}

type Stored = document::Read<Batch>;

/// The batch as an answer.
async fn answer(api: &Api, batch: &Stored, view: View, status: StatusCode) -> Result<Response, ApiError> {
    let data = api.batches.shown(batch, view).await?;
    let body = Envelope { done: batch.says.is_done(), ..Envelope::of(data) }.to_bytes();
    Ok(json_answer(status, body, None))
}

/// There is a batch: whatever fails from here on, the answer says so. Whoever sent it again would have everything placed twice.
async fn begun(api: &Api, batch: Stored, wait: Duration, view: View) -> Response {
    let batch = api.batches.done_within(&batch.document.id, wait).await.ok().flatten().unwrap_or(batch);
    let brief = || {
        let body = Envelope { done: batch.says.is_done(), ..Envelope::of(api.batches.brief(&batch)) }.to_bytes();
        json_answer(StatusCode::CREATED, body, None)
    };
    answer(api, &batch, view, StatusCode::CREATED).await.unwrap_or_else(|_store| brief())
}

/// Has many calls placed, so many at once. It survives restarts, and goes slower while Vapi's lines are busy.
///
/// Each request is what `POST /calls` takes, with a `callback` of its own if it has one. If anything is wrong with one, nothing is placed.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/batches",
    operation_id = "placeBatch",
    tag = "Batches",
    params(
        ("wait" = Option<f64>, Query, description = "Seconds to wait for everything to be done, 0 (default) to WAIT_MAX_SECONDS"),
        super::docs::ViewParameter,
        super::docs::IdempotencyKeyParameter,
    ),
    request_body(content = Object, description = "`requests` (1 to 500), `maxConcurrent` (1 to 50, default 5), `callback`", example = json!({"requests": [{"providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap"}], "maxConcurrent": 5})),
    responses(
        (status = 201, description = "It is worked on; `Location` leads to the result", body = Envelope<BatchResult>),
        (status = 400, description = "INVALID_PAYLOAD, INVALID_PARAMETER", body = Envelope<NoData>),
        (status = 413, description = "PAYLOAD_TOO_LARGE", body = Envelope<NoData>),
        (status = 422, description = "VALIDATION_FAILED: `details` names the fields, with the index of their request; IDEMPOTENCY_KEY_REUSED", body = Envelope<NoData>),
        (status = 502, description = "VAPI_ACCOUNT: there is no VAPI_API_KEY, and not all calls are placed by Kestra", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE, SHUTTING_DOWN", body = Envelope<NoData>),
    ),
    security(("bearer" = ["place"]))
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller<Place>,
    parameters: Parameters,
    IdempotencyKey(key): IdempotencyKey,
    sent: Sent,
) -> Result<Response, ApiError> {
    let (wait, view) = (parameters.wait(&api)?, parameters.view(View::Summary)?);
    let hash = hex::encode(Sha256::digest(&sent.held.bytes));
    let Sent { json, held } = sent;
    let draft = Draft::parse(&json, &api.push.reach(), |number| api.batches.may_call(number))?;
    drop(held);
    let Made { batch, replayed } = api.batches.create(NewBatch { draft, token: caller.token.clone(), key, hash }).await?;
    let (id, waiting) = (batch.document.id.clone(), Instant::now());
    let mut response = begun(&api, batch, wait, view).await;
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(format!("/api/v1/vapi/batches/{id}/result")).ok().map(|place| (header::LOCATION, place)));
    if replayed {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    let told = Told { made: Some(id), waited: waiting.elapsed(), ..Told::by(caller.token) };
    Ok((told, response).into_response())
}

/// Batches, newest first, without their results.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/batches",
    operation_id = "listBatches",
    tag = "Batches",
    params(
        ("limit" = Option<usize>, Query, description = "1 to 100, default 20"),
        ("cursor" = Option<String>, Query, description = "`pagination.nextCursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Envelope<Vec<BatchResult>>)),
    security(("bearer" = ["read"]))
)]
pub(super) async fn list(State(api): State<Api>, caller: Caller<Read>, parameters: Parameters) -> Result<Response, ApiError> {
    let limit = parameters.number("limit", 1, MOST_ROWS, DEFAULT_LIMIT)?;
    let is_id = |id: &str| batch::is_id(id).then(|| id.to_owned());
    let page = api.batches.page(cursor::after(&parameters, |text| cursor::row(text, is_id))?, limit).await?;
    let rows: Vec<_> = page.documents.into_iter().filter_map(Stored::of).map(|batch| api.batches.brief(&batch)).collect();
    let (count, pagination) = (rows.len(), Pagination::after(limit, page.next.map(|(at, id)| cursor::written(at, &id))));
    Ok((Told::by(caller.token), Json(Envelope::of(rows).paged(count, pagination))).into_response())
}

/// A batch as it stands, with its calls.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/batches/{id}",
    operation_id = "readBatch",
    tag = "Batches",
    params(("id" = String, Path, description = "The batch's id"), super::docs::ViewParameter),
    responses(
        (status = 200, description = "`done` tells whether more is to come", body = Envelope<BatchResult>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller<Read>,
    BatchPath(id): BatchPath,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let batch = api.batches.read(&id).await?.ok_or(ApiError::NotFound(MISSING))?;
    let response = answer(&api, &batch, parameters.view(View::Full)?, StatusCode::OK).await?;
    Ok((Told::by(caller.token), response).into_response())
}

/// The results of a batch as soon as all are there: 200 when they are, else 202 with `data` as it stands after at most `wait` seconds.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/batches/{id}/result",
    operation_id = "waitForBatch",
    tag = "Batches",
    params(
        ("id" = String, Path, description = "The batch's id"),
        super::docs::WaitParameter,
        super::docs::ViewParameter,
    ),
    responses(
        (status = 200, description = "Done", body = Envelope<BatchResult>),
        (status = 202, description = "Not done yet; ask again", body = Envelope<BatchResult>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn wait(
    State(api): State<Api>,
    caller: Caller<Read>,
    BatchPath(id): BatchPath,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let (wait, view) = (parameters.wait(&api)?, parameters.view(View::Full)?);
    let waiting = Instant::now();
    let batch = api.batches.done_within(&id, wait).await?.ok_or(ApiError::NotFound(MISSING))?;
    let told = Told { waited: waiting.elapsed(), ..Told::by(caller.token) };
    let status = if batch.says.is_done() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((told, answer(&api, &batch, view, status).await?).into_response())
}

/// Has no more calls of a batch placed. Those that go on come to their end, unless `hangup` is set. A batch that is done stays as it is.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/batches/{id}/cancel",
    operation_id = "cancelBatch",
    tag = "Batches",
    params(
        ("id" = String, Path, description = "The batch's id"),
        ("hangup" = Option<bool>, Query, description = "Hang up the calls that go on"),
        super::docs::ViewParameter,
    ),
    responses(
        (status = 200, description = "Nothing more is placed; `data` as it stands", body = Envelope<BatchResult>),
        (status = 404, description = "NOT_FOUND", body = Envelope<NoData>),
    ),
    security(("bearer" = ["place"]))
)]
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller<Place>,
    BatchPath(id): BatchPath,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let (hang_up, view) = (parameters.switch("hangup")?, parameters.view(View::Summary)?);
    let batch = api.batches.cancel(&id, hang_up).await?.ok_or(ApiError::NotFound(MISSING))?;
    let response = answer(&api, &batch, view, StatusCode::OK).await?;
    Ok((Told::by(caller.token), response).into_response())
}
