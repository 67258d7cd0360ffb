//! Asks Vapi for what its webhooks did not bring: late analysis, and reports that never came.
//!
//! Properties wanted: a fetch that is due survives a restart; one that was committed is not repeated; a slow Vapi delays only itself; nobody is
//! asked more often than the limiter allows; enrichment goes before checks.
//!
//! Design: what is due stands in the store, in the call's own row, and is taken by lease. The outcome of a fetch is an event like any other:
//! the REST answer and a note of the fetch are folded in one commit, and policy decides there what falls due next. Hints in memory only make
//! the worker look earlier.
//!
//! Races, by name:
//! - *The process dies during a fetch*: the lease runs out (for SQLite: at the next start), and the fetch is made again. Its answer folds to the same record.
//! - *A report arrives during a fetch*: both are joined in either order; policy looks at the join.
//! - *Somebody asks for an id that nobody knows*: such ids are remembered here, in memory, for whoever asks will ask again; they get a record
//!   only when Vapi knows them.

mod asked;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use tracing::{debug, warn};

use self::asked::Asked;
use crate::{
    call::{
        event::CallEvent,
        id::CallId,
        record::{Fetch, FetchOutcome, FetchReason},
        time::{Millis, SECOND},
    },
    clock::Clock,
    lifecycle::Lifecycle,
    registry::{Change, Registry},
    store::{CallFilter, Due, Loaded, StoreError},
    telemetry::Metrics,
    trace,
    vapi::{
        self,
        client::{Fetched, VapiClient},
    },
};

/// Fetches at once.
const MOST_AT_ONCE: usize = 16;
/// A lease outlives a fetch of 10 s and the commit of its outcome. What a killed instance held is done by another one within 30 s.
const LEASE: i64 = 25 * SECOND;
/// The worker never waits for less.
const LEAST_PAUSE: Duration = Duration::from_millis(5);
/// Rows per page when calls are looked through at the start.
const PAGE: usize = 100;

/// Asks Vapi; a cheap handle.
#[derive(Clone)]
pub struct Enricher(Arc<Inner>);

struct Inner {
    registry: Registry,
    client: Option<VapiClient>,
    clock: Clock,
    metrics: Metrics,
    asked: Asked,
    denied: AtomicBool,
    slots: Arc<Semaphore>,
}

impl Enricher {
    /// A worker that asks with `client`; without one it asks nothing.
    #[must_use]
    pub fn new(registry: Registry, client: Option<VapiClient>, clock: Clock, metrics: Metrics) -> Self {
        let (asked, denied, slots) = (Asked::default(), AtomicBool::new(false), Arc::new(Semaphore::new(MOST_AT_ONCE)));
        Self(Arc::new(Inner { registry, client, clock, metrics, asked, denied, slots }))
    }

    /// Somebody asks for a call of which nothing was heard: Vapi is asked in a while.
    pub fn somebody_asks_for(&self, id: &CallId) {
        if self.0.client.is_some() {
            let due = self.0.asked.note(id, self.0.clock.now());
            self.0.registry.due_hint().announce(due);
        }
    }

    /// The same, without waiting a while.
    pub fn ask_at_once(&self, id: &CallId) {
        let due = self.0.asked.hurry(id, self.0.clock.now());
        self.0.registry.due_hint().announce(due);
    }

    /// Asks Vapi for a call of which nothing was heard, while somebody waits; what it tells is stored first. `None`: there is no key.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be stored.
    pub async fn look_for(&self, id: &CallId) -> Result<Option<FetchOutcome>, StoreError> {
        let Some(heard) = self.ask(id).await else { return Ok(None) };
        let outcome = heard.outcome.clone();
        if matches!(outcome, FetchOutcome::Live | FetchOutcome::Ended { .. }) {
            self.0.registry.apply_change(heard.into_change(id, FetchReason::Manual)).await?;
            self.0.asked.forget(id);
        }
        Ok(Some(outcome))
    }

    /// Did Vapi say twice, a minute apart, that it knows no such call?
    #[must_use]
    pub fn is_unknown_to_vapi(&self, id: &CallId) -> bool {
        self.0.asked.is_unknown(id, self.0.clock.now())
    }

    /// Did Vapi refuse our key the last time it was asked?
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.0.denied.load(Ordering::Relaxed)
    }

    /// Works until `lifecycle` stops it.
    pub async fn run(self, lifecycle: Lifecycle) {
        if self.0.client.is_none() {
            if let Err(error) = self.give_up_plans().await {
                warn!(%error, "Calls whose fetch was planned while there was a key can't be looked up; they stay as they are until the next start");
            }
            return;
        }
        if let Err(error) = self.retry_denied().await {
            warn!(%error, "Calls whose fetch was denied can't be looked up; they stay as they are until the next start");
        }
        let work = || async {
            self.start_due(&lifecycle).await?;
            self.pause().await
        };
        self.0.registry.due_hint().work_off(&lifecycle, "Due fetches can't be read from the store", work).await;
    }

    /// Makes every fetch that is due now, one after another; returns how many. What `run` does, without its waiting.
    ///
    /// # Errors
    /// [`StoreError`] when due work can't be read.
    pub async fn step(&self) -> Result<usize, StoreError> {
        let due = self.due(usize::MAX >> 1).await?;
        for work in &due {
            self.work(work).await;
        }
        Ok(due.len())
    }

    async fn start_due(&self, lifecycle: &Lifecycle) -> Result<(), StoreError> {
        loop {
            let free = self.0.slots.available_permits();
            let due = if free == 0 { Vec::new() } else { self.due(free).await? };
            if due.is_empty() {
                return Ok(());
            }
            for work in due {
                let Ok(slot) = Arc::clone(&self.0.slots).acquire_owned().await else { return Ok(()) };
                let worker = self.clone();
                lifecycle.spawn_quiet(async move {
                    worker.work(&work).await;
                    drop(slot);
                    // A slot is free: whatever had to wait for one may start.
                    worker.0.registry.due_hint().announce(Millis(0));
                });
            }
        }
    }

    async fn due(&self, limit: usize) -> Result<Vec<Work>, StoreError> {
        let now = self.0.clock.now();
        let leased = self.0.registry.store().lease_due(now, now.plus(LEASE), limit).await?;
        let room = limit.saturating_sub(leased.len());
        let asked = self.0.asked.take_due(now, room);
        Ok(leased.into_iter().map(Work::Call).chain(asked.into_iter().map(Work::Asked)).collect())
    }

    async fn pause(&self) -> Result<Duration, StoreError> {
        let Inner { registry, clock, asked, slots, .. } = &*self.0;
        let now = clock.now();
        let next = if slots.available_permits() == 0 {
            // Whatever is due has to wait for a slot, and one that is free announces itself.
            None
        } else {
            registry.store().next_due().await?.into_iter().chain(asked.next_due()).min()
        };
        Ok(registry.due_hint().plan_next(now, next, LEAST_PAUSE))
    }

    async fn work(&self, work: &Work) {
        let outcome = match work {
            Work::Call(id) => self.fetch_call(id).await,
            Work::Asked(id) => self.fetch_asked(id).await,
        };
        if let Err(error) = outcome {
            // The lease runs out, and the fetch is made again.
            warn!(%error, call_id = work.id().as_str(), "What Vapi answered could not be stored");
        }
    }

    async fn fetch_call(&self, id: &CallId) -> Result<(), StoreError> {
        let Some(call) = self.0.registry.store().load(id).await?.found() else { return Ok(()) };
        let now = self.0.clock.now();
        // What came in since the lease, here or at another instance, may have left nothing to ask for now.
        let Some(Due { reason, .. }) = call.due.filter(|due| due.at <= now) else { return Ok(()) };
        if reason == FetchReason::Check && call.record.is_done() {
            return self.0.registry.apply_change(Change::recovered(id, now)).await.map(drop);
        }
        let trace = call.record.trace.as_ref().map(|trace| trace.value.as_str());
        let fetch = async {
            let Some(heard) = self.ask(id).await else { return Ok(()) };
            self.0.registry.apply_change(heard.into_change(id, reason)).await.map(drop)
        };
        self.0.registry.traces().span(trace::Work::asking("fetch call").after(trace), fetch).await
    }

    async fn fetch_asked(&self, id: &CallId) -> Result<(), StoreError> {
        if !matches!(self.0.registry.store().load(id).await?, Loaded::Missing) {
            // Heard of since: policy looks after it, and nobody needs to be asked on the side.
            self.0.asked.forget(id);
            return Ok(());
        }
        let Some(heard) = self.ask(id).await else { return Ok(()) };
        match &heard.outcome {
            FetchOutcome::Live | FetchOutcome::Ended { .. } => {
                self.0.registry.apply_change(heard.into_change(id, FetchReason::Check)).await?;
                self.0.asked.forget(id);
            }
            FetchOutcome::Unknown => {
                self.0.asked.note_unknown(id, heard.at);
                if self.is_unknown_to_vapi(id) {
                    self.0.registry.waiters().wake(id);
                }
            }
            FetchOutcome::Failed { .. } | FetchOutcome::Denied { .. } => {}
        }
        Ok(())
    }

    /// Asks Vapi once.
    async fn ask(&self, id: &CallId) -> Option<Heard> {
        let client = self.0.client.as_ref()?;
        let fetched = client.call(id).await;
        let at = self.0.clock.now();
        let (outcome, answer, retry_after) = match fetched {
            Fetched::Call(body) => match vapi::call::read(&body, id, at) {
                Some(answer) => (answer.outcome, Some(answer.event), None),
                None => (FetchOutcome::Failed { error: "Vapi answered with something else than this call".to_owned() }, None, None),
            },
            Fetched::Unknown => (FetchOutcome::Unknown, None, None),
            Fetched::Denied { status } => {
                (FetchOutcome::Denied { error: format!("Vapi refuses VAPI_API_KEY ({status}); correct it and restart") }, None, None)
            }
            Fetched::Failed { error, retry_after_ms } => (FetchOutcome::Failed { error }, None, retry_after_ms),
        };
        self.note(id, &outcome);
        Some(Heard { at, outcome, answer, not_before: retry_after.map(|wait| at.plus(wait)) })
    }

    fn note(&self, id: &CallId, outcome: &FetchOutcome) {
        let result = match outcome {
            FetchOutcome::Failed { .. } => "failed",
            FetchOutcome::Denied { .. } => "denied",
            FetchOutcome::Unknown => "unknown",
            FetchOutcome::Live => "live",
            FetchOutcome::Ended { .. } => "ended",
        };
        self.0.metrics.enrichment_attempted(result);
        trace::note("ringback.call_id", id.as_str().to_owned());
        trace::note("ringback.result", result);
        let denied = matches!(outcome, FetchOutcome::Denied { .. });
        if denied && !self.0.denied.swap(true, Ordering::Relaxed) {
            warn!("Vapi refuses VAPI_API_KEY: results stay as their webhooks brought them until it is corrected");
        } else if !denied && outcome.error().is_none() {
            self.0.denied.store(false, Ordering::Relaxed);
        }
        debug!(call_id = id.as_str(), result, error = outcome.error(), "Asked Vapi");
    }

    /// Without a key what was planned with one can't be done any more: policy decides anew, so that nobody waits for it.
    async fn give_up_plans(&self) -> Result<(), StoreError> {
        // Whenever it is due. The lease ends soon: who dies meanwhile must not leave calls that nobody ever takes again.
        const WHENEVER: Millis = Millis(i64::MAX);
        let mut seen = HashSet::new();
        loop {
            let planned = self.0.registry.store().lease_due(WHENEVER, self.0.clock.now().plus(LEASE), PAGE).await?;
            let new: Vec<_> = planned.into_iter().filter(|id| seen.insert(id.clone())).collect();
            if new.is_empty() {
                return Ok(());
            }
            for id in &new {
                self.0.registry.ask_now(id, FetchReason::Check).await?;
            }
        }
    }

    /// Calls that were given up because our key was refused are tried again, once a start.
    async fn retry_denied(&self) -> Result<(), StoreError> {
        let mut cursor = None;
        loop {
            let filter = CallFilter { data_status: vec!["fetch_failed".to_owned()], limit: PAGE, cursor, ..CallFilter::default() };
            let page = self.0.registry.list(filter).await?;
            for call in &page.calls {
                let denied = call.record.last_fetch().is_some_and(|fetch| matches!(fetch.outcome, FetchOutcome::Denied { .. }));
                if denied {
                    self.0.registry.ask_now(&call.id, FetchReason::Enrich).await?;
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}

/// A fetch to make.
enum Work {
    /// Of a call that is due, by lease.
    Call(CallId),
    /// Of an id that somebody asked for.
    Asked(CallId),
}

impl Work {
    fn id(&self) -> &CallId {
        match self {
            Self::Call(id) | Self::Asked(id) => id,
        }
    }
}

/// What came of asking.
struct Heard {
    at: Millis,
    outcome: FetchOutcome,
    answer: Option<CallEvent>,
    not_before: Option<Millis>,
}

impl Heard {
    /// The answer and a note of the fetch, to be folded in one commit.
    fn into_change(self, id: &CallId, reason: FetchReason) -> Change {
        Change::fetched(id, Fetch { at: self.at, reason, outcome: self.outcome }, self.answer, self.not_before)
    }
}
