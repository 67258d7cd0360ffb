//! What may be done only once is claimed first: an event of ours with an id that everybody would give it.

use super::{Applied, Registry, applied};
use crate::{
    call::event::CallEvent,
    store::{Commit, StoreError},
};

impl Registry {
    /// Stores an event that states nothing about its call; returns when it is durable. An event's id is stored once by any engine, for all
    /// instances: only who is told [`Applied::Stored`] may do what was claimed.
    ///
    /// # Errors
    /// [`StoreError`] when that is not certain; then it must not be done.
    pub async fn claim(&self, event: CallEvent) -> Result<Applied, StoreError> {
        let registry = self.clone();
        let commit = Commit::of(event);
        let work = self.0.lifecycle.spawn_quiet(async move { registry.0.store.commit(commit).await });
        work.await.unwrap_or_else(|crash| Err(StoreError::Unavailable(format!("the claim task ended early: {crash}")))).map(applied)
    }
}
