//! The metrics of every route, resolved once.

use std::{collections::HashMap, time::Duration};

use crate::telemetry::{Metrics, RouteMetrics};

/// Methods that are told apart; any other counts as the last.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PATCH", "DELETE", "OTHER"];

/// How requests that fit no route, or an operator's own, are named.
const UNMATCHED: &str = "unmatched";

/// One set of counters a route and method.
#[derive(Debug)]
pub struct Meters {
    routes: HashMap<&'static str, [RouteMetrics; METHODS.len()]>,
    unmatched: [RouteMetrics; METHODS.len()],
}

impl Meters {
    /// Counters for these templates.
    #[must_use]
    pub fn new(metrics: &Metrics, templates: &[&'static str]) -> Self {
        let of = |route: &'static str| METHODS.map(|method| metrics.route(route, method));
        Self { routes: templates.iter().map(|route| (*route, of(route))).collect(), unmatched: of(UNMATCHED) }
    }

    /// Counts one answered request.
    pub fn observe(&self, route: Option<&str>, method: &str, status: u16, latency: Duration) {
        let meters = route.and_then(|route| self.routes.get(route)).unwrap_or(&self.unmatched);
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        meters[method].observe(status, latency);
    }
}
