//! The tasks that commit.
//!
//! Properties wanted:
//! - A commit is answered after it is durable (`synchronous_commit = on`: the server answers `COMMIT` after its log is on disk).
//! - One transaction serves everything that queued up during the last one.
//! - A commit that is refused (repeat, conflict, deleted) or that the server can't take harms nobody else in its group.
//! - When it can't be known whether a group was stored, everyone in it is told that the store is unavailable: who repeats an event that was
//!   stored finds it stored.
//!
//! Races, by name:
//! - *Two groups about one call*, of this instance or another: both take the call's lock first, and all locks in the same order.
//! - *The connection ends*: before `COMMIT` was sent nothing happened, and the group is tried on another one; after that nobody knows.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as Turns, Notify, mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::{
    commit::EncodedCommit,
    condition::closed,
    fault::Fault,
    link::{Db, Link},
    pool::PATIENCE,
    published::Publisher,
    write::{Failed, write},
};
use crate::store::{Committed, StoreError};

/// Tasks, each with a connection of its own: while one waits for the disk, the next one's group is on its way.
const WRITERS: usize = 2;
/// Commits that can wait.
const QUEUE: usize = 1_024;
/// Commits in one transaction, at most. Each takes a lock, of which the server has some thousands for everyone.
const GROUP: usize = 128;
/// Bytes written by one transaction, about, at most.
const GROUP_BYTES: usize = 8 * 1_048_576;
/// A group is given up after this long; less than anybody waits for it.
const GIVE_UP: Duration = Duration::from_millis(4_200);
/// How often a group is tried.
const TRIES: u32 = 5;
/// How often it is tried to publish while somebody else holds a lock on the documents' table.
const PUBLISHING_TRIES: u32 = 2;
/// Wait before a group is tried again that another one stood in the way of; it grows with each try.
const PAUSE: Duration = Duration::from_millis(10);

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

/// Whom to tell what.
#[derive(Debug, Clone)]
pub(super) struct Bells {
    /// Something went wrong with a connection.
    pub(super) trouble: Arc<Notify>,
    /// There is something to tell other programs' tables.
    pub(super) noted: Arc<Notify>,
}

impl Writers {
    /// Starts the tasks.
    pub(super) fn start(link: &Arc<Link>, publisher: Publisher, bells: &Bells) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (jobs, publisher, failing, tasks) =
            (Arc::new(Turns::new(jobs)), Arc::new(publisher), Arc::new(AtomicBool::new(false)), TaskTracker::new());
        for _ in 0..WRITERS {
            let writer = Writer {
                link: Arc::clone(link),
                jobs: Arc::clone(&jobs),
                publisher: Arc::clone(&publisher),
                bells: bells.clone(),
                failing: Arc::clone(&failing),
                db: None,
            };
            tasks.spawn(writer.run());
        }
        tasks.close();
        Self { queue: Mutex::new(Some(queue)), tasks, failing }
    }

    /// Did the last group fail?
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Something was written after all.
    pub(super) fn succeeded(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            info!("The store can write again");
        }
    }

    /// Commits, and returns when that is durable.
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
    link: Arc<Link>,
    jobs: Arc<Turns<mpsc::Receiver<Job>>>,
    publisher: Arc<Publisher>,
    bells: Bells,
    failing: Arc<AtomicBool>,
    db: Option<Db>,
}

impl Writer {
    async fn run(mut self) {
        loop {
            let group = self.next().await;
            if group.is_empty() {
                return;
            }
            self.commit(group).await;
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

    async fn commit(&mut self, group: Vec<Job>) {
        let commits: Vec<&EncodedCommit> = group.iter().map(|job| &job.commit).collect();
        let outcomes = match self.in_time(&commits).await {
            Err(Fault::Refused(_) | Fault::Unusable(_)) if commits.len() > 1 => {
                let mut outcomes = Vec::with_capacity(commits.len());
                for commit in &commits {
                    outcomes.push(self.in_time(&[commit]).await.map(|outcome| outcome[0]));
                }
                outcomes
            }
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(fault) => vec![Err(fault); commits.len()],
        };
        self.note(outcomes.iter().find_map(|outcome| outcome.as_ref().err()));
        for (job, outcome) in group.into_iter().zip(outcomes) {
            // Nobody waits any more: it is done all the same.
            let _ = job.reply.send(outcome.map_err(StoreError::from));
        }
    }

    fn note(&self, fault: Option<&Fault>) {
        let was_failing = self.failing.swap(fault.is_some(), Ordering::Relaxed);
        match fault {
            Some(fault) if !was_failing => error!(?fault, "The store can't write; what was asked of it is refused"),
            None if was_failing => info!("The store can write again"),
            _ => {}
        }
    }

    async fn in_time(&mut self, commits: &[&EncodedCommit]) -> Result<Vec<Committed>, Fault> {
        let outcome = timeout(GIVE_UP, self.attempts(commits)).await;
        outcome.unwrap_or_else(|_elapsed| {
            self.bells.trouble.notify_one();
            Err(Fault::late(GIVE_UP))
        })
    }

    async fn attempts(&mut self, commits: &[&EncodedCommit]) -> Result<Vec<Committed>, Fault> {
        let publisher = Arc::clone(&self.publisher);
        let mut publisher = commits.iter().any(|it| it.write.as_ref().is_some_and(|it| it.published.is_some())).then_some(&*publisher);
        let mut tried = 1;
        loop {
            let db = self.connection().await?;
            let Failed { fault, is_undone, at_writing } = match write(&db, commits, publisher).await {
                Ok(outcomes) => {
                    self.db = Some(db);
                    if commits.iter().any(|it| it.write.as_ref().is_some_and(|write| !write.notes.is_empty())) {
                        self.bells.noted.notify_one();
                    }
                    return Ok(outcomes);
                }
                Err(failed) => failed,
            };
            if tried == TRIES || !is_undone {
                self.bells.trouble.notify_one();
                return Err(fault);
            }
            match &fault {
                Fault::Pooled(_) => self.link.found_pooled(),
                Fault::Lost(_) => self.bells.trouble.notify_one(),
                Fault::Again(_) if at_writing && publisher.is_some() && tried >= PUBLISHING_TRIES => {
                    let calls: Vec<&str> = commits.iter().filter_map(|it| Some(it.write.as_ref()?.id())).collect();
                    error!(
                        ?fault,
                        ?calls,
                        "Somebody holds public.vapi_call_results; results are stored, and published when their calls change again"
                    );
                    publisher = None;
                }
                Fault::Again(_) => sleep(PAUSE * tried).await,
                Fault::Refused(_) | Fault::Unusable(_) if commits.len() == 1 && publisher.is_some() => {
                    error!(?fault, "A result was refused by public.vapi_call_results; only its record is stored");
                    publisher = None;
                }
                Fault::Refused(_) | Fault::Unusable(_) => return Err(fault),
            }
            tried += 1;
        }
    }

    async fn connection(&mut self) -> Result<Db, Fault> {
        match self.db.take().filter(|db| !db.is_closed()) {
            Some(db) => Ok(db),
            None => self.link.open().await.inspect_err(|_| self.bells.trouble.notify_one()),
        }
    }
}
