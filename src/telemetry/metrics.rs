//! Every metric there is (CONTRACT section 9), behind methods that say what happened.
//!
//! Labels are bounded: they are fixed texts of ours, HTTP statuses, or message types of a known list. No ids, no numbers of phones.

mod labels;

use std::{
    collections::BTreeMap,
    hash::Hash,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

use self::labels::{
    CheckLabels, DeliveryLabels, DoneLabels, KindLabels, MESSAGE_TYPES, METHODS, OTHER, OperationLabels, PushLabels, ReasonLabels,
    ResultLabels, ToolLabels, TransportLabels, VapiLabels, known,
};
pub use self::labels::{VapiStatus, known_type};
use super::{
    exposition,
    route::{RequestLabels, RouteLabels, RouteMetrics},
    seen::{Counts, Seen},
};
use crate::{call::time::Millis, store::StoreHealth};

/// Upper bounds, in seconds, of what answers and commits take.
const SHORT: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds, in seconds, of the time from a call's end until it is done.
const LONG: [f64; 12] = [0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 600.0, 3_600.0, 21_600.0];
/// Of whose calls a report was lost.
const LOST: [&str; 2] = ["report", "all"];
/// Why webhooks are turned away, whoever sends them: without a proof, with a wrong one, with an old one, and for these.
const REASONS: [&str; 6] = ["missing", "invalid", "stale", NOT_CONFIGURED, TOO_LARGE, INVALID_PAYLOAD];
/// A webhook from elsewhere was turned away because there is no secret to prove anything with.
pub const NOT_CONFIGURED: &str = "not_configured";
/// A webhook was turned away because of its size.
pub const TOO_LARGE: &str = "too_large";
/// A webhook was turned away because it was cut, or is no message.
pub const INVALID_PAYLOAD: &str = "invalid_payload";
/// What became of a webhook that the store did not take.
pub const FAILED: &str = "failed";
/// What Vapi answers whoever shows it a key that it does not take, or who has not paid.
const DENIALS: [u16; 3] = [401, 402, 403];
/// How calls turn out.
const STATUSES: [&str; 5] = ["completed", "no_answer", "voicemail", "timeout", "error"];
/// What became of a test event of the doctor's.
pub const EXAMINED: &str = "examined";
/// Why a test event of the doctor's was turned away.
pub const DOCTOR: &str = "doctor";
/// The store's operation that webhooks wait for.
const COMMIT: &str = "commit";
/// What Vapi is asked to do, by the client's words.
const OPERATIONS: [&str; 10] =
    ["call", "change", "change_settings", "control", "create", "delete", "list", "passthrough", "recording", "settings"];
/// Labels of a gauge that is absent until it is set.
type NoLabels = [(&'static str, &'static str); 0];
type Seconds = Gauge<f64, AtomicU64>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics; clones are the same metrics. Nothing is global: two services in one process count apart.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    seen: Counts,
    requests: Family<RequestLabels, Counter>,
    request_duration: Histograms<RouteLabels>,
    deliveries: Family<DeliveryLabels, Counter>,
    rejections: Family<ReasonLabels, Counter>,
    commit_duration: Histogram,
    last_received: Family<NoLabels, Seconds>,
    calls_done: Family<DoneLabels, Counter>,
    completion: Histogram,
    enrichment_attempts: Family<ResultLabels, Counter>,
    enrichment_pending: Gauge,
    enrichment_oldest: Seconds,
    lost_webhooks: Family<KindLabels, Counter>,
    vapi_requests: Family<VapiLabels, Counter>,
    tool_calls: Family<ToolLabels, Counter>,
    push_attempts: Family<PushLabels, Counter>,
    push_pending: Gauge,
    push_dead: Gauge,
    doctor_findings: Family<CheckLabels, Gauge>,
    waiters: Gauge,
    stream_clients: Family<TransportLabels, Gauge>,
    cache_hits: Counter,
    cache_misses: Counter,
    cache_bytes: Gauge,
    store_up: Gauge,
    store_duration: Histograms<OperationLabels>,
    store_size: Gauge,
    store_free: Family<NoLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics of one service, all at their beginning.
    #[must_use]
    pub fn new() -> Self {
        let mut list = List(Registry::with_prefix("ringback"));
        let cache = list.add("cache_requests", "Answers looked up in memory", Family::<ResultLabels, Counter>::default());
        let build = list.add("build_info", "The release that runs", Family::<[(&str, &str); 1], Gauge>::default());
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        let lost_webhooks = list.add("lost_webhooks", "Calls whose report never came by webhook", Family::default());
        let rejections = list.add("webhook_rejections", "Webhooks turned away", Family::default());
        let calls_done = list.add("calls_done", "Calls that became done", Family::default());
        let deliveries = list.add("webhook_deliveries", "Webhooks let in, by what became of them", Family::default());
        let vapi_requests = list.add("vapi_requests", "Requests to Vapi", Family::default());
        // Who watches for an increase would miss the first one of a series that begins at 1.
        begin(&lost_webhooks, LOST.map(|kind| KindLabels { kind }));
        begin(&rejections, REASONS.map(|reason| ReasonLabels { reason }));
        begin(&deliveries, MESSAGE_TYPES.into_iter().chain([OTHER]).map(|r#type| DeliveryLabels { r#type, result: FAILED }));
        let denied = |operation| DENIALS.map(|code| VapiLabels { operation, status: VapiStatus::Code(code) });
        begin(&vapi_requests, OPERATIONS.into_iter().flat_map(denied));
        begin(&calls_done, STATUSES.map(|status| DoneLabels { status, data_status: "fetch_failed" }));
        Self(Arc::new(Inner {
            requests: list.add("http_requests", "Requests answered", Family::default()),
            request_duration: list.add("http_request_duration_seconds", "Time to answer, without waiting on purpose", short()),
            deliveries,
            rejections,
            commit_duration: list.add("webhook_commit_duration_seconds", "Time to commit a webhook", Histogram::new(SHORT)),
            last_received: list.add("webhook_last_received_timestamp_seconds", "When the last webhook was let in", Family::default()),
            calls_done,
            completion: list.add("call_completion_seconds", "Time from the end of a call until it was done", Histogram::new(LONG)),
            enrichment_attempts: list.add("enrichment_attempts", "Fetches of late data", Family::default()),
            enrichment_pending: list.add("enrichment_pending", "Calls that wait to be fetched", Gauge::default()),
            enrichment_oldest: list.add("enrichment_oldest_pending_seconds", "How long the longest of them is overdue", Seconds::default()),
            lost_webhooks,
            vapi_requests,
            tool_calls: list.add("tool_calls", "Tool calls, by what was answered", Family::default()),
            push_attempts: list.add("push_attempts", "Tries to tell somebody", Family::default()),
            push_pending: list.add("push_pending", "Deliveries that wait to be tried", Gauge::default()),
            push_dead: list.add("push_dead_letters", "Deliveries that were given up", Gauge::default()),
            doctor_findings: list.add("doctor_findings", "Warnings and errors of the latest examination", Family::default()),
            waiters: list.add("waiters", "Requests that wait for a result", Gauge::default()),
            stream_clients: list.add("stream_clients", "Clients that listen to calls", Family::default()),
            cache_hits: cache.get_or_create_owned(&ResultLabels { result: "hit" }),
            cache_misses: cache.get_or_create_owned(&ResultLabels { result: "miss" }),
            cache_bytes: list.add("cache_bytes", "Memory taken by answers", Gauge::default()),
            store_up: list.add("store_up", "1 when the store answers", Gauge::default()),
            store_duration: list.add("store_operation_duration_seconds", "Time of the store's operations", short()),
            store_size: list.add("store_size_bytes", "Size of the store", Gauge::default()),
            store_free: list.add("store_free_bytes", "Free space where the store lies", Family::default()),
            seen: Counts::default(),
            registry: list.0,
        }))
    }

    /// All metrics as text of [`exposition::CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        let mut open = String::new();
        // A `String` takes everything, and no metric of ours refuses to be written.
        if let Err(error) = text::encode(&mut open, &self.0.registry) {
            tracing::error!(%error, "metrics could not be written");
        }
        exposition::from_open_metrics(&open)
    }

    /// The counters of one route, given as its template, and method.
    #[must_use]
    pub fn route(&self, route: &'static str, method: &str) -> RouteMetrics {
        let labels = RouteLabels { route, method: known(&METHODS, method) };
        let duration = self.0.request_duration.get_or_create_owned(&labels);
        RouteMetrics::new(labels, self.0.requests.clone(), duration)
    }

    /// A webhook was let in; `message_type` is Vapi's word, `result` one of ours.
    pub fn webhook_delivered(&self, message_type: &str, result: &'static str) {
        self.0.deliveries.get_or_create(&DeliveryLabels { r#type: known_type(message_type), result }).inc();
        if result != EXAMINED {
            self.0.seen.count(Seen::Received);
        }
    }

    /// A webhook was let in at this moment.
    pub fn webhook_received(&self, at: Millis) {
        let since_1970 = Duration::from_millis(u64::try_from(at.0).unwrap_or_default());
        self.0.last_received.get_or_create(&[]).set(since_1970.as_secs_f64());
    }

    /// A webhook was let in at this moment, before this process began.
    pub fn webhook_recalled(&self, at: Millis) {
        if self.last_webhook().is_none() {
            self.webhook_received(at);
        }
    }

    /// When the last webhook was let in, if one was.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 are far below 2^53")]
    pub fn last_webhook(&self) -> Option<Millis> {
        let seconds = self.0.last_received.get(&[])?.get();
        Some(Millis((seconds * 1e3).round() as i64))
    }

    /// A webhook was turned away.
    pub fn webhook_rejected(&self, reason: &'static str) {
        self.0.rejections.get_or_create(&ReasonLabels { reason }).inc();
        if reason != DOCTOR {
            self.0.seen.count(Seen::Rejected(reason));
        }
    }

    /// A webhook was committed after `duration`.
    pub fn webhook_committed(&self, duration: Duration) {
        self.0.commit_duration.observe(duration.as_secs_f64());
    }

    /// A call became done: its `status` and `dataStatus`, and how long after its end if that is known.
    pub fn call_done(&self, status: &'static str, data_status: &'static str, after_end: Option<Duration>) {
        self.0.calls_done.get_or_create(&DoneLabels { status, data_status }).inc();
        if let Some(duration) = after_end {
            self.0.completion.observe(duration.as_secs_f64());
        }
    }

    /// Late data was asked for.
    pub fn enrichment_attempted(&self, result: &'static str) {
        self.0.enrichment_attempts.get_or_create(&ResultLabels { result }).inc();
    }

    /// So many calls wait to be fetched, and the longest of them has been due for `oldest`.
    pub fn set_enrichment_backlog(&self, pending: u64, oldest: Duration) {
        self.0.enrichment_pending.set(number(pending));
        self.0.enrichment_oldest.set(oldest.as_secs_f64());
    }

    /// A report never came: `report` was missing alone, or `all` webhooks of the call.
    pub fn webhook_lost(&self, kind: &'static str) {
        self.0.lost_webhooks.get_or_create(&KindLabels { kind }).inc();
    }

    /// A request to Vapi ended.
    pub fn vapi_requested(&self, operation: &'static str, status: VapiStatus) {
        self.0.vapi_requests.get_or_create(&VapiLabels { operation, status }).inc();
    }

    /// A tool call was answered; `tool` is its name in the configuration, `result` one of our words.
    pub fn tool_called(&self, tool: &str, result: &'static str) {
        self.0.tool_calls.get_or_create(&ToolLabels { tool: tool.to_owned(), result }).inc();
    }

    /// Somebody was told something, or was not; `kind` says who, `result` how it went.
    pub fn push_attempted(&self, kind: &'static str, result: &'static str) {
        self.0.push_attempts.get_or_create(&PushLabels { kind, result }).inc();
    }

    /// The latest examination found so many warnings and errors under this check.
    pub fn set_doctor_findings(&self, check: &'static str, found: usize) {
        self.0.doctor_findings.get_or_create(&CheckLabels { check }).set(number(found as u64));
    }

    /// What was seen since the process began, and how often: what analytics keep. The doctor's own tests are not among it.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<Seen, u64> {
        self.0.seen.all()
    }

    /// So many requests wait for a result.
    pub fn set_waiters(&self, waiters: usize) {
        self.0.waiters.set(number(waiters as u64));
    }

    /// A client listens over `transport`, or (-1) does so no more.
    pub fn stream_clients(&self, transport: &'static str, more: i64) {
        self.0.stream_clients.get_or_create(&TransportLabels { transport }).inc_by(more);
    }

    /// An answer was found in memory.
    pub fn cache_hit(&self) {
        self.0.cache_hits.inc();
    }

    /// An answer was not found in memory.
    pub fn cache_missed(&self) {
        self.0.cache_misses.inc();
    }

    /// Answers take so many bytes of memory.
    pub fn set_cache_bytes(&self, bytes: u64) {
        self.0.cache_bytes.set(number(bytes));
    }

    /// Whether the store answers.
    pub fn set_store_up(&self, up: bool) {
        self.0.store_up.set(i64::from(up));
    }

    /// The store's `operation` took `duration`.
    pub fn store_operated(&self, operation: &'static str, duration: Duration) {
        self.0.store_duration.get_or_create(&OperationLabels { operation }).observe(duration.as_secs_f64());
        if operation == COMMIT {
            self.0.seen.count(Seen::committed(duration));
        }
    }

    /// How the store is doing at `now`.
    pub fn store_health(&self, health: &StoreHealth, now: Millis) {
        let overdue = health.oldest_due.map_or(0, |due| now.since(due).max(0));
        self.set_store_up(true);
        self.0.push_pending.set(number(health.push_pending));
        self.0.push_dead.set(number(health.push_dead));
        self.set_store_size(health.size_bytes, health.free_bytes);
        self.set_enrichment_backlog(health.pending, Duration::from_millis(u64::try_from(overdue).unwrap_or_default()));
    }

    /// The store takes so many bytes, and so many are free where it lies.
    pub fn set_store_size(&self, size: u64, free: Option<u64>) {
        self.0.store_size.set(number(size));
        if let Some(free) = free {
            self.0.store_free.get_or_create(&[]).set(number(free));
        }
    }
}

/// A registry that hands back what it is given.
struct List(Registry);

impl List {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

/// Counters that are there, at nought, before anything happens.
fn begin<L: Clone + Eq + Hash>(counters: &Family<L, Counter>, labels: impl IntoIterator<Item = L>) {
    for labels in labels {
        drop(counters.get_or_create(&labels));
    }
}

fn short<L: Clone + Hash + Eq>() -> Histograms<L> {
    Family::new_with_constructor(|| Histogram::new(SHORT))
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
