//! Numbers about calls, and tallies.

use std::collections::BTreeMap;

use super::MemoryStore;
use crate::{
    call::time::Millis,
    store::{
        CallFilter, StoreError,
        figures::{Counting, Figures},
        tally::{Counted, HOUR, Tally, counted},
    },
};

/// How often each source saw something, by hour, source and name.
#[derive(Debug, Default)]
pub(super) struct Tallies(BTreeMap<(i64, String, String), u64>);

impl Tallies {
    fn note(&mut self, Tally { hour, source, name, count }: Tally) {
        let noted = self.0.entry((hour, source, name)).or_default();
        *noted = count.max(*noted);
    }

    fn counted(&self, since: i64, until: i64) -> Vec<Counted> {
        let rows = self.0.range((since, String::new(), String::new())..).take_while(|((hour, ..), _)| *hour < until);
        counted(rows.map(|((hour, _, name), count)| (*hour, name.clone(), *count)))
    }

    /// Drops those of hours that were over before a moment.
    pub(super) fn forget(&mut self, before: Millis) {
        self.0 = self.0.split_off(&(before.0.div_euclid(HOUR), String::new(), String::new()));
    }
}

#[expect(clippy::unused_async, reason = "the verbs have the same shape on every engine")]
impl MemoryStore {
    pub(in crate::store) async fn figures(&self, filter: CallFilter) -> Result<Figures, StoreError> {
        let mut counting = Counting::default();
        for kept in self.open()?.calls() {
            if filter.moment(&kept.call, &kept.columns).is_some_and(|at| filter.matches(at, &kept.columns)) {
                counting.add(kept.call.created_at.0, &kept.measures);
            }
        }
        Ok(counting.figures())
    }

    pub(in crate::store) async fn tally(&self, tallies: Vec<Tally>) -> Result<(), StoreError> {
        let mut state = self.open()?;
        for tally in tallies {
            state.tallies.note(tally);
        }
        Ok(())
    }

    pub(in crate::store) async fn tallies(&self, since: i64, until: i64) -> Result<Vec<Counted>, StoreError> {
        Ok(self.open()?.tallies.counted(since, until))
    }

    /// Nothing is ever left for later.
    pub(in crate::store) async fn tend(&self, _now: Millis) -> Result<usize, StoreError> {
        self.open().map(|_| 0)
    }
}
