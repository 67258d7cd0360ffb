//! The same on a schedule, inside the service.

use std::time::Duration;

use serde_json::json;

use super::House;
use crate::support::{service::Service, soon};

fn metric(service: &Service, check: &str) -> Option<u32> {
    let metrics = String::from_utf8(service.read("/metrics").body).expect("text");
    let name = format!("ringback_doctor_findings{{check=\"{check}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
}

#[test]
fn a_running_service_tells_what_appears_and_what_goes() {
    let house = House::new();
    let service = house.program.clone().set("DOCTOR_SECONDS", "0.3").set("RUST_LOG", "info").serve();
    let becomes = |check: &str, count| soon(Duration::from_secs(20), || metric(&service, check) == Some(count));
    assert!(becomes("server_url", 0), "{}", service.said());
    let sound = house.settings();
    house.assistant(|assistant| {
        assistant["name"] = json!("+15550100007");
        assistant["server"]["url"] = json!("https://old.example.com/hunter2");
    });
    assert!(becomes("server_url", 1) && service.says("Doctor: its webhooks go to https://old.example.com/…"), "{}", service.said());
    // Some rounds later it is still said once.
    let rounds = house.vapi.count("GET", "/assistant");
    assert!(soon(Duration::from_secs(20), || house.vapi.count("GET", "/assistant") > rounds + 2));
    assert_eq!(service.said().matches("Doctor: its webhooks go to").count(), 1, "{}", service.said());
    house.set(sound);
    assert!(becomes("server_url", 0) && service.says("Doctor: no more: its webhooks go to"), "{}", service.said());
    let said = service.said();
    assert!(!said.contains("hunter2") && !said.contains("+15550100007"), "{said}");
    assert_eq!(house.changes(), 0);
    service.is_well();
    service.stop();
}

#[test]
fn without_a_period_nothing_is_examined() {
    let house = House::new();
    let service = house.program.clone().set("DOCTOR_SECONDS", "0").serve();
    assert!(service.says("listening"));
    assert_eq!((metric(&service, "server_url"), house.vapi.requests().len()), (None, 0));
    service.stop();
}
