//! The numbers as they are told.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::call::view::At;

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
