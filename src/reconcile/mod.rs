//! Finds what webhooks did not bring, by looking through what Vapi changed lately: the sweep. `backfill` is the same, at somebody's wish.
//!
//! Properties wanted: a call whose webhooks were all lost is found; a sweep costs enrichment nothing but one request's time; one instance
//! sweeps at a time, and what it leaves undone goes on elsewhere; nobody else's calls come in; what is known is never lowered.
//!
//! Design: what a list tells of a call is an event like any other, so joining it is safe at any time and any number of times. How far a sweep
//! came stands in a note of the store, which is also its lease: whoever writes it by compare-and-set goes on for a while. A call is ours when it
//! is known here, or when webhooks came from its assistant, its number or to its server ([`sources`]).
//!
//! A sweep goes back two hours, or further: to the beginning of the last whole one, at a start to the last event heard, and to the beginning of
//! an interval in which deliveries were refused (`refused`); but never more than a day.
//!
//! Races, by name:
//! - *Two instances find it is time*: the note's compare-and-set lets one of them.
//! - *The instance that sweeps dies*: its lease runs out, and another one goes on at the page where it was.
//! - *A sweep takes longer than its lease*: every page renews it; who finds it taken stops.
//! - *A call changes while it is looked for*: pages go by when calls were made, which does not change.

mod backfill;
mod note;
mod refused;
pub mod sources;
mod take;
pub mod walk;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};
use tracing::{debug, info, warn};

pub use self::backfill::{Backfill, BackfillError, BackfillPage};
use self::{
    note::{Held, Task},
    refused::Refusals,
    sources::Sources,
    take::{Manner, Taken, Taker},
    walk::Walk,
};
use crate::{
    call::{
        record::CallRecord,
        time::{DAY, Millis, SECOND},
    },
    clock::Clock,
    lifecycle::Lifecycle,
    registry::Registry,
    store::{CallFilter, SortBy, StoreError},
    vapi::client::{Listed, ListedCall, VapiClient},
};

/// Milliseconds that every sweep goes back.
const BACK: i64 = 7_200 * SECOND;
/// No sweep goes back further; `backfill` does.
const FURTHEST: i64 = DAY;
/// What went on at the bounds is looked at twice.
const OVERLAP: i64 = 300 * SECOND;
/// A page takes 10 s and its commits; what a killed instance left goes on elsewhere after this time.
const LEASE: i64 = 30 * SECOND;
/// Pages of one sweep without a pause: 10,000 calls.
const BUDGET: usize = 200;
/// After a budget was spent, or Vapi failed, the sweep goes on after this time, or longer if Vapi wants it.
const PAUSE: i64 = 60 * SECOND;
/// A sweep that began so shortly before the start of this instance serves it too: those of a deployment start together.
const TOGETHER: i64 = 5 * SECOND;
/// The worker looks this often whether it is time.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Calls that are looked at for the last event heard.
const RECENT: usize = 20;

/// How sweeps are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepPlan {
    /// Milliseconds from the beginning of one to that of the next; 0: none are made.
    pub period: i64,
    /// Takes all calls of the organisation, not only ours.
    pub all: bool,
    /// Milliseconds for which a record is kept.
    pub kept: Option<i64>,
}

/// Looks for lost webhooks; a cheap handle.
#[derive(Clone)]
pub struct Reconciler(Arc<Inner>);

struct Inner {
    registry: Registry,
    client: Option<VapiClient>,
    clock: Clock,
    lifecycle: Lifecycle,
    plan: SweepPlan,
    sources: Sources,
    refusals: Refusals,
    taker: Taker,
    /// Names this instance in the note.
    name: String,
    born: Millis,
    /// The sweep of the start is done, or not needed.
    settled_in: AtomicBool,
    state: Mutex<State>,
    hurry: Notify,
}

#[derive(Debug, Default)]
struct State {
    not_before: Option<Millis>,
    error: Option<String>,
}

/// How sweeps are going, for operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepStatus {
    /// They are made at all.
    pub is_on: bool,
    /// One is being made, or was cut and goes on soon.
    pub is_running: bool,
    /// When the last whole one began, at any instance.
    pub begun_at: Option<Millis>,
    /// When it ended.
    pub ended_at: Option<Millis>,
    /// Why the last one of this instance did not come to its end.
    pub error: Option<String>,
}

/// How a run through pages ended.
enum Ran {
    Whole,
    Cut {
        error: Option<String>,
        wait: i64,
    },
    /// Another instance has it.
    Lost,
}

impl Reconciler {
    /// A worker that asks with `client`; without one it asks nothing.
    #[must_use]
    pub fn new(registry: Registry, client: Option<VapiClient>, (clock, lifecycle): (Clock, Lifecycle), plan: SweepPlan) -> Self {
        let (name, born) = (uuid::Uuid::new_v4().simple().to_string(), clock.now());
        let (sources, refusals, taker) = (Sources::default(), Refusals::default(), Taker::default());
        let (settled_in, state, hurry) = (AtomicBool::new(false), Mutex::default(), Notify::new());
        let inner = Inner { registry, client, clock, lifecycle, plan, sources, refusals, taker, name, born, settled_in, state, hurry };
        Self(Arc::new(inner))
    }

    /// Whose webhooks came.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.0.sources
    }

    /// A webhook with these facts was taken.
    pub fn delivery_taken(&self, names: &[String]) {
        self.0.sources.heard(names, self.0.clock.now());
        if self.0.refusals.taken() {
            self.0.hurry.notify_one();
        }
    }

    /// A webhook was refused.
    pub fn delivery_refused(&self) {
        self.0.refusals.refused(self.0.clock.now());
    }

    /// Works until its lifecycle stops it.
    pub async fn run(self) {
        let lifecycle = self.0.lifecycle.clone();
        tokio::select! {
            () = self.0.registry.store().opened() => {}
            () = lifecycle.soft_stopped() => return,
        }
        while !lifecycle.is_stopping() {
            if let Err(error) = self.step().await {
                warn!(%error, "The sweep for lost webhooks can't be made; it is tried again");
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = self.0.hurry.notified() => {}
                () = lifecycle.soft_stopped() => {}
            }
        }
        // What was learned last; at the next start most of it would be learned again.
        let _ = self.share().await;
    }

    /// Makes a sweep, or goes on with one, if it is time; tells whether it did. What `run` does, without its waiting.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked; what was done is noted there, and the rest is done later.
    pub async fn step(&self) -> Result<bool, StoreError> {
        self.share().await?;
        let Some(client) = self.0.client.as_ref().filter(|_| self.0.plan.period > 0) else { return Ok(false) };
        let (registry, now) = (&self.0.registry, self.0.clock.now());
        if self.state().not_before.is_some_and(|at| now < at) {
            return Ok(false);
        }
        let mut held = Held::read(registry.store()).await?;
        if self.is_taken(&held, now) {
            return Ok(false);
        }
        let given_up = held.note.task.take_if(|task| now.since(task.begun_at) >= FURTHEST);
        let Some(from) = self.wanted(&held, given_up.map(|task| task.from), now).await? else { return Ok(false) };
        let fresh = || Task { begun_at: now, from, walk: Walk::through(from, None), seen: 0, found: 0 };
        let is_fresh = held.note.task.is_none();
        held.note.task.get_or_insert_with(fresh);
        if !self.hold(&mut held).await? {
            return Ok(false);
        }
        if is_fresh {
            self.0.refusals.swept(now);
            self.0.settled_in.store(true, Ordering::Relaxed);
        }
        // Others may have heard from more than we have.
        self.0.sources.share(registry).await?;
        let ran = self.pages(client, &mut held).await?;
        self.end(held, ran).await?;
        Ok(true)
    }

    /// How sweeps are going.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn status(&self) -> Result<SweepStatus, StoreError> {
        let note = Held::read(self.0.registry.store()).await?.note;
        let is_on = self.0.client.is_some() && self.0.plan.period > 0;
        let error = self.state().error.clone();
        Ok(SweepStatus { is_on, is_running: note.task.is_some(), begun_at: note.begun_at, ended_at: note.ended_at, error })
    }

    async fn share(&self) -> Result<(), StoreError> {
        if self.0.sources.is_to_be_shared() { self.0.sources.share(&self.0.registry).await } else { Ok(()) }
    }

    /// Is another instance at it? Where there can be no other, whoever held it is dead.
    fn is_taken(&self, held: &Held, now: Millis) -> bool {
        let others = self.0.registry.store().signals().is_some();
        let holder = held.note.holder.as_ref().filter(|holder| **holder != self.0.name);
        others && holder.is_some() && held.note.held_until.is_some_and(|until| now < until)
    }

    /// Since when it is to be looked, if it is time to. A sweep that was given up had looked since `given_up`.
    async fn wanted(&self, held: &Held, given_up: Option<Millis>, now: Millis) -> Result<Option<Millis>, StoreError> {
        let begun = held.note.begun_at;
        let is_start = !self.0.settled_in.load(Ordering::Relaxed) && begun.is_none_or(|at| self.0.born.since(at) > TOGETHER);
        let refused = self.0.refusals.since(now);
        let is_time = is_start || given_up.is_some() || refused.is_some() || begun.is_none_or(|at| now.since(at) >= self.0.plan.period);
        if let Some(task) = &held.note.task {
            return Ok(Some(task.from));
        }
        if !is_time {
            return Ok(None);
        }
        let recent = CallFilter { by: SortBy::UpdatedAt, limit: RECENT, ..CallFilter::default() };
        let recent = self.0.registry.list(recent).await?.calls;
        if recent.is_empty() {
            // Nothing was ever heard here: whatever Vapi has belongs to somebody's past.
            return Ok(None);
        }
        let heard = recent.iter().filter_map(|call| call.record.heard_at).max().filter(|_| is_start);
        let reaches = [begun, heard, refused, given_up].into_iter().flatten().map(|at| at.plus(-OVERLAP));
        let from = reaches.fold(now.plus(-BACK), Millis::min);
        if from < now.plus(-FURTHEST) {
            warn!("Webhooks may have been lost more than a day ago: `ringback backfill --since {from}` looks further back than the sweep");
        }
        Ok(Some(from.max(now.plus(-FURTHEST))))
    }

    /// Writes the note with our name in it; false when another instance was faster.
    async fn hold(&self, held: &mut Held) -> Result<bool, StoreError> {
        held.note.holder = Some(self.0.name.clone());
        held.note.held_until = Some(self.0.clock.now().plus(LEASE));
        held.write(self.0.registry.store()).await
    }

    async fn pages(&self, client: &VapiClient, held: &mut Held) -> Result<Ran, StoreError> {
        for _ in 0..BUDGET {
            let Some(task) = &held.note.task else { return Ok(Ran::Whole) };
            let Some(query) = task.walk.next() else { return Ok(Ran::Whole) };
            if self.0.lifecycle.is_stopping() {
                return Ok(Ran::Cut { error: None, wait: 0 });
            }
            let listed = client.list(&query).await;
            let now = self.0.clock.now();
            let Some(task) = &mut held.note.task else { return Ok(Ran::Whole) };
            match listed {
                Listed::Calls { calls, rows } => {
                    task.walk.saw(&calls, rows, now);
                    let found = self.take(&calls, now).await?;
                    task.seen += calls.len() as u64;
                    task.found += found;
                }
                Listed::TooLarge if task.walk.shorten() => {}
                failed => return Ok(cut(failed)),
            }
            if !self.hold(held).await? {
                return Ok(Ran::Lost);
            }
        }
        Ok(Ran::Cut { error: None, wait: PAUSE })
    }

    /// Takes in a page; tells of how many calls something was learned.
    async fn take(&self, calls: &[ListedCall], at: Millis) -> Result<u64, StoreError> {
        let (registry, sources) = (&self.0.registry, &self.0.sources);
        let mut found = 0;
        for call in calls {
            match self.0.taker.take(registry, sources, (call, at), self.manner(self.0.plan.all, "found by the sweep")).await? {
                Taken::Imported | Taken::Updated => found += 1,
                Taken::Known | Taken::Foreign | Taken::Skipped => {}
            }
        }
        Ok(found)
    }

    fn manner(&self, all: bool, found_by: &'static str) -> Manner {
        Manner { all, kept_since: self.0.plan.kept.map(|kept| self.0.clock.now().plus(-kept)), found_by }
    }

    async fn end(&self, mut held: Held, ran: Ran) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        let (error, wait) = match ran {
            Ran::Lost => return Ok(()),
            Ran::Whole => (None, 0),
            Ran::Cut { error, wait } => (error, wait),
        };
        if let Some(why) = &error {
            warn!(why, "The sweep for lost webhooks was cut; it goes on later");
        }
        *self.state() = State { not_before: Some(now.plus(wait)), error };
        (held.note.holder, held.note.held_until) = (None, None);
        let is_whole = held.note.task.as_ref().is_some_and(|task| task.walk.next().is_none());
        if let Some(Task { begun_at, from, seen, found, walk }) = held.note.task.take_if(|_| is_whole) {
            if walk.crowded > 0 {
                warn!(moments = walk.crowded, "Of some moments Vapi has more calls than a page; some of them were not seen");
            }
            (held.note.begun_at, held.note.ended_at) = (Some(begun_at), Some(now));
            if found > 0 { info!(seen, found, %from, "Swept for lost webhooks") } else { debug!(seen, %from, "Swept for lost webhooks") }
        }
        held.write(self.0.registry.store()).await.map(drop)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose a webhook's call is, for [`Reconciler::delivery_taken`].
#[must_use]
pub fn names_in(facts: &CallRecord) -> Vec<String> {
    sources::names(facts)
}

fn cut(failed: Listed) -> Ran {
    let (error, wait) = match failed {
        Listed::Failed { error, retry_after_ms } => (error, retry_after_ms.unwrap_or_default().max(PAUSE)),
        Listed::Denied { status } => (format!("Vapi refuses VAPI_API_KEY ({status})"), PAUSE),
        Listed::TooLarge | Listed::Calls { .. } => ("Vapi's calls are too large to read".to_owned(), PAUSE),
    };
    Ran::Cut { error: Some(error), wait }
}
