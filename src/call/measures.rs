//! What of a call goes into numbers about many: [`Measures`], taken from its record alone. What is counted is what pollers see.

use std::ops::RangeInclusive;

use super::{
    record::{CallRecord, CallState},
    time::Millis,
    view::{FeedbackView, OutcomeView, call_state, data_status, duration_seconds, ended_at, status},
};

/// The `status` of a call. Stores keep the position in the list, here and below: words are only ever added, at the end.
pub const STATUSES: [&str; 6] = ["pending", "completed", "no_answer", "voicemail", "timeout", "error"];
/// The `dataStatus`.
pub const DATA_STATUSES: [&str; 5] = ["pending", "partial", "fetching", "complete", "fetch_failed"];
/// The `analysisMissingReason`.
pub const MISSING: [&str; 7] = ["", "not_connected", "still_fetching", "not_promised", "too_short", "could_not_ask", "never_came"];
/// What a score is found under, in data and outputs.
const SCORE: &str = "nps_score";
/// What a score can be; anything else is a slip of whoever wrote it down.
const SCORES: RangeInclusive<f64> = 0.0..=10.0;
/// Of a call first heard of so long after its end, in milliseconds, nobody waited for the result: it was backfilled or replayed.
const LATE: i64 = 24 * 3_600_000;

/// What calls are grouped by when they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::struct_excessive_bools, reason = "what is counted, each by itself; no state machine")]
pub struct Marks {
    /// One of [`STATUSES`].
    pub status: &'static str,
    /// One of [`DATA_STATUSES`].
    pub data_status: &'static str,
    /// One of [`MISSING`].
    pub missing: &'static str,
    /// Somebody picked up: connected, and neither `voicemail` nor `no_answer`.
    pub answered: bool,
    /// Its `callStatus` is `ended`.
    pub ended: bool,
    /// Its report came by webhook.
    pub reported: bool,
    /// Its report counted as lost, whether or not it came later.
    pub lost: bool,
}

/// What is counted of one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// What it is grouped by.
    pub marks: Marks,
    /// `durationSeconds`.
    pub duration: Option<f64>,
    /// `cost`, in US dollars.
    pub cost: Option<f64>,
    /// Seconds from its end until it was done; `None` also of a call first heard of long after its end.
    pub completion: Option<f64>,
    /// `fetchAttempts`.
    pub fetches: u32,
    /// `feedback.npsScore`.
    pub score: Option<f64>,
}

impl Marks {
    fn of(record: &CallRecord) -> Self {
        let (status, outcome) = (status(record), OutcomeView::of(record));
        Self {
            status,
            data_status: data_status(record),
            missing: outcome.analysis_missing_reason,
            answered: outcome.connected && !matches!(status, "pending" | "voicemail" | "no_answer"),
            ended: call_state(record) == CallState::Ended,
            reported: record.webhook_received_at.is_some(),
            lost: record.recovered_at.is_some(),
        }
    }

    /// As one number, to be stored and grouped by.
    #[must_use]
    pub fn packed(self) -> i64 {
        let words = place(&STATUSES, self.status) | place(&DATA_STATUSES, self.data_status) << 3 | place(&MISSING, self.missing) << 6;
        let flags = [self.answered, self.ended, self.reported, self.lost];
        flags.into_iter().zip(9..).fold(words, |all, (flag, at)| all | i64::from(flag) << at)
    }

    /// What [`Self::packed`] made. What only a later release knows is read as the first word.
    #[must_use]
    pub fn unpacked(packed: i64) -> Self {
        let flag = |at: u32| packed >> at & 1 == 1;
        Self {
            status: word(&STATUSES, packed),
            data_status: word(&DATA_STATUSES, packed >> 3),
            missing: word(&MISSING, packed >> 6),
            answered: flag(9),
            ended: flag(10),
            reported: flag(11),
            lost: flag(12),
        }
    }
}

fn place(words: &[&str], word: &str) -> i64 {
    words.iter().zip(0..).find_map(|(known, at)| (*known == word).then_some(at)).unwrap_or_default()
}

fn word(words: &[&'static str], packed: i64) -> &'static str {
    usize::try_from(packed & 7).ok().and_then(|at| words.get(at)).unwrap_or(&words[0])
}

impl Measures {
    /// What is counted of this call, first heard of at `heard_at`.
    #[must_use]
    pub fn of(record: &CallRecord, heard_at: Millis) -> Self {
        let done = record.settled_at.filter(|_| record.is_done());
        Self {
            marks: Marks::of(record),
            duration: duration_seconds(record),
            cost: record.cost.as_ref().map(|cost| cost.value.0),
            completion: done.zip(ended_in_time(record, heard_at)).map(|(done, ended)| seconds(done, ended)),
            fetches: u32::try_from(record.fetches.len()).unwrap_or(u32::MAX),
            score: if may_have_score(record) { FeedbackView::of(record).nps_score.filter(|score| SCORES.contains(score)) } else { None },
        }
    }
}

/// When it ended, unless it was first heard of long after that.
#[must_use]
pub fn ended_in_time(record: &CallRecord, heard_at: Millis) -> Option<Millis> {
    ended_at(record).filter(|ended| heard_at.since(*ended) <= LATE)
}

/// From the end until the call was done; clocks that differ do not make it negative.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a call are far below 2^53")]
fn seconds(done: Millis, ended: Millis) -> f64 {
    done.since(ended).max(0) as f64 / 1e3
}

/// Spares reading data in which no score can be.
fn may_have_score(record: &CallRecord) -> bool {
    let data = record.structured_data.iter().map(|it| &it.value);
    data.chain(record.structured_outputs.values().map(|it| &it.value.0)).any(|json| json.as_str().contains(SCORE))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::any, prop_assert_eq, proptest, sample::select};

    use super::{DATA_STATUSES, MISSING, Marks, Measures, STATUSES};
    use crate::call::{
        field::{Cost, Rank, Stamped},
        json::Json,
        record::{CallRecord, CallState, Settled},
        time::Millis,
    };

    proptest! {
        #[test]
        fn marks_come_out_as_they_went_in(
            status in select(&STATUSES[..]), data_status in select(&DATA_STATUSES[..]), missing in select(&MISSING[..]), flags in any::<[bool; 4]>(),
        ) {
            let [answered, ended, reported, lost] = flags;
            let marks = Marks { status, data_status, missing, answered, ended, reported, lost };
            prop_assert_eq!(Marks::unpacked(marks.packed()), marks);
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "what a field is")]
    fn said<T>(value: T) -> Option<Stamped<T>> {
        Some(Stamped { value, rank: Rank::REPORT, sent_at: None })
    }

    #[test]
    fn a_call_is_measured_as_pollers_see_it() {
        let talked = CallRecord {
            reported: true,
            webhook_received_at: Some(Millis(70_000)),
            started_at: said(Millis(1_000)),
            ended_at: said(Millis(61_500)),
            ended_reason: said("customer-ended-call".to_owned()),
            cost: said(Cost(0.25)),
            structured_data: said(Json::from_value(&serde_json::json!({"nps_score": "9"}))),
            settled: Some(Settled::Complete),
            settled_at: Some(Millis(64_000)),
            ..CallRecord::default()
        };
        let marks =
            Marks { status: "completed", data_status: "complete", missing: "", answered: true, ended: true, reported: true, lost: false };
        let expected = Measures { marks, duration: Some(60.5), cost: Some(0.25), completion: Some(2.5), fetches: 0, score: Some(9.0) };
        assert_eq!(Measures::of(&talked, Millis::default()), expected);
        let live = CallRecord { state: CallState::InProgress, heard_live: true, ..CallRecord::default() };
        assert_eq!(
            Measures::of(&live, Millis::default()).marks,
            Marks::unpacked(0),
            "connected, but nobody knows yet how it will turn out"
        );
        let dropped = CallRecord { state: CallState::Ended, ..live };
        assert!(Measures::of(&dropped, Millis::default()).marks.ended, "although no report came");
    }

    #[test]
    fn what_was_heard_of_a_day_after_its_end_took_no_time() {
        let day = 24 * 3_600_000;
        let call = CallRecord {
            reported: true,
            ended_at: said(Millis(1_000)),
            settled: Some(Settled::Complete),
            settled_at: Some(Millis(day + 3_000)),
            ..CallRecord::default()
        };
        assert_eq!(Measures::of(&call, Millis(1_000 + day)).completion, Some(86_402.0), "it came late, and somebody waited");
        assert_eq!(Measures::of(&call, Millis(1_001 + day)).completion, None, "it was filled in afterwards");
    }

    #[test]
    fn a_score_is_from_nought_to_ten() {
        for (said_score, counted) in [("0", Some(0.0)), ("10", Some(10.0)), ("10.1", None), ("-1", None), ("99", None)] {
            let data = serde_json::json!({"nps_score": said_score});
            let call = CallRecord { reported: true, structured_data: said(Json::from_value(&data)), ..CallRecord::default() };
            assert_eq!(Measures::of(&call, Millis::default()).score, counted, "{said_score}");
        }
    }
}
