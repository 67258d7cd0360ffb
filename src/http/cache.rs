//! This instance's memory: how it is doing, and how to clear it.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    Api,
    auth::{Admin, Caller, ReadOpen},
    calls::enveloped,
    observe::Told,
    parameters::Parameters,
};
use crate::error::ApiError;

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
    responses((status = 200, description = "Statistics", body = super::docs::CacheStatsBody)),
    security(("bearer" = ["read"]))
)]
pub(super) async fn stats(State(api): State<Api>, caller: Caller<ReadOpen>, parameters: Parameters) -> Result<Response, ApiError> {
    let limit = parameters.number("limit", 0, MOST_ENTRIES, DEFAULT_ENTRIES)?;
    let stats = api.registry.cache().stats(api.clock.now(), limit);
    let entry = |entry: &crate::registry::CachedEntry| {
        json!({"callId": entry.id.as_str(), "timestamp": entry.cached_at.0, "expiresAt": entry.expires_at.0})
    };
    let body = json!({"success": true, "stats": {
        "size": stats.size, "bytes": stats.bytes, "hits": stats.hits, "misses": stats.misses, "ttlSeconds": stats.ttl / 1_000,
        "maxBytes": stats.max_bytes, "entries": stats.entries.iter().map(entry).collect::<Vec<_>>(),
    }});
    Ok((axum::Extension(Told { token: caller.token, ..Told::default() }), Json(body)).into_response())
}

/// Clears this instance's memory; the store stays, and everything is served again from there.
#[utoipa::path(
    delete,
    path = "/api/v1/vapi/cache",
    operation_id = "clearCache",
    tag = "Cache",
    responses((status = 200, description = "Cleared", body = super::docs::ObjectEnvelope)),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn clear(State(api): State<Api>, caller: Caller<Admin>) -> Response {
    let cleared = api.registry.cache().clear();
    let told = Told { token: caller.token, ..Told::default() };
    (axum::Extension(told), Json(enveloped(None, &json!({"cleared": cleared})))).into_response()
}
