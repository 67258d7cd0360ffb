//! What instances tell each other of the sweep: who makes it, how far it came, when the last whole one began.

use serde::{Deserialize, Serialize};

use super::walk::Walk;
use crate::{
    call::time::Millis,
    store::{Store, StoreError},
};

/// The note's name.
const NOTE: &str = "sweep";

/// The note.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SweepNote {
    /// The instance that makes the sweep; `None`: nobody does.
    pub(super) holder: Option<String>,
    /// Until then nobody else takes it over.
    pub(super) held_until: Option<Millis>,
    /// When the last whole sweep began.
    pub(super) begun_at: Option<Millis>,
    /// When it ended.
    pub(super) ended_at: Option<Millis>,
    /// The sweep that is being made, or was cut.
    pub(super) task: Option<Task>,
}

/// A sweep that is not done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Task {
    /// When it began.
    pub(super) begun_at: Millis,
    /// Calls that changed since then.
    pub(super) from: Millis,
    /// How far it came.
    pub(super) walk: Walk,
    /// Calls seen so far.
    pub(super) seen: u64,
    /// Calls of which something was learned.
    pub(super) found: u64,
}

/// The note as it stands, with the bytes that compare-and-set compares.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    raw: Option<Vec<u8>>,
    pub(super) note: SweepNote,
}

impl Held {
    pub(super) async fn read(store: &Store) -> Result<Self, StoreError> {
        let raw = store.note(NOTE).await?;
        // What another release wrote, and we can't read, is as good as none.
        let note = raw.as_deref().and_then(|raw| serde_json::from_slice(raw).ok()).unwrap_or_default();
        Ok(Self { raw, note })
    }

    /// Writes the note, if nobody else did since it was read; tells whether it was written.
    pub(super) async fn write(&mut self, store: &Store) -> Result<bool, StoreError> {
        let next = serde_json::to_vec(&self.note).unwrap_or_default();
        if self.raw.as_ref() == Some(&next) {
            return Ok(true);
        }
        let written = store.set_note(NOTE, self.raw.clone(), next.clone()).await?;
        if written {
            self.raw = Some(next);
        }
        Ok(written)
    }
}
