//! What all parts stand on, and how each is made of it.

use std::sync::Arc;

use super::{StartError, open_store, vapi_client};
use crate::{
    analytics::Analyst,
    call::policy::Plan,
    clock::Clock,
    config::Config,
    dial::{self, Dialer, Writer},
    enrich::Enricher,
    keep::{self, KeepPlan, Keeper},
    kestra::Kestra,
    lifecycle::Lifecycle,
    outbound::Outbound,
    push::{self, Push},
    reconcile::{Reconciler, SweepPlan},
    registry::{Cache, Parts, Registry, Waiters},
    store::Store,
    telemetry::Metrics,
    tools::{self, Tools},
    vapi::{client::VapiClient, message},
};

/// What all parts stand on.
pub(super) struct Ground {
    pub(super) registry: Registry,
    pub(super) client: Option<VapiClient>,
    pub(super) clock: Clock,
    pub(super) lifecycle: Lifecycle,
    pub(super) metrics: Metrics,
}

impl Ground {
    /// Opens the store; everything else is made in memory.
    pub(super) async fn lay(config: &Config, clock: Clock) -> Result<Self, StartError> {
        let (metrics, lifecycle) = (Metrics::new(), Lifecycle::new(config.shutdown));
        let client = vapi_client(config, &clock, &metrics)?;
        if let Some(folder) = &config.store.archive {
            keep::prepare_archive(folder).map_err(StartError::Archive)?;
        }
        let store = open_store(&config.store, config.cache.max_bytes, !config.http.is_loopback()).await?;
        let timed = metrics.clone();
        let store = store.observed_by(Arc::new(move |operation, took| timed.store_operated(operation, took)));
        let registry = registry(store, config, client.is_some(), (&clock, &lifecycle, &metrics));
        Ok(Self { registry, client, clock, lifecycle, metrics })
    }

    pub(super) fn analyst(&self) -> Analyst {
        Analyst::new(self.registry.store().clone(), self.clock.clone(), self.metrics.clone())
    }

    pub(super) fn enricher(&self) -> Enricher {
        Enricher::new(self.registry.clone(), self.client.clone(), self.clock.clone(), self.metrics.clone())
    }

    pub(super) fn reconciler(&self, config: &Config) -> Reconciler {
        let plan = SweepPlan { period: config.complete.sweep_ms, all: config.complete.sweep_all, kept: config.store.retention_ms };
        Reconciler::new(self.registry.clone(), self.client.clone(), (self.clock.clone(), self.lifecycle.clone()), plan)
    }

    pub(super) fn keeper(&self, config: &Config) -> Keeper {
        let (records, bodies) = (config.store.retention_ms, config.store.payload_retention_ms);
        let plan = KeepPlan { records, bodies, archive: config.store.archive.clone() };
        Keeper::new(self.registry.clone(), self.clock.clone(), self.metrics.clone(), plan)
    }

    pub(super) fn dialer(&self, config: &Config, writer: Writer, push: Push, kestra: Option<Kestra>) -> Dialer {
        Dialer::new(dial::Parts {
            registry: self.registry.clone(),
            client: self.client.clone(),
            clock: self.clock.clone(),
            lifecycle: self.lifecycle.clone(),
            push,
            kestra,
            writer: writer.calling(config.dial.phone_number_id.clone(), config.webhook.header_secret()),
            rules: config.dial.clone(),
            keep_ms: config.store.retention_ms,
        })
    }

    pub(super) fn push(&self, config: &Config, outbound: Outbound, kestra: Option<Kestra>) -> Push {
        Push::new(push::Parts {
            outbound,
            registry: self.registry.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            kestra,
            kept_ms: config.store.payload_retention_ms,
        })
    }

    pub(super) fn tools(&self, config: &Config, outbound: Outbound) -> Tools {
        let parts = tools::Parts {
            outbound,
            registry: self.registry.clone(),
            clock: self.clock.clone(),
            lifecycle: self.lifecycle.clone(),
            metrics: self.metrics.clone(),
        };
        Tools::new(config.tools.clone(), parts)
    }
}

fn registry(store: Store, config: &Config, can_ask: bool, (clock, lifecycle, metrics): (&Clock, &Lifecycle, &Metrics)) -> Registry {
    Registry::new(Parts {
        store,
        cache: Cache::new(config.cache.ttl_ms, config.cache.max_bytes, metrics.clone()),
        waiters: Waiters::new(config.http.max_waiters),
        plan: Plan { can_ask, delays: config.complete.delays_ms.clone(), grace: config.complete.grace_ms },
        base: config.http.public_url.clone().unwrap_or_default(),
        clock: clock.clone(),
        lifecycle: lifecycle.clone(),
        metrics: metrics.clone(),
        line_of: |body, received_at| message::reread(body, received_at)?.event.facts.lines.into_iter().next(),
    })
}
