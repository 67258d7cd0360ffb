//! Is the call settled, and when is Vapi to be asked next?
//!
//! Policy looks at the joined record and never edits it. What it decides becomes an event (*settled*) and a due time; both are committed with
//! the event that made it look. So it runs at most once a commit, and a restart changes nothing.

use std::collections::BTreeMap;

use super::{
    record::{CallRecord, CallState, Fetch, FetchOutcome, FetchReason, Promise, Settled},
    time::{Millis, SECOND},
    view::ended_at,
};

/// After *ended* was heard, a report is expected within this time.
pub const REPORT_WAIT: i64 = 20 * SECOND;
/// Checks of a silent call come at doubling intervals up to this one.
pub const LONGEST_CHECK_INTERVAL: i64 = 6 * 3_600 * SECOND;
/// As many doublings of a second pass the longest interval; more would overflow.
const MOST_DOUBLINGS: usize = 20;
/// A check that got no answer is made again after this time, then after the double, until the usual interval is reached.
pub const CHECK_AGAIN: i64 = 5 * SECOND;
/// Vapi must say twice that it knows no such call, this far apart.
pub const UNKNOWN_TWICE: i64 = 60 * SECOND;
/// Two ended answers with the same `updatedAt` this far apart: Vapi is done with the call.
pub const STABLE_FOR: i64 = 20 * SECOND;
/// A transcript of more characters than this is a conversation, not a greeting.
pub const TELLING_TRANSCRIPT: usize = 50;
/// Delays before fetches vary by this share, both ways, so that many calls that end together do not ask together.
pub const JITTER: f64 = 0.1;

/// When and whether to ask Vapi.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Is there an API key at all?
    pub can_ask: bool,
    /// Milliseconds before each fetch, one after another.
    pub delays: Vec<i64>,
    /// Milliseconds of silence after which a live call is checked, and after its end for which a report is waited for.
    pub grace: i64,
}

/// When Vapi is to be asked, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Millis,
    /// Why.
    pub reason: FetchReason,
}

impl Due {
    /// In which order work that is due is taken; the least first: what pollers wait for, what somebody asked for, what may have been lost.
    #[must_use]
    pub fn urgency(self) -> u8 {
        match self.reason {
            FetchReason::Enrich => 0,
            FetchReason::Manual => 1,
            FetchReason::Check => 2,
        }
    }

    /// What is due then with this [`urgency`](Self::urgency). One that only a later release knows stands for a check: to look is never wrong.
    #[must_use]
    pub fn of_urgency(urgency: i64, at: Millis) -> Self {
        let reason = match urgency {
            0 => FetchReason::Enrich,
            1 => FetchReason::Manual,
            _ => FetchReason::Check,
        };
        Self { at, reason }
    }
}

/// The moment of a decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Now.
    pub now: Millis,
    /// From -1 to 1, drawn by the caller.
    pub jitter: f64,
    /// Vapi asked not to be asked before this; it only ever lengthens a delay.
    pub not_before: Option<Millis>,
    /// The decision follows a fetch, so the due time that was there is spent.
    pub after_fetch: bool,
}

/// What policy decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Settle it now.
    pub settle: Option<Settled>,
    /// Ask Vapi then; `None`: not at all.
    pub due: Option<Due>,
}

/// Decides about a record, for which `pending` was decided before.
#[must_use]
pub fn decide(record: &CallRecord, pending: Option<Due>, plan: &Plan, moment: Moment) -> Verdict {
    if record.deleted_at.is_some() {
        return Verdict { settle: None, due: None };
    }
    let pending = pending.filter(|_| !moment.after_fetch);
    if !record.has_result() {
        let due = if plan.can_ask { check(record, pending, plan, moment) } else { None };
        return Verdict { settle: None, due };
    }
    let settle = settlement(record, plan).filter(|settle| record.settled < Some(*settle));
    let due = match record.settled.max(settle) {
        None => Some(next_fetch(record, pending, plan, moment)),
        // Settled this moment: the fetch that was planned to complete the call has nothing left to do.
        Some(_) if settle.is_some() => pending.filter(|due| due.reason == FetchReason::Manual),
        // Settled before: somebody asked anew.
        Some(_) => pending.filter(|due| due.reason != FetchReason::Check),
    };
    let due = due.or_else(|| judgement(record, plan));
    Verdict { settle, due }
}

/// How a call with a result is to be settled now, if at all.
fn settlement(record: &CallRecord, plan: &Plan) -> Option<Settled> {
    if record.lost_at.is_some() && !record.has_end() {
        // There is nothing that could be asked for by this id.
        return Some(Settled::FetchFailed);
    }
    let answered = record.fetches.values().any(|fetch| matches!(fetch.outcome, FetchOutcome::Ended { .. }));
    let report_says_all = record.reported && at_once(record);
    if !plan.can_ask || plan.delays.is_empty() || record.never_connected() || report_says_all {
        return Some(Settled::Complete);
    }
    if answered && (promised_is_there(record) || is_stable(record)) {
        return Some(Settled::Complete);
    }
    let denied = record.last_fetch().is_some_and(|fetch| matches!(fetch.outcome, FetchOutcome::Denied { .. }));
    if denied {
        return Some(Settled::FetchFailed);
    }
    // What was given up stays given up: nothing more is fetched for it, so the first answer that says ended is its last.
    let spent = tries(record) >= plan.delays.len() || record.settled.is_some();
    spent.then_some(if answered { Settled::Complete } else { Settled::FetchFailed })
}

/// When a report that did not come counts as lost. Vapi is not asked then: a settled call that is due for a check is judged.
fn judgement(record: &CallRecord, plan: &Plan) -> Option<Due> {
    let lost_at = ended_at(record)?.plus(plan.grace);
    (plan.can_ask && record.misses_report()).then_some(Due { at: lost_at, reason: FetchReason::Check })
}

/// Does the report leave nothing to be fetched? The transcript must be its own, or better: what was heard before it may be cut short.
fn at_once(record: &CallRecord) -> bool {
    let characters = record.transcript.as_ref().filter(|it| it.authoritative).map_or(0, |it| it.value.chars().count());
    if promises_nothing(record) { characters > 0 } else { characters > TELLING_TRANSCRIPT && promised_is_there(record) }
}

/// Is analysis explicitly off?
#[must_use]
pub fn promises_nothing(record: &CallRecord) -> bool {
    record.promises.explicitly_none()
}

/// Is everything there that the assistant promised? Where nothing is known of promises, one of the three parts suffices.
fn promised_is_there(record: &CallRecord) -> bool {
    let promises = &record.promises;
    if !promises.any() {
        return promises_nothing(record) || !record.analysis_is_empty();
    }
    let has_output = |id: &String| record.structured_outputs.get(id).is_some_and(|output| output.value.has_result());
    (!promises.summary_is(Promise::On) || record.has_summary())
        && (!promises.structured_data_is(Promise::On) || record.has_structured_data())
        && promises.output_ids().all(has_output)
}

/// Did two ended answers, far enough apart, carry the same `updatedAt`?
fn is_stable(record: &CallRecord) -> bool {
    let mut seen: BTreeMap<&str, (Millis, Millis)> = BTreeMap::new();
    for fetch in record.fetches.values() {
        if let FetchOutcome::Ended { updated_at } = &fetch.outcome {
            let (first, last) = seen.entry(updated_at).or_insert((fetch.at, fetch.at));
            (*first, *last) = (fetch.at.min(*first), fetch.at.max(*last));
        }
    }
    seen.iter().any(|(updated_at, (first, last))| !updated_at.is_empty() && last.since(*first) >= STABLE_FOR)
}

fn tries(record: &CallRecord) -> usize {
    record.fetches.values().filter(|fetch| fetch.reason == FetchReason::Enrich).count()
}

fn next_fetch(record: &CallRecord, pending: Option<Due>, plan: &Plan, moment: Moment) -> Due {
    if let Some(pending) = pending.filter(|due| due.reason != FetchReason::Check) {
        return pending;
    }
    let delay = plan.delays.get(tries(record)).copied().unwrap_or_default();
    later_of(moment.now.plus(jittered(delay, moment.jitter)), FetchReason::Enrich, moment)
}

fn later_of(at: Millis, reason: FetchReason, moment: Moment) -> Due {
    Due { at: at.max(moment.not_before.unwrap_or(at)), reason }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "delays are seconds to hours")]
fn jittered(delay: i64, jitter: f64) -> i64 {
    (delay as f64 * jitter.clamp(-1.0, 1.0).mul_add(JITTER, 1.0)).round() as i64
}

/// When to look after a call that was heard of, but not its report.
fn check(record: &CallRecord, pending: Option<Due>, plan: &Plan, moment: Moment) -> Option<Due> {
    let manual = pending.filter(|due| due.reason == FetchReason::Manual);
    if manual.is_some() || is_unknown_to_vapi(record) {
        return manual;
    }
    let checks = checks_in_this_silence(record);
    if moment.after_fetch || (checks > 0 && pending.is_none()) {
        return Some(later_of(moment.now.plus(next_interval(record, plan, checks)), FetchReason::Check, moment));
    }
    if checks > 0 {
        return pending;
    }
    let due = Due { at: record.heard_at.unwrap_or(moment.now).plus(first_interval(record, plan)), reason: FetchReason::Check };
    // While the line is up, whatever is heard begins the silence anew; once it dropped, later words do not put the check off.
    Some(pending.filter(|pending| record.state == CallState::Ended && pending.at <= due.at).unwrap_or(due))
}

/// A silence begins with the last thing heard; what makes no facts, such as a partial transcript, breaks none.
fn fetched_in_this_silence(record: &CallRecord) -> impl Iterator<Item = &Fetch> {
    record.fetches.values().filter(|fetch| record.heard_at.is_none_or(|heard| fetch.at > heard))
}

fn checks_in_this_silence(record: &CallRecord) -> usize {
    fetched_in_this_silence(record).filter(|fetch| fetch.reason == FetchReason::Check).count()
}

fn first_interval(record: &CallRecord, plan: &Plan) -> i64 {
    if record.state == CallState::Ended { REPORT_WAIT } else { plan.grace.max(SECOND) }
}

fn next_interval(record: &CallRecord, plan: &Plan, checks: usize) -> i64 {
    if record.last_fetch().is_some_and(|fetch| fetch.outcome == FetchOutcome::Unknown) {
        return UNKNOWN_TWICE;
    }
    let usual = doubled(first_interval(record, plan), checks);
    match failures(record) {
        0 => usual,
        failed => doubled(CHECK_AGAIN, failed - 1).min(usual),
    }
}

fn doubled(interval: i64, times: usize) -> i64 {
    let doublings = u32::try_from(times.min(MOST_DOUBLINGS)).unwrap_or_default();
    interval.saturating_mul(1_i64 << doublings).min(LONGEST_CHECK_INTERVAL)
}

/// How many of the latest fetches got no answer, one after the other.
fn failures(record: &CallRecord) -> usize {
    let mut fetches: Vec<&Fetch> = fetched_in_this_silence(record).collect();
    fetches.sort_unstable();
    fetches.iter().rev().take_while(|fetch| matches!(fetch.outcome, FetchOutcome::Failed { .. })).count()
}

/// Vapi said twice, far enough apart and after everything else that was heard, that it knows no such call.
#[must_use]
pub fn is_unknown_to_vapi(record: &CallRecord) -> bool {
    let after_all_heard = |fetch: &&Fetch| record.heard_at.is_none_or(|heard| fetch.at > heard);
    let unknown = record.fetches.values().filter(|fetch| fetch.outcome == FetchOutcome::Unknown).filter(after_all_heard);
    let times: Vec<Millis> = unknown.map(|fetch| fetch.at).collect();
    let span = times.iter().min().zip(times.iter().max());
    !record.has_result() && span.is_some_and(|(first, last)| last.since(*first) >= UNKNOWN_TWICE)
}
