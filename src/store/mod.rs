//! The durable truth behind the cache: few verbs, one back end a file, the same contract test for each.
//!
//! Properties wanted of every back end:
//! - [`Store::commit`] is one transaction: events, record and due time together or not at all; it returns after they are durable.
//! - A record changes by compare-and-set on its *revision*; who loses loads, joins and tries again.
//! - An event id is stored once, for good: a second one makes the whole commit a [`Committed::Duplicate`].
//! - A deleted call leaves a keyed hash; commits for it answer [`Committed::Deleted`].
//!
//! | Module | What it holds |
//! |---|---|
//! | [`memory`] | a store that is gone with the process |
//! | [`sqlite`] | a store in one file |
//! | [`postgres`] | a store in a PostgreSQL database, for any number of instances |
//! | [`mod@redis`] | a store in a Redis, for any number of instances |
//! | [`published`] | a call as other programs read it there |
//! | [`news`] | the log of what was told, for streams |
//! | [`outbox`] | what is on its way to subscribers |
//! | [`signal`] | what instances tell each other |
//! | [`query`] | what can be asked of a list |
//! | `columns`, `commit` | what lists filter and sort by; one transaction |
//! | `answer` | what was answered to an idempotency key, as such a thing |
//! | [`document`] | small things that are kept beside calls |
//! | [`figures`], [`tally`] | numbers about many calls; what services count besides |
//! | [`disk`] | where a store lies, and how much room there is |
//! | `condition`, `queue`, `seldom` | whether a server can be asked right now; commits on their way there; what is counted seldom |
//! | `rows`, `steps` | what engines read alike; much, a little at a time |
//! | `pack`, `vault`, `sieve` | compression; encryption, and what lists filter by then; which calls may have some words |
//! | `timeline` | what happened to a call |
//! | `tombstone` | what is left of a deleted call |
//! | [`moving`] | what a store tells and takes so that it can be moved and rekeyed |

pub mod disk;
pub mod document;
pub mod figures;
pub mod memory;
pub mod moving;
pub mod news;
pub mod outbox;
pub mod postgres;
pub mod published;
pub mod query;
pub mod redis;
pub mod signal;
pub mod sqlite;
pub mod tally;

mod answer;
mod columns;
mod commit;
mod condition;
mod error;
mod pack;
mod queue;
mod rows;
mod seldom;
mod sieve;
mod steps;
mod timeline;
mod tombstone;
mod unfolded;
mod vault;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::broadcast;

use crate::call::{id::CallId, news::NewsItem, record::CallRecord, time::Millis};

pub use crate::call::policy::Due;

pub use self::{
    answer::{REMEMBERED, answer_id, answer_write},
    columns::Columns,
    commit::{CallWrite, Commit, Committed, MOST_CONFLICTS},
    disk::StoreHealth,
    document::{Document, DocumentKind, DocumentPage, DocumentWrite},
    error::StoreError,
    news::NewsPage,
    outbox::{
        Attempt, Delivery, DeliveryFilter, DeliveryLease, DeliveryMark, DeliveryPage, DeliveryState, DeliveryStates, FanOut, Fate, GiveUp,
        LeasedDeliveries, OutboxState, OutgoingEvent, Redelivery, StoredTarget, Targets,
    },
    published::PublishedRow,
    query::{CallFilter, CallPage, PageCursor, SortBy},
    signal::Signal,
    timeline::TimelineEntry,
    unfolded::UnfoldedEvent,
    vault::DataKeys,
};
use self::{
    figures::Figures,
    moving::{Amounts, Graves, Resealed, Strays},
    tally::{Counted, Tally},
};

/// A record as it is stored, with what is not joined.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCall {
    /// The call.
    pub id: CallId,
    /// All its facts.
    pub record: CallRecord,
    /// Counts every write; what compare-and-set compares.
    pub revision: u64,
    /// Counts what a poller sees change.
    pub version: u64,
    /// First heard of.
    pub created_at: Millis,
    /// Last time that what a poller sees changed.
    pub updated_at: Millis,
    /// When Vapi is to be asked next, and why.
    pub due: Option<Due>,
    /// Counts what was told of it: the `sequence` of the latest news.
    pub news: u64,
}

/// What a load found.
#[derive(Debug, Clone)]
pub enum Loaded {
    /// The call.
    Found(Arc<StoredCall>),
    /// It was deleted.
    Deleted,
    /// Never heard of.
    Missing,
}

impl Loaded {
    /// The call, if there is one.
    #[must_use]
    pub fn found(self) -> Option<Arc<StoredCall>> {
        match self {
            Self::Found(call) => Some(call),
            Self::Deleted | Self::Missing => None,
        }
    }
}

/// What is too old to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Records whose later of `endedAt` and `createdAt` lies before this go; `None` keeps all.
    pub records_before: Option<Millis>,
    /// Bodies received before this go; `None` keeps all.
    pub bodies_before: Option<Millis>,
}

/// What to do about a schema that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Migrate {
    /// Bring it up to date; an existing file is copied beside itself first.
    #[default]
    Auto,
    /// Refuse to open.
    Check,
}

/// The engines. A closed set: an enum, not a generic.
#[derive(Debug, Clone)]
pub enum Store {
    /// Gone with the process.
    Memory(memory::MemoryStore),
    /// One file.
    Sqlite(sqlite::SqliteStore),
    /// A database on a server.
    Postgres(postgres::PostgresStore),
    /// A Redis.
    Redis(self::redis::RedisStore),
    /// One of the others, watched.
    Watched(Arc<Watched>),
}

/// Told after each operation of a store: its name, and how long it took, waiting for its turn included.
pub type Observer = Arc<dyn Fn(&'static str, Duration) + Send + Sync>;

/// An engine, and who is told how long it takes.
pub struct Watched {
    engine: Store,
    observer: Observer,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}

impl Store {
    /// The same store, whose operations are told to `observer`.
    #[must_use]
    pub fn observed_by(self, observer: Observer) -> Self {
        Self::Watched(Arc::new(Watched { engine: self, observer }))
    }

    /// The engine itself, watched or not.
    fn engine(&self) -> &Self {
        match self {
            Self::Watched(watched) => watched.engine.engine(),
            engine => engine,
        }
    }

    /// Does this engine write results where other programs read them?
    #[must_use]
    pub fn publishes(&self) -> bool {
        matches!(self.engine(), Self::Postgres(_))
    }

    /// What any instance does to calls, from now on; `None` where no other instance can be.
    #[must_use]
    pub fn signals(&self) -> Option<broadcast::Receiver<Signal>> {
        match self.engine() {
            Self::Postgres(store) => Some(store.signals()),
            Self::Redis(store) => Some(store.signals()),
            _ => None,
        }
    }

    /// Is nothing written by others without a signal soon? If not, what is remembered of a call may be old, and the store has to be asked.
    #[must_use]
    pub fn hears_all(&self) -> bool {
        match self.engine() {
            Self::Postgres(store) => store.hears_all(),
            Self::Redis(store) => store.hears_all(),
            _ => true,
        }
    }

    /// The name of the key that encrypts; `None` when nothing is encrypted.
    #[must_use]
    pub fn data_key(&self) -> Option<String> {
        match self.engine() {
            Self::Memory(_) | Self::Watched(_) => None,
            Self::Sqlite(store) => store.data_key(),
            Self::Postgres(store) => store.data_key(),
            Self::Redis(store) => store.data_key(),
        }
    }

    /// Waits until the store was reached for the first time, or was closed.
    pub async fn opened(&self) {
        match self.engine() {
            Self::Postgres(store) => store.opened().await,
            Self::Redis(store) => store.opened().await,
            _ => {}
        }
    }
}

/// Writes one method of [`Store`] that asks whichever engine is there.
macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Store {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`StoreError`] when the engine can't answer.
                pub async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                    match self {
                        Self::Memory(store) => store.$name($($argument),*).await,
                        Self::Sqlite(store) => store.$name($($argument),*).await,
                        Self::Postgres(store) => store.$name($($argument),*).await,
                        Self::Redis(store) => store.$name($($argument),*).await,
                        Self::Watched(watched) => {
                            let begun = Instant::now();
                            let outcome = Box::pin(watched.engine.$name($($argument),*)).await;
                            (watched.observer)(stringify!($name), begun.elapsed());
                            outcome
                        }
                    }
                }
            )*
        }
    };
}

verbs! {
    /// The call as it stands.
    load(id: &CallId) -> Loaded;
    /// Writes one transaction; returns when it is durable.
    commit(commit: Commit) -> Committed;
    /// Calls that match, in order, from a cursor or an offset on.
    list(filter: CallFilter) -> CallPage;
    /// What happened to a call, in order of time; empty when nothing is known. `bodies` adds the redacted bodies.
    timeline(id: &CallId, bodies: bool) -> Vec<TimelineEntry>;
    /// Takes at most `limit` calls that are due at `now`, enrichment first, and holds them until `until`, so that nobody else takes them.
    lease_due(now: Millis, until: Millis, limit: usize) -> Vec<CallId>;
    /// When the next unleased call falls due.
    next_due() -> Option<Millis>;
    /// Changes only when a call is due (no revision check), and ends its lease.
    set_due(id: &CallId, due: Option<Due>) -> ();
    /// Erases record and events for good; leaves a tombstone if the call was known or `always`. Tells whether it was known.
    delete(id: &CallId, at: Millis, always: bool) -> bool;
    /// Drops at most `limit` records that are too old, with their events, and all bodies that are; returns the dropped calls, oldest first.
    purge(retention: Retention, limit: usize) -> Vec<Arc<StoredCall>>;
    /// Records that [`Store::purge`] would drop, oldest first, at most `limit`: to archive them first.
    purgeable(retention: Retention, limit: usize) -> Vec<Arc<StoredCall>>;
    /// Events whose facts another version could not read, the oldest thousand at most. Committed again they count as read, or, if they still
    /// can't be, as tried by this version: then they are not handed out any more.
    unfolded() -> Vec<UnfoldedEvent>;
    /// At most `limit` entries of the log of news that stand after a position, of one call or of all.
    news(after: u64, call: Option<&CallId>, limit: usize) -> NewsPage;
    /// Drops at most `limit` of the oldest entries of that log, those from before a moment; returns how many went.
    forget_news(before: Millis, limit: usize) -> usize;
    /// Targets: the subscriptions, or those of one call or placing.
    targets(scope: Option<&str>) -> Targets;
    /// One target.
    target(id: &str) -> Option<StoredTarget>;
    /// Writes a target, its `revision` already counted up, if the one that stands there is of the expected revision (`None`: there is none).
    /// Tells whether it did.
    put_target(target: StoredTarget, expected: Option<u64>) -> bool;
    /// The same, and tells news that is about no call, or does neither.
    put_target_and_tell(target: StoredTarget, expected: Option<u64>, news: NewsItem) -> bool;
    /// Drops a target and its deliveries; tells whether it was there.
    drop_target(id: &str) -> bool;
    /// How fanning out stands.
    outbox() -> OutboxState;
    /// Makes deliveries, if fanning out and subscriptions still stand as they did; tells whether it did.
    fan_out(step: FanOut) -> bool;
    /// Takes deliveries that are due and holds them.
    lease_deliveries(lease: DeliveryLease) -> LeasedDeliveries;
    /// Notes what came of tries, each unless the lease was lost; tells which were noted.
    mark_deliveries(marks: Vec<DeliveryMark>) -> Vec<bool>;
    /// Deliveries as they stand.
    deliveries(filter: DeliveryFilter) -> DeliveryPage;
    /// How far the deliveries of these events to a target are, in their order; `None` where there is none.
    delivery_states(target: &str, events: &[String]) -> DeliveryStates;
    /// Makes deliveries of a target that are not pending pending again, with no tries counted; returns how many.
    redeliver(target: &str, which: Redelivery, now: Millis) -> usize;
    /// Gives up pending deliveries that nobody holds; the next of their calls are due. Returns how many.
    give_up_deliveries(give_up: GiveUp) -> usize;
    /// Drops at most `limit` deliveries that were settled before a moment; returns how many went.
    forget_deliveries(before: Millis, limit: usize) -> usize;
    /// A document, by its id or its alias, unless its time is over.
    document(kind: DocumentKind, id: &str, now: Millis) -> Option<Document>;
    /// Writes documents together, if each one that stands there is of the expected revision and no alias is taken; tells whether it did.
    put_documents(writes: Vec<DocumentWrite>, now: Millis) -> bool;
    /// Drops a document; tells whether it was there.
    drop_document(kind: DocumentKind, id: &str) -> bool;
    /// At most `limit` documents of a kind, the newest first, behind a place that an earlier page told.
    documents(kind: DocumentKind, after: Option<(Millis, String)>, limit: usize, now: Millis) -> DocumentPage;
    /// Takes at most `limit` documents of a kind that are due at `now`, the longest overdue first, and holds them until `until`.
    lease_documents(kind: DocumentKind, now: Millis, until: Millis, limit: usize) -> Vec<Document>;
    /// When the next unleased document of a kind falls due.
    next_document(kind: DocumentKind) -> Option<Millis>;
    /// Drops at most `limit` documents whose time is over; returns how many went.
    forget_documents(now: Millis, limit: usize) -> usize;
    /// Numbers about the calls that match; words, limit, offset and cursor of the filter don't count.
    figures(filter: CallFilter) -> Figures;
    /// Notes how often a process saw something in an hour. A number that was noted before only grows.
    tally(tallies: Vec<Tally>) -> ();
    /// How often something was seen, day by day, from an hour on and before another one.
    tallies(since: i64, until: i64) -> Vec<Counted>;
    /// A step of what was left for later, so that nobody had to wait for it; tells how many calls were worked on, 0 when nothing is left.
    tend(now: Millis) -> usize;
    /// Signals all instances, this one included, that something of this id was written; where no other instance can be, nothing.
    tell(id: &CallId, revision: u64) -> ();
    /// Can it be read and written right now?
    health() -> StoreHealth;
    /// Drops the bodies of the `count` oldest events that still have one, to make room; returns how many went.
    drop_oldest_bodies(count: usize) -> usize;
    /// Events that belong to no record, in the order of their ids or of arrival: at most `limit` behind a place that an earlier answer told.
    strays(after: Option<String>, limit: usize) -> Strays;
    /// Tombstones, and the key of their hashes.
    graves() -> Graves;
    /// Takes tombstones of another store. Those hashed with another key are taken, key and all, only as long as nothing else is here; then the
    /// store has to be opened again. Tells whether they were taken.
    bury(graves: Graves) -> bool;
    /// How much there is.
    amounts() -> Amounts;
    /// A note that was left with the store.
    note(name: &'static str) -> Option<Vec<u8>>;
    /// Writes a note, if what stands there is still `from`; tells whether it was.
    set_note(name: &'static str, from: Option<Vec<u8>>, to: Vec<u8>) -> bool;
    /// Encrypts at most `limit` bodies with the newest key, behind a place that an earlier answer told.
    reseal(after: Option<String>, limit: usize) -> Resealed;
    /// Everything is encrypted with the newest key now: the others are not needed any more, and nothing is left in clear.
    forget_keys() -> ();
    /// Writes all there is to disk and closes. Later verbs fail.
    close() -> ();
}
