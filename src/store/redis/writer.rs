//! The tasks that commit.
//!
//! Properties wanted:
//! - A commit is answered after the server did it (and, with `appendfsync always`, after its file is on disk).
//! - One script call serves everything that queued up during the last one: one flush of the disk for all of it.
//! - A commit that is refused (repeat, conflict, deleted) harms nobody else in its group.
//!
//! Races, by name:
//! - *The connection ends before the answer came*: the group is sent again on another one, under the same token. If the server did it already,
//!   it gives the answer that was lost.
//! - *It does not come back in time*: everyone in the group is told that the store is unavailable. Who repeats an event that was stored finds
//!   it stored.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as Turns, mpsc, oneshot},
    time::timeout,
};
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::{
    commit::EncodedCommit,
    fault::Fault,
    link::{Line, Link, PATIENCE},
    scripts::{Scripts, token},
};
use crate::store::{Committed, StoreError, condition::closed};

/// Tasks, each with a connection of its own: while the server waits for its disk, the next group is on its way.
const WRITERS: usize = 2;
/// Commits that can wait.
const QUEUE: usize = 1_024;
/// Commits in one script call, at most: nobody else is served meanwhile.
const GROUP: usize = 64;
/// Bytes written by one script call, about, at most.
const GROUP_BYTES: usize = 8 * 1_048_576;
/// A group is given up after this long; less than anybody waits for it.
const GIVE_UP: Duration = Duration::from_millis(4_200);

struct Job {
    commit: EncodedCommit,
    reply: oneshot::Sender<Result<Committed, StoreError>>,
}

/// The way to the tasks that commit. Closed, they finish what is queued and end.
pub(super) struct Writers {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    tasks: TaskTracker,
    failing: Arc<AtomicBool>,
}

impl fmt::Debug for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writers").field("failing", &self.failing).finish_non_exhaustive()
    }
}

impl Writers {
    /// Starts the tasks.
    pub(super) fn start(link: &Arc<Link>, scripts: &Arc<Scripts>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (jobs, failing, tasks) = (Arc::new(Turns::new(jobs)), Arc::new(AtomicBool::new(false)), TaskTracker::new());
        for _ in 0..WRITERS {
            let writer =
                Writer { jobs: Arc::clone(&jobs), scripts: Arc::clone(scripts), failing: Arc::clone(&failing), line: Line::new(link) };
            tasks.spawn(writer.run());
        }
        tasks.close();
        Self { queue: Mutex::new(Some(queue)), tasks, failing }
    }

    /// Did the last group fail?
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Commits, and returns when the server has it.
    pub(super) async fn submit(&self, commit: EncodedCommit) -> Result<Committed, StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        let answered = timeout(PATIENCE, async {
            queue.send(Job { commit, reply }).await.ok().ok_or_else(closed)?;
            drop(queue);
            answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the writer has stopped".to_owned())))
        });
        answered.await.unwrap_or_else(|_elapsed| Err(Fault::late(PATIENCE).into()))
    }

    /// Finishes what is queued and ends the tasks.
    pub(super) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.tasks.wait().await;
    }
}

struct Writer {
    jobs: Arc<Turns<mpsc::Receiver<Job>>>,
    scripts: Arc<Scripts>,
    failing: Arc<AtomicBool>,
    line: Line,
}

impl Writer {
    async fn run(self) {
        loop {
            let group = self.next().await;
            if group.is_empty() {
                return;
            }
            let outcomes = self.commit(&group).await;
            self.note(outcomes.as_ref().err());
            for (number, job) in group.into_iter().enumerate() {
                let outcome = match &outcomes {
                    Ok(outcomes) => outcomes.get(number).copied().ok_or_else(|| Fault::Refused("an outcome is missing".to_owned())),
                    Err(fault) => Err(fault.clone()),
                };
                // Nobody waits any more: it is done all the same.
                let _ = job.reply.send(outcome.map_err(StoreError::from));
            }
        }
    }

    /// Whatever is queued; waits for the first; nothing when the queue is closed.
    async fn next(&self) -> Vec<Job> {
        let mut jobs = self.jobs.lock().await;
        let Some(first) = jobs.recv().await else { return Vec::new() };
        let mut bytes = first.commit.weight();
        let mut group = vec![first];
        while group.len() < GROUP
            && bytes < GROUP_BYTES
            && let Ok(more) = jobs.try_recv()
        {
            bytes += more.commit.weight();
            group.push(more);
        }
        group
    }

    async fn commit(&self, group: &[Job]) -> Result<Vec<Committed>, Fault> {
        let mut call = self.scripts.commit();
        call.arg(token()).arg(group.len());
        for argument in group.iter().flat_map(|job| &job.commit.arguments) {
            call.arg(argument);
        }
        let call = &call;
        let numbers: Vec<u8> = self.line.ask(GIVE_UP, |mut db| async move { call.invoke_async(&mut db).await }).await?;
        numbers.into_iter().map(outcome).collect()
    }

    fn note(&self, fault: Option<&Fault>) {
        let was_failing = self.failing.swap(fault.is_some(), Ordering::Relaxed);
        match fault {
            Some(fault) if !was_failing => error!(?fault, "The store can't write; what was asked of it is refused"),
            None if was_failing => info!("The store can write again"),
            _ => {}
        }
    }
}

/// How a commit ended, by the script's number.
fn outcome(number: u8) -> Result<Committed, Fault> {
    match number {
        0 => Ok(Committed::Done),
        1 => Ok(Committed::Duplicate),
        2 => Ok(Committed::Conflict),
        3 => Ok(Committed::Deleted),
        _ => Err(Fault::Refused("an outcome that nobody knows".to_owned())),
    }
}
