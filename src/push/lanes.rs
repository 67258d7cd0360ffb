//! How many tries are on their way in each lane, so that one that is stuck takes nobody else's place.
//!
//! A subscription has a lane of its own. Callbacks have one target for each call, so they share a lane for each host: the store can't leave out
//! those of a host, and what there is no place for is put back for a while.

use std::collections::HashMap;

use crate::call::time::{Millis, SECOND};

/// Tries at once, of all targets. More than all subscriptions together take when every one of them is stuck.
pub(super) const MOST_AT_ONCE: usize = 1_024;
/// Tries of one target taken at once. Taking some waits for the store, so where that is slow, few at once are few a second.
pub(super) const MOST_TAKEN: usize = 8;
// Every subscription may be stuck, and there is room left.
const _: () = assert!(super::subscriptions::MOST_SUBSCRIPTIONS * MOST_TAKEN < MOST_AT_ONCE);
/// Tries at once in one lane that answers.
const MOST_OF_ONE: usize = 16;
/// What is put back comes again one by one: so many milliseconds apart where there are answers.
const GAP: i64 = 5;
/// And where there are none.
const SILENT_GAP: i64 = SECOND;
/// But nothing is put back for longer.
const LONGEST: i64 = 60 * SECOND;

/// What is on its way in one lane.
#[derive(Debug, Default)]
struct Lane {
    on_way: usize,
    /// The latest try brought no answer: there is no use in many more at once.
    silent: bool,
    /// When the latest of those put back comes again.
    comes: Option<Millis>,
}

/// All that is on its way.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<String, Lane>,
    on_way: usize,
}

impl Lanes {
    /// A try begins.
    pub(super) fn begin(&mut self, lane: &str) {
        self.on_way += 1;
        self.lanes.entry(lane.to_owned()).or_default().on_way += 1;
    }

    /// When something is to come again for which there is no place in its lane; `None` when there is.
    pub(super) fn later(&mut self, lane: &str, now: Millis) -> Option<Millis> {
        let lane = self.lanes.get_mut(lane).filter(|lane| lane.on_way >= MOST_OF_ONE || (lane.silent && lane.on_way > 0))?;
        let gap = if lane.silent { SILENT_GAP } else { GAP };
        let comes = lane.comes.map_or(now, |latest| latest.max(now)).plus(gap).min(now.plus(LONGEST));
        lane.comes = Some(comes);
        lane.comes
    }

    /// A try has ended, with or without an answer.
    pub(super) fn end(&mut self, name: &str, answered: bool) {
        self.on_way = self.on_way.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(name) {
            lane.on_way = lane.on_way.saturating_sub(1);
            lane.silent = !answered;
            // Who answers, and has nothing on its way, need not be remembered; nor do too many that don't.
            if lane.on_way == 0 && (answered || self.lanes.len() > MOST_AT_ONCE) {
                self.lanes.remove(name);
            }
        }
    }

    /// How many more may begin.
    pub(super) fn room(&self) -> usize {
        MOST_AT_ONCE.saturating_sub(self.on_way)
    }

    /// Is nothing on its way?
    pub(super) fn is_empty(&self) -> bool {
        self.on_way == 0
    }

    /// Lanes that get no more for now; those of subscriptions are named as they are.
    pub(super) fn full(&self) -> impl Iterator<Item = &String> {
        self.lanes.iter().filter(|(_, lane)| lane.on_way + MOST_TAKEN > MOST_OF_ONE || (lane.silent && lane.on_way > 0)).map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::{GAP, LONGEST, Lanes, MOST_AT_ONCE, MOST_OF_ONE, MOST_TAKEN, Millis, SILENT_GAP};

    fn full(lanes: &Lanes) -> Vec<&str> {
        lanes.full().map(String::as_str).collect()
    }

    #[test]
    fn a_target_that_answers_gets_many_at_once_and_a_silent_one_few() {
        let mut lanes = Lanes::default();
        for _ in 0..MOST_OF_ONE - MOST_TAKEN {
            lanes.begin("a");
            assert!(full(&lanes).is_empty());
        }
        lanes.begin("a");
        assert_eq!(full(&lanes), ["a"]);
        lanes.begin("b");
        lanes.begin("b");
        lanes.end("b", false);
        assert!(full(&lanes).contains(&"b"), "one is on its way, and that is enough");
        lanes.end("b", false);
        assert!(!full(&lanes).contains(&"b"), "it is tried now and then");
        lanes.begin("b");
        lanes.end("b", true);
        assert_eq!(lanes.room(), MOST_AT_ONCE - (MOST_OF_ONE - MOST_TAKEN + 1));
    }

    #[test]
    fn what_has_no_place_comes_again_one_by_one() {
        let (mut lanes, now) = (Lanes::default(), Millis(1_000));
        for _ in 0..MOST_OF_ONE {
            assert_eq!(lanes.later("a", now), None);
            lanes.begin("a");
        }
        assert_eq!((lanes.later("a", now), lanes.later("a", now)), (Some(now.plus(GAP)), Some(now.plus(2 * GAP))));
        assert_eq!(lanes.later("b", now), None, "others go on");
        lanes.end("a", false);
        assert_eq!(lanes.later("a", now), Some(now.plus(2 * GAP + SILENT_GAP)), "there are places, and no use in them");
        let last = (0..100).filter_map(|_| lanes.later("a", now)).max();
        assert_eq!(last, Some(now.plus(LONGEST)), "it is not put back for ever");
        for _ in 1..MOST_OF_ONE {
            lanes.end("a", false);
        }
        assert_eq!(lanes.later("a", now), None, "one at a time");
    }

    #[test]
    fn who_is_done_is_not_remembered() {
        let mut lanes = Lanes::default();
        lanes.begin("a");
        lanes.end("a", true);
        assert!(lanes.lanes.is_empty() && lanes.is_empty());
    }
}
