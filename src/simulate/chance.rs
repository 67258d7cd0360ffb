//! Chance that can be repeated: the same seed gives the same run.

use uuid::Uuid;

use crate::call::time::Millis;

/// A source of chance (`SplitMix64`).
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// True with this probability: never at 0, always at 1.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        // 32 bits fit a float exactly; in [0, 1).
        let upper = u32::try_from(self.next() >> 32).unwrap_or_default();
        f64::from(upper) / (f64::from(u32::MAX) + 1.0) < probability
    }

    /// Puts `things` into any order.
    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
            things.swap(last, usize::try_from(self.next() % bound).unwrap_or_default());
        }
    }

    /// An id as Vapi makes them since November 2025: a UUID v7, in order of time.
    pub(super) fn id(&mut self, at: Millis) -> String {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.next().to_be_bytes());
        random[8..].copy_from_slice(&self.next().to_be_bytes()[..2]);
        uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.0).unwrap_or_default(), &random).into_uuid().to_string()
    }

    /// An id without a time, for messages.
    pub(super) fn message_id(&mut self) -> String {
        format!("msg_{}", Uuid::from_u64_pair(self.next(), self.next()).simple())
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;
    use crate::call::time::Millis;

    #[test]
    fn the_same_seed_makes_the_same_ids() {
        let ids = |seed| {
            let mut chance = Chance::new(seed);
            [chance.id(Millis(1_790_000_000_000)), chance.message_id()]
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }

    #[test]
    fn ids_are_in_order_of_time() {
        let mut chance = Chance::new(7);
        let (early, late) = (chance.id(Millis(1_790_000_000_000)), chance.id(Millis(1_790_000_000_001)));
        assert!(early < late, "{early} {late}");
        assert_eq!(early.as_bytes()[14], b'7');
    }

    #[test]
    fn what_is_certain_happens_and_what_is_impossible_does_not() {
        let mut chance = Chance::new(3);
        assert!((0..1_000).all(|_| chance.happens(1.0)));
        assert!(!(0..1_000).any(|_| chance.happens(0.0)));
        let often = (0..10_000).filter(|_| chance.happens(0.25)).count();
        assert!((2_200..2_800).contains(&often), "{often} of 10000");
    }

    #[test]
    fn shuffling_loses_nothing() {
        let mut things: Vec<u32> = (0..50).collect();
        Chance::new(9).shuffle(&mut things);
        assert_ne!(things, (0..50).collect::<Vec<_>>());
        things.sort_unstable();
        assert_eq!(things, (0..50).collect::<Vec<_>>());
        Chance::new(9).shuffle::<u32>(&mut []);
    }
}
