//! Starting, watching and stopping the program's tasks.
//!
//! Properties wanted:
//! - every task is tracked; none outlives the process unnoticed, and a crashed one makes the exit code non-zero;
//! - one signal drains, a second one or the deadline aborts;
//! - the process is gone when `SHUTDOWN_DELAY_SECONDS` and `SHUTDOWN_GRACE_SECONDS` are over, whatever hangs.
//!
//! A shutdown step by step:
//!
//! | Moment | What happens |
//! |---|---|
//! | [`Lifecycle::stop`], or the first signal | [`Lifecycle::is_stopping`] is true: readiness says no, so that proxies look elsewhere |
//! | after the delay, or at once when a task crashed | *soft stop*: no new connections, waits are answered, streams end, workers finish their step |
//! | shortly before the deadline, or at the second signal | *hard stop*: named tasks are dropped, and whoever watches it gives up |
//! | all tasks are gone, or the deadline | [`Lifecycle::supervise`] returns the exit code |

use std::{
    any::Any,
    future::Future,
    io,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::TaskTracker,
};

use crate::config::ShutdownConfig;

/// Exit code when all went well.
const DONE: u8 = 0;
/// Exit code when a task crashed or would not end.
const FAILED: u8 = 1;
/// The hard stop comes this long before the deadline, or a fifth of the grace where that is shorter.
/// Half of it is for the tasks to notice, the other half for the process to end.
const HARD_STOP_ROOM: Duration = Duration::from_secs(1);

/// Signals this close together are one: `timeout`, and shells with a process group, tell a program twice that it is to end.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// A handle on the program's tasks and on the way it stops; clones are the same handle.
#[derive(Debug, Clone)]
pub struct Lifecycle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    times: ShutdownConfig,
    stopping: CancellationToken,
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    /// Names of the tasks that run, for the log when they won't end.
    named: Mutex<Vec<&'static str>>,
    crashed: AtomicBool,
}

impl Lifecycle {
    /// A program that runs, without any task yet.
    #[must_use]
    pub fn new(times: ShutdownConfig) -> Self {
        Self(Arc::new(Inner {
            times,
            stopping: CancellationToken::new(),
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: TaskTracker::new(),
            named: Mutex::default(),
            crashed: AtomicBool::new(false),
        }))
    }

    /// Runs a task that belongs to the program, such as a worker. If it panics, the program stops and its exit code is non-zero.
    /// The hard stop drops it where it waits.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.names(|names| names.push(name));
        let this = self.clone();
        self.0.tasks.spawn(async move {
            let outcome = tokio::select! {
                outcome = AssertUnwindSafe(task).catch_unwind() => outcome,
                () = this.0.hard.cancelled() => Ok(()),
            };
            this.names(|names| {
                if let Some(index) = names.iter().position(|running| *running == name) {
                    names.swap_remove(index);
                }
            });
            if let Err(panic) = outcome {
                this.crash(name, panic.as_ref());
            }
        });
    }

    /// Runs a short task that belongs to whoever asks for it, such as a request. A panic is the asker's to handle: the handle returns it.
    pub fn spawn_quiet<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.tasks.spawn(task)
    }

    /// Begins the shutdown, as the first signal does.
    pub fn stop(&self) {
        self.0.stopping.cancel();
    }

    /// Ends the shutdown, as the second signal does.
    pub fn abort(&self) {
        self.0.stopping.cancel();
        self.0.soft.cancel();
        self.0.hard.cancel();
    }

    /// The program is about to stop: readiness says no.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.is_cancelled()
    }

    /// Waits for the soft stop: take nothing new, answer what waits, finish the step at hand.
    pub fn soft_stopped(&self) -> WaitForCancellationFuture<'_> {
        self.0.soft.cancelled()
    }

    /// Whether the soft stop is over.
    #[must_use]
    pub fn is_soft_stopped(&self) -> bool {
        self.0.soft.is_cancelled()
    }

    /// Waits for the hard stop: give up.
    pub fn hard_stopped(&self) -> WaitForCancellationFuture<'_> {
        self.0.hard.cancelled()
    }

    /// Takes SIGTERM and SIGINT from now on: the first one stops, the second one aborts.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    #[expect(clippy::disallowed_methods, reason = "this task outlives the tracked ones, which it stops")]
    pub fn watch_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let this = self.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let first = next().await;
            tracing::info!(signal = first, "stopping; a second signal stops at once");
            this.stop();
            sleep(SAME_SIGNAL).await;
            while next().now_or_never().is_some() {}
            let second = next().await;
            tracing::warn!(signal = second, "stopping at once");
            this.abort();
        });
        Ok(())
    }

    /// Waits for the end: from the first signal, a call of [`Self::stop`] or a crash, through the drain, to the exit code.
    ///
    /// The soft stop comes from here, so something must wait for this while the program runs. A task that blocks its thread
    /// would still keep the runtime from being dropped: end the process by [`std::process::exit`].
    pub async fn supervise(&self) -> u8 {
        let Inner { times, stopping, soft, hard, tasks, .. } = &*self.0;
        stopping.cancelled().await;
        let _ = timeout(times.delay, soft.cancelled()).await;
        soft.cancel();
        tracing::info!(tasks = tasks.len(), "draining");
        tasks.close();
        let room = HARD_STOP_ROOM.min(times.grace / 5);
        tokio::select! {
            () = tasks.wait() => {}
            () = hard.cancelled() => {}
            () = sleep(times.grace.saturating_sub(room)) => tracing::warn!(tasks = tasks.len(), "out of time; dropping what is left"),
        }
        hard.cancel();
        let _ = timeout(room / 2, tasks.wait()).await;
        self.exit_code()
    }

    fn exit_code(&self) -> u8 {
        let left = self.names(|names| names.clone());
        if !left.is_empty() {
            tracing::error!(tasks = left.join(","), "these tasks would not end");
        }
        if left.is_empty() && !self.0.crashed.load(Ordering::SeqCst) { DONE } else { FAILED }
    }

    fn crash(&self, name: &'static str, panic: &(dyn Any + Send)) {
        tracing::error!(task = name, reason = panic_reason(panic), "a task crashed; stopping");
        self.0.crashed.store(true, Ordering::SeqCst);
        self.0.stopping.cancel();
        self.0.soft.cancel();
    }

    fn names<T>(&self, change: impl FnOnce(&mut Vec<&'static str>) -> T) -> T {
        change(&mut self.0.named.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a panic said, if it is safe to log: a text fixed at compile time. A formatted one may quote a caller's data.
#[must_use]
pub fn panic_reason(panic: &(dyn Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("not shown, as it may quote data")
}

#[cfg(test)]
mod tests;
