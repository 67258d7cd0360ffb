//! A hint for the worker that fetches what is due.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;

use crate::call::time::Millis;

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

    /// The worker looks again at `at`.
    pub fn plan(&self, at: Option<Millis>) {
        self.planned.store(at.map_or(i64::MAX, |at| at.0), Ordering::Release);
    }

    /// Something was announced that is due before the plan.
    pub async fn earlier(&self) {
        self.earlier.notified().await;
    }
}
