//! What it takes to move a store. There is nothing to rekey: memory is not encrypted.

use super::MemoryStore;
use crate::store::{
    StoreError,
    moving::{Amounts, Graves, Resealed, Strays},
};

#[expect(clippy::unused_async, reason = "the verbs have the same shape on every engine")]
impl MemoryStore {
    /// All of them at once.
    pub(in crate::store) async fn strays(&self, after: Option<String>, _limit: usize) -> Result<Strays, StoreError> {
        if after.is_some() {
            return Ok(Strays::default());
        }
        let strays = self.open()?.strays();
        let events = strays.into_iter().map(|event| Ok((event.call_id.clone(), event.into_entry(Some(&self.shared.packer))?)));
        Ok(Strays { events: events.collect::<Result<_, StoreError>>()?, next: None })
    }

    pub(in crate::store) async fn graves(&self) -> Result<Graves, StoreError> {
        let all = self.open()?.graves();
        Ok(Graves { key: self.shared.tombstones.as_bytes().to_vec(), all })
    }

    /// Another store's key is never taken: this one's can't change.
    pub(in crate::store) async fn bury(&self, graves: Graves) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        if graves.key != self.shared.tombstones.as_bytes() {
            return Ok(false);
        }
        for (hash, at) in &graves.all {
            if let Ok(hash) = hash.as_slice().try_into() {
                state.bury(hash, crate::call::time::Millis(*at));
            }
        }
        Ok(true)
    }

    pub(in crate::store) async fn amounts(&self) -> Result<Amounts, StoreError> {
        Ok(Amounts { calls: self.open()?.calls().count() as u64, bodies: 0 })
    }

    pub(in crate::store) async fn note(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        self.open().map(|state| state.notes.get(name).cloned())
    }

    pub(in crate::store) async fn set_note(&self, name: &'static str, from: Option<Vec<u8>>, to: Vec<u8>) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let fits = state.notes.get(name) == from.as_ref();
        if fits {
            state.notes.insert(name, to);
        }
        Ok(fits)
    }

    pub(in crate::store) async fn reseal(&self, _after: Option<String>, _limit: usize) -> Result<Resealed, StoreError> {
        self.open().map(|_| Resealed::default())
    }

    pub(in crate::store) async fn forget_keys(&self) -> Result<(), StoreError> {
        self.open().map(drop)
    }
}
