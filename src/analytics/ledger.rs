//! What one process has counted, and what of it is still to be written down.
//!
//! *A write fails, and may have happened all the same*: the same numbers are written again, with those that came since; a store keeps the
//! greater of two. *The hour changes*: what was counted up to the last time belongs to the hour before.

use std::collections::BTreeMap;

use crate::store::tally::Tally;

/// Counts of one process.
#[derive(Debug)]
pub(super) struct Ledger {
    source: String,
    hour: i64,
    /// Counted before this hour.
    before: BTreeMap<String, u64>,
    /// Counted in all, the last time.
    last: BTreeMap<String, u64>,
    /// Not known to be written.
    open: BTreeMap<(i64, String), u64>,
}

impl Ledger {
    /// An empty one; `source` names the process.
    pub(super) fn new(source: String) -> Self {
        Self { source, hour: i64::MIN, before: BTreeMap::new(), last: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// What is to be written, when so much was counted since the process began.
    pub(super) fn due(&mut self, hour: i64, counted: BTreeMap<String, u64>) -> Vec<Tally> {
        if hour != self.hour {
            self.hour = hour;
            self.before.clone_from(&self.last);
        }
        for (name, count) in counted.iter().filter(|(name, count)| self.last.get(*name) != Some(count)) {
            let before = self.before.get(name).copied().unwrap_or_default();
            self.open.insert((hour, name.clone()), count - before);
        }
        self.last = counted;
        let open = self.open.iter();
        open.map(|((hour, name), count)| Tally { hour: *hour, source: self.source.clone(), name: name.clone(), count: *count }).collect()
    }

    /// What was due is written.
    pub(super) fn written(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prop_assert_eq, proptest};

    use super::Ledger;

    fn counted(count: u64) -> BTreeMap<String, u64> {
        [("received".to_owned(), count)].into()
    }

    proptest! {
        #[test]
        fn whatever_fails_all_is_written_once(steps in vec((0_u64..5, 0_i64..2, 0_u8..3), 1..40)) {
            let (mut ledger, mut store, mut all, mut hour) = (Ledger::new("a".to_owned()), BTreeMap::new(), 0, 7);
            let mut write = |store: &mut BTreeMap<(i64, String), u64>, hour, all, outcome| {
                let due = ledger.due(hour, counted(all));
                // 0: it fails; 1: it happens, and nobody hears of it; 2: it happens.
                if outcome > 0 {
                    for tally in due {
                        let noted = store.entry((tally.hour, tally.name)).or_default();
                        *noted = tally.count.max(*noted);
                    }
                }
                if outcome == 2 {
                    ledger.written();
                }
            };
            for (more, hours, outcome) in steps {
                (all, hour) = (all + more, hour + hours);
                write(&mut store, hour, all, outcome);
            }
            write(&mut store, hour, all, 2);
            prop_assert_eq!(store.values().sum::<u64>(), all);
        }
    }

    #[test]
    fn nothing_new_is_not_written_again() {
        let mut ledger = Ledger::new("a".to_owned());
        assert_eq!(ledger.due(1, counted(3)).len(), 1);
        ledger.written();
        assert!(ledger.due(1, counted(3)).is_empty() && ledger.due(2, counted(3)).is_empty());
        assert_eq!(ledger.due(2, counted(5)).iter().map(|tally| (tally.hour, tally.count)).collect::<Vec<_>>(), [(2, 2)]);
    }
}
