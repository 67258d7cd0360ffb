//! Runs, medians, spreads.

use std::{fmt, time::Duration};

/// One run under load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Requests a second.
    pub(crate) rate: f64,
    /// 99th percentile of the latencies in ms.
    pub(crate) p99: f64,
    /// Microseconds of the server's processor time for each request.
    pub(crate) cpu: f64,
}

/// The nearest-rank percentile of some latencies, in ms.
pub(crate) fn percentile(mut latencies: Vec<Duration>, percent: usize) -> f64 {
    latencies.sort_unstable();
    let rank = (latencies.len() * percent).div_ceil(100).max(1);
    latencies.get(rank - 1).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

/// A median, with the quartiles around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    low: f64,
    /// The median.
    pub(crate) median: f64,
    high: f64,
}

impl Spread {
    /// Of some values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |quarters: usize| {
            // Between two values, the mean of both is near enough.
            let place = (values.len().saturating_sub(1)) * quarters;
            let (below, above) = (place / 4, place.div_ceil(4));
            values.get(below).zip(values.get(above)).map_or(f64::NAN, |(below, above)| f64::midpoint(*below, *above))
        };
        Self { low: at(1), median: at(2), high: at(3) }
    }

    /// One run over the other, pair by pair.
    pub(crate) fn ratio(over: &[Run], under: &[Run], of: fn(&Run) -> f64) -> Self {
        Self::of(over.iter().zip(under).map(|(over, under)| of(over) / of(under)))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: f64| match value.abs() {
            100.0.. => format!("{value:.0}"),
            10.0.. => format!("{value:.1}"),
            _ => format!("{value:.2}"),
        };
        write!(f, "{} ({} to {})", show(self.median), show(self.low), show(self.high))
    }
}
