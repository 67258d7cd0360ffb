//! The one place where the parts are wired. Tests start the same two functions as `ringback serve`.

use std::sync::Arc;

use axum::Router;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tracing::{error, info, warn};

use crate::{
    call::{event::CallEvent, policy::Plan},
    clock::Clock,
    config::{self, Config, DatabaseUrl, SslMode, StoreConfig},
    dial::{self, Dialer, Writer},
    enrich::Enricher,
    http::{self, Api, Budget, Gate, Probe, Shared},
    keep::{self, KeepPlan, Keeper},
    lifecycle::Lifecycle,
    outbound::{Outbound, SetUpError, guard::Allowed},
    registry::{Cache, Parts, Registry, Waiters, follow},
    store::{
        DataKeys, Store, StoreError,
        memory::MemoryStore,
        postgres::{PostgresOptions, PostgresStore, Tls},
        redis::{RedisOptions, RedisStore},
        sqlite::{self, Snapshot, SqliteOptions, SqliteStore},
    },
    telemetry::{Metrics, VapiStatus},
    tools::{self, Tools},
    vapi::{
        assistant::TemplateError,
        client::{ClientError, Settings, VapiClient},
        message,
        signature::{self, Secrets, Verifier},
    },
};

/// The service, ready to run.
pub struct App {
    api: Api,
    keeper: Keeper,
}

/// Why the service can't start. The sentence tells the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store can't be opened.
    #[error("DATABASE_URL: {0}")]
    Store(#[from] StoreError),
    /// Vapi's client can't be made.
    #[error("VAPI_API_URL or VAPI_API_KEY: {0}")]
    Vapi(#[from] ClientError),
    /// Nobody could be asked or told.
    #[error("TOOLS: {0}")]
    Outbound(#[from] SetUpError),
    /// The templates of assistants are broken.
    #[error("{0}")]
    Assistants(#[from] TemplateError),
    /// The webhook proofs can't be checked as configured.
    #[error("{0}")]
    Webhook(String),
    /// Nothing could be archived; found out at the first purge, it would stop every purge and fill the disk.
    #[error("RETENTION_ARCHIVE must name a folder that can be written: {0}")]
    Archive(std::io::Error),
}

impl App {
    /// Wires the parts: opens the store, builds everything else in memory.
    ///
    /// # Errors
    /// [`StartError`] when the store, the client, the webhook proofs or the archive can't be had as configured.
    pub async fn build(config: Config, clock: Clock) -> Result<Self, StartError> {
        let metrics = Metrics::new();
        let lifecycle = Lifecycle::new(config.shutdown);
        // What can be found wrong without leaving anything behind comes before the store is made.
        let gate = Gate::new(verifier(&config)?);
        let client = vapi_client(&config, &clock, &metrics)?;
        if let Some(folder) = &config.store.archive {
            keep::prepare_archive(folder).map_err(StartError::Archive)?;
        }
        let store = open_store(&config.store, config.cache.max_bytes, !config.http.is_loopback()).await?;
        let timed = metrics.clone();
        let store = store.observed_by(Arc::new(move |operation, took| timed.store_operated(operation, took)));
        let cache_bytes = config.cache.max_bytes;
        let registry = Registry::new(Parts {
            store,
            cache: Cache::new(config.cache.ttl_ms, cache_bytes, metrics.clone()),
            waiters: Waiters::new(config.http.max_waiters),
            plan: Plan { can_ask: client.is_some(), delays: config.complete.delays_ms.clone(), grace: config.complete.grace_ms },
            base: config.http.public_url.clone().unwrap_or_default(),
            clock: clock.clone(),
            lifecycle: lifecycle.clone(),
            metrics: metrics.clone(),
            line_of: |body, received_at| message::reread(body, received_at)?.event.facts.lines.into_iter().next(),
        });
        let enricher = Enricher::new(registry.clone(), client.clone(), clock.clone(), metrics.clone());
        let plan = KeepPlan {
            records: config.store.retention_ms,
            bodies: config.store.payload_retention_ms,
            archive: config.store.archive.clone(),
        };
        let keeper = Keeper::new(registry.clone(), clock.clone(), metrics.clone(), plan);
        let meters = http::Meters::new(metrics.clone(), &http::TEMPLATES);
        let (bodies, probe) = (Budget::default(), Probe::default());
        let parts = tools::Parts {
            outbound: Outbound::new(Allowed::default())?,
            registry: registry.clone(),
            clock: clock.clone(),
            lifecycle: lifecycle.clone(),
            metrics: metrics.clone(),
        };
        let tools = Tools::new(config.tools.clone(), parts);
        let dialer = Dialer::new(dial::Parts {
            registry: registry.clone(),
            client: client.clone(),
            clock: clock.clone(),
            lifecycle: lifecycle.clone(),
            writer: Writer::new(config.server.clone())?.calling(config.dial.phone_number_id.clone(), config.webhook.header_secret()),
            rules: config.dial.clone(),
            keep_ms: config.store.retention_ms,
        });
        let shared = Shared { config, registry, enricher, tools, dialer, client, gate, bodies, clock, lifecycle, metrics, meters, probe };
        Ok(Self { api: Api::new(shared), keeper })
    }

    /// What handlers share: tests look inside and move things on.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Keeps the store as it should be.
    #[must_use]
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Stops the service.
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.api.lifecycle
    }

    /// All routes, as [`App::run`] serves them.
    pub fn router(&self) -> Router {
        http::router(&self.api)
    }

    /// Serves on `listener` until the lifecycle ends; returns the exit code.
    pub async fn run(self, listener: TcpListener) -> u8 {
        let Self { api, keeper } = self;
        let lifecycle = api.lifecycle.clone();
        lifecycle.spawn("follow", follow(api.registry.clone(), lifecycle.clone()));
        lifecycle.spawn("http", http::server::serve(listener, http::router(&api), lifecycle.clone()));
        lifecycle.spawn("enrich", enrich(api.registry.clone(), api.enricher.clone(), lifecycle.clone()));
        lifecycle.spawn("dial", dial(api.registry.clone(), api.dialer.clone(), lifecycle.clone()));
        lifecycle.spawn("keep", keeper.run(lifecycle.clone()));
        let code = lifecycle.supervise().await;
        if let Err(error) = api.registry.store().close().await {
            error!(%error, "The store could not be closed cleanly; nothing that was acknowledged is lost");
            return code.max(1);
        }
        info!(code, "Stopped");
        code
    }
}

/// Does what is left from before, and then whatever falls due; as soon as the store was reached.
async fn enrich(registry: Registry, enricher: Enricher, lifecycle: Lifecycle) {
    tokio::select! {
        () = registry.store().opened() => {}
        () = lifecycle.soft_stopped() => return,
    }
    refold(&registry).await;
    enricher.run(lifecycle).await;
}

/// Looks for placed calls whose answer was lost, as soon as the store was reached.
async fn dial(registry: Registry, dialer: Dialer, lifecycle: Lifecycle) {
    tokio::select! {
        () = registry.store().opened() => dialer.run(lifecycle).await,
        () = lifecycle.soft_stopped() => {}
    }
}

/// Folds the events that an earlier version kept raw because it could not read them.
async fn refold(registry: &Registry) {
    let unfolded = match registry.store().unfolded().await {
        Ok(unfolded) => unfolded,
        Err(error) => return warn!(%error, "Events that wait to be read again can't be listed"),
    };
    for raw in unfolded {
        let Some(inbound) = message::reread(&raw.body, raw.received_at) else {
            warn!(event_id = raw.id, "An event that was kept raw is no message any more; it stays as it is");
            continue;
        };
        let call_id = raw.call_id.or_else(|| inbound.event.call_id.clone());
        let event = CallEvent { id: raw.id, call_id, ..inbound.event };
        if !event.folded {
            // Committed all the same: the store then knows that this version tried, and does not offer it again.
            warn!(event_id = event.id, "An event still can't be read; it stays as it is");
        }
        if let Err(error) = registry.apply(event).await {
            warn!(%error, "An event that was read again could not be folded");
        }
    }
}

/// A copy of the configured store as it stands, if that is a file: its process may go on writing. `None` for servers, which are shared anyway.
///
/// # Errors
/// [`StoreError::Unusable`] when there is no store, or no copy can be made.
pub fn open_snapshot(config: &StoreConfig) -> Result<Option<Snapshot>, StoreError> {
    let DatabaseUrl::Sqlite { path, .. } = &config.url else { return Ok(None) };
    let keys = DataKeys::from_base64(&config.data_keys)?;
    let max_connections = usize::try_from(config.max_connections).unwrap_or(usize::MAX);
    let options = SqliteOptions { path: path.clone(), max_connections, migrate: sqlite::Migrate::Auto, ephemeral_ok: true, keys };
    Snapshot::take(&options).map(Some)
}

/// Opens the configured store. Off loopback, a file on a file system that forgets is refused, and so is a Redis that may lose what it took:
/// what is acknowledged must outlive the container.
/// A database that does not answer is no error: its store opens by itself when it does.
///
/// # Errors
/// [`StoreError::Unusable`] when it can't be opened as configured.
pub async fn open_store(config: &StoreConfig, memory_bytes: u64, exposed: bool) -> Result<Store, StoreError> {
    let keys = DataKeys::from_base64(&config.data_keys)?;
    let max_connections = usize::try_from(config.max_connections).unwrap_or(usize::MAX);
    let migrate = match config.migrate {
        config::Migrate::Auto => sqlite::Migrate::Auto,
        config::Migrate::Check => sqlite::Migrate::Check,
    };
    match &config.url {
        DatabaseUrl::Memory => Ok(Store::Memory(MemoryStore::new(memory_bytes))),
        DatabaseUrl::Sqlite { path, ephemeral } => {
            let options = SqliteOptions { path: path.clone(), max_connections, migrate, ephemeral_ok: *ephemeral || !exposed, keys };
            SqliteStore::open(&options).map(Store::Sqlite)
        }
        DatabaseUrl::Postgres(url) => {
            let tls = match url.ssl_mode {
                SslMode::Disable => Tls::Disable,
                SslMode::Prefer => Tls::Prefer,
                SslMode::Require => Tls::Require,
                SslMode::VerifyCa => Tls::VerifyCa,
                SslMode::VerifyFull => Tls::VerifyFull,
            };
            let (root_cert, pooled) = (url.root_cert.clone(), url.pooled);
            let links = config.links;
            let options = PostgresOptions { url: url.url.clone(), tls, root_cert, pooled, max_connections, migrate, keys, links };
            PostgresStore::open(&options).await.map(Store::Postgres)
        }
        DatabaseUrl::Redis(url) => {
            let (root_cert, ephemeral_ok) = (url.root_cert.clone(), url.ephemeral || !exposed);
            let options = RedisOptions { url: url.url.clone(), root_cert, ephemeral_ok, max_connections, migrate, keys };
            RedisStore::open(&options).await.map(Store::Redis)
        }
    }
}

fn vapi_client(config: &Config, clock: &Clock, metrics: &Metrics) -> Result<Option<VapiClient>, StartError> {
    let Some(key) = &config.vapi.api_key else { return Ok(None) };
    let mut settings = Settings::new(&config.vapi.api_url, key.clone());
    if let Some(rate) = std::num::NonZeroU32::new(config.vapi.requests_per_second) {
        settings.requests_per_second = rate;
    }
    settings.create_timeout = config.vapi.create_timeout;
    let metrics = metrics.clone();
    let observer = move |operation, status: Option<u16>| {
        metrics.vapi_requested(operation, status.map_or(VapiStatus::Failed("failed"), VapiStatus::Code));
    };
    Ok(Some(VapiClient::new(&settings, clock.clone())?.observed_by(Arc::new(observer))))
}

/// The verifier for the configured secrets; `None` when there are none.
fn verifier(config: &Config) -> Result<Option<Verifier>, StartError> {
    let webhook = &config.webhook;
    let fault = |variable: &str, why: String| StartError::Webhook(format!("{variable}: {why}"));
    let plan = webhook.hmac.as_ref().map(|json| json.expose_secret().parse()).transpose();
    let plan: signature::HmacPlan =
        plan.map_err(|error: signature::PlanError| fault("VAPI_WEBHOOK_HMAC", error.to_string()))?.unwrap_or_default();
    if webhook.secrets.is_empty() {
        return Ok(None);
    }
    let secrets: Vec<&str> = webhook.secrets.iter().map(SecretString::expose_secret).collect();
    let kinds: Result<Vec<_>, _> = webhook.auth.iter().map(|word| word.parse()).collect();
    let settings = signature::Settings {
        secrets: Secrets::parse(&secrets.join(",")).map_err(|error| fault("VAPI_WEBHOOK_SECRET", error.to_string()))?,
        kinds: kinds.map_err(|_unknown| fault("VAPI_WEBHOOK_AUTH", "takes secret, bearer, signature, standard".to_owned()))?,
        plan,
        tolerance: webhook.tolerance_ms,
        urls: webhook.url.iter().chain(&config.http.public_url).cloned().collect(),
    };
    Verifier::new(&settings).map(Some).map_err(|error| fault("VAPI_WEBHOOK_HMAC", error.to_string()))
}
