//! One transaction: what it writes, and how it ended.

use std::sync::Arc;

use super::{Columns, PublishedRow, StoredCall, moving::PastEvent};
use crate::call::{event::CallEvent, news::NewsItem};

/// How often a lost compare-and-set is tried again before the store counts as unavailable.
pub const MOST_CONFLICTS: usize = 16;

/// One transaction.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The event that caused it. If its id is stored already, nothing of the commit happens.
    pub event: CallEvent,
    /// What the event changed, by the names of `CallResult`.
    pub changed: Vec<&'static str>,
    /// More events of the same moment, such as *settled*.
    pub more: Vec<CallEvent>,
    /// Events of the past, with what came of them then: from another store.
    pub past: Vec<PastEvent>,
    /// The record to write; `None` when the event changed nothing or is about no call.
    pub write: Option<CallWrite>,
}

impl Commit {
    /// Of an event alone, which writes no record.
    #[must_use]
    pub fn of(event: CallEvent) -> Self {
        Self { event, changed: Vec::new(), more: Vec::new(), past: Vec::new(), write: None }
    }
}

/// A record to write.
#[derive(Debug, Clone)]
pub struct CallWrite {
    /// The new state, with `revision` already counted up.
    pub call: Arc<StoredCall>,
    /// The revision that must stand there now; `None`: no such call yet.
    pub expected: Option<u64>,
    /// Columns for lists.
    pub columns: Columns,
    /// What other programs are to read of it, if the engine publishes results and something of it changed.
    pub published: Option<Box<PublishedRow>>,
    /// What there is to tell, in order; the last one's `sequence` is the call's `news`.
    pub news: Vec<NewsItem>,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Durable.
    Done,
    /// The event's id was stored before; only the repeat is noted.
    Duplicate,
    /// Another writer was faster; load, join, try again.
    Conflict,
    /// The call was deleted; nothing was written.
    Deleted,
}
