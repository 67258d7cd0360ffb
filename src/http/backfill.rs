//! Fetching what is missing from Vapi, a page a request.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{
    Api,
    auth::{Admin, Caller},
    observe::Told,
    parameters::Parameters,
};
use crate::{
    call::time::{Millis, SECOND, YEAR_2020},
    envelope::{Envelope, NoData},
    error::ApiError,
    reconcile::{Backfill, BackfillError, walk::Walk},
};

/// Whoever asks may be ahead of us by so many milliseconds.
const CLOCKS_DIFFER: i64 = 60 * SECOND;

/// What one page brought.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BackfillStep {
    /// Calls seen on this page; those at its edge may be seen again on the next.
    seen: u64,
    /// Calls that were not known.
    imported: u64,
    /// Calls of which more is known now.
    updated: u64,
    /// Calls that told nothing new.
    known: u64,
    /// Calls that are not ours; `all=1` takes them too.
    foreign: u64,
    /// Calls that were deleted here, or are older than `RETENTION_DAYS`.
    skipped: u64,
    /// `cursor` of the next page; `null`: all was seen.
    next_cursor: Option<String>,
}

/// Takes the next page of Vapi's calls in: at most 50 that changed at `since` or later and were made at `until` or earlier, newest first. Asked
/// again with the cursor of each answer until there is none; `ringback backfill` does that. What is known already stays, and is never lowered.
///
/// Only calls that are ours by `RECONCILE_SCOPE` are taken; all of them with `all=1`, or as long as no webhook ever came.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/backfill",
    operation_id = "backfill",
    tag = "Operations",
    params(
        ("since" = String, Query, description = "Calls that changed at this time or later (RFC 3339)"),
        ("until" = Option<String>, Query, description = "Calls that were made at this time or earlier (RFC 3339)"),
        ("all" = Option<bool>, Query, description = "All calls of the organisation"),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses(
        (status = 200, description = "The page was taken in", body = Envelope<BackfillStep>),
        (status = 502, description = "VAPI_ACCOUNT: there is no key, or Vapi refuses it; VAPI_UNAVAILABLE: ask for the same page again", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE: ask for the same page again", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn page(State(api): State<Api>, caller: Caller<Admin>, parameters: Parameters) -> Result<Response, ApiError> {
    let page = api.reconciler.backfill(wanted(&parameters, api.clock.now())?).await.map_err(|error| match error {
        BackfillError::Denied => ApiError::VapiAccount,
        BackfillError::Vapi(why) => ApiError::VapiUnavailable(why),
        BackfillError::Store(error) => error.into(),
    })?;
    let data = BackfillStep {
        seen: page.seen,
        imported: page.imported,
        updated: page.updated,
        known: page.known,
        foreign: page.foreign,
        skipped: page.skipped,
        next_cursor: page.next.as_ref().map(encoded),
    };
    Ok((Told::by(caller.token), Json(Envelope::of(data))).into_response())
}

fn wanted(parameters: &Parameters, now: Millis) -> Result<Backfill, ApiError> {
    let wrong = |why: &str| ApiError::InvalidParameter(why.to_owned());
    let since: Millis = parameters.moment("since")?.ok_or_else(|| wrong("since is missing: a time like 2026-01-31T12:00:00Z."))?;
    if since < YEAR_2020 || since.since(now) > CLOCKS_DIFFER {
        return Err(wrong("since must be 2020-01-01 or later, and not in the future."));
    }
    let new = Backfill::new(since, parameters.moment("until")?, parameters.switch("all")?);
    Ok(match parameters.text("cursor") {
        Some(cursor) => Backfill { walk: decoded(cursor)?, ..new },
        None => new,
    })
}

fn encoded(walk: &Walk) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(walk).unwrap_or_default())
}

fn decoded(cursor: &str) -> Result<Walk, ApiError> {
    let walk = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|text| serde_json::from_slice::<Walk>(&text).ok());
    let sound = walk.filter(Walk::is_sound);
    sound.ok_or_else(|| ApiError::InvalidParameter("cursor must be data.nextCursor of an earlier page.".to_owned()))
}
