//! Is it alive, is it ready, how is it doing.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Api,
    auth::{Caller, Read},
    parameters::Parameters,
};
use crate::{call::view::At, error::ApiError, keep::low_on_disk, telemetry::exposition};

/// The process runs. Open to everyone.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "live",
    tag = "Operations",
    responses((status = 200, description = "Alive", body = Object, example = json!({"status": "ok"}))),
    security(())
)]
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// It can take requests: the store answers, and it is not about to stop. Open to everyone; `verbose` needs a read token.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "ready",
    tag = "Operations",
    params(("verbose" = Option<bool>, Query, description = "Tell what is checked; needs a read token")),
    responses(
        (status = 200, description = "Ready", body = Object, example = json!({"status": "ok"})),
        (status = 503, description = "Not ready", body = Object, example = json!({"status": "unavailable"})),
    ),
    security((), ("bearer" = ["read"]))
)]
pub(super) async fn ready(
    State(api): State<Api>,
    parameters: Parameters,
    caller: Result<Caller<Read>, ApiError>,
) -> Result<Response, ApiError> {
    let health = api.registry.store().health().await;
    let ready = health.is_ok() && !api.lifecycle.is_stopping();
    let (status, word) = if ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    let mut body = json!({"status": word});
    if parameters.switch("verbose") {
        caller?;
        let health_now = health.as_ref().ok().copied().unwrap_or_default();
        body["checks"] = json!({
            "store": {"ok": health.is_ok(), "sizeBytes": health_now.size_bytes},
            "disk": {"ok": !low_on_disk(&health_now), "freeBytes": health_now.free_bytes},
            "vapi": {"ok": api.client.is_none() || !api.enricher.is_denied(), "keyConfigured": api.client.is_some()},
            "clock": {"ok": true, "now": At(api.clock.now())},
            "webhooks": {"lastReceivedAt": api.metrics.last_webhook().map(At)},
            "backlog": {"pendingFetches": health_now.pending, "oldestDueAt": health_now.oldest_due.map(At), "waiters": api.registry.waiters().count()},
            "stopping": api.lifecycle.is_stopping(),
        });
    }
    Ok((status, Json(body)).into_response())
}

/// Metrics in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "Operations",
    responses((status = 200, description = "Metrics", content_type = "text/plain", body = String)),
    security(("bearer" = ["read"]))
)]
pub(super) async fn metrics(State(api): State<Api>, _caller: Caller<Read>) -> Response {
    api.metrics.set_waiters(api.registry.waiters().count());
    api.metrics.set_cache_bytes(api.registry.cache().weighted_size());
    if let Ok(health) = api.registry.store().health().await {
        api.metrics.store_health(&health, api.clock.now());
    }
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], api.metrics.render()).into_response()
}
