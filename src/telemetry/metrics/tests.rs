use std::{collections::BTreeSet, time::Duration};

use super::{
    Metrics, VapiStatus,
    labels::{MESSAGE_TYPES, known_type},
};
use crate::{call::time::Millis, telemetry::exposition::CONTENT_TYPE};

const BLINK: Duration = Duration::from_millis(3);

/// Every name that CONTRACT section 9 promises and this release has, with its type.
const PROMISED: [(&str, &str); 25] = [
    ("ringback_build_info", "gauge"),
    ("ringback_http_requests_total", "counter"),
    ("ringback_http_request_duration_seconds", "histogram"),
    ("ringback_webhook_deliveries_total", "counter"),
    ("ringback_webhook_rejections_total", "counter"),
    ("ringback_webhook_commit_duration_seconds", "histogram"),
    ("ringback_webhook_last_received_timestamp_seconds", "gauge"),
    ("ringback_calls_done_total", "counter"),
    ("ringback_call_completion_seconds", "histogram"),
    ("ringback_lost_webhooks_total", "counter"),
    ("ringback_enrichment_attempts_total", "counter"),
    ("ringback_enrichment_pending", "gauge"),
    ("ringback_enrichment_oldest_pending_seconds", "gauge"),
    ("ringback_vapi_requests_total", "counter"),
    ("ringback_doctor_findings", "gauge"),
    ("ringback_waiters", "gauge"),
    ("ringback_cache_requests_total", "counter"),
    ("ringback_cache_bytes", "gauge"),
    ("ringback_store_up", "gauge"),
    ("ringback_store_operation_duration_seconds", "histogram"),
    ("ringback_store_size_bytes", "gauge"),
    ("ringback_push_attempts_total", "counter"),
    ("ringback_push_dead_letters", "gauge"),
    ("ringback_push_pending", "gauge"),
    ("ringback_store_free_bytes", "gauge"),
];

/// Metrics after one of everything.
fn busy() -> Metrics {
    let metrics = Metrics::new();
    metrics.route("/api/v1/vapi/calls/{id}", "GET").observe(200, BLINK);
    metrics.webhook_delivered("end-of-call-report", "committed");
    metrics.webhook_received(Millis(1_700_000_000_500));
    metrics.webhook_rejected("signature");
    metrics.webhook_committed(BLINK);
    metrics.call_done("completed", "complete", Some(Duration::from_secs(4)));
    metrics.enrichment_attempted("incomplete");
    metrics.set_enrichment_backlog(2, Duration::from_millis(1_500));
    metrics.vapi_requested("get_call", VapiStatus::Code(429));
    metrics.vapi_requested("get_call", VapiStatus::Failed("timeout"));
    metrics.push_attempted("subscription", "delivered");
    metrics.set_doctor_findings("clock", 1);
    metrics.set_waiters(3);
    metrics.cache_hit();
    metrics.set_cache_bytes(1_024);
    metrics.set_store_up(true);
    metrics.store_operated("commit", BLINK);
    metrics.set_store_size(4_096, Some(1 << 40));
    metrics
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|other| other == line), "no line {line} in\n{text}");
}

#[test]
fn every_promised_metric_is_there_under_its_name() {
    let text = busy().render();
    let types: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    assert_eq!(types, PROMISED.into_iter().collect());
}

#[test]
fn what_happened_is_counted_under_its_labels() {
    let text = busy().render();
    for line in [
        concat!("ringback_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "ringback_http_requests_total{route=\"/api/v1/vapi/calls/{id}\",method=\"GET\",status=\"200\"} 1",
        "ringback_http_request_duration_seconds_bucket{le=\"0.0025\",route=\"/api/v1/vapi/calls/{id}\",method=\"GET\"} 0",
        "ringback_http_request_duration_seconds_bucket{le=\"0.005\",route=\"/api/v1/vapi/calls/{id}\",method=\"GET\"} 1",
        "ringback_http_request_duration_seconds_bucket{le=\"+Inf\",route=\"/api/v1/vapi/calls/{id}\",method=\"GET\"} 1",
        "ringback_http_request_duration_seconds_sum{route=\"/api/v1/vapi/calls/{id}\",method=\"GET\"} 0.003",
        "ringback_webhook_deliveries_total{type=\"end-of-call-report\",result=\"committed\"} 1",
        "ringback_webhook_rejections_total{reason=\"signature\"} 1",
        "ringback_webhook_commit_duration_seconds_count 1",
        "ringback_webhook_last_received_timestamp_seconds 1700000000.5",
        "ringback_calls_done_total{status=\"completed\",data_status=\"complete\"} 1",
        "ringback_call_completion_seconds_bucket{le=\"5.0\"} 1",
        "ringback_enrichment_attempts_total{result=\"incomplete\"} 1",
        "ringback_enrichment_pending 2",
        "ringback_enrichment_oldest_pending_seconds 1.5",
        "ringback_vapi_requests_total{operation=\"get_call\",status=\"429\"} 1",
        "ringback_vapi_requests_total{operation=\"get_call\",status=\"timeout\"} 1",
        "ringback_push_attempts_total{kind=\"subscription\",result=\"delivered\"} 1",
        "ringback_waiters 3",
        "ringback_cache_requests_total{result=\"hit\"} 1",
        "ringback_cache_requests_total{result=\"miss\"} 0",
        "ringback_cache_bytes 1024",
        "ringback_store_up 1",
        "ringback_store_operation_duration_seconds_count{operation=\"commit\"} 1",
        "ringback_store_size_bytes 4096",
        "ringback_store_free_bytes 1099511627776",
    ] {
        has(&text, line);
    }
}

#[test]
fn a_moment_that_never_came_and_a_space_nobody_knows_are_absent() {
    let metrics = Metrics::new();
    metrics.set_store_size(10, None);
    let text = metrics.render();
    assert!(!text.contains("last_received") && !text.contains("free_bytes"), "{text}");
    has(&text, "ringback_store_size_bytes 10");
}

#[test]
fn every_family_has_help_and_every_line_belongs_to_one() {
    let text = busy().render();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap();
            assert!(words.len() > 10 && words.ends_with('.') && !words.ends_with(".."), "{line}");
            family = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest.split(' ').next(), Some(family));
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} under {family}"));
            assert!(["", "_bucket", "_count", "_sum"].contains(&suffix), "{line}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(CONTENT_TYPE.contains("0.0.4"));
}

#[test]
fn words_from_outside_do_not_make_new_series() {
    let metrics = Metrics::new();
    for word in ["made-up", "x\"y", "", "end-of-call-report ", "END-OF-CALL-REPORT"] {
        metrics.webhook_delivered(word, "committed");
    }
    metrics.route("/", "BREW").observe(405, BLINK);
    let text = metrics.render();
    has(&text, "ringback_webhook_deliveries_total{type=\"other\",result=\"committed\"} 5");
    has(&text, "ringback_http_requests_total{route=\"/\",method=\"other\",status=\"405\"} 1");
    let committed = text.lines().filter(|line| line.starts_with("ringback_webhook_deliveries_total{") && line.contains("committed"));
    assert_eq!(committed.count(), 1);
}

#[test]
fn known_types_are_found_with_and_without_a_condition() {
    assert!(MESSAGE_TYPES.is_sorted(), "a binary search needs it");
    for word in MESSAGE_TYPES {
        assert_eq!(known_type(word), word);
    }
    assert_eq!(known_type("transcript[transcriptType=\"final\"]"), "transcript");
}

#[test]
fn requests_of_one_route_are_counted_together_whoever_counts() {
    let metrics = Metrics::new();
    let (one, other) = (metrics.route("/x", "GET"), metrics.clone().route("/x", "GET"));
    one.observe(200, BLINK);
    one.clone().observe(200, BLINK);
    other.observe(200, BLINK);
    other.observe(418, BLINK);
    other.observe(418, BLINK);
    let text = metrics.render();
    has(&text, "ringback_http_requests_total{route=\"/x\",method=\"GET\",status=\"200\"} 3");
    has(&text, "ringback_http_requests_total{route=\"/x\",method=\"GET\",status=\"418\"} 2");
    has(&text, "ringback_http_request_duration_seconds_count{route=\"/x\",method=\"GET\"} 5");
    assert_eq!(text.matches("ringback_http_requests_total{").count(), 2, "no series that never moved");
}

#[test]
fn two_services_in_one_process_count_apart() {
    let (one, other) = (Metrics::new(), Metrics::new());
    one.cache_missed();
    has(&one.render(), "ringback_cache_requests_total{result=\"miss\"} 1");
    has(&other.render(), "ringback_cache_requests_total{result=\"miss\"} 0");
}

#[test]
fn threads_lose_no_count() {
    let metrics = Metrics::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let route = metrics.route("/x", "GET");
            scope.spawn(move || (0..1_000).for_each(|_| route.observe(200, BLINK)));
        }
    });
    has(&metrics.render(), "ringback_http_requests_total{route=\"/x\",method=\"GET\",status=\"200\"} 4000");
}
