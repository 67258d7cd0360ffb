//! A store in one SQLite file.
//!
//! Design: callers encode, one thread writes, a few connections read, and another thread copies the log into the file. A file has one process
//! at a time (a lock beside it); only backups read along.
//!
//! | Module | What it does |
//! |---|---|
//! | `open`, `schema` | lock, file modes, settings; the schema and its changes |
//! | `writer`, `checkpoint` | the thread that commits whatever is queued; the thread that copies the log |
//! | `commit`, `standing`, `upkeep` | what is written: one commit; what stands there before; due times, deletion, retention |
//! | `news` | the log of what was told |
//! | `outbox`, `deliveries` | whom to tell; what is on its way |
//! | `document` | small things that are kept beside calls |
//! | `figures` | numbers about calls; what services count besides |
//! | `readers`, `rows`, `list` | the pool of connections that read; rows and what they mean; lists |
//! | `sieve` | what a search for words reads before it looks at texts |
//! | `backup`, `snapshot`, `moving` | a copy of a running store, to keep or to read; what it takes to move and to rekey one |

mod backup;
mod checkpoint;
mod commit;
mod deliveries;
mod document;
mod figures;
mod inspect;
mod list;
mod moving;
mod news;
mod open;
mod outbox;
mod readers;
mod rows;
mod schema;
mod sieve;
mod snapshot;
mod standing;
mod upkeep;
mod writer;

use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

pub use self::{
    backup::backup,
    inspect::{Inspection, inspect},
    snapshot::Snapshot,
};
use self::{
    commit::{APP, EncodedCommit, is_buried},
    readers::{Read, Readers},
    writer::Writer,
};
use super::{
    CallFilter, CallPage, Commit, Committed, DataKeys, Due, Loaded, Migrate, NewsPage, Retention, StoreError, StoreHealth, StoredCall,
    TimelineEntry, UnfoldedEvent, disk,
    pack::Packer,
    rows::{CallRow, call_id},
    seldom::{Counts, Seldom},
    steps::Steps,
    tally::HOUR,
    tombstone::TombstoneKey,
};
use crate::call::{id::CallId, time::Millis};

/// Bytes that small work writes, about.
const SMALL: usize = 8_192;
/// Records, events or bodies that one transaction of a purge takes, so that commits get their turn in between.
const PURGE_STEP: usize = 50;

/// Free pages that one transaction gives back to the disk.
const SHRINK_STEP: usize = 1_000;
/// Such transactions at a time: 200 MB.
const SHRINK_STEPS: usize = 50;
/// How long health waits for the writer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the store is, and how it is opened.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The file; made when it isn't there.
    pub path: PathBuf,
    /// Connections that read, at least one. The writer has its own.
    pub max_connections: usize,
    /// What to do about a schema that is behind.
    pub migrate: Migrate,
    /// Accept a file system that is gone with the container.
    pub ephemeral_ok: bool,
    /// What encrypts.
    pub keys: DataKeys,
}

/// The engine behind `sqlite:PATH`. A cheap handle.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    tombstones: TombstoneKey,
    packer: Arc<Packer>,
    writer: Writer,
    readers: Readers,
    seldom: Seldom,
    /// Who does what was left for later takes turns.
    tending: tokio::sync::Mutex<()>,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl SqliteStore {
    /// Opens the file, or makes it, and brings its schema up to date. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when another process has it, when it lies where it would be lost, when its schema is newer, or when it is
    /// damaged or can't be written; [`StoreError::Behind`] when its schema is older and `migrate` says check.
    pub fn open(options: &SqliteOptions) -> Result<Self, StoreError> {
        // Absolute, so that no name is taken for a URI; without links, so that two names of one file have one lock.
        let path = disk::resolved(&options.path).ok_or_else(|| StoreError::Unusable("the path of the store is empty".to_owned()))?;
        if !options.ephemeral_ok {
            open::refuse_forgetful(&path)?;
        }
        let lock = open::lock(&path)?;
        snapshot::sweep(&path)?;
        Self::open_locked(options, path, lock)
    }

    /// Opens a file that is ours already.
    fn open_locked(options: &SqliteOptions, path: PathBuf, lock: File) -> Result<Self, StoreError> {
        open::make_private(&path)?;
        let mut db = open::writer(&path)?;
        let packer = Arc::new(Packer::new(options.keys.clone()));
        // Whoever has the wrong keys changes nothing.
        moving::refuse_strangers(&db, &path, packer.vault())?;
        schema::prepare(&mut db, &path, options.migrate)?;
        let tombstones = schema::tombstone_key(&db, &path)?;
        moving::admit(&db, &path, packer.vault())?;
        upkeep::end_leases(&db)?;
        let readers = Readers::new(path.clone(), options.max_connections);
        let writer = Writer::start(db, &path, lock)?;
        let (seldom, tending) = (Seldom::default(), tokio::sync::Mutex::default());
        Ok(Self { shared: Arc::new(Shared { path, tombstones, packer, writer, readers, seldom, tending }) })
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.writer.submit(SMALL, work).await
    }

    /// Repeats work on at most [`PURGE_STEP`] things until less than that was left to do.
    async fn write_all(
        &self,
        step: impl Fn(&rusqlite::Connection) -> rusqlite::Result<usize> + Copy + Send + 'static,
    ) -> Result<(), StoreError> {
        while self.write(step).await? >= PURGE_STEP {}
        Ok(())
    }
}

impl SqliteStore {
    pub(super) async fn load(&self, id: &CallId) -> Result<Loaded, StoreError> {
        let (id, hash) = (id.clone(), self.shared.tombstones.hash(id));
        let packer = Arc::clone(&self.shared.packer);
        let load = move |db: &rusqlite::Connection| match CallRow::by_id(db, &id)? {
            Some(row) => Ok(Loaded::Found(row.unpacked(&packer)?)),
            None => Ok(if is_buried(db, &hash)? { Loaded::Deleted } else { Loaded::Missing }),
        };
        self.shared.readers.read(Read::Lookup, load).await
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let encoded = EncodedCommit::of(commit, &self.shared.tombstones, &self.shared.packer)?;
        self.shared.writer.submit(encoded.weight(), move |db| encoded.run(db)).await
    }

    pub(super) async fn list(&self, filter: CallFilter) -> Result<CallPage, StoreError> {
        let packer = Arc::clone(&self.shared.packer);
        let filter = packer.vault().hide_filter(filter);
        self.shared.readers.read(Read::Scan, move |db| list::list(db, &filter, &packer)).await
    }

    pub(super) async fn timeline(&self, id: &CallId, bodies: bool) -> Result<Vec<TimelineEntry>, StoreError> {
        let (id, packer) = (id.clone(), Arc::clone(&self.shared.packer));
        self.shared.readers.read(Read::Lookup, move |db| rows::timeline(db, &id, bodies, &packer)).await
    }

    pub(super) async fn lease_due(&self, now: Millis, until: Millis, limit: usize) -> Result<Vec<CallId>, StoreError> {
        let taken = self.write(move |db| upkeep::lease_due(db, now, until, limit)).await?;
        taken.iter().map(|id| call_id(id)).collect()
    }

    pub(super) async fn next_due(&self) -> Result<Option<Millis>, StoreError> {
        self.shared.readers.read(Read::Lookup, |db| Ok(upkeep::next_due(db)?)).await
    }

    pub(super) async fn set_due(&self, id: &CallId, due: Option<Due>) -> Result<(), StoreError> {
        let id = id.clone();
        self.write(move |db| upkeep::set_due(db, &id, due)).await
    }

    pub(super) async fn delete(&self, id: &CallId, at: Millis, always: bool) -> Result<bool, StoreError> {
        let (id, hash) = (id.clone(), self.shared.tombstones.hash(id));
        let erase = move |db: &rusqlite::Connection| {
            let told = news::told(db, &id)?;
            let known = upkeep::erase(db, id.as_str())?;
            if let Some(told) = told {
                news::add_erased(db, &id, told, at)?;
            }
            if known || always {
                upkeep::bury(db, &hash, at)?;
            }
            Ok(known)
        };
        self.shared.writer.submit_and_cut(erase).await
    }

    pub(super) async fn purge(&self, retention: Retention, limit: usize) -> Result<Vec<Arc<StoredCall>>, StoreError> {
        if let Some(before) = retention.bodies_before {
            self.write_all(move |db| upkeep::drop_bodies(db, before, PURGE_STEP)).await?;
        }
        let Some(before) = retention.records_before else { return Ok(Vec::new()) };
        let (mut gone, mut steps) = (Vec::new(), Steps::of(limit, PURGE_STEP));
        while let Some(step) = steps.next() {
            let rows = self.write(move |db| upkeep::purge_calls(db, before, step)).await?;
            steps.took(rows.len());
            gone.extend(rows.into_iter().filter_map(|row| row.unpacked(&self.shared.packer).ok()));
        }
        self.write_all(move |db| upkeep::purge_leftovers(db, before, PURGE_STEP)).await?;
        self.purge_tallies(before.0.div_euclid(HOUR)).await?;
        Ok(gone)
    }

    pub(super) async fn purgeable(&self, retention: Retention, limit: usize) -> Result<Vec<Arc<StoredCall>>, StoreError> {
        let Some(before) = retention.records_before else { return Ok(Vec::new()) };
        let packer = Arc::clone(&self.shared.packer);
        let find = move |db: &rusqlite::Connection| {
            upkeep::calls_before(db, before, limit)?.into_iter().map(|row| row.unpacked(&packer)).collect()
        };
        self.shared.readers.read(Read::Scan, find).await
    }

    pub(super) async fn news(&self, after: u64, call: Option<&CallId>, limit: usize) -> Result<NewsPage, StoreError> {
        let call = call.cloned();
        self.shared.readers.read(Read::Lookup, move |db| news::page(db, after, call.as_ref(), limit)).await
    }

    pub(super) async fn forget_news(&self, before: Millis, limit: usize) -> Result<usize, StoreError> {
        let mut steps = Steps::of(limit, PURGE_STEP);
        while let Some(step) = steps.next() {
            // The ids of erased calls stand there, too: they are to leave the files.
            steps.took(self.shared.writer.submit_and_cut(move |db| news::forget(db, before, step)).await?);
        }
        Ok(steps.taken())
    }

    pub(super) async fn unfolded(&self) -> Result<Vec<UnfoldedEvent>, StoreError> {
        let packer = Arc::clone(&self.shared.packer);
        self.shared.readers.read(Read::Scan, move |db| rows::unfolded(db, APP, &packer)).await
    }

    /// Goes through the writer. As long as writing works an empty transaction is proof enough; after a failure something is really written.
    pub(super) async fn health(&self) -> Result<StoreHealth, StoreError> {
        let failing = self.shared.writer.is_failing();
        let probe = move |db: &rusqlite::Connection| {
            if failing.load(Ordering::Relaxed) {
                upkeep::probe(db)?;
            }
            Ok(())
        };
        let slow = |_elapsed| StoreError::Unavailable(format!("the writer gave no sign of life within {PROBE_TIMEOUT:?}"));
        tokio::time::timeout(PROBE_TIMEOUT, self.write(probe)).await.map_err(slow)??;
        // Not in the writer: webhooks would wait for it.
        let count = self.shared.readers.read(Read::Scan, |db| Ok(Counts { due: upkeep::waiting(db)?, push: deliveries::counts(db)? }));
        let counts = self.shared.seldom.counts(count).await?;
        let size = |suffix| std::fs::metadata(open::beside(&self.shared.path, suffix)).map_or(0, |file| file.len());
        let room = disk::room(&self.shared.path);
        Ok(StoreHealth {
            size_bytes: size("") + size("-wal"),
            free_bytes: room.map(|(free, _)| free),
            disk_bytes: room.map(|(_, all)| all),
            ..counts.health()
        })
    }

    pub(super) async fn drop_oldest_bodies(&self, count: usize) -> Result<usize, StoreError> {
        let mut steps = Steps::of(count, PURGE_STEP);
        while let Some(step) = steps.next() {
            steps.took(self.write(move |db| upkeep::drop_bodies(db, Millis(i64::MAX), step)).await?);
        }
        for _ in 0..SHRINK_STEPS {
            if self.shared.writer.submit_and_cut(|db| upkeep::shrink(db, SHRINK_STEP)).await? < SHRINK_STEP {
                break;
            }
        }
        Ok(steps.taken())
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        self.shared.readers.close();
        self.shared.writer.close().await
    }
}
