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

use std::{fmt, sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use super::{
    commit::EncodedCommit,
    fault::Fault,
    link::{Line, Link, PATIENCE},
    scripts::{Scripts, token},
};
use crate::store::{
    Committed, StoreError,
    queue::{self, Failing, Most, Queue, queue},
};

/// Tasks, each with a connection of its own: while the server waits for its disk, the next group is on its way.
const WRITERS: usize = 2;
/// What one script call takes: nobody else is served meanwhile.
const GROUP: Most = Most { commits: 64, bytes: 8 * 1_048_576 };
/// A group is given up after this long; less than anybody waits for it.
const GIVE_UP: Duration = Duration::from_millis(4_200);

type Job = queue::Job<EncodedCommit>;

/// The way to the tasks that commit. Closed, they finish what is queued and end.
pub(super) struct Writers {
    queue: Queue<EncodedCommit>,
    tasks: TaskTracker,
    failing: Failing,
}

impl fmt::Debug for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writers").field("failing", &self.failing).finish_non_exhaustive()
    }
}

impl Writers {
    /// Starts the tasks.
    pub(super) fn start(link: &Arc<Link>, scripts: &Arc<Scripts>) -> Self {
        let (queue, jobs) = queue(PATIENCE, GROUP);
        let (failing, tasks) = (Failing::default(), TaskTracker::new());
        for _ in 0..WRITERS {
            let writer = Writer { jobs: jobs.clone(), scripts: Arc::clone(scripts), failing: failing.clone(), line: Line::new(link) };
            tasks.spawn(writer.run());
        }
        tasks.close();
        Self { queue, tasks, failing }
    }

    /// Did the last group fail?
    pub(super) fn is_failing(&self) -> bool {
        self.failing.is_so()
    }

    /// Commits, and returns when the server has it.
    pub(super) async fn submit(&self, commit: EncodedCommit) -> Result<Committed, StoreError> {
        self.queue.submit(commit).await
    }

    /// Finishes what is queued and ends the tasks.
    pub(super) async fn close(&self) {
        self.queue.close();
        self.tasks.wait().await;
    }
}

struct Writer {
    jobs: queue::Jobs<EncodedCommit>,
    scripts: Arc<Scripts>,
    failing: Failing,
    line: Line,
}

impl Writer {
    async fn run(self) {
        loop {
            let group = self.jobs.next().await;
            if group.is_empty() {
                return;
            }
            let outcomes = self.commit(&group).await;
            self.failing.note(outcomes.as_ref().err());
            for (number, job) in group.into_iter().enumerate() {
                let outcome = match &outcomes {
                    Ok(outcomes) => outcomes.get(number).copied().ok_or_else(|| Fault::Refused("an outcome is missing".to_owned())),
                    Err(fault) => Err(fault.clone()),
                };
                job.end(outcome.map_err(StoreError::from));
            }
        }
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
