//! Numbers that operators trust.
//!
//! What is told of calls is counted from the calls themselves when somebody asks ([`crate::store::figures`]): deleted calls are not among
//! them, late data are. What leaves no call behind (webhooks let in and refused, the time of commits) is counted by each process and written
//! down every ten seconds, when it stops, and before it answers (`ledger`): a process that is killed takes the last ten seconds with it, and no
//! webhook waits for its count.

mod csv;
mod ledger;
mod report;
mod told;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tracing::warn;

use self::ledger::Ledger;
pub use self::{
    csv::csv,
    told::{
        Analytics, ByStatus, CommitTimes, Cost, DayNumbers, DayWebhooks, Enrichment, Feedback, Spread, StoreNumbers, TimePercentiles,
        Webhooks,
    },
};
use crate::{
    call::time::{DAY, Millis},
    clock::Clock,
    lifecycle::Lifecycle,
    store::{
        CallFilter, SortBy, Store, StoreError,
        tally::{Counted, HOUR},
    },
    telemetry::Metrics,
};

/// How often counts are written down.
const PERIOD: Duration = Duration::from_secs(10);
/// Days that are told of when nothing is said, today included.
pub const DEFAULT_DAYS: i64 = 30;
/// Days that one answer may tell of.
pub const MOST_DAYS: i64 = 1_100;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Calls first heard of from this moment on.
    pub since: Millis,
    /// Calls first heard of before this moment.
    pub until: Millis,
    /// Of these assistants; empty: of all.
    pub assistants: Vec<String>,
    /// Of these providers; empty: of all.
    pub providers: Vec<String>,
}

impl Question {
    /// The range that is meant at `now`, where less is said: whole days in UTC, up to and with today.
    #[must_use]
    pub fn range(since: Option<Millis>, until: Option<Millis>, now: Millis) -> (Millis, Millis) {
        let until = until.unwrap_or_else(|| Millis((now.0.div_euclid(DAY) + 1) * DAY));
        // The day in which the range ends is one of them.
        let last = until.0.saturating_sub(1).div_euclid(DAY);
        (since.unwrap_or(Millis((last + 1 - DEFAULT_DAYS) * DAY)), until)
    }

    /// Only some of the calls are meant.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        !self.assistants.is_empty() || !self.providers.is_empty()
    }

    fn filter(&self) -> CallFilter {
        CallFilter {
            assistant_id: self.assistants.clone(),
            provider_id: self.providers.clone(),
            since: Some(self.since),
            until: Some(self.until),
            by: SortBy::CreatedAt,
            ..CallFilter::default()
        }
    }

    /// The hours that the range touches.
    fn hours(&self) -> (i64, i64) {
        (self.since.0.div_euclid(HOUR), self.until.0.saturating_add(HOUR - 1).div_euclid(HOUR))
    }
}

/// Counts, and tells; a cheap handle.
#[derive(Clone)]
pub struct Analyst(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    metrics: Metrics,
    ledger: tokio::sync::Mutex<Ledger>,
}

impl Analyst {
    /// Over this store; `metrics` are what this process saw.
    #[must_use]
    pub fn new(store: Store, clock: Clock, metrics: Metrics) -> Self {
        let ledger = tokio::sync::Mutex::new(Ledger::new(uuid::Uuid::now_v7().simple().to_string()));
        Self(Arc::new(Inner { store, clock, metrics, ledger }))
    }

    /// Writes counts down from time to time until `lifecycle` stops it.
    pub async fn run(self, lifecycle: Lifecycle) {
        while !lifecycle.is_soft_stopped() {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = lifecycle.soft_stopped() => {}
            }
            if let Err(error) = self.write_down().await {
                warn!(%error, "What was counted can't be written down yet");
            }
        }
    }

    /// Writes down what was counted since the last time.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't; it is tried again with the next one.
    pub async fn write_down(&self) -> Result<(), StoreError> {
        let mut ledger = self.0.ledger.lock().await;
        let seen = self.0.metrics.seen().into_iter().map(|(seen, count)| (seen.name(), count)).collect::<BTreeMap<_, _>>();
        let tallies = ledger.due(self.0.clock.now().0.div_euclid(HOUR), seen);
        if !tallies.is_empty() {
            self.0.store.tally(tallies).await?;
            ledger.written();
        }
        Ok(())
    }

    /// The numbers.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn tell(&self, question: &Question) -> Result<Analytics, StoreError> {
        let figures = self.0.store.figures(question.filter()).await?;
        let counted = if question.is_narrowed() { None } else { Some(self.counted(question).await?) };
        // What customers thought is not kept in clear.
        let hides_scores = self.0.store.data_key().is_some();
        Ok(report::analytics(question, &figures, counted.as_deref(), hides_scores))
    }

    async fn counted(&self, question: &Question) -> Result<Vec<Counted>, StoreError> {
        self.write_down().await?;
        let (since, until) = question.hours();
        self.0.store.tallies(since, until).await
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, DEFAULT_DAYS, Millis, Question};

    #[test]
    fn a_range_is_whole_days_up_to_and_with_today() {
        let noon = Millis(100 * DAY + DAY / 2);
        assert_eq!(Question::range(None, None, noon), (Millis((101 - DEFAULT_DAYS) * DAY), Millis(101 * DAY)));
        assert_eq!(Question::range(Some(Millis(7)), None, noon), (Millis(7), Millis(101 * DAY)));
        assert_eq!(Question::range(None, Some(Millis(90 * DAY)), noon), (Millis((90 - DEFAULT_DAYS) * DAY), Millis(90 * DAY)));
        assert_eq!(Question::range(None, Some(Millis(90 * DAY + 1)), noon).0, Millis((91 - DEFAULT_DAYS) * DAY));
    }

    #[test]
    fn every_hour_that_the_range_touches_counts() {
        let of =
            |since, until| Question { since: Millis(since), until: Millis(until), assistants: Vec::new(), providers: Vec::new() }.hours();
        assert_eq!((of(0, 3_600_000), of(3_599_999, 3_600_001)), ((0, 1), (0, 2)));
    }
}
