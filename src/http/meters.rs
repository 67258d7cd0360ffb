//! The metrics of every route, resolved once.

use std::{collections::HashMap, sync::OnceLock, time::Duration};

use crate::telemetry::{Metrics, RouteMetrics};

/// Methods that are told apart; any other counts as the last.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PATCH", "DELETE", "OTHER"];

/// How requests that fit no route, or an operator's own, are named.
const UNMATCHED: &str = "unmatched";

/// One set of counters a route and method, made at its first request: a series that never moves says nothing.
#[derive(Debug)]
pub struct Meters {
    metrics: Metrics,
    routes: HashMap<&'static str, Route>,
    unmatched: Route,
}

#[derive(Debug)]
struct Route {
    template: &'static str,
    methods: [OnceLock<RouteMetrics>; METHODS.len()],
}

impl Meters {
    /// Counters for these templates.
    #[must_use]
    pub fn new(metrics: Metrics, templates: &[&'static str]) -> Self {
        let route = |template| Route { template, methods: [const { OnceLock::new() }; METHODS.len()] };
        Self { metrics, routes: templates.iter().map(|template| (*template, route(*template))).collect(), unmatched: route(UNMATCHED) }
    }

    /// Counts one answered request.
    pub fn observe(&self, template: Option<&str>, method: &str, status: u16, latency: Duration) {
        let route = template.and_then(|template| self.routes.get(template)).unwrap_or(&self.unmatched);
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        let meter = route.methods[method].get_or_init(|| self.metrics.route(route.template, METHODS[method]));
        meter.observe(status, latency);
    }
}
