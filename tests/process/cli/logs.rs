//! What is logged: fields for machines, one line a request, and nothing that is nobody's business.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    SECRET,
    home::Home,
    messages::{Message, WEBHOOK, new_call, now, report_of},
    program::Program,
    service::Service,
    soon,
};
use ringback::simulate::CallScript;

const TOKEN: &str = "a-token-of-the-tests-41d7";
/// May only poll, but stand in a path.
const PATH_TOKEN: &str = "a-path-token-of-the-tests";
const WRONG: &str = "a-wrong-secret-hunter2";
const API_KEY: &str = "vapi-key-hunter3";
/// Everything that must not be in any line.
const PRIVATE: [&str; 10] = [SECRET, TOKEN, WRONG, API_KEY, "5550142", "umbrella", "Persephone", "pelican", "hunter4", "eyJhbGciOi"];

/// A report full of what is private.
fn private_report(call: &str) -> Message {
    let script = CallScript::talk(call, now().plus(-60_000))
        .with_lines(["Is the umbrella still there?", "Yes, the umbrella is here."])
        .with_analysis(json!({"summary": "It was about an umbrella.", "structuredData": {"animal": "pelican"}}))
        .with_requested("customer", json!({"number": "+15555550142", "name": "Persephone"}))
        .with_metadata(json!({"token": "eyJhbGciOi.abc", "password": "hunter4", "clientPhone": "+15555550142"}));
    report_of(&script)
}

/// Requests of every kind, good and bad; returns how many there were.
fn everything_is_tried(service: &Service) -> usize {
    let call = new_call();
    let report = private_report(&call);
    let mut wire = service.wire();
    let mut count = 0;
    let mut ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8], expected: u16| {
        let answer = wire.ask(method, path, headers, body).expect("an answer");
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.json());
        count += 1;
    };
    let bearer = format!("Bearer {TOKEN}");
    let token = [("authorization", bearer.as_str())];
    let wrong = format!("Bearer {WRONG}");
    let signed = report.clone().proven_by(ringback::simulate::Auth::Hmac).proof();
    let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ask("POST", WEBHOOK, &[("x-vapi-secret", SECRET)], &report.body, 200);
    ask("POST", WEBHOOK, &signed, &report.body, 200);
    ask("POST", WEBHOOK, &[("x-vapi-secret", WRONG)], &report.body, 401);
    ask("POST", WEBHOOK, &[("authorization", &wrong)], &report.body, 401);
    ask("POST", WEBHOOK, &[("x-vapi-secret", SECRET)], &report.body[..report.body.len() / 2], 400);
    ask("POST", WEBHOOK, &[("x-vapi-secret", SECRET)], b"{\"message\":{\"type\":\"umbrella +15555550142\xff\"}}", 400);
    ask("GET", &format!("/api/v1/vapi/calls/{call}"), &token, b"", 200);
    ask("GET", &format!("/api/v1/vapi/calls/{call}"), &[("authorization", &wrong)], b"", 401);
    ask("GET", "/api/v1/vapi/calls/not-heard-of", &token, b"", 404);
    ask("GET", &format!("/t/{PATH_TOKEN}/api/v1/vapi/calls/{call}"), &[], b"", 200);
    ask("GET", &format!("/t/{WRONG}/api/v1/vapi/calls/{call}"), &[], b"", 401);
    ask("GET", &format!("/t/{PATH_TOKEN}/nowhere/umbrella"), &[], b"", 404);
    ask("GET", "/api/v1/vapi/calls?q=umbrella&phone=%2B15555550142&metadata.animal=pelican", &token, b"", 200);
    ask("GET", "/api/v1/vapi/calls?limit=umbrella", &token, b"", 400);
    ask("GET", "/api/v1/vapi/calls/by-phone/+15555550142", &token, b"", 200);
    ask("GET", "/umbrella/15555550142?token=hunter4", &[("cookie", "a=pelican"), ("user-agent", "Persephone")], b"", 404);
    ask("GET", &format!("/api/v1/vapi/calls/{call}/timeline?body=1"), &token, b"", 200);
    ask("GET", &format!("/api/v1/vapi/calls/{call}/result?wait=0.1"), &token, b"", 200);
    ask("DELETE", &format!("/api/v1/vapi/calls/{call}"), &token, b"", 200);
    ask("GET", "/metrics", &token, b"", 200);
    count
}

fn watched(home: &Home, format: &str, filter: &str) -> Service {
    Program::in_home(home)
        .set("VAPI_WEBHOOK_SECRET", SECRET)
        .set("API_TOKENS", format!("admin:me={TOKEN},poll:path={PATH_TOKEN}"))
        .set("VAPI_API_KEY", API_KEY)
        .set("VAPI_API_URL", "http://127.0.0.1:1")
        .set("ENRICH_DELAYS_SECONDS", "0.1,0.1")
        .set("LOG_FORMAT", format)
        .set("RUST_LOG", filter)
        .serve()
}

#[test]
fn no_secret_no_number_and_no_word_of_a_call_is_logged_at_any_level() {
    for (format, filter) in [("json", "trace"), ("text", "debug")] {
        let home = Home::new();
        let mut service = watched(&home, format, filter);
        everything_is_tried(&service);
        // A call that has to be fetched from a Vapi that does not answer.
        let call = new_call();
        let report = report_of(&CallScript::talk(&call, now().plus(-60_000)).with_lines(["umbrella"]).without_analysis());
        assert_eq!(service.post(&report).status, 200);
        let bearer = format!("Bearer {TOKEN}");
        let path = format!("/api/v1/vapi/calls/{call}/result?wait=10");
        let answer = service.wire().ask("GET", &path, &[("authorization", &bearer)], b"").expect("an answer");
        assert_eq!(answer.json()["data"]["dataStatus"], "fetch_failed", "{}", answer.json());
        service.signal(rustix::process::Signal::TERM);
        assert_eq!(service.code_within(Duration::from_secs(10)), 0);
        assert!(service.said().contains(&filter.to_uppercase()), "it was told to say much");
        for line in service.said().lines() {
            for private in PRIVATE {
                assert!(!line.contains(private), "{private} is in {line}");
            }
        }
    }
}

#[test]
fn every_line_is_an_object_with_the_fields_of_the_contract_and_every_request_has_one() {
    let home = Home::new();
    let service = watched(&home, "json", "info");
    let count = everything_is_tried(&service);
    let requests = || -> Vec<Value> { service.log().into_iter().filter(|line| !line["request_id"].is_null()).collect() };
    assert!(soon(Duration::from_secs(5), || requests().len() == count), "{} lines for {count} requests", requests().len());
    for line in service.log() {
        for field in ["timestamp", "level", "message", "target", "instance", "version"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
    }
    for line in requests() {
        for field in ["request_id", "route", "method", "client_ip"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
        assert!(line["status"].is_u64() && line["duration_ms"].is_number(), "{line}");
        assert_eq!(line["client_ip"], "127.0.0.1");
    }
    let lines = requests();
    let find = |route: &str, status: u16| lines.iter().find(|line| line["route"] == route && line["status"] == status).expect("a line");
    let webhook = find(WEBHOOK, 200);
    assert!(webhook["call_id"].is_string() && webhook["event_type"] == "end-of-call-report", "{webhook}");
    assert_eq!(find("/api/v1/vapi/calls/{id}", 200)["token"], "me", "the token's name, not the token");
    assert_eq!(find("/api/v1/vapi/calls/{id}", 404)["token"], "me", "most polls are refusals");
    find("/api/v1/vapi/calls/by-phone/{phone}", 200);
    find("unmatched", 404);
}

#[test]
fn a_line_has_the_address_of_the_client_past_proxies_that_are_trusted_and_of_the_peer_otherwise() {
    let home = Home::new();
    let asks = |service: &Service| {
        let mut wire = service.wire();
        for forwarded in [None, Some("203.0.113.7"), None] {
            let headers: Vec<_> = forwarded.map(|from| ("x-forwarded-for", from)).into_iter().collect();
            assert_eq!(wire.ask("GET", "/livez", &headers, b"").expect("an answer").status, 200);
        }
        let clients = || -> Vec<Value> {
            service.log().into_iter().filter(|line| line["route"] == "/livez").map(|line| line["client_ip"].clone()).collect()
        };
        assert!(soon(Duration::from_secs(5), || clients().len() == 3), "{:?}", clients());
        clients()
    };
    let with = |proxies: &str| Program::in_home(&home).set("LOG_FORMAT", "json").set("TRUSTED_PROXIES", proxies).serve();
    assert_eq!(asks(&with("127.0.0.1")), ["127.0.0.1", "203.0.113.7", "127.0.0.1"]);
    assert_eq!(asks(&with("10.0.0.0/8")), ["127.0.0.1"; 3]);
}
