//! Erasing: a call goes, and with it whatever was kept only because of it.
//!
//! A placed call has a placing beside it (a document, which names the call), and perhaps somebody who waits for it under the placing's id (a
//! target). Both go with the call. The placing leaves a tombstone of its own where the call does, so that whoever sends the same request again
//! is told that it was erased, and nothing is placed anew.
//!
//! Races, by name:
//! - *The process dies in between*: the placing goes last, for the call leads to it; erasing once more does the rest.
//! - *The call is erased before its placing is known to have become it*: whoever notes that finds the tombstone, and erases the placing.

use std::sync::atomic::Ordering;

use super::Registry;
use crate::{
    call::{
        id::{CallId, PLACEMENT_ID, is_placement_id},
        record::CallRecord,
        view::metadata_text,
    },
    store::{DocumentKind, Loaded, StoreError},
};

impl Registry {
    /// Erases a call for good, and its placing. Tells whether it was known.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't; what is left then goes when it is erased once more.
    pub async fn delete(&self, id: &CallId, always: bool) -> Result<bool, StoreError> {
        let (registry, id) = (self.clone(), id.clone());
        let work = self.0.lifecycle.spawn_quiet(async move {
            let _turn = registry.0.turns.enter(&id).await?;
            let placing = match registry.0.store.load(&id).await? {
                Loaded::Found(call) => registry.placing_of(&id, &call.record).await?,
                Loaded::Deleted | Loaded::Missing => registry.placing_of(&id, &CallRecord::default()).await?,
            };
            let known = registry.0.store.delete(&id, registry.0.clock.now(), always).await?;
            registry.forget_erased(&id);
            if let Some(placing) = placing {
                registry.bury_placing(&placing).await?;
            }
            registry.0.waiters.wake(&id);
            registry.0.streams.hint_ours();
            Ok(known)
        });
        work.await.unwrap_or_else(|crash| Err(StoreError::Unavailable(format!("the delete task ended early: {crash}"))))
    }

    /// Erases a placing; where it was, there is a tombstone.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't.
    pub async fn bury_placing(&self, placing: &str) -> Result<(), StoreError> {
        let store = &self.0.store;
        self.drop_targets(placing).await?;
        if let Ok(id) = CallId::parse(placing) {
            store.delete(&id, self.0.clock.now(), true).await?;
            self.forget_erased(&id);
            self.0.waiters.wake(&id);
        }
        store.drop_document(DocumentKind::Placement, placing).await.map(drop)
    }

    /// Drops what is kept beside a call whose time is over. Its placing goes when its own time is: as long as a key leads there, it says that
    /// something was placed.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't.
    pub async fn outlive(&self, id: &CallId, record: &CallRecord) -> Result<(), StoreError> {
        if let Some(placing) = self.placing_of(id, record).await? {
            self.drop_targets(&placing).await?;
        }
        Ok(())
    }

    /// Takes a call out of memory that the store has no more.
    pub fn forget_erased(&self, id: &CallId) {
        self.0.erased.fetch_add(1, Ordering::SeqCst);
        self.0.cache.forget(id);
    }

    /// The placing that became this call, or that this is: perhaps nobody has noted yet that it did.
    async fn placing_of(&self, id: &CallId, record: &CallRecord) -> Result<Option<String>, StoreError> {
        let (store, now) = (&self.0.store, self.0.clock.now());
        if let Some(document) = store.document(DocumentKind::Placement, id.as_str(), now).await? {
            return Ok(Some(document.id));
        }
        let Some(named) = metadata_text(record, PLACEMENT_ID).filter(|named| is_placement_id(named)) else { return Ok(None) };
        let document = store.document(DocumentKind::Placement, &named, now).await?;
        let is_of_another_call = document.is_some_and(|document| document.alias.is_some());
        Ok((!is_of_another_call).then_some(named))
    }

    async fn drop_targets(&self, scope: &str) -> Result<(), StoreError> {
        for target in self.0.store.targets(Some(scope)).await?.targets {
            self.0.store.drop_target(&target.id).await?;
        }
        Ok(())
    }
}
