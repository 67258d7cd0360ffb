//! What operators measure: every metric of the contract, with bounded labels and no ids.

use std::collections::BTreeSet;

use ringback::{simulate::Stage, vapi::client::plain_http};
use serde_json::json;

use crate::support::{
    app::{Engine, SECRET, Story, TestApp, on_every_engine},
    calls::{late_talk, message, path, result, talk, unanswered},
    vapi::CALL,
};

on_every_engine! {
    every_metric_is_there_once_something_has_happened
    a_backlog_shows_until_it_is_worked_off
    a_restart_does_not_forget_when_the_last_webhook_came
}

/// Those of the contract's section 9 that this release has.
const NAMES: [&str; 23] = [
    "ringback_build_info",
    "ringback_cache_bytes",
    "ringback_cache_requests_total",
    "ringback_call_completion_seconds",
    "ringback_calls_done_total",
    "ringback_enrichment_attempts_total",
    "ringback_enrichment_oldest_pending_seconds",
    "ringback_enrichment_pending",
    "ringback_http_request_duration_seconds",
    "ringback_http_requests_total",
    "ringback_lost_webhooks_total",
    "ringback_push_dead_letters",
    "ringback_push_pending",
    "ringback_store_operation_duration_seconds",
    "ringback_store_size_bytes",
    "ringback_store_up",
    "ringback_vapi_requests_total",
    "ringback_waiters",
    "ringback_webhook_commit_duration_seconds",
    "ringback_webhook_deliveries_total",
    "ringback_webhook_last_received_timestamp_seconds",
    "ringback_webhook_rejections_total",
    "ringback_store_free_bytes",
];

async fn text(app: &TestApp) -> String {
    // Past the moment for which the store's numbers are remembered.
    tokio::time::sleep(std::time::Duration::from_millis(550)).await;
    let answer = app.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    answer.text()
}

/// Names of the series, without the parts of histograms.
fn names(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let bare = samples.map(|line| line.split(['{', ' ']).next().unwrap_or_default());
    bare.map(|name| ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)).collect()
}

async fn everything_happens(app: &TestApp) {
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_report(&late_talk(CALL)).await;
    app.hears_report(&unanswered("nobody")).await;
    app.hears(&message("never.heard.of", "+15550199123", json!({}))).await;
    app.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", "wrong").body("{}").send().await.refused(401, "INVALID_SIGNATURE");
    app.poll(CALL).await.data(200);
    app.poll("unknown-id").await.refused(404, "CALL_NOT_FOUND");
    app.get("/api/v1/vapi/calls/by-phone/15550199123").await.data(200);
    app.get("/some/strange/path").await.refused(404, "ROUTE_NOT_FOUND");
    app.advance(4.0).await;
}

async fn every_metric_is_there_once_something_has_happened(engine: Engine) {
    let app = Story::on(engine).begin().await;
    everything_happens(&app).await;
    let text = text(&app).await;
    let mut expected: BTreeSet<&str> = NAMES.into_iter().collect();
    // Memory has no disk, and that of a server is out of sight.
    if engine != Engine::Sqlite {
        expected.remove("ringback_store_free_bytes");
    }
    assert_eq!(names(&text), expected);
    for id in [CALL, "nobody", "unknown-id", "15550199123", "never.heard.of", "strange", SECRET] {
        assert!(!text.contains(id), "{id} stands in a label");
    }
    for series in [
        "ringback_store_up 1",
        "ringback_waiters 0",
        "ringback_calls_done_total{status=\"no_answer\",data_status=\"complete\"} 1",
        "ringback_calls_done_total{status=\"completed\",data_status=\"complete\"} 1",
        "ringback_enrichment_attempts_total{result=\"ended\"} 1",
        "ringback_vapi_requests_total{operation=\"call\",status=\"200\"} 1",
        "ringback_webhook_deliveries_total{type=\"end-of-call-report\",result=\"stored\"} 2",
        "ringback_webhook_deliveries_total{type=\"other\",result=\"odd_call_id\"} 1",
        "ringback_webhook_rejections_total{reason=\"invalid\"} 1",
        "ringback_http_requests_total{route=\"/api/v1/vapi/calls/{id}\",method=\"GET\",status=\"200\"} 1",
        "ringback_http_requests_total{route=\"/api/v1/vapi/calls/{id}\",method=\"GET\",status=\"404\"} 1",
        "ringback_http_requests_total{route=\"unmatched\",method=\"GET\",status=\"404\"} 1",
    ] {
        assert!(text.contains(series), "{series} is missing in {text}");
    }
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).expect("a name");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} is not explained");
    }
    app.finish().await;
}

#[tokio::test]
async fn every_address_of_the_webhook_counts_by_its_template() {
    let app = Story::new().with("VAPI_WEBHOOK_PATH", "/hooks/mine").begin().await;
    for route in
        ["/api/v1/vapi/webhook", "/api/v1/vapi/webhooks/vapi", "/api/v1/webhooks/vapi", "/api/v1/sessions/vapi/webhook", "/hooks/mine"]
    {
        let body = message("hang", CALL, json!({"route": route})).to_string();
        assert_eq!(app.ask("POST", route).header("x-vapi-secret", SECRET).body(body).send().await.status, 200);
    }
    let text = text(&app).await;
    for route in
        ["/api/v1/vapi/webhook", "/api/v1/vapi/webhooks/vapi", "/api/v1/webhooks/vapi", "/api/v1/sessions/vapi/webhook", "unmatched"]
    {
        assert!(text.contains(&format!("{{route=\"{route}\",method=\"POST\",status=\"200\"}} 1")), "{route}: {text}");
    }
    app.finish().await;
}

async fn a_restart_does_not_forget_when_the_last_webhook_came(engine: Engine) {
    const NAME: &str = "ringback_webhook_last_received_timestamp_seconds ";
    // What memory forgets, it forgets with its process.
    if engine == Engine::Memory {
        return;
    }
    let app = Story::on(engine).begin().await;
    app.hears_report(&talk(CALL)).await;
    app.clock().advance(7_000);
    app.hears_status(&talk("later"), Stage::InProgress).await;
    let since_1970 = std::time::Duration::from_millis(app.clock().now().0.unsigned_abs());
    app.clock().advance(90_000);
    let app = app
        .run(async |url| {
            let seen = async {
                loop {
                    let text = plain_http().expect("a client").get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
                    if let Some(seconds) = text.lines().find_map(|line| line.strip_prefix(NAME)) {
                        return seconds.parse::<f64>().expect("seconds").to_bits();
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            };
            assert_eq!(tokio::time::timeout(std::time::Duration::from_secs(10), seen).await, Ok(since_1970.as_secs_f64().to_bits()));
        })
        .await;
    app.finish().await;
}

/// Whatever is turned away is counted, for whatever reason.
#[tokio::test]
async fn webhooks_are_counted_that_were_refused_for_other_reasons_than_their_proof() {
    let app = Story::new().with("MAX_BODY_MB", "1").begin().await;
    let post = |body: Vec<u8>| app.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", SECRET).body(body).send();
    post(vec![b' '; 1_048_577]).await.refused(413, "PAYLOAD_TOO_LARGE");
    post(b"no JSON".to_vec()).await.refused(400, "INVALID_PAYLOAD");
    post(b"{}".to_vec()).await.refused(400, "INVALID_PAYLOAD");
    let told = text(&app).await;
    for (reason, times) in [("too_large", 1), ("invalid_payload", 2), ("missing", 0), ("invalid", 0), ("not_configured", 0)] {
        assert!(told.contains(&format!("ringback_webhook_rejections_total{{reason=\"{reason}\"}} {times}\n")), "{reason}: {told}");
    }
    let by_reason = &app.get("/api/v1/vapi/analytics").await.data(200)["webhooks"]["byReason"];
    assert_eq!(by_reason, &json!({"too_large": 1, "invalid_payload": 2}));
    app.finish().await;
    let open = Story::new().without("VAPI_WEBHOOK_SECRET").begin().await;
    let tunnelled = open.ask("POST", "/api/v1/vapi/webhook").header("host", "calls.example.com").body("{}").send().await;
    tunnelled.refused(403, "AUTH_NOT_CONFIGURED");
    assert!(text(&open).await.contains("ringback_webhook_rejections_total{reason=\"not_configured\"} 1\n"));
    open.finish().await;
}

async fn a_backlog_shows_until_it_is_worked_off(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        line.unwrap_or_else(|| panic!("{name} is missing"))
    };
    app.hears_report(&late_talk("a")).await;
    app.hears_report(&late_talk("b")).await;
    let before = text(&app).await;
    assert_eq!((value(&before, "ringback_enrichment_pending "), value(&before, "ringback_enrichment_oldest_pending_seconds ")), (2.0, 0.0));
    app.clock().advance(13_000);
    let late = text(&app).await;
    let oldest = value(&late, "ringback_enrichment_oldest_pending_seconds ");
    assert!((9.5..10.5).contains(&oldest), "{oldest}");
    for id in ["a", "b"] {
        app.vapi_knows(&talk(id), Stage::Analysed);
    }
    app.work().await;
    assert!(text(&app).await.contains("\nringback_enrichment_pending 0\n"));
    app.finish().await;
}

/// Who waits on purpose is no slow answer.
#[tokio::test]
async fn waiting_on_purpose_is_no_latency() {
    let app = Story::new().begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    app.get(&result(CALL, "wait=1.2")).await.data(202);
    let route = "ringback_http_request_duration_seconds_bucket{le=\"1.0\",route=\"/api/v1/vapi/calls/{id}/result\",method=\"GET\"} 1";
    let text = text(&app).await;
    assert!(text.contains(route), "{text}");
    assert!(path(CALL).len() > CALL.len());
    app.finish().await;
}

#[tokio::test]
async fn neither_is_who_waited_for_a_call_that_was_deleted_meanwhile() {
    let app = Story::new().begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    let (waited_for, erased) = (result(CALL, "wait=20"), path(CALL));
    let erasing = async {
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        app.ask("DELETE", &erased).send().await
    };
    let (answer, _) = tokio::join!(app.get(&waited_for), erasing);
    answer.refused(410, "CALL_DELETED");
    let route = "ringback_http_request_duration_seconds_bucket{le=\"1.0\",route=\"/api/v1/vapi/calls/{id}/result\",method=\"GET\"} 1";
    let text = text(&app).await;
    assert!(text.contains(route), "{text}");
    app.finish().await;
}
