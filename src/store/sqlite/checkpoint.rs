//! Copying the write-ahead log into the file, beside the writer.
//!
//! Design: after every few megabytes the writer nudges a thread that runs passive checkpoints on a connection of its own; those never make
//! the writer wait. While the writer never pauses the log can't start over, so when it has grown long the thread copies until little is left
//! and then stands back; the writer copies that and starts the log over. Only one of the two copies at a time: whoever holds the turn.
//!
//! After something was erased the log is cut to nothing, since it still holds the old bytes; likewise when the disk is short. A reader in the middle of a long list prevents
//! that for a while; then it is tried again until it works.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::open::{self, BUSY_TIMEOUT};
use crate::store::StoreError;

/// Bytes written between two nudges.
const NUDGE_BYTES: usize = 4 * 1_048_576;
/// Pages in a log that the writer itself starts over: 64 MB.
const LONG: i64 = 16_384;
/// Pages that the writer may be left with when it starts the log over: everybody waits meanwhile.
const FEW: i64 = 256;
/// How often the thread tries to leave only [`FEW`], while the writer goes on writing.
const MOST_PASSES: usize = 8;
/// How long the writer waits for readers to leave the log.
const READERS_TIMEOUT: Duration = Duration::from_millis(20);
/// Time between two attempts while readers are in the way: a backup may take minutes.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What writer and thread share.
#[derive(Default)]
struct Shared {
    /// Whoever holds it may run a checkpoint: SQLite would refuse a second one at once.
    turn: Mutex<()>,
    /// The log is long, and the thread has left little of it to copy.
    is_handed_over: AtomicBool,
}

/// The writer's side.
pub(super) struct Log {
    shared: Arc<Shared>,
    since_nudge: usize,
    nudge: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// The last attempt that readers prevented.
    prevented: Option<Instant>,
    to_be_cut: bool,
}

impl Log {
    /// Starts the thread.
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let (nudge, nudges) = sync_channel(1);
        let shared = Arc::<Shared>::default();
        let copier = Arc::clone(&shared);
        let db = open::checkpointer(path)?;
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || copier.copy(&db, &nudges))
            .map_err(|error| StoreError::Unavailable(format!("no thread for checkpoints: {error}")))?;
        Ok(Self { shared, since_nudge: 0, nudge: Some(nudge), thread: Some(thread), prevented: None, to_be_cut: false })
    }

    /// Tells that about so many bytes more are in the log.
    pub(super) fn written(&mut self, db: &Connection, bytes: usize) {
        self.since_nudge += bytes;
        if self.since_nudge < NUDGE_BYTES && !self.shared.is_handed_over.load(Ordering::Acquire) {
            return;
        }
        let is_mine = self.shared.is_handed_over.load(Ordering::Acquire);
        let thread = self.nudge.as_ref().filter(|_| !is_mine);
        let nudged = thread.map_or(Err(TrySendError::Disconnected(())), |thread| thread.try_send(()));
        match nudged {
            Ok(()) => self.since_nudge = 0,
            // It is still at work.
            Err(TrySendError::Full(())) => {}
            // It has done its part, or it has crashed: then all of it is the writer's.
            Err(TrySendError::Disconnected(())) => self.start_over_in_turn(db),
        }
    }

    fn start_over_in_turn(&mut self, db: &Connection) {
        let shared = Arc::clone(&self.shared);
        // Not while the thread is at it: that would only wait.
        if let Some(_turn) = free(&shared.turn)
            && !self.is_prevented()
        {
            self.start_over(db, "RESTART");
        }
    }

    /// Cuts the log, now or as soon as no reader is in the way: something was erased that is still in it, or the disk is short.
    pub(super) fn cut_soon(&mut self, db: &Connection) {
        self.to_be_cut = true;
        self.prevented = None;
        self.cut(db);
    }

    /// Tries again to cut the log if that was prevented; true when nothing is left to do.
    pub(super) fn cut_if_wanted(&mut self, db: &Connection) -> bool {
        if self.to_be_cut {
            self.cut(db);
        }
        !self.to_be_cut
    }

    /// Copies the whole log and cuts it to nothing, when the thread is done with what it is copying.
    pub(super) fn cut(&mut self, db: &Connection) {
        if self.is_prevented() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let _turn = held(&shared.turn);
        self.start_over(db, "TRUNCATE");
    }

    /// Was a reader in the way a moment ago?
    fn is_prevented(&self) -> bool {
        self.prevented.is_some_and(|at| at.elapsed() < TRY_AGAIN)
    }

    fn start_over(&mut self, db: &Connection, mode: &str) {
        match checkpoint(db, mode) {
            Ok(true) => {
                (self.prevented, self.since_nudge) = (None, 0);
                self.to_be_cut &= mode != "TRUNCATE";
                self.shared.is_handed_over.store(false, Ordering::Release);
            }
            Ok(false) => self.prevented = Some(Instant::now()),
            Err(error) => {
                self.prevented = Some(Instant::now());
                tracing::warn!(%error, "the log can't be copied into the file; it is kept and tried again");
            }
        }
    }

    /// Ends the thread.
    pub(super) fn finish(&mut self) {
        self.nudge = None;
        if let Some(thread) = self.thread.take() {
            // A crash there was told by the panic hook; the writer copies the log once more.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Copies at every nudge, as long as the writer is there.
    fn copy(&self, db: &Connection, nudges: &Receiver<()>) {
        while nudges.recv().is_ok() {
            let _turn = held(&self.turn);
            if self.is_handed_over.load(Ordering::Acquire) {
                continue;
            }
            if let Err(error) = self.pass(db) {
                tracing::warn!(%error, "a checkpoint failed; the log is kept and tried again");
            }
        }
    }

    /// Copies once; a long log until little is left.
    fn pass(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut log = passive(db)?;
        if log.pages <= LONG {
            return Ok(());
        }
        for _ in 0..MOST_PASSES {
            let before = log.copied;
            log = passive(db)?;
            if log.copied - before <= FEW {
                break;
            }
        }
        self.is_handed_over.store(true, Ordering::Release);
        Ok(())
    }
}

/// The log after a passive checkpoint, in pages.
struct Copied {
    pages: i64,
    /// Of them, those that are in the file.
    copied: i64,
}

fn passive(db: &Connection) -> rusqlite::Result<Copied> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok(Copied { pages: row.get(1)?, copied: row.get(2)? }))
}

fn held(turn: &Mutex<()>) -> MutexGuard<'_, ()> {
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

fn free(turn: &Mutex<()>) -> Option<MutexGuard<'_, ()>> {
    match turn.try_lock() {
        Ok(turn) => Some(turn),
        Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Copies the whole log into the file and lets it start over; false when somebody still reads from it.
fn checkpoint(db: &Connection, mode: &str) -> rusqlite::Result<bool> {
    db.busy_timeout(READERS_TIMEOUT)?;
    let over = db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0);
    db.busy_timeout(BUSY_TIMEOUT)?;
    over
}

/// The last checkpoint before the file is closed.
pub(super) fn last(db: &Connection) -> rusqlite::Result<()> {
    checkpoint(db, "TRUNCATE").map(|_| ())
}
