//! Who failed how often, by address, within the last minute.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::call::time::Millis;

/// The minute, in milliseconds.
const WINDOW: i64 = 60_000;
/// Addresses remembered at most; past it the oldest windows are forgotten.
const MOST_ADDRESSES: usize = 10_000;

/// Counts failures.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<IpAddr, (Millis, u32)>>);

impl Failures {
    fn windows(&self) -> MutexGuard<'_, HashMap<IpAddr, (Millis, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more; returns how many there were within the minute.
    pub(super) fn count(&self, client: IpAddr, now: Millis) -> u32 {
        let mut windows = self.windows();
        if windows.len() >= MOST_ADDRESSES {
            windows.retain(|_, (since, _)| now.since(*since) < WINDOW);
        }
        if windows.len() >= MOST_ADDRESSES && !windows.contains_key(&client) {
            windows.clear();
        }
        let (since, count) = windows.entry(client).or_insert((now, 0));
        if now.since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count
    }

    /// How many there were within the minute.
    pub(super) fn of(&self, client: IpAddr, now: Millis) -> u32 {
        self.windows().get(&client).filter(|(since, _)| now.since(*since) < WINDOW).map_or(0, |(_, count)| *count)
    }
}
