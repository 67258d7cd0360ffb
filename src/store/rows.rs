//! What all engines on disk read alike, whatever their rows look like.

use std::sync::Arc;

use super::{Due, StoreError, StoredCall, pack::Packer, vault::Place};
use crate::call::{id::CallId, time::Millis};

/// Unread events handed out at a time, the oldest first.
pub(super) const UNFOLDED: usize = 1_000;

/// A call before its record is unpacked.
#[derive(Debug)]
pub(super) struct CallRow {
    pub(super) id: String,
    pub(super) revision: i64,
    pub(super) version: i64,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    pub(super) record: Vec<u8>,
    pub(super) due: Option<Due>,
    pub(super) news: i64,
}

impl CallRow {
    /// The call itself.
    pub(super) fn unpacked(self, packer: &Packer) -> Result<Arc<StoredCall>, StoreError> {
        Ok(Arc::new(StoredCall {
            id: call_id(&self.id)?,
            record: packer.open_json(Place::Record(&self.id), &self.record)?,
            revision: self.revision.cast_unsigned(),
            version: self.version.cast_unsigned(),
            created_at: Millis(self.created_at),
            updated_at: Millis(self.updated_at),
            due: self.due,
            news: self.news.cast_unsigned(),
        }))
    }
}

/// The call id in a row.
pub(super) fn call_id(text: &str) -> Result<CallId, StoreError> {
    CallId::parse(text).map_err(|error| StoreError::Unavailable(format!("a stored call has no usable id: {error}")))
}

/// A limit as databases take it.
pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
