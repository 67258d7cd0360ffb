//! This instance's memory: how it is doing, and how to clear it.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    Api,
    auth::{Admin, Caller, ReadOpen},
    observe::Told,
    parameters::Parameters,
};
use crate::{envelope::Envelope, error::ApiError};

/// Cache statistics.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct CacheStatsBody {
    /// Always true.
    success: bool,
    /// The numbers.
    stats: CacheNumbers,
}

/// The cache in numbers.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CacheNumbers {
    /// Entries that are not expired.
    size: usize,
    /// Bytes they take.
    bytes: u64,
    /// Look-ups that found something.
    hits: u64,
    /// Look-ups that did not.
    misses: u64,
    /// Seconds an entry lives.
    ttl_seconds: i64,
    /// Bytes at most.
    max_bytes: u64,
    /// Entries, newest first.
    entries: Vec<CacheEntry>,
}

/// One entry.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CacheEntry {
    /// The call.
    call_id: String,
    /// When it was put there, in epoch milliseconds.
    timestamp: i64,
    /// Until when it is served, in epoch milliseconds.
    expires_at: i64,
}

/// What clearing did.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Cleared {
    /// Entries that went.
    cleared: usize,
}

/// Entries that are listed when nothing is said.
const DEFAULT_ENTRIES: usize = 100;
/// Entries that are listed at most.
const MOST_ENTRIES: usize = 10_000;

/// How the cache is doing. Times are epoch milliseconds; expired entries are never counted.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/cache/stats",
    operation_id = "cacheStats",
    tag = "Cache",
    params(("limit" = Option<usize>, Query, description = "Entries to list, 0 to 10000, default 100")),
    responses((status = 200, description = "Statistics", body = CacheStatsBody)),
    security(("bearer" = ["read"]))
)]
pub(super) async fn stats(State(api): State<Api>, caller: Caller<ReadOpen>, parameters: Parameters) -> Result<Response, ApiError> {
    let limit = parameters.number("limit", 0, MOST_ENTRIES, DEFAULT_ENTRIES)?;
    let stats = api.registry.cache().stats(api.clock.now(), limit);
    let entry = |entry: &crate::registry::CachedEntry| CacheEntry {
        call_id: entry.id.to_string(),
        timestamp: entry.cached_at.0,
        expires_at: entry.expires_at.0,
    };
    let numbers = CacheNumbers {
        size: stats.size,
        bytes: stats.bytes,
        hits: stats.hits,
        misses: stats.misses,
        ttl_seconds: stats.ttl / 1_000,
        max_bytes: stats.max_bytes,
        entries: stats.entries.iter().map(entry).collect(),
    };
    let body = CacheStatsBody { success: true, stats: numbers };
    Ok((Told::by(caller.token), Json(body)).into_response())
}

/// Clears this instance's memory; the store stays, and everything is served again from there.
#[utoipa::path(
    delete,
    path = "/api/v1/vapi/cache",
    operation_id = "clearCache",
    tag = "Cache",
    responses((status = 200, description = "Cleared", body = Envelope<Cleared>)),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn clear(State(api): State<Api>, caller: Caller<Admin>) -> Response {
    let cleared = api.registry.cache().clear();
    (Told::by(caller.token), Json(Envelope::of(Cleared { cleared }))).into_response()
}
