//! `call`: places a call with a running service and a simulated Vapi.

use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;

use super::{DONE, FAILED, INTERRUPTED, TIMED_OUT};
use crate::support::{SECRET, home::Home, program::Program, service::Service, soon};

pub(super) const OTHERWISE: i32 = 3;
pub(super) const REQUEST: &str = r#"{"providerName":"Hill Plumbing","providerPhone":"+15551234567","serviceNeeded":"a leaking tap"}"#;

/// A service, and the fake Vapi beside it, whose calls go this fast and so.
pub(super) fn calling(home: &Home, words: &str, meanwhile: impl FnOnce(&Service)) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let program = Program::guarded(home).set("VAPI_API_URL", format!("http://127.0.0.1:{port}")).set("VAPI_API_KEY", "sim-key");
    let service = program.serve();
    let simulating = format!("simulate --port {port} {words}");
    let vapi = Program::in_home(home)
        .with(simulating.split(' '))
        .with(["--secret", SECRET, "--webhook-url", &format!("{}/api/v1/vapi/webhook", service.url())])
        .begin();
    assert!(soon(Duration::from_secs(10), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()));
    meanwhile(&service);
    vapi.signal(Signal::INT);
    vapi.ended();
}

pub(super) fn call(home: &Home, service: &Service, words: &[&str]) -> Program {
    Program::in_home(home).set("RINGBACK_URL", service.url()).with(["call"]).with(words)
}

#[test]
fn a_call_is_placed_and_its_result_is_told() {
    let home = Home::new();
    calling(&home, "--pace 0.01", |service| {
        let told = call(&home, service, &[]).run_fed(REQUEST);
        assert_eq!((told.code, told.stderr.as_str()), (DONE, ""));
        assert!(told.stdout.starts_with("completed, "), "{}", told.stdout);
        let file = home.write("request.json", REQUEST);
        let json = call(&home, service, &["--json", file.to_str().expect("a path")]).run();
        let data: Value = serde_json::from_str(&json.stdout).expect("JSON");
        assert_eq!((json.code, &data["provider"]["name"]), (DONE, &"Hill Plumbing".into()));
        let once = |_| call(&home, service, &["--no-wait", "--idempotency-key", "k"]).run_fed(REQUEST);
        let [first, again] = [0, 1].map(once);
        assert_eq!((first.code, &first.stdout), (DONE, &again.stdout));
        let id: Value = serde_json::from_str(&first.stdout).expect("JSON");
        assert_eq!((id["status"].as_str(), id["callId"].is_string()), (Some("initiated"), true));
    });
}

#[test]
fn a_call_that_ends_otherwise_has_an_exit_code_of_its_own() {
    let home = Home::new();
    calling(&home, "--pace 0.01 --scenario busy", |service| {
        let told = call(&home, service, &[]).run_fed(REQUEST);
        assert_eq!(told.code, OTHERWISE, "{}{}", told.stdout, told.stderr);
        assert!(told.stdout.starts_with("no_answer"), "{}", told.stdout);
    });
}

#[test]
fn what_is_not_waited_for_goes_on() {
    let home = Home::new();
    calling(&home, "--pace 1", |service| {
        let late = call(&home, service, &["--wait", "0.2"]).run_fed(REQUEST);
        assert_eq!((late.code, late.stdout.as_str()), (TIMED_OUT, ""));
        assert!(late.stderr.contains("ringback result "), "{}", late.stderr);
        let file = home.write("request.json", REQUEST);
        let running = call(&home, service, &[file.to_str().expect("a path")]).begin();
        let calls = || service.read("/api/v1/vapi/calls").json()["data"].as_array().map_or(0, Vec::len);
        assert!(soon(Duration::from_secs(10), || calls() == 2));
        std::thread::sleep(Duration::from_millis(300));
        running.signal(Signal::INT);
        let ended = running.ended();
        assert_eq!((ended.code, ended.stdout.as_str()), (INTERRUPTED, ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("the call goes on"), "nobody is there to be asked: {}", ended.stderr);
    });
}

#[test]
fn a_refusal_is_told_on_stderr() {
    let home = Home::new();
    let service = Program::in_home(&home).serve();
    for (body, words) in [(REQUEST, "502: "), ("{}", "providerName"), ("nonsense", "no JSON")] {
        let refused = call(&home, &service, &[]).run_fed(body);
        assert_eq!((refused.code, refused.stdout.as_str()), (FAILED, ""), "{body}");
        assert!(refused.stderr.contains(words), "{body}: {}", refused.stderr);
    }
}
