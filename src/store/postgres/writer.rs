//! The tasks that commit.
//!
//! Properties wanted:
//! - A commit is answered after it is durable (`synchronous_commit = on`: the server answers `COMMIT` after its log is on disk).
//! - One transaction serves everything that queued up during the last one.
//! - A commit that is refused (repeat, conflict, deleted) or that the server can't take harms nobody else in its group.
//! - Who has no connection takes no work from who has one.
//! - When it can't be known whether a group was stored, everyone in it is told that the store is unavailable: who repeats an event that was
//!   stored finds it stored.
//!
//! Races, by name:
//! - *Two groups about one call*, of this instance or another: both take the call's lock first, and all locks in the same order.
//! - *The connection ends*: before `COMMIT` was sent nothing happened, and the group is tried on another one, by somebody else if need be; after
//!   that nobody knows.
//! - *Nobody has a connection*: who asks is told at once, and whoever waits already.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::error;

use super::{
    commit::{EncodedCommit, EncodedWrite},
    fault::Fault,
    line::{Line, Lines},
    link::Link,
    pool::PATIENCE,
    published::Publisher,
    write::write,
};
use crate::store::{
    Committed, StoreError,
    queue::{self, Failing, Most, Queue, queue},
};

/// Tasks, each with a connection of its own: while one waits for the disk, the next one's group is on its way.
const WRITERS: usize = 2;
/// What one transaction takes. Each commit takes a lock, of which the server has some thousands for everyone.
const GROUP: Most = Most { commits: 128, bytes: 8 * 1_048_576 };
/// A group is given up after this long; less than anybody waits for it.
const GIVE_UP: Duration = Duration::from_millis(4_200);
/// How often a group is tried.
const TRIES: u32 = 5;
/// How often it is tried to publish while somebody else holds a lock on the documents' table.
const PUBLISHING_TRIES: u32 = 2;
/// Wait before a group is tried again that another one stood in the way of; it grows with each try.
const PAUSE: Duration = Duration::from_millis(10);
/// Waits between tries to get a connection: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

type Job = queue::Job<EncodedCommit>;
type Jobs = queue::Jobs<EncodedCommit>;

/// The way to the tasks that commit. Closed, they finish what is queued and end.
pub(super) struct Writers {
    queue: Queue<EncodedCommit>,
    tasks: TaskTracker,
    failing: Failing,
    lines: Lines,
    closing: CancellationToken,
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
    /// There is something to publish later.
    pub(super) unpublished: Arc<Notify>,
}

impl Writers {
    /// Starts the tasks.
    pub(super) fn start(link: &Arc<Link>, publisher: &Arc<Publisher>, bells: &Bells) -> Self {
        let (queue, jobs) = queue(PATIENCE, GROUP);
        let (lines, failing, tasks, closing) = (Lines::default(), Failing::default(), TaskTracker::new(), CancellationToken::new());
        for _ in 0..WRITERS {
            let writer = Writer {
                link: Arc::clone(link),
                jobs: jobs.clone(),
                publisher: Arc::clone(publisher),
                bells: bells.clone(),
                failing: failing.clone(),
                lines: lines.clone(),
                line: None,
                closing: closing.clone(),
            };
            tasks.spawn(writer.run());
        }
        tasks.close();
        Self { queue, tasks, failing, lines, closing }
    }

    /// Fails when no writer has a connection, and none can be had.
    pub(super) async fn connected(&self) -> Result<(), StoreError> {
        Ok(self.lines.connected().await?)
    }

    /// Did the last group fail?
    pub(super) fn is_failing(&self) -> bool {
        self.failing.is_so()
    }

    /// Something was written after all.
    pub(super) fn succeeded(&self) {
        self.failing.note(None::<&Fault>);
    }

    /// Commits, and returns when that is durable.
    pub(super) async fn submit(&self, commit: EncodedCommit) -> Result<Committed, StoreError> {
        self.lines.check()?;
        self.queue.submit(commit).await
    }

    /// Finishes what is queued and ends the tasks.
    pub(super) async fn close(&self) {
        self.queue.close();
        self.closing.cancel();
        self.tasks.wait().await;
    }
}

struct Writer {
    link: Arc<Link>,
    jobs: Jobs,
    publisher: Arc<Publisher>,
    bells: Bells,
    failing: Failing,
    lines: Lines,
    line: Option<Line>,
    closing: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        while let Some(mut line) = self.connection().await {
            let group = tokio::select! {
                biased;
                () = line.ended() => continue,
                group = self.jobs.next() => group,
            };
            if group.is_empty() {
                return;
            }
            self.line = Some(line);
            self.commit(group).await;
        }
    }

    /// The connection there is, or a new one as soon as one can be had; `None` when the queue is closed meanwhile.
    async fn connection(&mut self) -> Option<Line> {
        let mut pause = RETRY.0;
        loop {
            let closing = self.closing.clone();
            tokio::select! {
                biased;
                line = self.open() => match line {
                    Ok(line) => return Some(line),
                    Err(fault) => self.refuse(&fault),
                },
                () = closing.cancelled() => return None,
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = closing.cancelled() => return None,
            }
            pause = RETRY.1.min(pause * 2);
        }
    }

    async fn open(&mut self) -> Result<Line, Fault> {
        match self.line.take().filter(|line| !line.db.is_closed()) {
            Some(line) => Ok(line),
            None => self.lines.open(&self.link).await.inspect_err(|_| self.bells.trouble.notify_one()),
        }
    }

    /// When nobody has a connection, whoever waits is told.
    fn refuse(&self, fault: &Fault) {
        if self.lines.check().is_err() {
            self.jobs.refuse(|| fault.clone().into());
        }
    }

    async fn commit(&mut self, group: Vec<Job>) {
        let commits: Vec<&EncodedCommit> = group.iter().map(|job| &job.commit).collect();
        let outcomes = match self.in_time(&commits).await {
            Err(Stop::Stranded(fault)) => return self.give_back(group, &fault),
            Err(Stop::For(Fault::Refused(_) | Fault::Unusable(_))) if commits.len() > 1 => {
                let mut outcomes = Vec::with_capacity(commits.len());
                for commit in &commits {
                    outcomes.push(self.in_time(&[commit]).await.map(|outcome| outcome[0]).map_err(Fault::from));
                }
                outcomes
            }
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(Stop::For(fault)) => vec![Err(fault); commits.len()],
        };
        self.failing.note(outcomes.iter().find_map(|outcome| outcome.as_ref().err()));
        for (job, outcome) in group.into_iter().zip(outcomes) {
            job.end(outcome.map_err(StoreError::from));
        }
    }

    /// Nothing was done of it, and there is no connection to do it on: perhaps another writer has one.
    fn give_back(&self, group: Vec<Job>, fault: &Fault) {
        let is_hopeless = self.lines.check().is_err();
        for job in group {
            let rest = if is_hopeless { Err(job) } else { self.jobs.give_back(job) };
            if let Err(job) = rest {
                self.failing.note(Some(fault));
                job.end(Err(fault.clone().into()));
            }
        }
    }

    async fn in_time(&mut self, commits: &[&EncodedCommit]) -> Result<Vec<Committed>, Stop> {
        let outcome = timeout(GIVE_UP, self.attempts(commits)).await;
        outcome.unwrap_or_else(|_elapsed| {
            self.bells.trouble.notify_one();
            Err(Stop::For(Fault::late(GIVE_UP)))
        })
    }

    async fn attempts(&mut self, commits: &[&EncodedCommit]) -> Result<Vec<Committed>, Stop> {
        let publisher = Arc::clone(&self.publisher);
        let has_results = commits.iter().any(|commit| published(commit).is_some());
        let mut publisher = (has_results && !publisher.is_held()).then_some(&*publisher);
        let mut tried = 1;
        loop {
            let line = self.open().await.map_err(Stop::Stranded)?;
            let failed = match write(&line.db, commits, publisher).await {
                Ok(outcomes) => {
                    self.line = Some(line);
                    self.ring(commits, has_results && publisher.is_none());
                    return Ok(outcomes);
                }
                Err(failed) => failed,
            };
            // In the middle of a transaction it is of no use to anybody.
            drop(line);
            if tried == TRIES || !failed.is_undone {
                self.bells.trouble.notify_one();
                return Err(Stop::For(failed.fault));
            }
            if failed.at_publishing && self.publishes_later(&failed.fault, commits, tried) {
                publisher = None;
            } else {
                self.before_next(failed.fault, tried).await?;
            }
            tried += 1;
        }
    }

    /// Is the group better stored without being published, which is then done later?
    fn publishes_later(&self, fault: &Fault, commits: &[&EncodedCommit], tried: u32) -> bool {
        let calls = || commits.iter().filter_map(|commit| published(commit)).collect::<Vec<_>>();
        match fault {
            Fault::Again(_) if tried < PUBLISHING_TRIES => false,
            Fault::Again(_) | Fault::Slow(_) => {
                error!(?fault, calls = ?calls(), "Somebody holds public.vapi_call_results up; results are stored, and published when it is free");
                self.publisher.hold();
                true
            }
            Fault::Refused(_) | Fault::Unusable(_) if commits.len() == 1 => {
                error!(?fault, calls = ?calls(), "A result was refused by public.vapi_call_results; it is stored, and published when it is taken");
                true
            }
            _ => false,
        }
    }

    /// What has to be done before a group is tried again that came to nothing.
    async fn before_next(&self, fault: Fault, tried: u32) -> Result<(), Stop> {
        match &fault {
            Fault::Pooled(_) => self.link.found_pooled(),
            Fault::Lost(_) => self.bells.trouble.notify_one(),
            Fault::Again(_) | Fault::Slow(_) => sleep(PAUSE * tried).await,
            Fault::Refused(_) | Fault::Unusable(_) | Fault::Behind(_) => {
                // Perhaps the schema is not the one that it was.
                self.bells.trouble.notify_one();
                return Err(Stop::For(fault));
            }
        }
        Ok(())
    }

    fn ring(&self, commits: &[&EncodedCommit], is_unpublished: bool) {
        if commits.iter().any(|it| it.write.as_ref().is_some_and(|write| !write.notes.is_empty())) {
            self.bells.noted.notify_one();
        }
        if is_unpublished {
            self.bells.unpublished.notify_one();
        }
    }
}

/// Why a group was given up.
enum Stop {
    For(Fault),
    /// Nothing of it was done, for no connection could be had.
    Stranded(Fault),
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::For(fault) | Stop::Stranded(fault) => fault,
        }
    }
}

/// The call whose result a commit publishes.
fn published(commit: &EncodedCommit) -> Option<&str> {
    commit.write.as_ref().filter(|write| write.published.is_some()).map(EncodedWrite::id)
}
