//! What operators are given to watch the service with measures what there is, and says what to do.

use std::{collections::BTreeSet, time::Duration};

use ringback::{
    call::time::Millis,
    telemetry::{Metrics, VapiStatus},
};
use serde_json::Value;

/// Labels that Prometheus adds, and those of histograms.
const ADDED: [&str; 3] = ["instance", "job", "le"];

fn file(path: &str) -> String {
    let path = format!("{}/examples/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The registry after one of everything.
fn busy() -> String {
    let (metrics, blink) = (Metrics::new(), Duration::from_millis(1));
    metrics.route("/", "GET").observe(200, blink);
    metrics.webhook_delivered("hang", "stored");
    metrics.webhook_received(Millis(1));
    metrics.webhook_rejected("invalid");
    metrics.webhook_committed(blink);
    metrics.call_done("completed", "complete", Some(blink));
    metrics.enrichment_attempted("ended");
    metrics.webhook_lost("report");
    metrics.vapi_requested("call", VapiStatus::Code(200));
    metrics.tool_called("look_up", "result");
    metrics.push_attempted("subscription", "delivered");
    metrics.set_doctor_findings("clock", 0);
    metrics.stream_clients("sse", 1);
    metrics.store_operated("commit", blink);
    metrics.set_store_size(1, Some(1));
    metrics.render()
}

/// Names of all metrics, as queries name them.
fn metrics() -> BTreeSet<String> {
    let text = busy();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = types.flat_map(|(name, kind)| match kind {
        "histogram" => ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")).to_vec(),
        _ => vec![name.to_owned()],
    });
    names.collect()
}

/// Labels of all metrics.
fn labels() -> BTreeSet<String> {
    let text = busy();
    let names = text.split(['{', ',']).filter_map(|part| part.split_once("=\"")).map(|(name, _)| name.to_owned());
    names.filter(|name| is_word(name)).chain(ADDED.map(str::to_owned)).collect()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// What a query asks for is there.
fn is_answered(expr: &str) {
    let (metrics, labels) = (metrics(), labels());
    let words = expr.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_')).filter(|word| word.starts_with("ringback_"));
    let mut count = 0;
    for word in words {
        assert!(metrics.contains(word), "there is no {word}: {expr}");
        count += 1;
    }
    assert!(count > 0 || expr.starts_with("up{"), "it asks for nothing of ours: {expr}");
    // Values may have braces and commas.
    let bare: String = expr.split('"').step_by(2).collect();
    let between = |open: &str, close: char| {
        let found = bare.split(open).skip(1).filter_map(|rest| rest.split_once(close)).flat_map(|(inside, _)| inside.split(','));
        found.filter_map(|pair| pair.split(['=', '!']).next()).map(|label| label.trim().to_owned()).collect::<Vec<_>>()
    };
    for label in between("{", '}').into_iter().chain(between("by (", ')')) {
        assert!(labels.contains(&label), "nothing has a label {label}: {expr}");
    }
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        assert_eq!(expr.matches(open).count(), expr.matches(close).count(), "{expr}");
    }
}

#[test]
fn the_dashboard_shows_what_is_measured() {
    let dashboard: Value = serde_json::from_str(&file("grafana/ringback.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let exprs: Vec<&str> = targets.map(|target| target["expr"].as_str().expect("an expression")).collect();
    assert!(exprs.len() > 30, "{}", exprs.len());
    for expr in &exprs {
        is_answered(expr);
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
    let all = exprs.join("\n");
    for metric in metrics().iter().filter(|name| !name.ends_with("_sum") && !name.ends_with("_count")) {
        assert!(all.contains(metric.as_str()), "nothing shows {metric}");
    }
}

#[test]
fn every_alert_asks_for_what_is_measured_and_says_what_to_do() {
    let (rules, runbook) = (file("prometheus/ringback.rules.yml"), file("prometheus/RUNBOOK.md"));
    let mut alerts = BTreeSet::new();
    for alert in rules.split("- alert: ").skip(1) {
        let name = alert.lines().next().expect("a name").trim();
        let expr = alert.split("expr: >-\n").nth(1).and_then(|rest| rest.lines().next()).expect("an expression").trim();
        is_answered(expr);
        assert!(alert.contains(&format!("runbook: RUNBOOK.md#{}\n", name.to_lowercase())), "{name} names no line of the runbook");
        assert!(alert.contains("severity: critical\n") || alert.contains("severity: warning\n"), "{name}");
        let section = runbook.split(&format!("\n## {name}\n")).nth(1).unwrap_or_else(|| panic!("the runbook has no {name}"));
        assert!(section.trim().split("\n## ").next().is_some_and(|text| text.len() > 20), "{name} says nothing");
        assert!(alerts.insert(name), "{name} stands there twice");
    }
    let sections: BTreeSet<_> = runbook.split("\n## ").skip(1).filter_map(|section| section.lines().next()).collect();
    assert_eq!(sections, alerts, "the runbook has a line for each alert, and no other");
}

#[test]
fn a_query_for_what_is_not_measured_is_found_out() {
    for wrong in
        ["ringback_nothing_total > 1", "ringback_waiters{color=\"red\"}", "sum by (color) (ringback_waiters)", "sum(ringback_waiters"]
    {
        assert!(std::panic::catch_unwind(|| is_answered(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn what_may_never_happen_is_counted_from_nought() {
    // Who alerts on an increase would miss the first one of a series that begins at 1.
    let fresh = Metrics::new().render();
    for series in [
        "ringback_lost_webhooks_total{kind=\"report\"} 0",
        "ringback_lost_webhooks_total{kind=\"all\"} 0",
        "ringback_webhook_rejections_total{reason=\"invalid\"} 0",
        "ringback_webhook_rejections_total{reason=\"missing\"} 0",
        "ringback_webhook_rejections_total{reason=\"stale\"} 0",
        "ringback_webhook_rejections_total{reason=\"not_configured\"} 0",
        "ringback_webhook_rejections_total{reason=\"too_large\"} 0",
        "ringback_webhook_rejections_total{reason=\"invalid_payload\"} 0",
        "ringback_webhook_deliveries_total{type=\"end-of-call-report\",result=\"failed\"} 0",
        "ringback_webhook_deliveries_total{type=\"other\",result=\"failed\"} 0",
        "ringback_vapi_requests_total{operation=\"call\",status=\"401\"} 0",
        "ringback_vapi_requests_total{operation=\"create\",status=\"402\"} 0",
        "ringback_vapi_requests_total{operation=\"list\",status=\"403\"} 0",
        "ringback_calls_done_total{status=\"error\",data_status=\"fetch_failed\"} 0",
    ] {
        assert!(fresh.contains(series), "{series} is missing in {fresh}");
    }
}
