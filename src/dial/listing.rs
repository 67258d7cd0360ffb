//! Reads Vapi's list where calls can stand whose answer was lost.
//!
//! A call can have been made only from shortly before its placing was written down until shortly after nobody sends it any more. So however many calls
//! an organisation makes afterwards, the list is read to an end. Placings of about the same time share one reading. Only the call of a Kestra flow that
//! goes on may still come: what is open of these is looked for up to now, and as far as the pages reach.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use tracing::debug;

use super::{
    CallMethod, Dialer,
    placing::{Placing, SENT_WITHIN},
    writer::placement_in,
};
use crate::{
    call::{
        event::CallEvent,
        id::CallId,
        time::{Millis, SECOND},
    },
    vapi::{
        self,
        client::{ListQuery, Listed},
    },
};

/// Vapi's clock may differ from ours by so many milliseconds.
const SKEW: i64 = 120 * SECOND;
/// Calls on a page of Vapi's list.
const PAGE: usize = 50;
/// And on the largest that Vapi gives.
const LARGEST_PAGE: usize = 1_000;
/// Pages that are read of one list.
const MOST_PAGES: usize = 40;

/// Placings by their ids.
pub(super) type Placings = BTreeMap<String, Placing>;

/// What Vapi's list told.
#[derive(Default)]
pub(super) struct Found {
    /// Calls, by the placing that they carry.
    pub(super) calls: HashMap<String, (CallId, Option<CallEvent>)>,
    /// All calls were read that were made after this moment; none were, where there is no moment.
    after: Option<Millis>,
}

impl Found {
    /// Was every call read that a placing can have become?
    pub(super) fn covers(&self, says: &Placing) -> bool {
        self.after.is_some_and(|after| after < Span::of(says).from)
    }
}

/// When the call of a placing was made, if it was, by Vapi's clock; both ends are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    from: Millis,
    /// `None`: perhaps it will only be made.
    to: Option<Millis>,
}

impl Span {
    fn of(says: &Placing) -> Self {
        let sent_to = match says.method {
            CallMethod::DirectVapi => Some(says.sent_at.plus(SENT_WITHIN)),
            CallMethod::Kestra => says.run.as_ref().and_then(|run| run.over.as_ref()).map(|(_, seen)| *seen),
        };
        Self { from: says.sent_at.plus(-SKEW), to: sent_to.map(|to| to.plus(SKEW)) }
    }

    /// The one that has both, if there is nothing between them; this one begins first. One without an end would take the other's away.
    fn joined(self, later: Self) -> Option<Self> {
        match (self.to, later.to) {
            (None, None) => Some(self),
            (Some(to), Some(end)) if later.from <= to => Some(Self { from: self.from, to: Some(to.max(end)) }),
            _ => None,
        }
    }
}

/// Placings that one reading of the list serves, with the time that it is about; the earliest first.
pub(super) fn shared(open: Placings) -> Vec<(Span, Placings)> {
    let mut all: Vec<(Span, String, Placing)> = open.into_iter().map(|(id, says)| (Span::of(&says), id, says)).collect();
    all.sort_by_key(|(span, ..)| (span.to.is_none(), span.from));
    let mut groups: Vec<(Span, Placings)> = Vec::new();
    for (span, id, says) in all {
        match groups.last_mut().and_then(|group| Some((group.0.joined(span)?, group))) {
            Some((both, group)) => {
                group.0 = both;
                group.1.insert(id, says);
            }
            None => groups.push((span, Placings::from([(id, says)]))),
        }
    }
    groups
}

impl Dialer {
    /// Reads Vapi's list of a time, the latest first, until all that is open was found or there is no more.
    pub(super) async fn list(&self, span: Span, open: &Placings) -> Found {
        let mut found = Found::default();
        let Some(client) = &self.0.parts.client else { return found };
        let mut query = ListQuery { created_from: Some(span.from), created_to: span.to, limit: PAGE, ..ListQuery::default() };
        for _ in 0..MOST_PAGES {
            let (page, rows) = match client.list(&query).await {
                Listed::Calls { calls, rows } => (calls, rows),
                Listed::TooLarge if query.limit > 1 => {
                    query.limit /= 2;
                    continue;
                }
                other => {
                    debug!(answer = ?other, "Vapi's list could not be read");
                    return found;
                }
            };
            let now = self.0.parts.clock.now();
            for row in &page {
                let call: Value = serde_json::from_slice(&row.body).unwrap_or_default();
                if let Some(id) = placement_in(&call).filter(|id| open.contains_key(*id)) {
                    let answer = vapi::call::read(&row.body, &row.id, now).map(|answer| answer.event);
                    found.calls.insert(id.to_owned(), (row.id.clone(), answer));
                }
            }
            if rows < query.limit || found.calls.len() == open.len() {
                found.after = Some(span.from.plus(-1));
                return found;
            }
            // The bound is inclusive, so that none of the same moment is left out.
            let oldest = page.iter().filter_map(|row| row.created_at).min();
            found.after = oldest.or(found.after);
            if oldest.is_some() && oldest == query.created_to && query.limit < LARGEST_PAGE {
                // A page full of one moment: only a larger one gets past it.
                query.limit = LARGEST_PAGE.min(query.limit * 2);
                continue;
            }
            if oldest.is_none() || oldest == query.created_to {
                return found;
            }
            query.created_to = oldest;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{Placings, SENT_WITHIN, SKEW, Span, shared};
    use crate::{
        call::time::Millis,
        dial::{
            CallMethod,
            placing::{Placing, Run, State},
        },
    };

    const START: Millis = Millis(1_790_421_482_411);

    fn sent(after: i64) -> Placing {
        let (token, asked, call_id, refusal, run, known_at) = (None, String::new(), None, None, None, None);
        let (state, called_back, method, sent_at) = (State::Unknown, false, CallMethod::DirectVapi, START.plus(after));
        Placing { state, token, asked, called_back, call_id, refusal, method, run, sent_at, known_at, looks: 0 }
    }

    fn groups(open: impl IntoIterator<Item = (&'static str, Placing)>) -> Vec<(Span, Vec<String>)> {
        let open: Placings = open.into_iter().map(|(id, says)| (id.to_owned(), says)).collect();
        shared(open).into_iter().map(|(span, group)| (span, group.into_keys().collect())).collect()
    }

    #[test]
    fn placings_share_a_reading_when_their_calls_can_be_of_the_same_time() {
        let reach = SENT_WITHIN + 2 * SKEW;
        let found = groups([("c", sent(3 * reach)), ("a", sent(0)), ("b", sent(reach)), ("d", sent(3 * reach + 1))]);
        let span = |from, to| Span { from: START.plus(from - SKEW), to: Some(START.plus(to + SENT_WITHIN + SKEW)) };
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(found, [(span(0, reach), names(&["a", "b"])), (span(3 * reach, 3 * reach + 1), names(&["c", "d"]))]);
    }

    #[test]
    fn of_a_flow_that_goes_on_the_call_may_still_come() {
        let flow = |over| Placing { method: CallMethod::Kestra, run: Some(Run { id: "r".to_owned(), over }), ..sent(0) };
        assert_eq!(Span::of(&flow(None)).to, None);
        let ended = Span::of(&flow(Some(("FAILED".to_owned(), START.plus(7)))));
        assert_eq!(ended.to, Some(START.plus(7 + SKEW)));
        let found = groups([("a", flow(None)), ("b", sent(0)), ("c", flow(None)), ("d", sent(1))]);
        let names = |all: [&str; 2]| all.map(str::to_owned).to_vec();
        assert_eq!(found.iter().map(|(_, group)| group.clone()).collect::<Vec<_>>(), [names(["b", "d"]), names(["a", "c"])]);
        assert!(found[0].0.to.is_some(), "those that have an end keep it");
    }
}
