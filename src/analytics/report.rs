//! From figures and tallies to what is told.

use std::collections::BTreeMap;

use super::{
    Question,
    told::{
        Analytics, ByStatus, CommitTimes, Cost, DayNumbers, DayWebhooks, Enrichment, Feedback, Spread, StoreNumbers, TimePercentiles,
        Webhooks,
    },
};
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
