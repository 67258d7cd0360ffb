//! A store in a Redis, shared by any number of equal instances.
//!
//! Design: callers encode; two tasks commit, each whatever is queued, in one script call; a few connections read. What belongs together is one
//! script (a commit: events, record, due time, lists, signal), so it happens together or not at all. One more task knows whether the server can
//! be asked at all and hears what other instances do. The server may be away at the start, go and come back: verbs then fail at once until it
//! answers again. A server that does not keep what it acknowledges is refused.
//!
//! | Module | What it does |
//! |---|---|
//! | `options`, `link` | where the server is; connections |
//! | `server` | whether calls may be entrusted to it; schema |
//! | `watch`, `signal` | opening, outages, what other instances do |
//! | `keys`, `scripts` | how keys are named and lists sorted; the Lua scripts |
//! | `writer`, `commit` | the tasks that commit; one commit |
//! | `news` | the log of what was told |
//! | `outbox`, `deliveries` | whom to tell; what is on its way |
//! | `document` | small things that are kept beside calls |
//! | `figures` | numbers about calls; what services count besides |
//! | `rows`, `list`, `upkeep` | hashes and what they mean; lists; due times, deletion, retention |
//! | `moving` | what it takes to move a store and to rekey it |
//! | `fault` | what went wrong, and what follows from it |

mod commit;
mod deliveries;
mod document;
mod fault;
mod figures;
mod keys;
mod link;
mod list;
mod moving;
mod news;
mod options;
mod outbox;
mod rows;
mod scripts;
mod server;
mod signal;
mod upkeep;
mod watch;
mod writer;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, broadcast},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use self::options::RedisOptions;
use self::{
    commit::EncodedCommit,
    fault::Fault,
    keys::key,
    link::{Db, Kind, Lines, Link},
    options::Door,
    scripts::Scripts,
    server::Traits,
    writer::Writers,
};
use super::{
    CallFilter, CallPage, Commit, Committed, Due, Loaded, Migrate, NewsPage, Retention, Signal, StoreError, StoreHealth, StoredCall,
    TimelineEntry, UnfoldedEvent,
    condition::{Condition, State, closed},
    pack::Packer,
    steps::Steps,
    tombstone::TombstoneKey,
};
use crate::call::{id::CallId, time::Millis};

/// Records, events or bodies that one script call of a purge takes, so that commits get their turn in between.
const PURGE_STEP: usize = 50;
/// Signals that a slow listener may be behind; one more, and it is told that it missed some.
const SIGNALS: usize = 4_096;
/// How long the start waits for the server; then the service starts without it, not ready.
const OPEN_PATIENCE: Duration = Duration::from_secs(8);
/// How long the tasks may take to end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(6);

/// Deliveries that are pending, and that were given up.
type Counts = (Option<u64>, Option<u64>);

/// The engine behind `redis://…`. A cheap handle; when the last one is dropped, its tasks end.
#[derive(Debug, Clone)]
pub struct RedisStore {
    shared: Arc<Shared>,
    _tasks: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    link: Arc<Link>,
    lines: Lines,
    scripts: Arc<Scripts>,
    migrate: Migrate,
    ephemeral_ok: bool,
    packer: Packer,
    condition: Condition,
    /// What is known once the server was reached.
    ready: OnceLock<Ready>,
    signals: broadcast::Sender<Signal>,
    hears: AtomicBool,
    closing: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Ready {
    tombstones: TombstoneKey,
    writers: Writers,
}

impl Shared {
    /// Finds out whether the server can be used, brings the schema up to date, and the first time learns what it needs to know.
    async fn prepare(&self, db: &mut Db) -> Result<(), Fault> {
        let known = self.ready.get();
        server::inspect(db, self.ephemeral_ok, known.is_none()).await?;
        let prepared = server::prepare(db, self.migrate, known.map(|ready| &ready.tombstones)).await;
        let tombstones = prepared.map_err(|fault| match fault {
            // When we start that is a matter for the operator; later, the server may recover.
            Fault::Refused(why) if known.is_none() => Fault::Unusable(format!(
                "the server refuses writes, or the user of the URL may not ({why}): give it room, or them the right"
            )),
            fault => fault,
        })?;
        moving::admit(db, &self.scripts, self.packer.vault()).await?;
        if known.is_none() {
            let _ = self.ready.set(Ready { tombstones, writers: Writers::start(&self.link, &self.scripts) });
        }
        Ok(())
    }

    fn ready(&self) -> Result<&Ready, StoreError> {
        self.condition.check()?;
        self.ready.get().ok_or_else(|| StoreError::Unavailable("it is not open yet".to_owned()))
    }

    fn tell(&self, signal: Signal) {
        // Nobody may be listening.
        let _ = self.signals.send(signal);
    }

    fn hear(&self, hears: bool) {
        self.hears.store(hears, Ordering::Relaxed);
    }
}

impl RedisStore {
    /// Reaches for the server and finds out whether calls may be entrusted to it. If it does not answer, the store is made all the same, and
    /// opens by itself when it does.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the options can't be used, the server refuses us or to be written, is a replica, evicts, may lose what
    /// it acknowledged and that was not accepted, or holds a newer schema; [`StoreError::Behind`] when it holds an older one and `migrate` says
    /// check.
    pub async fn open(options: &RedisOptions) -> Result<Self, StoreError> {
        let door = Door::new(options)?;
        let scripts = Arc::new(Scripts::new(door.db));
        let link = Arc::new(Link { door, trouble: Arc::new(Notify::new()) });
        let closing = CancellationToken::new();
        let shared = Arc::new(Shared {
            lines: Lines::new(&link, options.max_connections),
            link,
            scripts,
            migrate: options.migrate,
            ephemeral_ok: options.ephemeral_ok,
            packer: Packer::new(options.keys.clone()),
            condition: Condition::new(),
            ready: OnceLock::new(),
            signals: broadcast::Sender::new(SIGNALS),
            hears: AtomicBool::new(false),
            closing: closing.clone(),
            tasks: TaskTracker::new(),
        });
        shared.tasks.spawn(watch::run(Arc::clone(&shared)));
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

    /// The connections, if the server can be asked right now.
    fn lines(&self) -> Result<&Lines, StoreError> {
        self.shared.condition.check()?;
        Ok(&self.shared.lines)
    }
}

impl RedisStore {
    pub(super) async fn load(&self, id: &CallId) -> Result<Loaded, StoreError> {
        let hash = self.shared.ready()?.tombstones.hash(id);
        Ok(rows::load(self.lines()?, id, &hash, &self.shared.packer).await?)
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let ready = self.shared.ready()?;
        ready.writers.submit(EncodedCommit::of(commit, &ready.tombstones, &self.shared.packer)?).await
    }

    pub(super) async fn list(&self, filter: CallFilter) -> Result<CallPage, StoreError> {
        let lines = self.lines()?;
        Ok(list::list(lines, &self.shared.packer.vault().hide_filter(filter), &self.shared.packer).await?)
    }

    pub(super) async fn timeline(&self, id: &CallId, bodies: bool) -> Result<Vec<TimelineEntry>, StoreError> {
        Ok(rows::timeline(self.lines()?, id, bodies, &self.shared.packer).await?)
    }

    pub(super) async fn lease_due(&self, now: Millis, until: Millis, limit: usize) -> Result<Vec<CallId>, StoreError> {
        Ok(upkeep::lease_due(self.lines()?, &self.shared.scripts, (now, until), limit).await?)
    }

    pub(super) async fn next_due(&self) -> Result<Option<Millis>, StoreError> {
        Ok(upkeep::next_due(self.lines()?).await?)
    }

    pub(super) async fn set_due(&self, id: &CallId, due: Option<Due>) -> Result<(), StoreError> {
        Ok(upkeep::set_due(self.lines()?, &self.shared.scripts, id, due).await?)
    }

    pub(super) async fn delete(&self, id: &CallId, at: Millis, always: bool) -> Result<bool, StoreError> {
        let hash = self.shared.ready()?.tombstones.hash(id);
        Ok(upkeep::erase(self.lines()?, &self.shared.scripts, id, (&hash, at, always)).await?)
    }

    pub(super) async fn purge(&self, retention: Retention, limit: usize) -> Result<Vec<Arc<StoredCall>>, StoreError> {
        let (lines, scripts) = (self.lines()?, &self.shared.scripts);
        if let Some(before) = retention.bodies_before {
            while upkeep::drop_bodies(lines, scripts, Some(before), PURGE_STEP).await? >= PURGE_STEP {}
        }
        let Some(before) = retention.records_before else { return Ok(Vec::new()) };
        let (mut gone, mut steps) = (Vec::new(), Steps::of(limit, PURGE_STEP));
        while let Some(step) = steps.next() {
            let (count, calls) = upkeep::purge_calls(lines, scripts, (before, step), &self.shared.packer).await?;
            steps.took(count);
            gone.extend(calls);
        }
        while upkeep::purge_leftovers(lines, scripts, before, PURGE_STEP).await? >= PURGE_STEP {}
        figures::forget_tallies(lines, before).await?;
        Ok(gone)
    }

    pub(super) async fn purgeable(&self, retention: Retention, limit: usize) -> Result<Vec<Arc<StoredCall>>, StoreError> {
        let lines = self.lines()?;
        let Some(before) = retention.records_before else { return Ok(Vec::new()) };
        Ok(upkeep::calls_before(lines, before, limit, &self.shared.packer).await?)
    }

    pub(super) async fn news(&self, after: u64, call: Option<&CallId>, limit: usize) -> Result<NewsPage, StoreError> {
        Ok(news::page(self.lines()?, after, call, limit).await?)
    }

    pub(super) async fn forget_news(&self, before: Millis, limit: usize) -> Result<usize, StoreError> {
        let lines = self.lines()?;
        let mut steps = Steps::of(limit, PURGE_STEP);
        while let Some(step) = steps.next() {
            steps.took(news::forget(lines, &self.shared.scripts, before, step).await?);
        }
        Ok(steps.taken())
    }

    pub(super) async fn unfolded(&self) -> Result<Vec<UnfoldedEvent>, StoreError> {
        Ok(rows::unfolded(self.lines()?, &self.shared.packer).await?)
    }

    /// Asks; after a failed write something is really written. With `maxmemory` set, that is the room there is.
    pub(super) async fn health(&self) -> Result<StoreHealth, StoreError> {
        let ready = self.shared.ready()?;
        if ready.writers.is_failing() {
            self.shared.lines.ask(Kind::Lookup, |mut db| async move { server::probe(&mut db).await }).await?;
        }
        let memory = match self.shared.lines.one::<String>(Kind::Lookup, redis::cmd("INFO").arg("memory")).await {
            Err(Fault::Refused(_)) => String::new(),
            told => told?,
        };
        let mut words = redis::pipe();
        words.cmd("ZCARD").arg(key("waiting"));
        words.cmd("ZRANGE").arg(key("waiting")).arg(0).arg(0).arg("WITHSCORES");
        words.cmd("HMGET").arg(key("outbox")).arg(&["pending", "dead"][..]);
        let (pending, first, push): (u64, Vec<(String, i64)>, Counts) = self.shared.lines.all(Kind::Lookup, &words).await?;
        let memory = Traits::read(&memory);
        let used = memory.number("used_memory").unwrap_or_default();
        let most = memory.number("maxmemory").filter(|most| *most > 0);
        Ok(StoreHealth {
            size_bytes: used,
            free_bytes: most.map(|most| most.saturating_sub(used)),
            disk_bytes: most,
            pending,
            oldest_due: first.first().map(|(_, at)| Millis(*at)),
            push_pending: push.0.unwrap_or_default(),
            push_dead: push.1.unwrap_or_default(),
        })
    }

    pub(super) async fn drop_oldest_bodies(&self, count: usize) -> Result<usize, StoreError> {
        let lines = self.lines()?;
        let mut steps = Steps::of(count, PURGE_STEP);
        while let Some(step) = steps.next() {
            steps.took(upkeep::drop_bodies(lines, &self.shared.scripts, None, step).await?);
        }
        Ok(steps.taken())
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        if !self.shared.condition.close() {
            return Err(closed());
        }
        let ended = timeout(CLOSE_PATIENCE, async {
            if let Some(ready) = self.shared.ready.get() {
                ready.writers.close().await;
            }
            self.shared.closing.cancel();
            self.shared.tasks.close();
            self.shared.tasks.wait().await;
        });
        ended.await.map_err(|_elapsed| StoreError::Unavailable(format!("its tasks did not end within {CLOSE_PATIENCE:?}")))
    }
}
