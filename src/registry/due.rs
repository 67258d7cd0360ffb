//! How a worker that does what is due waits for it, and the hint that wakes it before.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};
use tracing::warn;

use crate::{
    call::time::{Millis, SECOND},
    lifecycle::Lifecycle,
    store::StoreError,
};

/// A worker looks at least this often, hints or not.
const LONGEST_SLEEP: i64 = 5 * SECOND;
/// After the store failed, a worker waits this long.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// Wakes the fetching worker when something falls due before it meant to look again. Only a hint: the store has the truth.
#[derive(Debug)]
pub struct DueHint {
    /// When the worker looks again, in epoch milliseconds.
    planned: AtomicI64,
    earlier: Notify,
}

impl Default for DueHint {
    fn default() -> Self {
        Self { planned: AtomicI64::new(i64::MAX), earlier: Notify::new() }
    }
}

impl DueHint {
    /// Something falls due at `at`.
    pub fn announce(&self, at: Millis) {
        if self.planned.fetch_min(at.0, Ordering::AcqRel) > at.0 {
            self.earlier.notify_one();
        }
    }

    /// The worker looks again when the `next` thing is due, and not too late; how long that is from `now`. Never less than `least`: what another
    /// instance holds must not spin its loop.
    pub fn plan_next(&self, now: Millis, next: Option<Millis>, least: Duration) -> Duration {
        let latest = now.plus(LONGEST_SLEEP);
        let next = next.map_or(latest, |at| at.min(latest));
        self.planned.store(next.0, Ordering::Release);
        Duration::from_millis(u64::try_from(next.since(now)).unwrap_or_default()).max(least)
    }

    /// Works until `lifecycle` stops it. `work` does what is due and tells how long there is nothing to do; of a row of failures the first is told
    /// in the log, in the words of `failed`.
    pub async fn work_off<Work>(&self, lifecycle: &Lifecycle, failed: &str, work: impl Fn() -> Work)
    where
        Work: Future<Output = Result<Duration, StoreError>>,
    {
        let mut failing = false;
        while !lifecycle.is_stopping() {
            let outcome = work().await;
            if let Err(error) = &outcome
                && !failing
            {
                warn!(%error, "{failed}");
            }
            failing = outcome.is_err();
            tokio::select! {
                () = sleep(outcome.unwrap_or(STORE_PAUSE)) => {}
                () = self.earlier.notified() => {}
                () = lifecycle.soft_stopped() => {}
            }
        }
    }
}
