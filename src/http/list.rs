//! Lists of calls, newest first.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

use super::{
    Api,
    auth::{Caller, ReadOpen},
    cursor,
    observe::Told,
    parameters::{Parameters, PhonePath},
};
use crate::{
    call::{
        id::CallId,
        measures::{DATA_STATUSES, STATUSES},
        view::{CallResult, View},
    },
    envelope::{Envelope, NoData, Pagination},
    error::ApiError,
    store::{CallFilter, CallPage, PageCursor, SortBy},
};

/// Rows of a page when nothing is said.
const DEFAULT_LIMIT: usize = 20;
/// Where a line may be.
const CALL_STATUSES: [&str; 7] = ["unknown", "scheduled", "queued", "ringing", "in-progress", "forwarding", "ended"];
/// Rows of a page at most.
const MOST_ROWS: usize = 100;
/// Rows that offset paging skips at most; beyond it a cursor is the way.
const MOST_SKIPPED: usize = 1_000_000;

/// Calls, newest first, live ones included. Filters are joined by AND; commas inside one mean any of them.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/calls",
    operation_id = "listCalls",
    tag = "Calls",
    params(
        ("phone" = Option<String>, Query, description = "Digits of the customer's or the provider's number; a + is optional"),
        ("status" = Option<String>, Query, description = "pending, completed, no_answer, voicemail, timeout, error"),
        ("callStatus" = Option<String>, Query, description = "unknown, scheduled, queued, ringing, in-progress, forwarding, ended"),
        ("dataStatus" = Option<String>, Query, description = "pending, partial, fetching, complete, fetch_failed"),
        ("assistantId" = Option<String>, Query, description = "The assistant that talked"),
        ("providerId" = Option<String>, Query, description = "From metadata"),
        ("serviceRequestId" = Option<String>, Query, description = "From metadata"),
        ("correlationId" = Option<String>, Query, description = "Somebody's own id of the call"),
        ("q" = Option<String>, Query, description = "Words that must all occur, case ignored, in names, numbers, ids, summary, transcript; with DATA_KEY only in the ids of call, assistant and request, in states and reasons"),
        ("since" = Option<String>, Query, description = "From this time on (RFC 3339)"),
        ("until" = Option<String>, Query, description = "Before this time (RFC 3339)"),
        ("by" = Option<String>, Query, description = "createdAt (default), updatedAt or endedAt: sorts, and is what since and until bound"),
        ("limit" = Option<usize>, Query, description = "1 to 100, default 20"),
        ("cursor" = Option<String>, Query, description = "`pagination.nextCursor` of the page before"),
        super::docs::ViewParameter,
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<Vec<CallResult>>),
        (status = 400, description = "INVALID_PARAMETER", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn calls(State(api): State<Api>, caller: Caller<ReadOpen>, parameters: Parameters) -> Result<Response, ApiError> {
    let filter = filter(&parameters)?;
    let (limit, view) = (filter.limit, parameters.view(View::Summary)?);
    let page = api.registry.list(filter).await?;
    let pagination = Pagination::after(limit, page.next.as_ref().map(|next| cursor::written(next.at, next.id.as_str())));
    Ok(answer(&api, caller, &page, view, pagination))
}

/// Calls with a customer's or provider's number, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/calls/by-phone/{phone}",
    operation_id = "listCallsByPhone",
    tag = "Calls",
    params(
        ("phone" = String, Path, description = "Digits are compared; a + is optional", example = "+15551234567"),
        ("limit" = Option<usize>, Query, description = "1 to 100, default 20"),
        ("offset" = Option<usize>, Query, description = "Rows to skip"),
        super::docs::ViewParameter,
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<Vec<CallResult>>),
        (status = 400, description = "INVALID_PARAMETER", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn by_phone(
    State(api): State<Api>,
    caller: Caller<ReadOpen>,
    PhonePath(phone): PhonePath,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let limit = parameters.number("limit", 1, MOST_ROWS, DEFAULT_LIMIT)?;
    let offset = parameters.number("offset", 0, MOST_SKIPPED, 0)?;
    let view = parameters.view(View::Summary)?;
    let filter = CallFilter { phone: vec![digits("phone", &phone)?], limit, offset, ..CallFilter::default() };
    let page = api.registry.list(filter).await?;
    let pagination = Pagination { limit, offset: Some(offset), has_more: page.next.is_some(), next_cursor: None };
    Ok(answer(&api, caller, &page, view, pagination))
}

fn answer(api: &Api, caller: Caller<ReadOpen>, page: &CallPage, view: View, pagination: Pagination) -> Response {
    let rows: Vec<_> = page.calls.iter().map(|call| api.registry.rendered(call, view)).collect();
    let count = rows.len();
    (Told::by(caller.token), Json(Envelope::of(rows).paged(count, pagination))).into_response()
}

fn filter(parameters: &Parameters) -> Result<CallFilter, ApiError> {
    let phone = parameters.list("phone")?.iter().map(|phone| digits("phone", phone)).collect::<Result<_, _>>()?;
    let words = parameters.text("q").unwrap_or_default().to_lowercase();
    Ok(CallFilter {
        phone,
        status: one_of(parameters, "status", &STATUSES)?,
        call_status: one_of(parameters, "callStatus", &CALL_STATUSES)?,
        data_status: one_of(parameters, "dataStatus", &DATA_STATUSES)?,
        assistant_id: parameters.list("assistantId")?,
        provider_id: parameters.list("providerId")?,
        service_request_id: parameters.list("serviceRequestId")?,
        correlation_id: parameters.list("correlationId")?,
        metadata: parameters.lists("metadata.")?,
        words: words.split_whitespace().map(str::to_owned).collect(),
        since: parameters.moment("since")?,
        until: parameters.moment("until")?,
        by: sort_by(parameters)?,
        limit: parameters.number("limit", 1, MOST_ROWS, DEFAULT_LIMIT)?,
        offset: 0,
        cursor: cursor::after(parameters, |text| cursor::row(text, |id| CallId::parse(id).ok()))?.map(|(at, id)| PageCursor { at, id }),
    })
}

pub(super) fn one_of(parameters: &Parameters, name: &str, words: &[&str]) -> Result<Vec<String>, ApiError> {
    let list = parameters.list(name)?;
    match list.iter().find(|word| !words.contains(&word.as_str())) {
        Some(_) => Err(ApiError::InvalidParameter(format!("{name} takes {}.", words.join(", ")))),
        None => Ok(list),
    }
}

fn sort_by(parameters: &Parameters) -> Result<SortBy, ApiError> {
    match parameters.text("by") {
        None | Some("createdAt") => Ok(SortBy::CreatedAt),
        Some("updatedAt") => Ok(SortBy::UpdatedAt),
        Some("endedAt") => Ok(SortBy::EndedAt),
        Some(_) => Err(ApiError::InvalidParameter("by takes createdAt, updatedAt or endedAt.".to_owned())),
    }
}

pub(super) fn digits(name: &str, phone: &str) -> Result<String, ApiError> {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() { Err(ApiError::InvalidParameter(format!("{name} must have digits."))) } else { Ok(digits) }
}
