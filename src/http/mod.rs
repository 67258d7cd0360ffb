//! The HTTP face: the whole route table and its layers on one screen. No rule of the domain lives here.
//!
//! From the outside in: the path is made regular (`path`), the request is observed (`observe`: id, log line, metrics, error envelope, panics), a
//! foreign origin is kept from writing, and the route's extractors let it in ([`auth`], `proof`).

mod analytics;
mod assistant;
mod audit;
pub mod auth;
mod backfill;
mod batches;
mod body;
mod cache;
mod calls;
mod cancel;
mod cursor;
mod dashboard;
mod deadline;
mod deliveries;
mod docs;
mod face;
mod failures;
mod health;
mod list;
mod meters;
mod observe;
mod onlookers;
mod operations;
mod parameters;
mod path;
mod place;
mod proof;
mod recording;
mod result;
mod schemas;
mod sent;
pub mod server;
mod session;
mod socket;
mod stream;
mod subscriptions;
mod timeline;
mod tls;
mod tokens;
mod webhook;

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler as _,
    http::{HeaderName, HeaderValue, Method},
    routing::{MethodRouter, any, delete, get, get_service, post},
};
use tower::Layer as _;
use tower_http::cors::CorsLayer;

use self::observe::Observe;
pub use self::{
    body::Budget,
    docs::{Written, openapi},
    health::Probe,
    meters::Meters,
    onlookers::Onlookers,
    path::Regular,
    proof::Gate,
};

use crate::{
    analytics::Analyst,
    audit::{Audit, Usage},
    clock::Clock,
    config::{Config, SESSIONS_PATH, WEBHOOK_PATHS},
    dial::{Dialer, batches::Batches},
    doctor::latest::Latest,
    enrich::Enricher,
    error::ApiError,
    lifecycle::Lifecycle,
    push::Push,
    reconcile::Reconciler,
    registry::Registry,
    telemetry::Metrics,
    tools::Tools,
    vapi::client::VapiClient,
};

/// What handlers share: a cheap handle.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

/// What handlers share.
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// All the calls.
    pub registry: Registry,
    /// Asks Vapi.
    pub enricher: Enricher,
    /// Looks for lost webhooks.
    pub reconciler: Reconciler,
    /// Has questions answered.
    pub tools: Tools,
    /// Tells those who asked to be told.
    pub push: Push,
    /// Places calls.
    pub dialer: Dialer,
    /// Counts and tells.
    pub analyst: Analyst,
    /// Works through batches.
    pub batches: Batches,
    /// Vapi's REST, if there is a key.
    pub client: Option<VapiClient>,
    /// Checks webhook proofs.
    pub gate: proof::Gate,
    /// Notes who changes what.
    pub audit: Audit,
    /// Remembers when tokens were used.
    pub usage: Usage,
    /// Bounds the memory that bodies take.
    pub bodies: body::Budget,
    /// Are shown what comes in.
    pub onlookers: Onlookers,
    /// What time it is.
    pub clock: Clock,
    /// Tells when to stop.
    pub lifecycle: Lifecycle,
    /// Counts.
    pub metrics: Metrics,
    /// Counts requests by route.
    pub meters: Meters,
    /// Looks at the store, not too often.
    pub probe: Probe,
    /// The OpenAPI document.
    pub document: Written,
    /// What the doctor found in the latest round, if it makes rounds.
    pub doctor: Latest,
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Api {
    /// Shares the parts.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

/// Templates of all routes, by which requests are counted.
pub const TEMPLATES: [&str; 50] = [
    "/",
    "/api/v1/sessions/vapi/webhook",
    "/api/v1/vapi/analytics",
    "/api/v1/vapi/assistant-config",
    "/api/v1/vapi/audit",
    "/api/v1/vapi/backfill",
    "/api/v1/vapi/batches",
    "/api/v1/vapi/batches/{id}",
    "/api/v1/vapi/batches/{id}/cancel",
    "/api/v1/vapi/batches/{id}/result",
    "/api/v1/vapi/cache",
    "/api/v1/vapi/cache/stats",
    "/api/v1/vapi/calls",
    "/api/v1/vapi/calls/by-phone/{phone}",
    "/api/v1/vapi/calls/{id}",
    "/api/v1/vapi/calls/{id}/cancel",
    "/api/v1/vapi/calls/{id}/events",
    "/api/v1/vapi/calls/{id}/fetch",
    "/api/v1/vapi/calls/{id}/recording",
    "/api/v1/vapi/calls/{id}/result",
    "/api/v1/vapi/calls/{id}/timeline",
    "/api/v1/vapi/deliveries",
    "/api/v1/vapi/events",
    "/api/v1/vapi/subscriptions",
    "/api/v1/vapi/subscriptions/{id}",
    "/api/v1/vapi/subscriptions/{id}/deliveries",
    "/api/v1/vapi/subscriptions/{id}/pause",
    "/api/v1/vapi/subscriptions/{id}/redeliver",
    "/api/v1/vapi/subscriptions/{id}/resume",
    "/api/v1/vapi/subscriptions/{id}/rotate",
    "/api/v1/vapi/subscriptions/{id}/test",
    "/api/v1/vapi/tokens",
    "/api/v1/vapi/webhook",
    "/api/v1/vapi/webhooks/vapi",
    "/api/v1/vapi/ws",
    "/api/v1/webhooks/vapi",
    "/api/v1/webhooks/vapi/test",
    "/dashboard/{*file}",
    "/docs",
    "/docs/{*file}",
    "/livez",
    "/metrics",
    "/openapi.json",
    "/readyz",
    "/session",
    "/t/{token}/api/v1/vapi/calls/{id}",
    "/t/{token}/api/v1/vapi/calls/{id}/result",
    "/vapi/call",
    "/vapi/call/{id}",
    "/vapi/{*rest}",
];

/// All routes. Paths under `/api/v1/vapi` are the API; the webhook has aliases for older senders.
pub fn router(api: &Api) -> Router {
    let mut router = Router::new()
        .route("/api/v1/vapi/calls", get(list::calls).post(place::place))
        .route("/api/v1/vapi/calls/by-phone/{phone}", get(list::by_phone))
        .route("/api/v1/vapi/calls/{id}/result", get(result::wait))
        .route("/api/v1/vapi/calls/{id}/cancel", post(cancel::cancel))
        .route("/api/v1/vapi/calls/{id}/fetch", post(calls::fetch))
        .route("/api/v1/vapi/calls/{id}/events", get(stream::one))
        .route("/api/v1/vapi/events", get(stream::all))
        .route("/api/v1/vapi/deliveries", get(onlookers::all))
        .route("/api/v1/vapi/ws", get(socket::all))
        .route("/api/v1/vapi/calls/{id}/timeline", get(timeline::read))
        .route("/api/v1/vapi/calls/{id}/recording", get(recording::play))
        .route("/t/{token}/api/v1/vapi/calls/{id}", get(calls::read))
        .route("/t/{token}/api/v1/vapi/calls/{id}/result", get(result::wait))
        .merge(batches::routes())
        .merge(subscriptions::routes())
        .route("/api/v1/vapi/audit", get(audit::list).post(audit::note))
        .route("/api/v1/vapi/tokens", get(tokens::list))
        .merge(face::routes())
        .route("/api/v1/vapi/backfill", post(backfill::page))
        .route("/api/v1/vapi/assistant-config", post(assistant::write))
        .route("/api/v1/vapi/analytics", get(analytics::tell))
        .route("/api/v1/vapi/cache/stats", get(cache::stats))
        .route("/api/v1/vapi/cache", delete(cache::clear))
        .route("/api/v1/webhooks/vapi/test", get(webhook::test))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(docs::document))
        .route("/docs", get(docs::page))
        .route("/docs/{*file}", get(docs::page))
        .route("/session", get(session::read).post(session::sign_in).delete(session::sign_out))
        .route("/dashboard/{*file}", get(dashboard::file))
        .route("/", get(dashboard::page));
    for path in webhook_paths(&api.config) {
        router = if path == SESSIONS_PATH {
            router.route(path, post(webhook::receive_session))
        } else {
            router.route(path, post(webhook::receive))
        };
    }
    let router = router
        .fallback(any(async || ApiError::RouteNotFound))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Observe(api.clone()))
        .route("/api/v1/vapi/calls/{id}", polled(api));
    let router = match cors(&api.config.http.cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.with_state(api.clone())
}

/// The route that pollers ask. Its handlers themselves are observed, and not the boxes in which `Router::layer` would find them: that spares 3 % of
/// what a poll executes.
fn polled(api: &Api) -> MethodRouter<Api> {
    let observe = Observe(api.clone());
    get_service(observe.layer(calls::read.with_state(api.clone())))
        .delete_service(observe.layer(calls::erase.with_state(api.clone())))
        .fallback_service(observe.layer(method_not_allowed.with_state(())))
}

async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}

fn webhook_paths(config: &Config) -> impl Iterator<Item = &str> {
    let own = config.webhook.path.as_deref().filter(|path| !WEBHOOK_PATHS.contains(path));
    WEBHOOK_PATHS.into_iter().chain(own)
}

fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect();
    let shown = ["etag", "retry-after", "x-call-id", "x-request-id", "location"].map(HeaderName::from_static);
    let sent =
        ["authorization", "content-type", "idempotency-key", "if-none-match", "last-event-id", "x-request-id"].map(HeaderName::from_static);
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(sent)
        .expose_headers(shown);
    (!origins.is_empty()).then(|| layer.allow_origin(origins))
}
