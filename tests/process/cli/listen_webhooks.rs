//! `listen` follows Vapi's webhooks, records them for `replay`, and posts them on.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use serde_json::Value;

use super::{
    DONE,
    listen::{Listening, listened_to},
};
use crate::support::{
    SECRET,
    home::Home,
    messages::{self, Message, new_call},
    program::Program,
    service::Service,
    soon,
    target::Target,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn live(service: &Service, call: &str) -> Vec<Message> {
    let life = messages::life_of(call);
    for message in &life {
        assert_eq!(service.post(message).status, 200);
    }
    life
}

fn version(service: &Service, call: &str) -> Value {
    service.read(&format!("/api/v1/vapi/calls/{call}")).json()["data"]["version"].clone()
}

#[test]
fn what_is_recorded_can_be_replayed() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let file = home.file("recorded.jsonl");
    let listening = Listening::begin(&home, &service.url(), "--record recorded.jsonl");
    listened_to(&service, 1);
    let call = new_call();
    let life = live(&service, &call);
    let lines = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    assert!(soon(PATIENCE, || lines() == life.len()), "{}", lines());
    let said = listening.said();
    listening.interrupted();
    let kinds: Vec<&str> = said.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(kinds, life.iter().map(|message| message.kind).collect::<Vec<_>>());
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600, "it holds what people said");

    let before = version(&service, &call);
    let replay = |url: &str| Program::in_home(&home).with(["replay", "--url", url, "--secret", SECRET]).with([&file]).run();
    let again = replay(&service.url());
    assert_eq!((again.code, again.stdout.lines().count()), (DONE, life.len()), "{}", again.stderr);
    assert_eq!(version(&service, &call), before, "a replay where it came from changes nothing");
    let other_home = Home::new();
    let other = Program::guarded(&other_home).serve();
    assert_eq!(replay(&other.url()).code, DONE);
    let result = |service: &Service| {
        let mut data = service.read(&format!("/api/v1/vapi/calls/{call}")).json()["data"].take();
        for ours in ["createdAt", "updatedAt", "webhookReceivedAt", "version"] {
            data[ours].take();
        }
        data
    };
    assert_eq!(result(&other), result(&service), "and elsewhere it makes the same record");
}

#[test]
fn webhooks_reach_a_service_on_this_machine_as_from_vapi() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let target = Target::answering(201);
    let words = format!("--deliveries --forward {} --secret 0123456789abcdef --auth bearer", target.url);
    let listening = Listening::begin(&home, &service.url(), &words);
    listened_to(&service, 1);
    let call = new_call();
    for message in live(&service, &call) {
        let got = target.next();
        assert_eq!(got.json()["message"]["type"], message.kind);
        assert_eq!(got.header("authorization"), "Bearer 0123456789abcdef");
    }
    assert_eq!(listening.interrupted(), "");
}

#[test]
fn one_call_or_one_type_can_be_picked() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let call = new_call();
    let reports = Listening::begin(&home, &service.url(), "--deliveries --types end-of-call-report");
    let one = Listening::begin(&home, &service.url(), &format!("--deliveries --json --call {call}"));
    listened_to(&service, 2);
    live(&service, &new_call());
    let life = live(&service, &call);
    one.says("end-of-call-report");
    assert!(soon(PATIENCE, || reports.said().lines().count() == 2), "{}", reports.said());
    let told: Vec<Value> = one.said().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.len(), life.len());
    assert!(told.iter().all(|it| it["type"] == "delivery" && it["callId"] == call.as_str() && it["data"]["proof"] == "secret"));
    reports.interrupted();
    one.interrupted();
}

#[test]
fn what_was_missed_while_the_service_was_away_is_said() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let port = service.address().port().to_string();
    let listening = Listening::begin(&home, &service.url(), "--deliveries");
    listened_to(&service, 1);
    service.stop();
    let service = Program::guarded(&home).set("PORT", port).serve();
    listened_to(&service, 1);
    live(&service, &new_call());
    listening.says("end-of-call-report");
    let told = listening.interrupted();
    assert!(told.contains("webhooks that came meanwhile are missing"), "{told}");
}
