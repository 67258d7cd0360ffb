//! How many tries are on their way to each target, so that one that is stuck takes nobody else's place.

use std::collections::HashMap;

/// Tries at once, of all targets. More than all subscriptions together take when every one of them is stuck.
pub(super) const MOST_AT_ONCE: usize = 512;
/// Tries of one target taken at once.
pub(super) const MOST_TAKEN: usize = 4;
// Every subscription may be stuck, and there is room left.
const _: () = assert!(super::subscriptions::MOST_SUBSCRIPTIONS * MOST_TAKEN < MOST_AT_ONCE);
/// Tries at once of one target that answers.
const MOST_OF_ONE: usize = 16;

/// What is on its way to one target.
#[derive(Debug, Default)]
struct Lane {
    on_way: usize,
    /// The latest try brought no answer: there is no use in many more at once.
    silent: bool,
}

/// All that is on its way.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<String, Lane>,
    on_way: usize,
}

impl Lanes {
    /// A try begins.
    pub(super) fn begin(&mut self, target: &str) {
        self.on_way += 1;
        self.lanes.entry(target.to_owned()).or_default().on_way += 1;
    }

    /// A try has ended, with or without an answer.
    pub(super) fn end(&mut self, target: &str, answered: bool) {
        self.on_way = self.on_way.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(target) {
            lane.on_way = lane.on_way.saturating_sub(1);
            lane.silent = !answered;
            // Who answers, and has nothing on its way, need not be remembered; nor do too many that don't.
            if lane.on_way == 0 && (answered || self.lanes.len() > MOST_AT_ONCE) {
                self.lanes.remove(target);
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

    /// Targets that get no more for now.
    pub(super) fn full(&self) -> impl Iterator<Item = &String> {
        self.lanes.iter().filter(|(_, lane)| lane.on_way + MOST_TAKEN > MOST_OF_ONE || (lane.silent && lane.on_way > 0)).map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::{Lanes, MOST_AT_ONCE, MOST_OF_ONE, MOST_TAKEN};

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
    fn who_is_done_is_not_remembered() {
        let mut lanes = Lanes::default();
        lanes.begin("a");
        lanes.end("a", true);
        assert!(lanes.lanes.is_empty() && lanes.is_empty());
    }
}
