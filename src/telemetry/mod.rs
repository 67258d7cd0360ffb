//! What operators see of the program: log lines and metrics.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`logs`] | lines on stderr; set up by the command line, never by the service, so that tests stay silent |
//! | [`json`] | one line as a flat JSON object |
//! | [`metrics`] | every metric there is, by the name of what happened |
//! | [`route`] | the metrics of one route, fast enough for every request |
//! | [`seen`] | what is also kept in the store, for analytics |
//! | [`exposition`] | the text that Prometheus reads |

pub mod exposition;
pub mod json;
pub mod logs;
pub mod metrics;
pub mod route;
pub mod seen;

pub use self::{
    logs::{LogGuard, start_logs},
    metrics::{Metrics, VapiStatus},
    route::RouteMetrics,
    seen::{Named, Seen},
};
