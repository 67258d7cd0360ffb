//! The metrics of one route: handles are looked up once, so that a request costs two atomic additions and one short lock.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};

/// The statuses that get a handle of their own, in order; any other one is looked up.
const STATUSES: [u16; 24] =
    [200, 201, 202, 204, 206, 302, 304, 400, 401, 403, 404, 405, 408, 409, 410, 413, 414, 415, 422, 429, 431, 500, 502, 503];

/// Labels of `ringback_http_requests_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
    pub(super) status: u16,
}

/// Labels of `ringback_http_request_duration_seconds`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabels {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
}

/// Counts the requests of one route and method; clones count together.
#[derive(Clone)]
pub struct RouteMetrics(Arc<Inner>);

struct Inner {
    labels: RouteLabels,
    requests: Family<RequestLabels, Counter>,
    // Made at the first request with that status: a series that never moves says nothing.
    counters: [OnceLock<Counter>; STATUSES.len()],
    duration: Histogram,
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteMetrics").field(&self.0.labels).finish()
    }
}

impl RouteMetrics {
    pub(super) fn new(labels: RouteLabels, requests: Family<RequestLabels, Counter>, duration: Histogram) -> Self {
        Self(Arc::new(Inner { labels, requests, counters: [const { OnceLock::new() }; STATUSES.len()], duration }))
    }

    /// Counts one answered request. `duration` leaves out what the caller asked to wait.
    pub fn observe(&self, status: u16, duration: Duration) {
        match STATUSES.binary_search(&status) {
            Ok(index) => self.0.counters[index].get_or_init(|| self.counter(status)).inc(),
            Err(_) => self.counter(status).inc(),
        };
        self.0.duration.observe(duration.as_secs_f64());
    }

    fn counter(&self, status: u16) -> Counter {
        let RouteLabels { route, method } = self.0.labels;
        self.0.requests.get_or_create_owned(&RequestLabels { route, method, status })
    }
}

#[cfg(test)]
mod tests {
    use super::STATUSES;

    #[test]
    fn statuses_are_in_order_for_the_search() {
        assert!(STATUSES.is_sorted());
    }
}
