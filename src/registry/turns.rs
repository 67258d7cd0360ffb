//! One change of a call at a time, within this process.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use crate::{call::id::CallId, store::StoreError};

/// Calls share this many locks; two calls on one lock wait for each other's commit, which is rare and harmless.
const LOCKS: usize = 4_096;
/// How long a turn is waited for. Senders have been told to come again by then; events must not gather behind a store that is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

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
    pub(super) async fn enter(&self, id: &CallId) -> Result<MutexGuard<'_, ()>, StoreError> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash serve")]
        let slot = self.hasher.hash_one(id) as usize % LOCKS;
        let late = |_elapsed| StoreError::Unavailable(format!("the call's changes before this one take longer than {PATIENCE:?}"));
        timeout(PATIENCE, self.locks[slot].lock()).await.map_err(late)
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use crate::call::id::CallId;

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_waited_for_but_not_for_good() {
        let (turns, id) = (Turns::default(), CallId::parse("call-1").unwrap());
        let first = turns.enter(&id).await.unwrap();
        assert!(turns.enter(&id).await.is_err(), "two had their turn at once");
        drop(first);
        assert!(turns.enter(&id).await.is_ok());
    }
}
