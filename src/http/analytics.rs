//! `GET /analytics`: numbers about many calls.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{
    Api,
    auth::{Caller, Read},
    observe::Told,
    parameters::Parameters,
};
use crate::{
    analytics::{Analytics, MOST_DAYS, Question, csv},
    call::time::DAY,
    envelope::{Envelope, NoData},
    error::ApiError,
};

/// Numbers about calls, counted from what is stored now; by default of the last 30 days by `createdAt`, whole days in UTC.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/analytics",
    operation_id = "getAnalytics",
    tag = "Operations",
    params(
        ("since" = Option<String>, Query, description = "Calls first heard of from this time on (RFC 3339)"),
        ("until" = Option<String>, Query, description = "Calls first heard of before this time (RFC 3339)"),
        ("assistantId" = Option<String>, Query, description = "Only of these assistants, separated by commas"),
        ("providerId" = Option<String>, Query, description = "Only of these providers, separated by commas"),
        ("format" = Option<String>, Query, description = "json (default), or csv: the series, a line for each day"),
    ),
    responses(
        (status = 200, description = "The numbers", content((Envelope<Analytics> = "application/json"), (String = "text/csv"))),
        (status = 400, description = "INVALID_PARAMETER", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn tell(State(api): State<Api>, caller: Caller<Read>, parameters: Parameters) -> Result<Response, ApiError> {
    let (question, as_csv) = (question(&api, &parameters)?, is_csv(&parameters)?);
    let analytics = api.analyst.tell(&question).await?;
    let told = Told::by(caller.token);
    if !as_csv {
        return Ok((told, Json(Envelope::of(analytics))).into_response());
    }
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"ringback-analytics.csv\"")),
    ];
    Ok((told, headers, csv(&question, &analytics)).into_response())
}

fn question(api: &Api, parameters: &Parameters) -> Result<Question, ApiError> {
    let (since, until) = Question::range(parameters.moment("since")?, parameters.moment("until")?, api.clock.now());
    if since >= until {
        return Err(ApiError::InvalidParameter("since must be before until.".to_owned()));
    }
    if until.since(since) > MOST_DAYS * DAY {
        return Err(ApiError::InvalidParameter(format!("since and until may be {MOST_DAYS} days apart.")));
    }
    Ok(Question { since, until, assistants: parameters.list("assistantId")?, providers: parameters.list("providerId")? })
}

fn is_csv(parameters: &Parameters) -> Result<bool, ApiError> {
    match parameters.text("format") {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(_) => Err(ApiError::InvalidParameter("format must be json or csv.".to_owned())),
    }
}
