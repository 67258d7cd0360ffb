//! The one place where the parts are wired. Tests start the same two functions as `ringback serve`.

mod ground;
mod stores;

use std::sync::Arc;

use axum::Router;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tracing::{error, info, warn};

use self::ground::Ground;
pub use self::stores::{open_snapshot, open_store};
use crate::{
    call::event::CallEvent,
    clock::Clock,
    config::Config,
    dial::{Dialer, Writer, batches::Batches},
    doctor::{Doctor, latest::Latest, rounds::Rounds},
    enrich::Enricher,
    http::{self, Api, Budget, Gate, Probe, Shared},
    keep::Keeper,
    kestra::Kestra,
    lifecycle::Lifecycle,
    outbound::{Outbound, SetUpError},
    registry::{Registry, follow},
    store::StoreError,
    telemetry::{Collector, Metrics, TraceError, VapiStatus},
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
    collector: Collector,
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
    #[error("{0}")]
    Outbound(#[from] SetUpError),
    /// The templates of assistants are broken.
    #[error("{0}")]
    Assistants(#[from] TemplateError),
    /// The webhook proofs can't be checked as configured.
    #[error("{0}")]
    Webhook(String),
    /// Traces can't be sent as configured.
    #[error("{0}")]
    Traces(#[from] TraceError),
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
        // What can be found wrong without leaving anything behind comes before the store is made.
        let gate = Gate::new(verifier(&config)?);
        let outbound = Outbound::new(config.outbound.allowed.clone())?;
        let writer = Writer::new(config.server.clone())?;
        let collector = match &config.otlp_endpoint {
            Some(endpoint) => Collector::at(endpoint, outbound.clone())?,
            None => Collector::default(),
        };
        let ground = Ground::lay(&config, clock, collector).await?;
        let keeper = ground.keeper(&config);
        let collector = ground.collector.clone();
        let kestra = kestra(&config, &outbound);
        let push = ground.push(&config, outbound.clone(), kestra.clone());
        let dialer = ground.dialer(&config, writer, push.clone(), kestra);
        let shared = Shared {
            enricher: ground.enricher(),
            reconciler: ground.reconciler(&config),
            analyst: ground.analyst(),
            batches: Batches::new(dialer.clone()),
            dialer,
            push,
            tools: ground.tools(&config, outbound),
            audit: ground.audit(&config),
            usage: ground.usage(&config),
            meters: http::Meters::new(ground.metrics.clone(), &http::TEMPLATES),
            gate,
            bodies: Budget::default(),
            onlookers: http::Onlookers::default(),
            probe: Probe::default(),
            document: http::Written::default(),
            doctor: Latest::default(),
            config,
            registry: ground.registry,
            client: ground.client,
            clock: ground.clock,
            lifecycle: ground.lifecycle,
            metrics: ground.metrics,
        };
        Ok(Self { api: Api::new(shared), keeper, collector })
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

    /// Sends traces.
    #[must_use]
    pub fn collector(&self) -> &Collector {
        &self.collector
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
        let Self { api, keeper, collector } = self;
        let lifecycle = api.lifecycle.clone();
        lifecycle.spawn("follow", follow(api.registry.clone(), lifecycle.clone()));
        lifecycle.spawn("http", http::server::serve(listener, http::router(&api), lifecycle.clone()));
        lifecycle.spawn("enrich", enrich(api.registry.clone(), api.enricher.clone(), lifecycle.clone()));
        lifecycle.spawn("dial", dial(api.registry.clone(), api.dialer.clone(), lifecycle.clone()));
        lifecycle.spawn("batches", batches(api.registry.clone(), api.batches.clone(), lifecycle.clone()));
        lifecycle.spawn("push", api.push.clone().run(lifecycle.clone()));
        lifecycle.spawn("reconcile", api.reconciler.clone().run());
        lifecycle.spawn("analytics", api.analyst.clone().run(lifecycle.clone()));
        if let Some(every) = api.config.doctor_every {
            let doctor = Doctor::new(&api.config, api.client.clone(), api.dialer.kestra().cloned(), api.clock.clone());
            let rounds = Rounds::new(doctor, api.registry.store().clone(), api.metrics.clone(), api.doctor.clone());
            lifecycle.spawn("doctor", rounds.run(every, lifecycle.clone()));
        }
        lifecycle.spawn("usage", api.usage.clone().run(lifecycle.clone()));
        lifecycle.spawn("keep", keeper.run(lifecycle.clone()));
        let code = lifecycle.supervise().await;
        if let Err(error) = api.analyst.write_down().await {
            warn!(%error, "What was counted last is not written down");
        }
        if let Err(error) = api.usage.write().await {
            warn!(%error, "When tokens were used last is not written down");
        }
        collector.close().await;
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
    if let Err(error) = registry.recall_last_webhook().await {
        warn!(%error, "When the last webhook came can't be told before the next one");
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

/// Works through batches, as soon as the store was reached.
async fn batches(registry: Registry, batches: Batches, lifecycle: Lifecycle) {
    tokio::select! {
        () = registry.store().opened() => batches.run(lifecycle).await,
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

/// A doctor without a service, and who asks Vapi for it. Finds what of a configuration is only found wrong when the parts are made of it; asks nobody.
///
/// # Errors
/// [`StartError`] as [`App::build`] has it.
pub fn doctor(config: &Config, clock: &Clock) -> Result<(Doctor, Option<VapiClient>), StartError> {
    verifier(config)?;
    let outbound = Outbound::new(config.outbound.allowed.clone())?;
    let client = vapi_client(config, clock, &Metrics::new())?;
    Ok((Doctor::new(config, client.clone(), kestra(config, &outbound), clock.clone()), client))
}

fn kestra(config: &Config, outbound: &Outbound) -> Option<Kestra> {
    config.outbound.kestra.clone().map(|config| Kestra::new(config, outbound.clone()))
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
