//! Commits on their way to the tasks that write them, many in one go, on engines that are servers.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{
        Mutex as Turns,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};
use tracing::{error, info};

use super::{Committed, StoreError, condition::closed};

/// Commits that can wait.
const LENGTH: usize = 1_024;

/// A commit, ready to be written.
pub(super) trait Encoded {
    /// About how many bytes it writes.
    fn weight(&self) -> usize;
}

/// A commit, and who waits for it.
pub(super) struct Job<C> {
    pub(super) commit: C,
    reply: oneshot::Sender<Result<Committed, StoreError>>,
}

impl<C> Job<C> {
    /// Tells how it ended.
    pub(super) fn end(self, outcome: Result<Committed, StoreError>) {
        // Nobody waits any more: it is done all the same.
        let _ = self.reply.send(outcome);
    }
}

/// Where commits go in.
pub(super) struct Queue<C> {
    sender: Mutex<Option<mpsc::Sender<Job<C>>>>,
    /// How long somebody waits.
    patience: Duration,
}

/// How much is taken at once, at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) commits: usize,
    /// About.
    pub(super) bytes: usize,
}

/// Where they come out, in turns; a cheap handle.
pub(super) struct Jobs<C> {
    queued: Arc<Turns<mpsc::Receiver<Job<C>>>>,
    back: mpsc::WeakSender<Job<C>>,
    most: Most,
}

impl<C> Clone for Jobs<C> {
    fn clone(&self) -> Self {
        Self { queued: Arc::clone(&self.queued), back: self.back.clone(), most: self.most }
    }
}

/// An empty queue.
pub(super) fn queue<C>(patience: Duration, most: Most) -> (Queue<C>, Jobs<C>) {
    let (sender, jobs) = mpsc::channel(LENGTH);
    let jobs = Jobs { queued: Arc::new(Turns::new(jobs)), back: sender.downgrade(), most };
    (Queue { sender: Mutex::new(Some(sender)), patience }, jobs)
}

impl<C> Queue<C> {
    /// Waits until it is written.
    pub(super) async fn submit(&self, commit: C) -> Result<Committed, StoreError> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        let answered = timeout(self.patience, async {
            sender.send(Job { commit, reply }).await.ok().ok_or_else(closed)?;
            drop(sender);
            answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the writer has stopped".to_owned())))
        });
        let late = |_elapsed| Err(StoreError::Unavailable(format!("no answer within {:?}", self.patience)));
        answered.await.unwrap_or_else(late)
    }

    /// Nothing goes in any more; what is in comes out.
    pub(super) fn close(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl<C: Encoded> Jobs<C> {
    /// Whatever is queued; waits for the first; nothing when the queue is closed.
    pub(super) async fn next(&self) -> Vec<Job<C>> {
        let mut jobs = self.queued.lock().await;
        let Some(first) = jobs.recv().await else { return Vec::new() };
        let mut bytes = first.commit.weight();
        let mut group = vec![first];
        while group.len() < self.most.commits
            && bytes < self.most.bytes
            && let Ok(more) = jobs.try_recv()
        {
            bytes += more.commit.weight();
            group.push(more);
        }
        group
    }

    /// Puts one back, for somebody else; returns it when there is no room, or the queue is closed.
    pub(super) fn give_back(&self, job: Job<C>) -> Result<(), Job<C>> {
        match self.back.upgrade() {
            Some(queue) => queue.try_send(job).map_err(TrySendError::into_inner),
            None => Err(job),
        }
    }

    /// Tells whoever waits that nothing comes of it, unless somebody else is about to take it.
    pub(super) fn refuse(&self, why: impl Fn() -> StoreError) {
        let Ok(mut jobs) = self.queued.try_lock() else { return };
        while let Ok(job) = jobs.try_recv() {
            job.end(Err(why()));
        }
    }
}

/// Whether the last write failed; a cheap handle. Who logs is who notices first.
#[derive(Debug, Clone, Default)]
pub(super) struct Failing(Arc<AtomicBool>);

impl Failing {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes how a write went.
    pub(super) fn note(&self, fault: Option<&impl fmt::Debug>) {
        let was_failing = self.0.swap(fault.is_some(), Ordering::Relaxed);
        match fault {
            Some(fault) if !was_failing => error!(?fault, "The store can't write; what was asked of it is refused"),
            None if was_failing => info!("The store can write again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::{Committed, Encoded, Most, StoreError, queue};

    impl Encoded for usize {
        fn weight(&self) -> usize {
            *self
        }
    }

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn what_waits_comes_out_together_as_far_as_it_may() {
        let (queue, jobs) = queue::<usize>(PATIENCE, Most { commits: 3, bytes: 100 });
        let working = async {
            let mut groups = Vec::new();
            while let group @ [_, ..] = jobs.next().await.as_mut_slice() {
                groups.push(group.iter().map(|job| job.commit).collect::<Vec<_>>());
                if groups.len() == 3 {
                    queue.close();
                }
            }
            groups
        };
        let asking = join_all([1, 2, 3, 99, 1, 7, 8].map(|commit| queue.submit(commit)));
        let (groups, answers) = tokio::join!(working, asking);
        assert_eq!(groups, [vec![1, 2, 3], vec![99, 1], vec![7, 8]]);
        assert!(answers.iter().all(Result::is_err), "nobody answered, and nobody waits for ever");
        assert!(queue.submit(1).await.is_err(), "it is closed");
    }

    #[tokio::test]
    async fn what_is_given_back_comes_out_again_and_what_is_refused_does_not() {
        let (queue, jobs) = queue::<usize>(PATIENCE, Most { commits: 1, bytes: 100 });
        let working = async {
            let job = jobs.next().await.remove(0);
            assert!(jobs.give_back(job).is_ok());
            jobs.refuse(|| StoreError::Unavailable("in vain".to_owned()));
            jobs.next().await.remove(0).end(Ok(Committed::Done));
        };
        let asking = async {
            assert!(queue.submit(1).await.unwrap_err().to_string().contains("in vain"));
            queue.submit(2).await
        };
        let ((), answer) = tokio::join!(working, asking);
        assert_eq!(answer.unwrap(), Committed::Done);
    }
}
