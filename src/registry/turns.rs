//! One change of a call at a time, within this process.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::call::id::CallId;

/// Calls share this many locks; two calls on one lock wait for each other's commit, which is rare and harmless.
const LOCKS: usize = 4_096;

/// Locks by call. Without them concurrent events of one call would be joined, lose the compare-and-set and be joined again.
pub(super) struct Turns {
    locks: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self { locks: (0..LOCKS).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }
}

impl Turns {
    /// Waits for the call's turn; it lasts until the guard is dropped.
    pub(super) async fn enter(&self, id: &CallId) -> MutexGuard<'_, ()> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash serve")]
        let slot = self.hasher.hash_one(id) as usize % LOCKS;
        self.locks[slot].lock().await
    }
}
