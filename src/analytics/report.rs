//! The numbers as they are told.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Question;
use crate::{
    call::{
        measures::MISSING,
        time::{DAY, Millis},
        view::At,
    },
    store::{
        figures::{Figures, Group, Percentiles, Scores, Sum, Times},
        tally::Counted,
    },
    telemetry::Named,
};

/// Numbers about the calls first heard of from `since` on and before `until`.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analytics {
    /// The beginning of the range.
    #[schema(value_type = String, format = DateTime)]
    pub since: At,
    /// The end of the range, which is not part of it.
    #[schema(value_type = String, format = DateTime)]
    pub until: At,
    /// How many calls there are.
    pub calls: u64,
    /// How they turned out.
    pub by_status: ByStatus,
    /// Calls that somebody picked up (connected, and neither `voicemail` nor `no_answer`) ÷ calls with a result; `null` without any.
    pub answer_rate: Option<f64>,
    /// `durationSeconds` of the calls that have it.
    pub duration_seconds: Spread,
    /// `cost` of the calls that have it, in US dollars.
    pub cost: Cost,
    /// What Vapi sent.
    pub webhooks: Webhooks,
    /// Seconds from the end of a call until it was done.
    pub completion_seconds: TimePercentiles,
    /// What had to be fetched from Vapi.
    pub enrichment: Enrichment,
    /// The store.
    pub store: StoreNumbers,
    /// What customers thought.
    pub feedback: Feedback,
    /// The same day by day, in UTC; also the days without calls.
    pub series: Vec<DayNumbers>,
}

/// Calls by their `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct ByStatus {
    /// No result yet.
    pub pending: u64,
    /// Talked.
    pub completed: u64,
    /// Nobody picked up.
    pub no_answer: u64,
    /// A machine picked up.
    pub voicemail: u64,
    /// Ended by silence or a limit.
    pub timeout: u64,
    /// Went wrong.
    pub error: u64,
}

/// A mean and two percentiles (nearest rank); `null` when there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, utoipa::ToSchema)]
pub struct Spread {
    /// The mean.
    pub average: Option<f64>,
    /// What half of all do not exceed.
    pub p50: Option<f64>,
    /// What 95 % of all do not exceed.
    pub p95: Option<f64>,
}

/// Two percentiles (nearest rank); `null` when there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, utoipa::ToSchema)]
pub struct TimePercentiles {
    /// What half of all do not exceed.
    pub p50: Option<f64>,
    /// What 95 % of all do not exceed.
    pub p95: Option<f64>,
}

/// US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, utoipa::ToSchema)]
pub struct Cost {
    /// Of all calls.
    pub total: f64,
    /// Of a call that has a cost; `null` without any.
    pub average: Option<f64>,
}

/// What Vapi sent. `received`, `rejected` and `byReason` count the whole service by the hour, every hour that the range touches; asked about some
/// assistants or providers only, nobody knows them: `null`, `{}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhooks {
    /// Let in, repeats included.
    pub received: Option<u64>,
    /// Refused for their proof.
    pub rejected: Option<u64>,
    /// Refused, by reason: `missing`, `invalid`, `stale`.
    pub by_reason: BTreeMap<String, u64>,
    /// Calls whose report counted as lost.
    pub lost: u64,
    /// Ended calls whose report came by webhook ÷ ended calls known; `null` without any.
    pub delivery_success: Option<f64>,
}

/// What had to be fetched from Vapi.
#[derive(Debug, Clone, PartialEq, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Enrichment {
    /// Calls that Vapi was asked about.
    pub calls: u64,
    /// How often it was asked.
    pub attempts: u64,
    /// Calls with a result that are not done.
    pub pending: u64,
    /// Calls that are `complete`.
    pub complete: u64,
    /// Calls that are `fetch_failed`.
    pub failed: u64,
    /// Calls without any analysis, by `outcome.analysisMissingReason`.
    pub analysis_missing: BTreeMap<&'static str, u64>,
}

/// The store, as the whole service sees it; `null` where [`Webhooks::received`] is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreNumbers {
    /// Milliseconds that a commit took, waiting for its turn included.
    pub commit_ms: CommitTimes,
}

/// Two percentiles, each right to within a tenth.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, utoipa::ToSchema)]
pub struct CommitTimes {
    /// What half of all do not exceed.
    pub p50: Option<f64>,
    /// What 95 % of all do not exceed.
    pub p95: Option<f64>,
}

/// What customers thought, by `feedback.npsScore`. With a `DATA_KEY` scores are not kept in clear and so not counted: all `null`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Feedback {
    /// Calls with a score.
    pub responses: Option<u64>,
    /// The mean score.
    pub average_score: Option<f64>,
    /// The net promoter score: the share of promoters (9 and more) less that of detractors (6 and less), times 100.
    pub nps: Option<f64>,
    /// Scores of 9 and more.
    pub promoters: Option<u64>,
    /// Scores between.
    pub passives: Option<u64>,
    /// Scores of 6 and less.
    pub detractors: Option<u64>,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DayNumbers {
    /// The day, in UTC.
    #[schema(example = "2026-11-21", format = Date)]
    pub date: String,
    /// How many calls there are.
    pub calls: u64,
    /// How they turned out.
    pub by_status: ByStatus,
    /// As above.
    pub answer_rate: Option<f64>,
    /// As above.
    pub duration_seconds: Spread,
    /// As above.
    pub cost: Cost,
    /// As above.
    pub webhooks: DayWebhooks,
    /// As above.
    pub completion_seconds: TimePercentiles,
}

/// What Vapi sent on one day.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DayWebhooks {
    /// Let in, repeats included.
    pub received: Option<u64>,
    /// Refused for their proof.
    pub rejected: Option<u64>,
    /// Calls whose report counted as lost.
    pub lost: u64,
    /// As above.
    pub delivery_success: Option<f64>,
}

/// What some groups come to together.
#[derive(Debug, Default)]
struct Total {
    calls: u64,
    by_status: ByStatus,
    answered: u64,
    durations: Sum,
    costs: Sum,
    ended: u64,
    reported: u64,
    lost: u64,
    enrichment: Enrichment,
    scores: Scores,
}

impl Total {
    fn of<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Self {
        groups.into_iter().fold(Self::default(), |mut total, group| {
            total.add(group);
            total
        })
    }

    fn add(&mut self, group: &Group) {
        let Group { marks, calls, durations, costs, fetched, fetches, scores, .. } = *group;
        self.calls += calls;
        *self.by_status.of(marks.status) += calls;
        self.durations += durations;
        self.costs += costs;
        self.scores += scores;
        for (counts, count) in [
            (marks.answered, &mut self.answered),
            (marks.ended, &mut self.ended),
            (marks.ended && marks.reported, &mut self.reported),
            (marks.lost, &mut self.lost),
            (matches!(marks.data_status, "partial" | "fetching"), &mut self.enrichment.pending),
            (marks.data_status == "complete", &mut self.enrichment.complete),
            (marks.data_status == "fetch_failed", &mut self.enrichment.failed),
        ] {
            *count += if counts { calls } else { 0 };
        }
        self.enrichment.calls += fetched;
        self.enrichment.attempts += fetches;
        *self.enrichment.analysis_missing.entry(marks.missing).or_default() += calls;
    }

    fn answer_rate(&self) -> Option<f64> {
        share(self.answered, self.calls - self.by_status.pending)
    }

    fn duration(&self, times: &Times) -> Spread {
        let Percentiles { p50, p95 } = times.duration;
        Spread { average: self.durations.average().map(thousandths), p50, p95 }
    }

    fn cost(&self) -> Cost {
        Cost { total: millionths(self.costs.total), average: self.costs.average().map(millionths) }
    }
}

impl ByStatus {
    fn of(&mut self, status: &str) -> &mut u64 {
        match status {
            "completed" => &mut self.completed,
            "no_answer" => &mut self.no_answer,
            "voicemail" => &mut self.voicemail,
            "timeout" => &mut self.timeout,
            "error" => &mut self.error,
            _ => &mut self.pending,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "calls are far fewer than 2^53")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 1e4).round() / 1e4)
}

fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Also hides in which order amounts were added.
fn millionths(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn completion(times: &Times) -> TimePercentiles {
    TimePercentiles { p50: times.completion.p50, p95: times.completion.p95 }
}

/// What processes counted, in all and by day.
#[derive(Debug, Default)]
struct Tallied {
    received: BTreeMap<i64, u64>,
    rejected: BTreeMap<i64, u64>,
    by_reason: BTreeMap<String, u64>,
    /// Milliseconds, and how often.
    commits: Vec<(f64, u64)>,
}

impl Tallied {
    fn of(counted: &[Counted]) -> Self {
        let mut all = Self::default();
        for Counted { day, name, count } in counted {
            match Named::read(name) {
                Some(Named::Received) => *all.received.entry(*day).or_default() += count,
                Some(Named::Rejected(reason)) => {
                    *all.rejected.entry(*day).or_default() += count;
                    *all.by_reason.entry(reason.to_owned()).or_default() += count;
                }
                Some(Named::Committed(took)) => all.commits.push((took, *count)),
                None => {}
            }
        }
        all.commits.sort_by(|a, b| a.0.total_cmp(&b.0));
        all
    }

    fn commit(&self, percent: u64) -> Option<f64> {
        let rank = (self.commits.iter().map(|(_, count)| count).sum::<u64>() * percent).div_ceil(100);
        let mut seen = 0;
        let step = self.commits.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        step.map(|(took, _)| thousandths(*took))
    }
}

fn day_webhooks(total: &Total, day: i64, tallied: Option<&Tallied>) -> DayWebhooks {
    let count = |of: fn(&Tallied) -> &BTreeMap<i64, u64>| tallied.map(|all| of(all).get(&day).copied().unwrap_or_default());
    DayWebhooks {
        received: count(|all| &all.received),
        rejected: count(|all| &all.rejected),
        lost: total.lost,
        delivery_success: share(total.reported, total.ended),
    }
}

fn feedback(scores: &Scores, hidden: bool) -> Feedback {
    if hidden {
        return Feedback::default();
    }
    let Scores { all, promoters, detractors } = *scores;
    #[expect(clippy::cast_precision_loss, reason = "calls are far fewer than 2^53")]
    let nps = (all.count > 0).then(|| thousandths((promoters as f64 - detractors as f64) / all.count as f64 * 100.0));
    Feedback {
        responses: Some(all.count),
        average_score: all.average().map(thousandths),
        nps,
        promoters: Some(promoters),
        passives: Some(all.count - promoters - detractors),
        detractors: Some(detractors),
    }
}

fn date(day: i64) -> String {
    Millis(day * DAY).to_string().chars().take_while(|it| *it != 'T').collect()
}

fn series(question: &Question, figures: &Figures, tallied: Option<&Tallied>) -> Vec<DayNumbers> {
    let days = question.since.0.div_euclid(DAY)..=question.until.0.saturating_sub(1).div_euclid(DAY);
    let mut groups = figures.groups.chunk_by(|a, b| a.day == b.day).peekable();
    let numbers = days.map(|day| {
        while groups.next_if(|groups| groups[0].day < day).is_some() {}
        let total = Total::of(groups.next_if(|groups| groups[0].day == day).unwrap_or_default());
        let times = figures.days.get(&day).copied().unwrap_or_default();
        DayNumbers {
            date: date(day),
            calls: total.calls,
            by_status: total.by_status,
            answer_rate: total.answer_rate(),
            duration_seconds: total.duration(&times),
            cost: total.cost(),
            webhooks: day_webhooks(&total, day, tallied),
            completion_seconds: completion(&times),
        }
    });
    numbers.collect()
}

/// The answer; `counted` is what processes counted, if it is told.
pub(super) fn analytics(question: &Question, figures: &Figures, counted: Option<&[Counted]>, hides_scores: bool) -> Analytics {
    let (total, tallied) = (Total::of(&figures.groups), counted.map(Tallied::of));
    let sum = |of: fn(&Tallied) -> &BTreeMap<i64, u64>| tallied.as_ref().map(|all| of(all).values().sum());
    let mut enrichment = total.enrichment.clone();
    enrichment.analysis_missing =
        MISSING[1..].iter().map(|reason| (*reason, enrichment.analysis_missing.get(reason).copied().unwrap_or_default())).collect();
    let commit = |percent| tallied.as_ref().and_then(|all| all.commit(percent));
    Analytics {
        since: At(question.since),
        until: At(question.until),
        calls: total.calls,
        by_status: total.by_status,
        answer_rate: total.answer_rate(),
        duration_seconds: total.duration(&figures.times),
        cost: total.cost(),
        webhooks: Webhooks {
            received: sum(|all| &all.received),
            rejected: sum(|all| &all.rejected),
            by_reason: tallied.as_ref().map(|all| all.by_reason.clone()).unwrap_or_default(),
            lost: total.lost,
            delivery_success: share(total.reported, total.ended),
        },
        completion_seconds: completion(&figures.times),
        enrichment,
        store: StoreNumbers { commit_ms: CommitTimes { p50: commit(50), p95: commit(95) } },
        feedback: feedback(&total.scores, hides_scores),
        series: series(question, figures, tallied.as_ref()),
    }
}
