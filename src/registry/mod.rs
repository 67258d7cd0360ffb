//! All the calls: the one place where a record changes.
//!
//! Properties wanted:
//! - [`Registry::apply`] returns after the event is durable; what it returns about a call can't be lost any more.
//! - A waiter, a poller and the cache never see what a crash could take back: the store comes first, then the cache, then the waiters.
//! - A dropped request drops nothing: the work runs on a task of its own, so a client that hangs up does not leave a commit without its wake-up.
//!
//! Races, by name:
//! - *Two events of one call at once*: they take turns within the process (`Turns`), and the store's compare-and-set decides between
//!   processes; who loses loads the record again and joins again.
//! - *A waiter registers while the call settles*: the waiter registers first and looks second; the registry publishes first and wakes second.
//!   One of the two always sees the other.
//! - *A reader fills the cache with what it loaded before a commit*: the cache keeps the greater revision.
//! - *A call is erased while an event is joined*: the store refuses the commit ([`Committed::Deleted`]).
//! - *A call is erased while a reader loads it*: the reader fills the cache first and looks second whether anything was erased since it loaded;
//!   whoever erases counts first and forgets second. One of the two always takes the entry out.

mod applied;
mod cache;
mod cached;
mod claim;
mod columns;
mod due;
mod erase;
mod fetched;
mod follow;
mod moved;
mod published;
mod render;
mod stream;
mod traced;
mod turns;
mod waiters;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

pub use self::{
    applied::Applied,
    cache::{Cache, CacheStats, CachedEntry},
    cached::CachedCall,
    due::DueHint,
    follow::follow,
    moved::write_of,
    render::{Rendered, answer, never_heard_of},
    stream::{Bulletin, Filter, Letter, Reader, Said, Since, Streams, TYPES},
    waiters::{WaitTicket, Waiters, woken},
};
use tracing::warn;

use self::{applied::applied, render::Step, turns::Turns};
use crate::{
    call::{
        event::{CallEvent, EventKind, Keep},
        id::CallId,
        measures::ended_in_time,
        news::{NewsItem, NewsKind},
        policy::{Moment, Plan},
        record::{CallRecord, FetchReason, Line},
        time::Millis,
        view::{data_status, status},
    },
    clock::Clock,
    lifecycle::Lifecycle,
    store::{CallFilter, CallPage, CallWrite, Commit, Committed, Loaded, MOST_CONFLICTS, SortBy, Store, StoreError, StoredCall},
    telemetry::Metrics,
    trace::Traces,
};

/// Calls among which the last webhook is looked for when the process begins.
const LATEST: usize = 50;

/// The registry: a cheap handle.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    store: Store,
    cache: Cache,
    waiters: Waiters,
    streams: Streams,
    line_of: LineOf,
    turns: Turns,
    plan: Plan,
    /// Address under which the world reaches us, or `""`.
    base: Arc<str>,
    clock: Clock,
    lifecycle: Lifecycle,
    metrics: Metrics,
    traces: Traces,
    due: DueHint,
    /// How many calls were erased; only differences matter.
    erased: AtomicU64,
}

/// Reads the line in the stored body of a transcript message, received at a moment.
pub type LineOf = fn(&[u8], Millis) -> Option<Line>;

/// What the registry is built from.
pub struct Parts {
    /// The durable truth.
    pub store: Store,
    /// Answers, ready to send.
    pub cache: Cache,
    /// Those who wait.
    pub waiters: Waiters,
    /// When Vapi is asked.
    pub plan: Plan,
    /// Address under which the world reaches us, or `""`.
    pub base: String,
    /// What time it is.
    pub clock: Clock,
    /// Runs and tracks the work.
    pub lifecycle: Lifecycle,
    /// Counts it.
    pub metrics: Metrics,
    /// Makes spans of it.
    pub traces: Traces,
    /// Reads what was said in a stored event.
    pub line_of: LineOf,
}

/// An event to apply, and what policy has to know of it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The event.
    pub event: CallEvent,
    /// More events of the same moment.
    pub more: Vec<CallEvent>,
    /// It is the outcome of a fetch: the due time that led to it is spent.
    pub after_fetch: bool,
    /// Vapi asked not to be asked before this.
    pub not_before: Option<Millis>,
    /// Somebody wants Vapi asked now, for this reason.
    pub ask: Option<FetchReason>,
}

/// What is known of a call.
#[derive(Debug, Clone)]
pub enum Known {
    /// Its answer, ready to send.
    Call(Arc<CachedCall>),
    /// It was deleted.
    Deleted,
    /// Never heard of.
    Nothing,
}

impl Registry {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, cache, waiters, plan, base, clock, lifecycle, metrics, traces, line_of } = parts;
        let base = base.into();
        let (turns, due, erased, streams) = (Turns::default(), DueHint::default(), AtomicU64::new(0), Streams::default());
        Self(Arc::new(Inner { store, cache, waiters, streams, line_of, turns, plan, base, clock, lifecycle, metrics, traces, due, erased }))
    }

    /// Takes in a webhook's event; returns when it is durable.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be stored; then nothing of it happened, or all of it did and a repeat will find it.
    pub async fn apply(&self, event: CallEvent) -> Result<Applied, StoreError> {
        self.apply_change(Change::of(event)).await
    }

    /// Takes in any change; returns when it is durable.
    ///
    /// # Errors
    /// As [`Registry::apply`].
    pub async fn apply_change(&self, mut change: Change) -> Result<Applied, StoreError> {
        if change.event.keep == Keep::Nothing && change.ask.is_none() {
            return Ok(Applied::NotKept);
        }
        change.note_trace();
        let registry = self.clone();
        let work = self.0.lifecycle.spawn_quiet(async move { registry.fold(change).await });
        work.await.unwrap_or_else(|crash| Err(StoreError::Unavailable(format!("the commit task ended early: {crash}"))))
    }

    async fn fold(&self, change: Change) -> Result<Applied, StoreError> {
        let Some(id) = change.event.call_id.clone() else {
            let commit = Commit { more: change.more, ..Commit::of(change.event) };
            return Ok(applied(self.0.store.commit(commit).await?));
        };
        let _turn = self.0.turns.enter(&id).await?;
        let mut before = self.supposed(&id, &change.event).await?;
        for _ in 0..MOST_CONFLICTS {
            let step = match &before {
                Loaded::Deleted => return Ok(Applied::Deleted),
                Loaded::Missing if change.ask.is_some() => return Ok(Applied::NotKept),
                Loaded::Missing => self.step(&id, None, &change),
                Loaded::Found(call) => self.step(&id, Some(call), &change),
            };
            let Step { after, changed, settled, visible, news } = step;
            let done_now = settled.is_some();
            let expected = match &before {
                Loaded::Found(call) => Some(call.revision),
                _ => None,
            };
            let published =
                after.as_ref().filter(|_| visible || change.event.facts.reported).and_then(|call| self.published(call, &change));
            let columns = |call: &StoredCall| columns::of(&call.record);
            let write = after.clone().map(|call| CallWrite { columns: columns(&call), call, expected, published, news: news.clone() });
            let more = change.more.iter().map(CallEvent::without_facts).chain(settled).collect();
            let commit = Commit { changed, more, write, ..Commit::of(change.event.without_facts()) };
            match self.0.store.commit(commit).await? {
                Committed::Conflict => before = self.0.store.load(&id).await?,
                committed => {
                    if let (Committed::Done, Some(call)) = (committed, after) {
                        if matches!(before, Loaded::Missing) {
                            // It may be left over from an earlier life of the call, which a full store let go.
                            self.0.cache.forget(&id);
                        }
                        self.publish(&call, visible);
                        self.0.streams.committed(&call, news.iter().map(|item| item.sequence));
                        self.count(&call, done_now, &news);
                    }
                    return Ok(applied(committed));
                }
            }
        }
        Err(StoreError::contended("the record"))
    }

    fn step(&self, id: &CallId, before: Option<&Arc<StoredCall>>, change: &Change) -> Step {
        let moment = Moment { now: self.0.clock.now(), jitter: jitter(), not_before: change.not_before, after_fetch: change.after_fetch };
        render::step(id, before.map(Arc::as_ref), change, &self.0.plan, moment)
    }

    /// The record as it probably stands: from memory when it is there. A webhook about a call that memory knows nothing of is taken for the
    /// first one, as nearly always it is; if not, the commit is a conflict, and the record is loaded then.
    async fn supposed(&self, id: &CallId, event: &CallEvent) -> Result<Loaded, StoreError> {
        let says_something = || matches!(event.kind, EventKind::Delivery | EventKind::Placed) && *event.facts != CallRecord::default();
        match self.0.cache.peek(id).map(|cached| cached.stored()) {
            Some(Some(call)) => Ok(Loaded::Found(call)),
            None if says_something() => Ok(Loaded::Missing),
            Some(None) | None => self.0.store.load(id).await,
        }
    }

    /// After the commit: cache, then waiters, then whoever fetches.
    fn publish(&self, call: &Arc<StoredCall>, visible: bool) {
        let rendered = self.0.cache.put(CachedCall::of(call, &self.0.base, self.0.clock.now()));
        if let Some(due) = call.due {
            self.0.due.announce(due.at);
        }
        if visible && (rendered.done || rendered.unknown_to_vapi) {
            self.0.waiters.wake(&call.id);
        }
    }

    fn count(&self, call: &StoredCall, done_now: bool, news: &[NewsItem]) {
        if news.iter().any(|item| item.kind == NewsKind::Recovered) {
            let kind = if call.record.heard_at.is_some() { "report" } else { "all" };
            warn!(call_id = call.id.as_str(), kind, "A report never came by webhook; what Vapi's REST told stands in for it");
            self.0.metrics.webhook_lost(kind);
        }
        if !done_now {
            return;
        }
        let took = ended_in_time(&call.record, call.created_at).map(|ended| self.0.clock.now().since(ended));
        let took = took.map(|milliseconds| Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default()));
        self.0.metrics.call_done(status(&call.record), data_status(&call.record), took);
    }

    /// The answer about a call, from memory or from the store.
    ///
    /// # Errors
    /// [`StoreError`] when it is not in memory and the store can't be asked.
    pub async fn look_up(&self, id: &CallId) -> Result<Known, StoreError> {
        if let Some(cached) = self.in_memory(id.as_str()) {
            return Ok(Known::Call(cached));
        }
        // Boxed, or every answer from memory would carry the room that asking the store takes.
        Box::pin(self.look_up_stored(id)).await.or_else(|error| self.remembered_result(id).map(Known::Call).ok_or(error))
    }

    async fn look_up_stored(&self, id: &CallId) -> Result<Known, StoreError> {
        let erased = self.0.erased.load(Ordering::SeqCst);
        Ok(match self.0.store.load(id).await? {
            Loaded::Found(call) => {
                let shown = self.0.cache.put(CachedCall::of(&call, &self.0.base, self.0.clock.now()));
                if self.0.erased.load(Ordering::SeqCst) != erased {
                    self.0.cache.forget(id);
                }
                Known::Call(shown)
            }
            Loaded::Deleted => Known::Deleted,
            Loaded::Missing => Known::Nothing,
        })
    }

    /// The answer about a call if it is in memory: what the hot path asks first. One that is not settled only counts while nobody else can
    /// write it without our hearing.
    #[must_use]
    pub fn in_memory(&self, id: &str) -> Option<Arc<CachedCall>> {
        let cached = self.0.cache.find(id, self.0.clock.now());
        cached.filter(|call| call.done || self.0.store.hears_all())
    }

    /// Has Vapi asked anew about a known call, as soon as the limiter allows. That is a change like any other: pollers see when it is due.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't.
    pub async fn ask_now(&self, id: &CallId, reason: FetchReason) -> Result<(), StoreError> {
        let event = render::no_event(id, self.0.clock.now());
        self.apply_change(Change { ask: Some(reason), ..Change::of(event) }).await.map(drop)
    }

    /// Calls that match a filter.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn list(&self, filter: CallFilter) -> Result<CallPage, StoreError> {
        self.0.store.list(filter).await
    }

    /// How a stored call looks to pollers.
    #[must_use]
    pub fn rendered<'a>(&'a self, call: &'a StoredCall, view: crate::call::view::View) -> Rendered<'a> {
        render::view(call, view, &self.0.base)
    }

    /// Learns when the last webhook came before this process began, as the calls that changed last tell it.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn recall_last_webhook(&self) -> Result<(), StoreError> {
        let latest = CallFilter { by: SortBy::UpdatedAt, limit: LATEST, ..CallFilter::default() };
        let page = self.0.store.list(latest).await?;
        if let Some(at) = page.calls.iter().filter_map(|call| call.record.heard_at).max() {
            self.0.metrics.webhook_recalled(at);
        }
        Ok(())
    }

    /// The store, for verbs that change no record.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.0.cache
    }

    /// Those who wait.
    #[must_use]
    pub fn waiters(&self) -> &Waiters {
        &self.0.waiters
    }

    /// Those who listen.
    #[must_use]
    pub fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Tells when something falls due earlier than was known.
    #[must_use]
    pub fn due_hint(&self) -> &DueHint {
        &self.0.due
    }
}

/// From -1 to 1.
fn jitter() -> f64 {
    let [first, second, ..] = *uuid::Uuid::new_v4().as_bytes();
    f64::from(u16::from_be_bytes([first, second])).mul_add(2.0 / 65_535.0, -1.0)
}
