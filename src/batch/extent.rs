//! How much of a batch's calls goes out, so that no answer and no letter grows without bound: hundreds of calls may have megabytes each.

use serde_json::value::RawValue;

use crate::call::view::View;

/// Bytes of calls that are given in full; from the first that has no room any more, they are given as summaries.
pub const MOST_FULL_BYTES: usize = 8 * 1_048_576;
/// Bytes of calls that are given at all; from the first that has no room any more, they are left out.
pub const MOST_BYTES: usize = 12 * 1_048_576;

/// How much of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Nothing: its id leads to it.
    Nothing,
    /// See [`View::Summary`].
    Summary,
    /// Everything.
    Full,
}

impl From<View> for Extent {
    fn from(view: View) -> Self {
        match view {
            View::Full => Self::Full,
            View::Summary => Self::Summary,
        }
    }
}

impl Extent {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Summary => "summary",
            Self::Full => "full",
        }
    }

    /// The next smaller one, so many times.
    #[must_use]
    pub fn smaller(self, times: usize) -> Self {
        match (self, times) {
            (same, 0) => same,
            (Self::Full, 1) => Self::Summary,
            _ => Self::Nothing,
        }
    }

    fn view(self) -> Option<View> {
        match self {
            Self::Nothing => None,
            Self::Summary => Some(View::Summary),
            Self::Full => Some(View::Full),
        }
    }
}

/// The room that is left for calls.
pub(super) struct Room {
    extent: Extent,
    full: usize,
    all: usize,
}

impl Room {
    pub(super) fn of(extent: Extent) -> Self {
        Self { extent, full: MOST_FULL_BYTES, all: MOST_BYTES }
    }

    /// There is room for nothing, from the beginning or by now.
    pub(super) fn is_closed(&self) -> bool {
        self.extent == Extent::Nothing
    }

    /// As much of the next call as there is room for, and how much that is. What had no room once has none later: the calls that are shortened
    /// stand together, at the end.
    pub(super) fn take(&mut self, render: impl Fn(View) -> Option<Box<RawValue>>) -> (Extent, Option<Box<RawValue>>) {
        while let Some(view) = self.extent.view() {
            let text = render(view);
            let length = text.as_ref().map_or(0, |text| text.get().len());
            if length <= self.all && (self.extent < Extent::Full || length <= self.full) {
                self.all -= length;
                self.full = self.full.saturating_sub(length);
                return (self.extent, text);
            }
            self.extent = self.extent.smaller(1);
        }
        (Extent::Nothing, None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::{RawValue, to_raw_value};

    use super::{Extent, MOST_BYTES, MOST_FULL_BYTES, Room, View};

    const MB: usize = 1_048_576;

    fn text(length: usize) -> Option<Box<RawValue>> {
        to_raw_value(&"x".repeat(length)).ok()
    }

    /// What becomes of calls of so many bytes in full, and so many as summaries.
    fn taken(extent: Extent, calls: &[(usize, usize)]) -> (Vec<&'static str>, usize) {
        let mut room = Room::of(extent);
        let render = |full: usize, brief: usize| move |view| text(if view == View::Full { full } else { brief });
        let taken: Vec<_> = calls.iter().map(|(full, brief)| room.take(render(*full, *brief))).collect();
        let bytes = taken.iter().filter_map(|(_, text)| Some(text.as_ref()?.get().len())).sum();
        (taken.into_iter().map(|(extent, _)| extent.as_str()).collect(), bytes)
    }

    #[test]
    fn what_has_no_room_in_full_is_a_summary_and_what_has_none_at_all_is_left_out() {
        assert_eq!(taken(Extent::Full, &[(MB, 9); 10]).0[..8], ["full", "full", "full", "full", "full", "full", "full", "summary"]);
        let (extents, bytes) = taken(Extent::Full, &[(5 * MB, 9), (5 * MB, 9), (9, 9), (99 * MB, 99 * MB), (9, 9)]);
        assert_eq!(extents, ["full", "summary", "summary", "none", "none"], "those behind are shortened as well");
        assert!(bytes < MOST_FULL_BYTES, "{bytes}");
        let (extents, bytes) = taken(Extent::Summary, &[(9, MB); 20]);
        assert_eq!(extents.iter().filter(|extent| **extent == "summary").count(), 11);
        assert!(bytes <= MOST_BYTES && !extents.contains(&"full"), "{bytes}");
        assert_eq!(taken(Extent::Nothing, &[(9, 9)]), (vec!["none"], 0));
    }

    #[test]
    fn it_gets_smaller_step_by_step() {
        let steps = |extent: Extent| [0, 1, 2, 9].map(|times| extent.smaller(times).as_str());
        assert_eq!(steps(Extent::Full), ["full", "summary", "none", "none"]);
        assert_eq!(steps(Extent::Summary), ["summary", "none", "none", "none"]);
    }
}
