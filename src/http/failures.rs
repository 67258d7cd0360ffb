//! Who failed how often, by address, within the last minute.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::call::time::Millis;

/// The minute, in milliseconds.
const WINDOW: i64 = 60_000;
/// Addresses remembered at most; past it the oldest window is forgotten.
const MOST_ADDRESSES: usize = 10_000;

/// The first 64 bits of an IPv6 address.
const NETWORK: u128 = (u64::MAX as u128) << 64;

/// Counts failures. An IPv6 network of 64 bits is one address: whoever has one of its addresses has them all.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<IpAddr, (Millis, u32)>>);

impl Failures {
    fn windows(&self) -> MutexGuard<'_, HashMap<IpAddr, (Millis, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more; returns how many there were within the minute.
    pub(super) fn count(&self, client: IpAddr, now: Millis) -> u32 {
        let client = counted(client);
        let mut windows = self.windows();
        if windows.len() >= MOST_ADDRESSES {
            windows.retain(|_, (since, _)| now.since(*since) < WINDOW);
        }
        if windows.len() >= MOST_ADDRESSES && !windows.contains_key(&client) {
            let oldest = windows.iter().min_by_key(|(_, (since, _))| *since).map(|(address, _)| *address);
            oldest.and_then(|oldest| windows.remove(&oldest));
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
        self.windows().get(&counted(client)).filter(|(since, _)| now.since(*since) < WINDOW).map_or(0, |(_, count)| *count)
    }
}

fn counted(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use super::{Failures, MOST_ADDRESSES};
    use crate::call::time::Millis;

    #[test]
    fn whoever_has_many_networks_gets_nobody_forgotten_but_the_oldest() {
        let (failures, start) = (Failures::default(), Millis(0));
        let network = |n: usize| IpAddr::V6(Ipv6Addr::from_bits((n as u128) << 64));
        failures.count(network(0), start);
        let guesser = IpAddr::from([203, 0, 113, 7]);
        failures.count(guesser, start.plus(1));
        for n in 1..MOST_ADDRESSES {
            failures.count(network(n), start.plus(2));
        }
        assert_eq!(failures.of(network(0), start.plus(3)), 0, "the oldest is forgotten");
        assert_eq!(failures.count(guesser, start.plus(3)), 2);
        assert_eq!(failures.of(network(1), start.plus(3)), 1);
    }
}
