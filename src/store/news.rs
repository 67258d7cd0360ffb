//! The log of what was told of calls, from which streams go on where they were cut.
//!
//! Properties wanted of every back end:
//! - An entry is stored by the commit it is about, or not at all.
//! - Positions grow in the order of commits: who has read up to one has missed nothing before it.
//! - Positions of a new store begin at the microseconds since 1970, so that those of an earlier one are known to be older.

use crate::call::news::NewsEntry;

/// A part of the log, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewsPage {
    /// The entries. What only a later release understands is left out.
    pub entries: Vec<NewsEntry>,
    /// Position of the last entry that was looked at; where the next page begins.
    pub until: u64,
    /// There may be more after it.
    pub more: bool,
    /// Entries up to here are gone.
    pub gone: u64,
    /// Position of the newest entry of all, or `gone`.
    pub newest: u64,
}

impl NewsPage {
    /// A page of what was asked for: `limit` entries after a position. Rows without a kind we know are `None`.
    pub(super) fn of(rows: Vec<(u64, Option<NewsEntry>)>, (after, limit): (u64, usize), (gone, newest): (u64, u64)) -> Self {
        let (until, more) = (rows.last().map_or(after, |row| row.0), rows.len() >= limit);
        Self { entries: rows.into_iter().filter_map(|row| row.1).collect(), until, more, gone, newest: newest.max(gone) }
    }
}
