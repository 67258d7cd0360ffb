//! What services count that leaves no call behind, such as refused webhooks.
//!
//! Each process writes how often it saw something in an hour, always the whole number: so writing it twice changes nothing, nobody reads before
//! he writes, and any number of processes add up.

use std::collections::BTreeMap;

use crate::call::time::DAY;

/// How often one process saw something in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Hours since 1970.
    pub hour: i64,
    /// Names the process, or one run of it.
    pub source: String,
    /// Names what was seen.
    pub name: String,
    /// How often in this hour so far.
    pub count: u64,
}

/// How often something was seen on one day, by all processes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// Days since 1970, in UTC.
    pub day: i64,
    /// Names what was seen.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// Milliseconds of an hour.
pub const HOUR: i64 = 3_600_000;

/// The day of an hour.
pub(super) fn day_of_hour(hour: i64) -> i64 {
    hour.div_euclid(DAY / HOUR)
}

/// Adds up what was seen in hours.
pub(super) fn counted(rows: impl IntoIterator<Item = (i64, String, u64)>) -> Vec<Counted> {
    let mut all: BTreeMap<(i64, String), u64> = BTreeMap::new();
    for (hour, name, count) in rows {
        *all.entry((day_of_hour(hour), name)).or_default() += count;
    }
    all.into_iter().map(|((day, name), count)| Counted { day, name, count }).collect()
}
