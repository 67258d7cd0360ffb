//! Walking through a list of calls, page by page. Pure, and kept in the store as it is, so that a walk that was cut goes on.
//!
//! Vapi gives calls newest first, without a cursor. So the next page is asked for by the moment at which the oldest call of this one was made,
//! inclusive: whoever was made in the same millisecond may stand on either page, and is passed over when it is seen twice. A page full of one
//! moment leads no further; then that moment is divided by when its calls were changed.

use serde::{Deserialize, Serialize};

use crate::{
    call::time::{DAY, Millis},
    vapi::client::{ListQuery, ListedCall},
};

/// Calls on a page.
pub const PAGE: usize = 50;
/// Pages get shorter when they are too large to read, but not below this.
const SHORTEST_PAGE: usize = 5;

/// A part of the list that was not seen yet; all bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    updated_from: Millis,
    updated_to: Option<Millis>,
    created_from: Option<Millis>,
    created_to: Option<Millis>,
}

/// What is still to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    windows: Vec<Window>,
    limit: usize,
    /// Moments of which not all calls could be seen: there are more than a page of them, made and changed in one millisecond.
    pub crowded: u64,
}

impl Walk {
    /// All calls that were changed at `from` or later, and made at `to` or earlier.
    #[must_use]
    pub fn through(from: Millis, to: Option<Millis>) -> Self {
        let all = Window { updated_from: from, updated_to: None, created_from: None, created_to: to };
        Self { windows: vec![all], limit: PAGE, crowded: 0 }
    }

    /// The next page to ask for; `None`: all was seen.
    #[must_use]
    pub fn next(&self) -> Option<ListQuery> {
        let Window { updated_from, updated_to, created_from, created_to } = *self.windows.last()?;
        Some(ListQuery { updated_from: Some(updated_from), updated_to, created_from, created_to, limit: self.limit })
    }

    /// A page was seen: these calls, of so many rows.
    pub fn saw(&mut self, calls: &[ListedCall], rows: usize, now: Millis) {
        let Some(window) = self.windows.pop() else { return };
        if rows < self.limit {
            return;
        }
        let Some(oldest) = calls.iter().filter_map(|call| call.created_at).min() else {
            self.crowded += 1;
            return;
        };
        if window.created_to.is_none_or(|to| oldest < to) {
            self.windows.push(Window { created_to: Some(oldest), ..window });
        } else {
            self.divide(window, oldest, now);
        }
    }

    /// There are more calls of one moment than a page has.
    fn divide(&mut self, window: Window, moment: Millis, now: Millis) {
        let older = Window { created_to: Some(moment.plus(-1)), ..window };
        if window.created_from.is_none_or(|from| from < moment) {
            self.windows.push(older);
        }
        let (from, to) = (window.updated_from, window.updated_to.unwrap_or(now.plus(DAY)));
        if from >= to {
            self.crowded += 1;
            return;
        }
        let middle = from.plus(to.since(from) / 2);
        let of_moment = Window { created_from: Some(moment), created_to: Some(moment), ..window };
        self.windows.push(Window { updated_from: from, updated_to: Some(middle), ..of_moment });
        self.windows.push(Window { updated_from: middle.plus(1), updated_to: Some(to), ..of_moment });
    }

    /// The page was too large to read; false when it can't be any shorter.
    pub fn shorten(&mut self) -> bool {
        let shorter = (self.limit / 2).max(SHORTEST_PAGE);
        std::mem::replace(&mut self.limit, shorter) > shorter
    }

    /// Is this a walk that we could have written? One that comes back from a client may be anything.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        const MOST_WINDOWS: usize = 200;
        (SHORTEST_PAGE..=PAGE).contains(&self.limit) && self.windows.len() <= MOST_WINDOWS
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

    use super::{Millis, PAGE, Walk};
    use crate::{
        call::id::CallId,
        vapi::client::{ListQuery, ListedCall},
    };

    /// A call: when it was made, and changed.
    type Made = (i64, i64);

    fn answer(all: &[Made], query: &ListQuery) -> Vec<ListedCall> {
        let within = |at: i64, from: Option<Millis>, to: Option<Millis>| from.is_none_or(|it| at >= it.0) && to.is_none_or(|it| at <= it.0);
        let fits = |(created, updated): &Made| {
            within(*created, query.created_from, query.created_to) && within(*updated, query.updated_from, query.updated_to)
        };
        let mut found: Vec<(usize, &Made)> = all.iter().enumerate().filter(|(_, made)| fits(made)).collect();
        found.sort_by_key(|(_, (created, _))| -created);
        let listed = |(number, made): (usize, &Made)| ListedCall {
            id: CallId::parse(&number.to_string()).expect("an id"),
            created_at: Some(Millis(made.0)),
            updated_at: Millis(made.1).to_string(),
            body: bytes::Bytes::new(),
        };
        found.into_iter().take(query.limit).map(listed).collect()
    }

    /// The ids seen, and the pages it took.
    fn walked(all: &[Made], mut walk: Walk) -> (BTreeSet<String>, usize, Walk) {
        let (mut seen, mut pages) = (BTreeSet::new(), 0);
        while let Some(query) = walk.next() {
            let calls = answer(all, &query);
            walk.saw(&calls, calls.len(), Millis(10_000));
            seen.extend(calls.into_iter().map(|call| call.id.to_string()));
            pages += 1;
            assert!(pages < 2_000, "it never ends");
        }
        (seen, pages, walk)
    }

    fn calls() -> impl Strategy<Value = Vec<Made>> {
        // Few moments, so that many calls share one.
        prop::collection::vec((1_000_i64..1_004, 0_i64..500).prop_map(|(made, after)| (made, made + after)), 0..400)
    }

    proptest! {
        #[test]
        fn every_call_is_seen_however_many_were_made_at_once(all in calls(), cut in 0_usize..6) {
            let mut walk = Walk::through(Millis(0), None);
            let mut before = BTreeSet::new();
            // Cut somewhere, kept, and read again.
            for _ in 0..cut {
                let Some(query) = walk.next() else { break };
                let calls = answer(&all, &query);
                walk.saw(&calls, calls.len(), Millis(10_000));
                before.extend(calls.into_iter().map(|call| call.id.to_string()));
            }
            let kept = serde_json::to_vec(&walk).expect("JSON");
            let (mut seen, _, end) = walked(&all, serde_json::from_slice(&kept).expect("a walk"));
            seen.extend(before);
            prop_assert!(end.crowded > 0 || seen.len() == all.len(), "{} of {}", seen.len(), all.len());
            prop_assert!(end.is_sound());
        }

        #[test]
        fn calls_of_different_moments_take_no_more_pages_than_they_must(count in 0_i64..500) {
            let all: Vec<Made> = (0..count).map(|at| (at, at)).collect();
            let (seen, pages, end) = walked(&all, Walk::through(Millis(0), None));
            prop_assert_eq!((seen.len(), end.crowded), (all.len(), 0));
            prop_assert!(pages <= all.len() / (PAGE - 1) + 2, "{} pages", pages);
        }
    }

    #[test]
    fn a_crowd_of_one_millisecond_is_told_and_ends() {
        let all = vec![(5, 5); 60];
        let (seen, _, end) = walked(&all, Walk::through(Millis(0), None));
        assert!(seen.len() >= PAGE && end.crowded == 1, "{} {end:?}", seen.len());
    }

    #[test]
    fn a_page_gets_shorter_until_it_can_be_no_shorter() {
        let mut walk = Walk::through(Millis(0), None);
        let times = std::iter::repeat_with(|| walk.shorten()).take_while(|shorter| *shorter).count();
        assert_eq!((times, walk.next().map(|query| query.limit)), (4, Some(5)));
    }
}
