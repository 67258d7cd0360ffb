//! The text that Prometheus reads: format 0.0.4, which every scraper takes.
//!
//! The library writes `OpenMetrics`, in which a counter's family has another name than its samples. What is left out are two comments.

use std::fmt::Write as _;

/// The content type of [`from_open_metrics`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Rewrites `OpenMetrics` text as format 0.0.4.
#[must_use]
pub fn from_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // Its name depends on the type, which stands on the next line.
            help = rest;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let words = help.split_once(' ').map_or("", |(_, words)| words);
            let _ = write!(out, "# HELP {name}{suffix} {words}\n# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            out.push_str(&line.replacen("{} ", " ", 1));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::from_open_metrics;

    #[test]
    fn a_counter_is_named_as_its_samples() {
        let open = "# HELP calls Calls done.\n# TYPE calls counter\ncalls_total{status=\"a b\"} 1\n# EOF\n";
        let text = "# HELP calls_total Calls done.\n# TYPE calls_total counter\ncalls_total{status=\"a b\"} 1\n";
        assert_eq!(from_open_metrics(open), text);
    }

    #[test]
    fn other_types_and_their_samples_stay_as_they_are() {
        let gauge = "# HELP up Up.\n# TYPE up gauge\nup 1\n";
        assert_eq!(from_open_metrics(gauge), gauge);
        assert_eq!(from_open_metrics("# HELP up Up.\n# TYPE up gauge\n# UNIT up bytes\nup{} 1\n# EOF\n"), gauge);
    }
}
