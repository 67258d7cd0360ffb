//! Numbers that are counted row by row, and the seldomer the more there are: so that it takes a small part of the time, whatever waits.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{StoreError, StoreHealth};
use crate::call::time::Millis;

/// So few are counted whenever somebody asks.
const FEW: u64 = 10_000;
/// Of more, each lets the count stand for so long; a server counts some two in a microsecond.
const EACH: Duration = Duration::from_millis(1);
/// No count stands longer than this.
const LONGEST: Duration = Duration::from_mins(10);
/// While somebody counts, others are told the count before; after this time they no longer rely on that.
const COUNTING: Duration = Duration::from_secs(30);

/// What waits in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Calls to be fetched, and when the longest waiting of them fell due.
    pub(super) due: (u64, Option<Millis>),
    /// Deliveries that are pending, and that were given up.
    pub(super) push: (u64, u64),
}

impl Counts {
    pub(super) fn health(self) -> StoreHealth {
        let Self { due: (pending, oldest_due), push: (push_pending, push_dead) } = self;
        StoreHealth { pending, oldest_due, push_pending, push_dead, ..StoreHealth::default() }
    }

    /// For how long they may be told again.
    fn stand(self) -> Duration {
        let all = self.due.0.saturating_add(self.push.0).saturating_add(self.push.1);
        if all < FEW {
            return Duration::ZERO;
        }
        u32::try_from(all).map_or(LONGEST, |all| EACH.saturating_mul(all)).min(LONGEST)
    }
}

/// The latest count, and when it is to be made again.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<(Instant, Counts)>>);

impl Seldom {
    /// The counts, made anew if it is time.
    pub(super) async fn counts(&self, count: impl Future<Output = Result<Counts, StoreError>>) -> Result<Counts, StoreError> {
        let now = Instant::now();
        if let Some((until, counts)) = &mut *self.known() {
            if now < *until {
                return Ok(*counts);
            }
            // Whoever comes next need not wait for us.
            if !counts.stand().is_zero() {
                *until = now + COUNTING;
            }
        }
        let counts = count.await?;
        *self.known() = Some((Instant::now() + counts.stand(), counts));
        Ok(counts)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Counts)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Counts, LONGEST, Seldom};
    use crate::store::StoreError;

    fn waiting(pending: u64) -> Counts {
        Counts { push: (pending, 0), ..Counts::default() }
    }

    #[test]
    fn the_more_there_are_the_longer_a_count_stands() {
        for (pending, stands) in [
            (0, Duration::ZERO),
            (9_999, Duration::ZERO),
            (10_000, Duration::from_secs(10)),
            (100_000, Duration::from_secs(100)),
            (10_000_000, LONGEST),
            (u64::MAX, LONGEST),
        ] {
            assert_eq!(waiting(pending).stand(), stands, "{pending}");
        }
    }

    #[tokio::test]
    async fn few_are_counted_each_time_and_many_once() {
        let seldom = Seldom::default();
        for pending in [1, 2, 20_000] {
            assert_eq!(seldom.counts(async { Ok(waiting(pending)) }).await.unwrap(), waiting(pending));
        }
        let never = async { Err(StoreError::Unavailable("nobody asks".to_owned())) };
        assert_eq!(seldom.counts(never).await.unwrap(), waiting(20_000));
    }

    #[tokio::test]
    async fn a_count_that_fails_is_made_again() {
        let seldom = Seldom::default();
        assert!(seldom.counts(async { Err(StoreError::Unavailable("away".to_owned())) }).await.is_err());
        assert_eq!(seldom.counts(async { Ok(waiting(3)) }).await.unwrap(), waiting(3));
    }
}
