//! A store in a PostgreSQL database, shared by any number of equal instances.
//!
//! Design: callers encode; two tasks write, each whatever is queued, in one transaction; a small pool reads. One more task holds a connection
//! that hears what other instances do, and knows whether the database can be asked at all. The database may be away at the start, go and
//! come back: verbs then fail at once until it answers again.
//!
//! Everything of ours is in schema `ringback`; only the documents' table of results, and views of it, are in `public`.
//!
//! | Module | What it does |
//! |---|---|
//! | `options`, `tls`, `link` | where the database is; connections, and how statements travel over them |
//! | `watch`, `condition`, `signal` | opening, outages, what other instances do |
//! | `opening`, `schema` | whether it is the store that it was; the schema and its changes |
//! | `writer`, `line`, `batch`, `write`, `commit` | the tasks that commit; their connections; what a group comes to; its statements; one commit |
//! | `news` | the log of what was told |
//! | `document` | small things that are kept beside calls |
//! | `figures` | numbers about calls; what services count besides |
//! | `outbox`, `deliveries` | whom to tell; what is on its way |
//! | `published`, `unpublished` | the documents' table; what could not be written there at once |
//! | `linking`, `told` | telling tables of other programs how their calls went |
//! | `pool`, `rows`, `list`, `upkeep` | reading; rows and what they mean; lists; due times, deletion, retention |
//! | `moving` | what it takes to move a store and to rekey it |
//! | `fault`, `step` | what went wrong, and what follows from it; one statement with its values |

mod batch;
mod commit;
mod deliveries;
mod document;
mod fault;
mod figures;
mod line;
mod link;
mod linking;
mod list;
mod moving;
mod news;
mod opening;
mod options;
mod outbox;
mod pool;
mod published;
mod rows;
mod schema;
mod signal;
mod step;
mod tls;
mod told;
mod unpublished;
mod upkeep;
mod watch;
mod write;
mod writer;

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, broadcast},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use self::options::{PostgresOptions, Tls};
use self::{
    commit::EncodedCommit,
    condition::{Condition, State, closed},
    fault::Fault,
    link::{Db, Link},
    pool::{Kind, Pool},
    published::Publisher,
    step::{Step, Value},
    writer::Writers,
};
use super::{
    CallFilter, CallPage, Commit, Committed, Due, Loaded, Migrate, NewsPage, Retention, Signal, StoreError, StoreHealth, StoredCall,
    TimelineEntry, UnfoldedEvent, condition, pack::Packer, seldom::Seldom, steps::Steps, tombstone::TombstoneKey,
};
use crate::call::{id::CallId, time::Millis};

/// Records, events or bodies that one transaction of a purge takes, so that commits get their turn in between.
const PURGE_STEP: usize = 50;
/// Signals that a slow listener may be behind; one more, and it is told that it missed some.
const SIGNALS: usize = 4_096;
/// How long the start waits for the database; then the service starts without it, not ready.
const OPEN_PATIENCE: Duration = Duration::from_secs(8);
/// How long the tasks may take to end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(6);
/// How long a size once asked for is told again: the server has to look at every file.
const SIZE_AGE: Duration = Duration::from_mins(1);

/// The engine behind `postgres://…`. A cheap handle; when the last one is dropped, its tasks end.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    _tasks: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    link: Arc<Link>,
    pool: Pool,
    migrate: Migrate,
    packer: Packer,
    /// May tables of other programs be told?
    links: bool,
    condition: Condition,
    /// What is known once the database was reached, and as long as it is the same one.
    ready: RwLock<Option<Arc<Ready>>>,
    /// What it notes of the data keys.
    ring: Mutex<Option<Vec<u8>>>,
    signals: broadcast::Sender<Signal>,
    hears: AtomicBool,
    /// Told when something went wrong with a connection.
    trouble: Arc<Notify>,
    /// Told when there is something to tell other programs' tables.
    noted: Arc<Notify>,
    /// Told when there is something to publish later.
    unpublished: Arc<Notify>,
    closing: CancellationToken,
    tasks: TaskTracker,
    size: Mutex<Option<(Instant, u64)>>,
    seldom: Seldom,
}

#[derive(Debug)]
struct Ready {
    tombstones: TombstoneKey,
    publisher: Arc<Publisher>,
    writers: Writers,
}

impl Shared {
    fn know(&self, ready: Option<Ready>) {
        *self.ready.write().unwrap_or_else(PoisonError::into_inner) = ready.map(Arc::new);
    }

    fn known(&self) -> Option<Arc<Ready>> {
        self.ready.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ready(&self) -> Result<Arc<Ready>, StoreError> {
        self.condition.check()?;
        self.known().ok_or_else(|| StoreError::Unavailable("it is not open yet".to_owned()))
    }

    fn tell(&self, signal: Signal) {
        // Nobody may be listening.
        let _ = self.signals.send(signal);
    }

    fn hear(&self, hears: bool) {
        self.hears.store(hears, Ordering::Relaxed);
    }
}

impl PostgresStore {
    /// Reaches for the database and brings its schema up to date. If it does not answer, the store is made all the same, and opens by itself
    /// when it does.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the options can't be used, the server refuses us for good, or its schema is newer; [`StoreError::Behind`]
    /// when that is older and `migrate` says check.
    pub async fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let link = Arc::new(Link::new(options)?);
        let trouble = Arc::new(Notify::new());
        let closing = CancellationToken::new();
        let shared = Arc::new(Shared {
            pool: Pool::new(&link, options.max_connections, &trouble)?,
            link,
            migrate: options.migrate,
            links: options.links,
            packer: Packer::new(options.keys.clone()),
            condition: Condition::new(),
            ready: RwLock::default(),
            ring: Mutex::default(),
            signals: broadcast::Sender::new(SIGNALS),
            hears: AtomicBool::new(false),
            trouble,
            noted: Arc::default(),
            unpublished: Arc::default(),
            closing: closing.clone(),
            tasks: TaskTracker::new(),
            size: Mutex::default(),
            seldom: Seldom::default(),
        });
        shared.tasks.spawn(watch::run(Arc::clone(&shared)));
        shared.tasks.spawn(unpublished::run(Arc::clone(&shared)));
        if shared.links {
            shared.tasks.spawn(linking::run(Arc::clone(&shared)));
        }
        let store = Self { shared, _tasks: Arc::new(closing.drop_guard()) };
        match timeout(OPEN_PATIENCE, store.shared.condition.decided()).await {
            Ok(State::Unusable(why)) => Err(StoreError::Unusable(why)),
            Ok(State::Behind(why)) => Err(StoreError::Behind(why)),
            _ => Ok(store),
        }
    }

    /// What any instance does to calls, from now on.
    pub(super) fn signals(&self) -> broadcast::Receiver<Signal> {
        self.shared.signals.subscribe()
    }

    /// Do signals of other instances come through?
    pub(super) fn hears_all(&self) -> bool {
        self.shared.hears.load(Ordering::Relaxed)
    }

    pub(super) async fn opened(&self) {
        self.shared.condition.opened().await;
    }

    async fn run<T, F>(&self, kind: Kind, work: impl Fn(Arc<Db>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        self.shared.condition.check()?;
        Ok(self.shared.pool.run(kind, work).await?)
    }
}

impl PostgresStore {
    pub(super) async fn load(&self, id: &CallId) -> Result<Loaded, StoreError> {
        let hash = self.shared.ready()?.tombstones.hash(id);
        self.run(Kind::Lookup, async |db| rows::load(&db, id, &hash, &self.shared.packer).await).await
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let ready = self.shared.ready()?;
        ready.writers.submit(EncodedCommit::of(commit, &ready.tombstones, &self.shared.packer, self.shared.links)?).await
    }

    pub(super) async fn list(&self, filter: CallFilter) -> Result<CallPage, StoreError> {
        let filter = self.shared.packer.vault().hide_filter(filter);
        self.run(Kind::Scan, async |db| list::list(&db, &filter, &self.shared.packer).await).await
    }

    pub(super) async fn timeline(&self, id: &CallId, bodies: bool) -> Result<Vec<TimelineEntry>, StoreError> {
        self.run(Kind::Lookup, async |db| rows::timeline(&db, id, bodies, &self.shared.packer).await).await
    }

    pub(super) async fn lease_due(&self, now: Millis, until: Millis, limit: usize) -> Result<Vec<CallId>, StoreError> {
        self.run(Kind::Lookup, async |db| upkeep::lease_due(&db, now, until, limit).await).await
    }

    pub(super) async fn next_due(&self) -> Result<Option<Millis>, StoreError> {
        self.run(Kind::Lookup, async |db| upkeep::next_due(&db).await).await
    }

    pub(super) async fn set_due(&self, id: &CallId, due: Option<Due>) -> Result<(), StoreError> {
        let hash = self.shared.ready()?.tombstones.hash(id);
        self.run(Kind::Lookup, async |db| upkeep::set_due(&db, id, &hash, due).await).await
    }

    pub(super) async fn delete(&self, id: &CallId, at: Millis, always: bool) -> Result<bool, StoreError> {
        let hash = self.shared.ready()?.tombstones.hash(id);
        self.run(Kind::Lookup, async |db| upkeep::erase(&db, id, &hash, at, always).await).await
    }

    pub(super) async fn purge(&self, retention: Retention, limit: usize) -> Result<Vec<Arc<StoredCall>>, StoreError> {
        if let Some(before) = retention.bodies_before {
            while self.run(Kind::Scan, async |db| upkeep::drop_bodies(&db, before, PURGE_STEP).await).await? >= PURGE_STEP {}
        }
        let Some(before) = retention.records_before else { return Ok(Vec::new()) };
        let ready = self.shared.ready()?;
        let (mut gone, mut steps) = (Vec::new(), Steps::of(limit, PURGE_STEP));
        while let Some(step) = steps.next() {
            let rows = self.run(Kind::Scan, async |db| upkeep::purge_calls(&db, before, step, &ready.tombstones).await).await?;
            steps.took(rows.len());
            gone.extend(rows.into_iter().filter_map(|row| row.unpacked(&self.shared.packer).ok()));
        }
        while self.run(Kind::Scan, async |db| upkeep::purge_leftovers(&db, before, PURGE_STEP).await).await? >= PURGE_STEP {}
        self.run(Kind::Scan, async |db| figures::forget_tallies(&db, before.0).await).await?;
        Ok(gone)
    }

    pub(super) async fn purgeable(&self, retention: Retention, limit: usize) -> Result<Vec<Arc<StoredCall>>, StoreError> {
        let Some(before) = retention.records_before else {
            self.shared.condition.check()?;
            return Ok(Vec::new());
        };
        self.run(Kind::Scan, async |db| upkeep::calls_before(&db, before, limit, &self.shared.packer).await).await
    }

    pub(super) async fn news(&self, after: u64, call: Option<&CallId>, limit: usize) -> Result<NewsPage, StoreError> {
        self.run(Kind::Lookup, async |db| news::page(&db, after, call, limit).await).await
    }

    pub(super) async fn forget_news(&self, before: Millis, limit: usize) -> Result<usize, StoreError> {
        self.run(Kind::Scan, async |db| news::forget(&db, before, limit).await).await
    }

    pub(super) async fn unfolded(&self) -> Result<Vec<UnfoldedEvent>, StoreError> {
        self.run(Kind::Scan, async |db| rows::unfolded(&db, &self.shared.packer).await).await
    }

    /// Asks, and makes sure that somebody could write; after a failed write something is really written.
    pub(super) async fn health(&self) -> Result<StoreHealth, StoreError> {
        let ready = self.shared.ready()?;
        let writers = &ready.writers;
        writers.connected().await?;
        let (probes, size) = (writers.is_failing(), self.size().await?);
        self.run(Kind::Lookup, async |db| probe(&db, probes).await).await?;
        if probes {
            writers.succeeded();
        }
        let counts = self.shared.seldom.counts(self.run(Kind::Scan, async |db| upkeep::counts(&db).await)).await?;
        Ok(StoreHealth { size_bytes: size, ..counts.health() })
    }

    async fn size(&self) -> Result<u64, StoreError> {
        let known = *self.shared.size.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, size)) = known
            && at.elapsed() < SIZE_AGE
        {
            return Ok(size);
        }
        let size = self.run(Kind::Lookup, async |db| Ok(db.query_one(&Step::new(SIZE, Vec::new())).await?.try_get::<_, i64>(0)?)).await?;
        let size = size.cast_unsigned();
        *self.shared.size.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), size));
        Ok(size)
    }

    pub(super) async fn drop_oldest_bodies(&self, count: usize) -> Result<usize, StoreError> {
        let mut steps = Steps::of(count, PURGE_STEP);
        while let Some(step) = steps.next() {
            steps.took(self.run(Kind::Scan, async |db| upkeep::drop_bodies(&db, Millis(i64::MAX), step).await).await?);
        }
        Ok(steps.taken())
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        if !self.shared.condition.close() {
            return Err(closed());
        }
        let ended = timeout(CLOSE_PATIENCE, async {
            if let Some(ready) = self.shared.known() {
                ready.writers.close().await;
            }
            self.shared.closing.cancel();
            self.shared.pool.close();
            self.shared.tasks.close();
            self.shared.tasks.wait().await;
        });
        ended.await.map_err(|_elapsed| StoreError::Unavailable(format!("its tasks did not end within {CLOSE_PATIENCE:?}")))
    }
}

const SIZE: &str = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND (n.nspname = 'ringback' OR c.oid = to_regclass('public.vapi_call_results'))";
const READS_ONLY: &str = "SELECT current_setting('transaction_read_only') = 'on'";
/// What is written to see whether anything can be: as much as a webhook, and nothing that compresses.
const PROBE_UUIDS: usize = 8_192;
const PROBE: &str = "INSERT INTO ringback.meta (key, value) VALUES ('probe', $1) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value";

async fn probe(db: &Db, writes: bool) -> Result<(), Fault> {
    if db.query_one(&Step::new(READS_ONLY, Vec::new())).await?.try_get(0)? {
        return Err(Fault::Lost("the server only lets us read: it is a standby".to_owned()));
    }
    if writes {
        let noise: Vec<u8> = std::iter::repeat_with(|| uuid::Uuid::new_v4().into_bytes()).take(PROBE_UUIDS).flatten().collect();
        db.query(&Step::new(PROBE, vec![Value::bytes(&noise)])).await?;
    }
    Ok(())
}
