//! Copying the write-ahead log into the file, beside the writer.
//!
//! Design: after every few megabytes the writer nudges a thread that runs passive checkpoints on a connection of its own; those never make
//! the writer wait. While the writer never pauses the log can't start over, so when it has grown long the thread stands back and the writer
//! cuts it. Only one of the two copies at a time: whoever holds [`Turn`].
//!
//! After something was erased the log is cut as well, since it still holds the old bytes. A reader in the middle of a long list prevents that
//! for a while; then it is tried again until it works.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::open::{self, BUSY_TIMEOUT, log_path};
use crate::store::StoreError;

/// Bytes written between two nudges.
const NUDGE_BYTES: usize = 4 * 1_048_576;
/// A log longer than this, in bytes, is cut by the writer itself.
const LOG_LIMIT: u64 = 128 * 1_048_576;
/// How long the writer waits for readers when it cuts the log.
const CUT_TIMEOUT: Duration = Duration::from_millis(20);
/// Time between two attempts to cut the log while readers are in the way.
pub(super) const CUT_AGAIN: Duration = Duration::from_millis(100);

/// Whoever holds it may run a checkpoint: SQLite would refuse the second one at once.
type Turn = Arc<Mutex<()>>;

/// The writer's side.
pub(super) struct Log {
    path: PathBuf,
    turn: Turn,
    since_nudge: usize,
    nudge: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// The last attempt to cut that readers prevented.
    prevented: Option<Instant>,
    holds_erased: bool,
}

impl Log {
    /// Starts the thread.
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let (nudge, nudges) = sync_channel(1);
        let (database, turn) = (path.to_owned(), Turn::default());
        let copier_turn = Arc::clone(&turn);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || copy(&database, &copier_turn, &nudges))
            .map_err(|error| StoreError::Unavailable(format!("no thread for checkpoints: {error}")))?;
        let path = log_path(path);
        Ok(Self { path, turn, since_nudge: 0, nudge: Some(nudge), thread: Some(thread), prevented: None, holds_erased: false })
    }

    /// Tells that about so many bytes more are in the log.
    pub(super) fn written(&mut self, db: &Connection, bytes: usize) {
        self.since_nudge += bytes;
        if self.since_nudge < NUDGE_BYTES {
            return;
        }
        if is_long(&self.path) {
            // Not while the thread is at it: that would only wait.
            let turn = Arc::clone(&self.turn);
            if let Some(_turn) = free(&turn) {
                self.cut(db);
            }
        } else if self.nudge.as_ref().is_some_and(|nudge| nudge.try_send(()).is_ok()) {
            self.since_nudge = 0;
        }
    }

    /// Cuts the log because something was erased that is still in it.
    pub(super) fn forget_erased(&mut self, db: &Connection) {
        self.holds_erased = true;
        self.prevented = None;
        self.cut_when_free(db);
    }

    /// Is something erased still in the log?
    pub(super) fn holds_erased(&self) -> bool {
        self.holds_erased
    }

    /// Copies the whole log and cuts it to nothing, when the thread is done with what it is copying.
    pub(super) fn cut_when_free(&mut self, db: &Connection) {
        let turn = Arc::clone(&self.turn);
        let _turn = held(&turn);
        self.cut(db);
    }

    fn cut(&mut self, db: &Connection) {
        if self.prevented.is_some_and(|at| at.elapsed() < CUT_AGAIN) {
            return;
        }
        match truncate(db) {
            Ok(true) => (self.prevented, self.holds_erased, self.since_nudge) = (None, false, 0),
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

fn copy(path: &Path, turn: &Turn, nudges: &Receiver<()>) {
    let db = match open::checkpointer(path) {
        Ok(db) => db,
        Err(error) => return tracing::error!(%error, "no connection for checkpoints: the writer runs them"),
    };
    let log = log_path(path);
    while nudges.recv().is_ok() {
        let _turn = held(turn);
        if !is_long(&log)
            && let Err(error) = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        {
            tracing::warn!(%error, "a checkpoint failed; the log is kept and tried again");
        }
    }
}

fn is_long(log: &Path) -> bool {
    fs::metadata(log).is_ok_and(|log| log.len() > LOG_LIMIT)
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

/// Copies the whole log into the file and cuts it to nothing; false when somebody still reads from it.
pub(super) fn truncate(db: &Connection) -> rusqlite::Result<bool> {
    db.busy_timeout(CUT_TIMEOUT)?;
    let cut = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0);
    db.busy_timeout(BUSY_TIMEOUT)?;
    cut
}
