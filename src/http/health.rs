//! Is it alive, is it ready, how is it doing.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};

use super::{
    Api,
    auth::{Caller, Read},
    parameters::Parameters,
};
use crate::{
    call::view::At,
    doctor::Severity,
    error::{ApiError, RETRY_SOON},
    kestra::Kestra,
    store::{Store, StoreHealth},
    telemetry::exposition,
    vapi::client::VapiClient,
};

/// The store is asked at most this often on behalf of probes, which are open to everyone: each look costs a write.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Kestra is asked at most this often; one that is down keeps whoever asks waiting for seconds.
const LOOK_AT_KESTRA_EVERY: Duration = Duration::from_secs(10);

/// Looks at the store for probes and metrics, and remembers for a moment what it saw.
#[derive(Debug, Default)]
pub struct Probe {
    store: Mutex<Option<(Instant, Option<StoreHealth>)>>,
    kestra: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Probe {
    /// How the store is doing; `None` when it does not answer.
    async fn look(&self, store: &Store) -> Option<StoreHealth> {
        let mut last = self.store.lock().await;
        if let Some((at, seen)) = *last
            && at.elapsed() < LOOK_EVERY
        {
            return seen;
        }
        let seen = store.health().await.ok();
        *last = Some((Instant::now(), seen));
        seen
    }

    /// Is Kestra well? If not, why.
    async fn look_at(&self, kestra: &Kestra) -> Result<(), String> {
        let mut last = self.kestra.lock().await;
        if let Some((at, seen)) = &*last
            && at.elapsed() < LOOK_AT_KESTRA_EVERY
        {
            return seen.clone();
        }
        let seen = kestra.health().await;
        *last = Some((Instant::now(), seen.clone()));
        seen
    }
}

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
    let verbose = parameters.switch("verbose")?;
    let health = api.probe.look(api.registry.store()).await;
    let ready = health.is_some() && !api.lifecycle.is_stopping();
    let (status, word) = if ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    let mut body = json!({"status": word});
    if verbose {
        caller?;
        let health_now = health.unwrap_or_default();
        body["checks"] = json!({
            "store": {"ok": health.is_some(), "sizeBytes": health_now.size_bytes},
            "disk": {"ok": !health_now.is_low_on_disk(), "freeBytes": health_now.free_bytes},
            "vapi": vapi(&api),
            "clock": {"ok": true, "now": At(api.clock.now())},
            "webhooks": {"lastReceivedAt": api.metrics.last_webhook().map(At)},
            "backlog": {"pendingFetches": health_now.pending, "oldestDueAt": health_now.oldest_due.map(At), "waiters": api.registry.waiters().count(), "pendingDeliveries": health_now.push_pending, "deadDeliveries": health_now.push_dead},
            "sweep": sweep(&api).await,
            "doctor": doctor(&api),
            "stopping": api.lifecycle.is_stopping(),
        });
        if let Some(kestra) = api.dialer.kestra() {
            let health = api.probe.look_at(kestra).await;
            body["checks"]["kestra"] = json!({"ok": health.is_ok(), "places": kestra.places(), "error": health.err()});
        }
    }
    let mut response = (status, Json(body)).into_response();
    if !ready {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_SOON.into());
    }
    Ok(response)
}

/// How Vapi's REST does, as this instance last saw it: nobody is asked for it.
fn vapi(api: &Api) -> Value {
    let contact = api.client.as_ref().map(VapiClient::contact).unwrap_or_default();
    let error = if api.enricher.is_denied() {
        Some("Vapi refuses VAPI_API_KEY; correct it and restart")
    } else {
        contact.is_failing.then_some("the last request to Vapi failed; see https://status.vapi.ai and VAPI_API_URL")
    };
    json!({
        "ok": error.is_none(),
        "keyConfigured": api.client.is_some(),
        "lastAnsweredAt": contact.answered_at.map(At),
        "lastFailedAt": contact.failed_at.map(At),
        "error": error,
    })
}

/// How the search for lost webhooks goes.
async fn sweep(api: &Api) -> Value {
    let status = api.reconciler.status().await;
    let ok = status.as_ref().is_ok_and(|status| status.error.is_none());
    let status = status.unwrap_or_default();
    json!({
        "ok": ok,
        "on": status.is_on,
        "running": status.is_running,
        "lastBegunAt": status.begun_at.map(At),
        "lastEndedAt": status.ended_at.map(At),
        "error": status.error,
    })
}

/// What the doctor found in its latest round; `findings` are its warnings and errors, in words, with what to do.
fn doctor(api: &Api) -> Value {
    let round = api.doctor.round();
    let findings = round.as_ref().map(|round| round.findings.as_slice()).unwrap_or_default();
    json!({
        "ok": findings.iter().all(|finding| finding.severity != Severity::Error),
        "on": api.config.doctor_every.is_some(),
        "lastEndedAt": round.as_ref().map(|round| At(round.at)),
        "findings": findings,
    })
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
    match api.probe.look(api.registry.store()).await {
        Some(health) => api.metrics.store_health(&health, api.clock.now()),
        None => api.metrics.set_store_up(false),
    }
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], api.metrics.render()).into_response()
}
