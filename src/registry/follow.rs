//! Following what other instances do to calls: what is remembered here and older than that is forgotten, and whoever waits looks again.
//!
//! Races, by name:
//! - *A reader loads a call, then it is written elsewhere, then the reader fills the cache*: the cache remembers for a while which revision
//!   was signalled, and keeps no older one.
//! - *The same, and the signal was missed*: whoever missed signals forgets everything, and what was being loaded meanwhile is not kept.

use std::sync::{Arc, atomic::Ordering};

use tokio::sync::broadcast::error::RecvError;

use super::{CachedCall, Registry, stream::tell};
use crate::{call::id::CallId, lifecycle::Lifecycle, store::Signal};

/// Hears what other instances do, and tells those who listen what any does, until `lifecycle` stops it.
pub async fn follow(registry: Registry, lifecycle: Lifecycle) {
    tokio::join!(hear(registry.clone(), lifecycle.clone()), tell(registry, lifecycle));
}

/// Returns at once when there can be no other instance.
async fn hear(registry: Registry, lifecycle: Lifecycle) {
    let Some(mut signals) = registry.store().signals() else { return };
    loop {
        let signal = tokio::select! {
            signal = signals.recv() => signal,
            () = lifecycle.soft_stopped() => return,
        };
        match signal {
            Ok(signal) => registry.heard(&signal),
            Err(RecvError::Lagged(_)) => registry.heard(&Signal::Missed),
            Err(RecvError::Closed) => return,
        }
    }
}

impl Registry {
    /// A result that is remembered, for when the store can't be asked: there may be a newer one, but it is a result.
    pub(super) fn remembered_result(&self, id: &CallId) -> Option<Arc<CachedCall>> {
        self.cache().peek(id).filter(|call| call.has_result)
    }

    /// Somebody, perhaps this instance, did something to a call.
    pub fn heard(&self, signal: &Signal) {
        self.streams().hint();
        match signal {
            Signal::Changed { id, revision } => {
                // What this instance wrote itself is in its cache already, and its waiters know.
                if !self.cache().knows(id, *revision) {
                    self.waiters().wake(id);
                }
            }
            Signal::Erased(id) => {
                self.cache().knows(id, u64::MAX);
                self.forget_erased(id);
                self.waiters().wake(id);
            }
            // The hint says it all.
            Signal::News => {}
            Signal::Missed => {
                self.0.erased.fetch_add(1, Ordering::SeqCst);
                let _ = self.cache().clear();
                self.waiters().wake_all();
            }
        }
    }
}
