//! Intervals in which deliveries were refused.
//!
//! What is known: this instance answered a webhook with something else than 2xx, because of its proof, its size, the store, or its own end. What
//! never reached it is not known here; the sweeps at the start and from time to time are for that. A body that is no message is no loss.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::call::time::{Millis, SECOND};

/// An interval ends when a webhook is taken again, or when none was refused for so long.
const QUIET: i64 = 60 * SECOND;
/// Anybody can send wrong proofs: they cause no more than one sweep in this time.
const PAUSE: i64 = 300 * SECOND;

/// Remembers when deliveries were refused.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The interval that lasts: first and last refusal.
    lasting: Option<(Millis, Millis)>,
    /// The beginning of what is over and was not looked through yet.
    over: Option<Millis>,
    swept_at: Option<Millis>,
}

impl State {
    fn end(&mut self) {
        if let Some((first, _)) = self.lasting.take() {
            self.over = Some(self.over.map_or(first, |over| over.min(first)));
        }
    }
}

impl Refusals {
    pub(super) fn refused(&self, now: Millis) {
        let mut state = self.state();
        let first = state.lasting.map_or(now, |(first, _)| first);
        state.lasting = Some((first, now));
    }

    /// A webhook was taken; true when that ended an interval.
    pub(super) fn taken(&self) -> bool {
        let mut state = self.state();
        let ends = state.lasting.is_some();
        state.end();
        ends
    }

    /// Since when there may be something that was refused, if it is time to look for it.
    pub(super) fn since(&self, now: Millis) -> Option<Millis> {
        let mut state = self.state();
        if state.lasting.is_some_and(|(_, last)| now.since(last) >= QUIET) {
            state.end();
        }
        state.over.filter(|_| state.swept_at.is_none_or(|at| now.since(at) >= PAUSE))
    }

    /// It is being looked through.
    pub(super) fn swept(&self, now: Millis) {
        let mut state = self.state();
        if state.over.take().is_some() {
            state.swept_at = Some(now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Millis, PAUSE, QUIET, Refusals};

    #[test]
    fn an_interval_is_over_when_a_webhook_is_taken_or_none_is_refused_any_more() {
        let refusals = Refusals::default();
        assert_eq!((refusals.taken(), refusals.since(Millis(0))), (false, None));
        refusals.refused(Millis(1));
        refusals.refused(Millis(5));
        assert_eq!(refusals.since(Millis(6)), None, "it lasts");
        assert!(refusals.taken());
        assert_eq!(refusals.since(Millis(6)), Some(Millis(1)));
        refusals.swept(Millis(6));
        refusals.refused(Millis(10));
        assert_eq!((refusals.since(Millis(9 + QUIET)), refusals.since(Millis(10 + QUIET))), (None, None), "not again so soon");
        assert_eq!(refusals.since(Millis(6 + PAUSE)), Some(Millis(10)));
    }
}
