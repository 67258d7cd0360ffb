//! Numbers about many calls.
//!
//! They are made of what stands in the store about each call, at the moment they are asked for; nothing is added up beforehand, so nothing can
//! drift. What is counted of a call ([`Measures`]) is written with its record, in the same commit; what another release wrote without it is
//! measured when it is found.

use std::collections::{BTreeMap, HashMap};

use crate::call::{
    measures::{Marks, Measures},
    time::DAY,
};

/// Calls of one day that have the same marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Days since 1970, in UTC.
    pub day: i64,
    /// What the calls have in common.
    pub marks: Marks,
    /// How many they are.
    pub calls: u64,
    /// `durationSeconds`.
    pub durations: Sum,
    /// `cost`.
    pub costs: Sum,
    /// Those that Vapi was asked about.
    pub fetched: u64,
    /// How often it was asked.
    pub fetches: u64,
    /// `feedback.npsScore`.
    pub scores: Scores,
}

/// What those of them that have it have together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sum {
    /// How many have it.
    pub count: u64,
    /// The total.
    pub total: f64,
}

/// Scores from 0 to 10.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// All of them.
    pub all: Sum,
    /// Of 9 and more.
    pub promoters: u64,
    /// Of 6 and less.
    pub detractors: u64,
}

/// The least score of a promoter.
pub(super) const PROMOTER: f64 = 9.0;
/// The greatest score of a detractor.
pub(super) const DETRACTOR: f64 = 6.0;

/// The values that half of all, and 95 % of all, do not exceed (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Percentiles {
    /// Of half.
    pub p50: Option<f64>,
    /// Of 95 %.
    pub p95: Option<f64>,
}

/// How long calls lasted and took to be done, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Times {
    /// `durationSeconds`.
    pub duration: Percentiles,
    /// From the end until the call was done.
    pub completion: Percentiles,
}

/// Numbers about calls.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// By day and marks, in order.
    pub groups: Vec<Group>,
    /// Of each day.
    pub days: BTreeMap<i64, Times>,
    /// Of all days together.
    pub times: Times,
}

impl Sum {
    pub(super) fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.count += 1;
            self.total += value;
        }
    }

    /// The mean; `None` when there is nothing.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "calls are far fewer than 2^53")]
    pub fn average(self) -> Option<f64> {
        (self.count > 0).then(|| self.total / self.count as f64)
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.total += other.total;
    }
}

impl Scores {
    fn add(&mut self, score: Option<f64>) {
        self.all.add(score);
        self.promoters += u64::from(score.is_some_and(|score| score >= PROMOTER));
        self.detractors += u64::from(score.is_some_and(|score| score <= DETRACTOR));
    }
}

impl std::ops::AddAssign for Scores {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.promoters += other.promoters;
        self.detractors += other.detractors;
    }
}

impl Percentiles {
    fn of(values: &mut [f64]) -> Self {
        Self { p50: nearest_rank(values, 50), p95: nearest_rank(values, 95) }
    }
}

/// The least of the values that a share of all does not exceed.
fn nearest_rank(values: &mut [f64], percent: usize) -> Option<f64> {
    let place = (values.len() * percent).div_ceil(100).saturating_sub(1);
    (place < values.len()).then(|| *values.select_nth_unstable_by(place, f64::total_cmp).1)
}

/// The day of a moment: days since 1970, in UTC.
pub(super) fn day_of(at: i64) -> i64 {
    at.div_euclid(DAY)
}

/// What was counted so far, call by call.
#[derive(Debug, Default)]
pub(super) struct Counting {
    groups: HashMap<(i64, i64), Group>,
    durations: BTreeMap<i64, Vec<f64>>,
    completions: BTreeMap<i64, Vec<f64>>,
}

/// [`Measures`] as they are stored, the marks packed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Packed {
    pub(super) marks: i64,
    pub(super) duration: Option<f64>,
    pub(super) cost: Option<f64>,
    pub(super) completion: Option<f64>,
    pub(super) fetches: i64,
    pub(super) score: Option<f64>,
}

impl Packed {
    /// `hides`: the store holds in clear only what the contract lets it, and what a customer thought is not among that.
    pub(super) fn of(measures: &Measures, hides: bool) -> Self {
        let Measures { marks, duration, cost, completion, fetches, score } = *measures;
        Self { marks: marks.packed(), duration, cost, completion, fetches: fetches.into(), score: score.filter(|_| !hides) }
    }
}

impl Counting {
    /// Counts a call that was first heard of at a moment.
    pub(super) fn add(&mut self, created_at: i64, call: &Packed) {
        let day = day_of(created_at);
        let group = self.groups.entry((day, call.marks)).or_insert_with(|| Group::empty(day, call.marks));
        group.calls += 1;
        group.durations.add(call.duration);
        group.costs.add(call.cost);
        group.fetched += u64::from(call.fetches > 0);
        group.fetches += call.fetches.unsigned_abs();
        group.scores.add(call.score);
        for (value, all) in [(call.duration, &mut self.durations), (call.completion, &mut self.completions)] {
            if let Some(value) = value {
                all.entry(day).or_default().push(value);
            }
        }
    }

    /// Counts calls that somebody else has put together, with the times of each.
    pub(super) fn add_group(&mut self, group: Group, durations: Vec<f64>, completions: Vec<f64>) {
        self.durations.entry(group.day).or_default().extend(durations);
        self.completions.entry(group.day).or_default().extend(completions);
        self.groups.insert((group.day, group.marks.packed()), group);
    }

    /// The numbers.
    pub(super) fn figures(self) -> Figures {
        let Self { groups, mut durations, mut completions } = self;
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_unstable_by_key(|group| (group.day, group.marks));
        let mut days: BTreeMap<i64, Times> = groups.iter().map(|group| (group.day, Times::default())).collect();
        for (day, times) in &mut days {
            let of = |all: &mut BTreeMap<i64, Vec<f64>>| all.get_mut(day).map(|all| Percentiles::of(all)).unwrap_or_default();
            *times = Times { duration: of(&mut durations), completion: of(&mut completions) };
        }
        let of_all = |all: BTreeMap<i64, Vec<f64>>| Percentiles::of(&mut all.into_values().flatten().collect::<Vec<_>>());
        Figures { groups, days, times: Times { duration: of_all(durations), completion: of_all(completions) } }
    }
}

impl Group {
    pub(super) fn empty(day: i64, marks: i64) -> Self {
        Self {
            day,
            marks: Marks::unpacked(marks),
            calls: 0,
            durations: Sum::default(),
            costs: Sum::default(),
            fetched: 0,
            fetches: 0,
            scores: Scores::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prop_assert, prop_assert_eq, proptest};

    use super::{Counting, Packed, nearest_rank};
    use crate::call::time::DAY;

    proptest! {
        #[test]
        fn a_rank_is_the_least_value_that_enough_others_do_not_exceed(mut values in vec(0_u8..20, 1..60), share in 1_usize..100) {
            let mut floats: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            let found = nearest_rank(&mut floats, share).expect("there are values");
            let not_above = |bound: f64| values.iter().filter(|value| f64::from(**value) <= bound).count() * 100;
            prop_assert!(not_above(found) >= share * values.len());
            prop_assert!(not_above(found - 1.0) < share * values.len());
            values.clear();
            prop_assert_eq!(nearest_rank(&mut [], 50), None);
        }
    }

    #[test]
    fn days_are_told_apart_and_put_together() {
        let call = |duration| Packed { marks: 1, duration: Some(duration), cost: None, completion: None, fetches: 2, score: Some(9.5) };
        let mut counting = Counting::default();
        for (day, duration) in [(0, 1.0), (0, 3.0), (2, 10.0)] {
            counting.add(day * DAY + 5, &call(duration));
        }
        let figures = counting.figures();
        assert_eq!(figures.groups.iter().map(|group| (group.day, group.calls, group.fetches)).collect::<Vec<_>>(), [(0, 2, 4), (2, 1, 2)]);
        assert_eq!(
            (figures.days[&0].duration.p50, figures.days[&2].duration.p95, figures.times.duration.p50),
            (Some(1.0), Some(10.0), Some(3.0))
        );
        assert_eq!((figures.times.completion.p50, figures.groups[0].scores.promoters), (None, 2));
        assert_eq!(figures.groups[0].durations.average(), Some(2.0));
    }
}
