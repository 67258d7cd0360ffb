//! The one thread that writes.
//!
//! Properties wanted:
//! - Work is answered after it is durable (`synchronous=FULL`: COMMIT returns after the log's fsync).
//! - One fsync serves everything that queued up during the last one: work is run in the order it came, in one transaction.
//! - If SQLite fails, or work panics, nothing of the group happened and everyone in it is told so. The next group tries afresh.
//! - Work once queued is done, whether or not somebody still waits for the answer; so whoever waits is told how it ended, however long that
//!   takes. An answer of "late" would leave open whether it happened, and memory would go on showing what was before.
//!
//! Work decides before it writes, so that a refusal (repeat, conflict, deleted) needs nothing undone and harms nobody in its group.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    oneshot,
};

use super::checkpoint::{self, Log};
use crate::store::StoreError;

/// Pieces of work that can wait for the writer.
const QUEUE: usize = 1_024;
/// Pieces of work in one transaction, at most.
const GROUP: usize = 256;
/// Bytes written by one transaction, about, at most.
const GROUP_BYTES: usize = 8 * 1_048_576;
/// While several commit at once the writer waits for more of them half as long as the last commit took, and no longer than this: fewer and larger
/// groups cost less of the disk and of the processor. Who commits alone never waits.
const MOST_LINGER: Duration = Duration::from_millis(1);
/// How often work is looked for while erased bytes wait for a reader to leave the log.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long a place in the queue is waited for. It bounds what gathers before a disk that is stuck.
const PATIENCE: Duration = Duration::from_secs(15);

/// Something to do inside a transaction. `run` may run once only; `answer` comes after the commit, or after everything was rolled back.
trait Work: Send {
    fn weight(&self) -> usize;
    fn cuts_log(&self) -> bool;
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, outcome: Result<(), &str>);
}

/// Work as a function, and who waits for what it returns.
struct Task<F, T> {
    weight: usize,
    cuts_log: bool,
    work: Option<F>,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Work for Task<F, T> {
    fn weight(&self) -> usize {
        self.weight
    }

    fn cuts_log(&self) -> bool {
        self.cuts_log
    }

    fn run(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(db)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), &str>) {
        let answer = match (outcome, self.result) {
            (Ok(()), Some(result)) => Ok(result),
            (Err(error), _) => Err(StoreError::Unavailable(error.to_owned())),
            (Ok(()), None) => Err(StoreError::Unavailable("the work was not run".to_owned())),
        };
        // Nobody waits any more: the work is done all the same.
        let _ = self.reply.send(answer);
    }
}

/// The way to the writer. Dropped or closed, the thread finishes what is queued and ends.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Work>>>>,
    thread: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
    failing: Arc<AtomicBool>,
}

impl std::fmt::Debug for dyn Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".to_owned())
}

impl Writer {
    /// Starts the thread. It holds `lock` until it ends.
    pub(super) fn start(db: Connection, path: &Path, lock: File) -> Result<Self, StoreError> {
        let (queue, work) = mpsc::channel(QUEUE);
        let failing = Arc::new(AtomicBool::new(false));
        let log = Log::start(path)?;
        let state = Thread { db, log, failing: Arc::clone(&failing), _lock: lock };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || state.run(work))
            .map_err(|error| StoreError::Unavailable(format!("no thread for the writer: {error}")))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), failing })
    }

    /// Did the last group fail?
    pub(super) fn is_failing(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.failing)
    }

    /// Does something in a transaction and returns when that is durable. `weight`: about how many bytes it writes.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue(Box::new(Task { weight, cuts_log: false, work: Some(work), result: None, reply }), answer).await
    }

    /// The same for work that erases or makes room: the log is cut before the answer, unless a reader prevents it; then soon after.
    pub(super) async fn submit_and_cut<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue(Box::new(Task { weight: 0, cuts_log: true, work: Some(work), result: None, reply }), answer).await
    }

    async fn queue<T>(&self, task: Box<dyn Work>, answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        let queued = tokio::time::timeout(PATIENCE, queue.send(task)).await;
        drop(queue);
        let full = |_elapsed| StoreError::Unavailable(format!("no place in the writer's queue within {PATIENCE:?}"));
        queued.map_err(full)?.ok().ok_or_else(closed)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the writer has stopped".to_owned())))
    }

    /// Finishes what is queued, copies the log into the file and ends the thread.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(closed)?;
        let crashed = || StoreError::Unavailable("the writer crashed".to_owned());
        tokio::task::spawn_blocking(move || thread.join()).await.ok().and_then(Result::ok).ok_or_else(crashed)?
    }
}

struct Thread {
    db: Connection,
    log: Log,
    failing: Arc<AtomicBool>,
    _lock: File,
}

impl Thread {
    fn run(mut self, mut work: mpsc::Receiver<Box<dyn Work>>) -> Result<(), StoreError> {
        let mut group = Vec::with_capacity(GROUP);
        let mut linger = Duration::ZERO;
        while let Some(first) = self.next(&mut work) {
            if !linger.is_zero() {
                std::thread::sleep(linger);
            }
            let begun = Instant::now();
            let mut bytes = first.weight();
            group.push(first);
            while group.len() < GROUP
                && bytes < GROUP_BYTES
                && let Ok(more) = work.try_recv()
            {
                bytes += more.weight();
                group.push(more);
            }
            let is_alone = group.len() == 1;
            self.commit(&mut group);
            linger = if is_alone { Duration::ZERO } else { (begun.elapsed() / 2).min(MOST_LINGER) };
            self.log.written(&self.db, bytes);
        }
        self.log.finish();
        checkpoint::last(&self.db).map_err(StoreError::from)
    }

    fn next(&mut self, work: &mut mpsc::Receiver<Box<dyn Work>>) -> Option<Box<dyn Work>> {
        while !self.log.cut_if_wanted(&self.db) {
            match work.try_recv() {
                Ok(next) => return Some(next),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => std::thread::sleep(LOOK_AGAIN),
            }
        }
        work.blocking_recv()
    }

    fn commit(&mut self, group: &mut Vec<Box<dyn Work>>) {
        // Unwinding rolls the transaction back, and work that was run is not run again.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.transact(group).map_err(|error| error.to_string())))
            .unwrap_or_else(|_told_by_the_hook| Err("work on the store panicked".to_owned()));
        let was_failing = self.failing.swap(outcome.is_err(), Ordering::Relaxed);
        match &outcome {
            Err(error) if !was_failing => tracing::error!(%error, "the store can't write; what was asked of it is refused"),
            Ok(()) if was_failing => tracing::info!("the store can write again"),
            _ => {}
        }
        if outcome.is_ok() && group.iter().any(|work| work.cuts_log()) {
            self.log.cut_soon(&self.db);
        }
        for work in group.drain(..) {
            work.answer(outcome.as_ref().copied().map_err(String::as_str));
        }
        if outcome.is_err() {
            // On a full disk the log is what can be given back.
            self.log.cut(&self.db);
        }
    }

    fn transact(&mut self, group: &mut [Box<dyn Work>]) -> rusqlite::Result<()> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for work in group {
            work.run(&transaction)?;
        }
        transaction.commit()
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::mpsc, time::Duration};

    use futures_util::poll;
    use tokio::time::timeout;

    use super::{QUEUE, Writer};
    use crate::store::sqlite::open;

    const AN_HOUR: Duration = Duration::from_hours(1);

    fn started(folder: &Path) -> Writer {
        let path = folder.join("ringback.db");
        let lock = open::lock(&path).unwrap();
        open::make_private(&path).unwrap();
        Writer::start(open::writer(&path).unwrap(), &path, lock).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn work_on_a_stuck_disk_is_answered_as_it_ended_even_hours_later() {
        let folder = tempfile::tempdir().unwrap();
        let writer = started(folder.path());
        let (release, released) = mpsc::channel();
        let stuck = writer.submit(0, move |_| Ok(released.recv().is_ok()));
        tokio::pin!(stuck);
        assert!(timeout(AN_HOUR, &mut stuck).await.is_err(), "it was answered before it ended");
        release.send(()).unwrap();
        assert!(stuck.await.unwrap());
    }

    #[tokio::test]
    async fn work_that_panics_is_undone_with_its_group_and_the_next_group_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let writer = started(folder.path());
        let make = |db: &rusqlite::Connection| db.execute("CREATE TABLE made (x)", []);
        let crashed = writer.submit(0, move |db| make(db).map(|_| assert!(db.is_autocommit(), "a story about panics"))).await;
        assert!(crashed.unwrap_err().to_string().contains("panicked"));
        assert_eq!(writer.submit(0, make).await.unwrap(), 0, "it was undone");
        writer.close().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_place_in_the_queue_is_refused_and_never_happens() {
        let folder = tempfile::tempdir().unwrap();
        let writer = started(folder.path());
        let ((running, runs), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
        let mut stuck = Box::pin(writer.submit(0, move |_| Ok(running.send(()).is_ok() && released.recv().is_ok())));
        assert!(poll!(&mut stuck).is_pending());
        runs.recv().unwrap();
        let mut queued: Vec<_> = (0..QUEUE).map(|number| Box::pin(writer.submit(0, move |_| Ok(number)))).collect();
        for work in &mut queued {
            assert!(poll!(work).is_pending());
        }
        let (done, was_done) = mpsc::channel();
        let refused = timeout(AN_HOUR, writer.submit(0, move |_| Ok(done.send(()).is_ok()))).await.unwrap();
        assert!(refused.unwrap_err().to_string().contains("no place"));
        release.send(()).unwrap();
        assert!(stuck.await.unwrap());
        for (number, work) in queued.into_iter().enumerate() {
            assert_eq!(work.await.unwrap(), number);
        }
        writer.close().await.unwrap();
        assert!(was_done.try_recv().is_err(), "it was refused, and happened all the same");
    }
}
