//! What came of taking in an event.

use crate::store::Committed;

/// How an event was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Stored, durable.
    Stored,
    /// It was stored before; nothing changed.
    Duplicate,
    /// Its call was deleted; it was ignored.
    Deleted,
    /// Of a kind that is not kept.
    NotKept,
}

/// What a commit means for its event.
pub(super) fn applied(committed: Committed) -> Applied {
    match committed {
        Committed::Done | Committed::Conflict => Applied::Stored,
        Committed::Duplicate => Applied::Duplicate,
        Committed::Deleted => Applied::Deleted,
    }
}
