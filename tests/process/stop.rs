//! SIGTERM and SIGINT under load: nothing acknowledged is lost, nobody is left waiting, the exit code is 0 and comes in time.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{
    home::Home,
    ledger::{self, Ledger, Sent},
    load::Load,
    messages::{self, WEBHOOK, new_call},
    program::Program,
    service::Service,
    soon,
    wire::{Wire, request},
};

/// How long a stopping service still takes connections, in the first story.
const DELAY: Duration = Duration::from_millis(1_500);
/// Long enough for a load to be under way.
const A_MOMENT: Duration = Duration::from_millis(100);
/// Long enough for a signal not to be the same as the one before.
const A_WHILE: Duration = Duration::from_millis(500);
/// What a busy machine may add to any time.
const SLACK: Duration = Duration::from_secs(3);

#[test]
fn on_sigterm_readiness_goes_first_then_the_door_and_everything_acknowledged_stays() {
    let home = Home::new();
    let delay = DELAY.as_secs_f32().to_string();
    let mut service = Program::guarded(&home).set("SHUTDOWN_DELAY_SECONDS", delay).set("SHUTDOWN_GRACE_SECONDS", "10").serve();
    let load = Load::while_open(service.address());
    let waiters: Vec<_> = (0..8).map(|_| waiting(&service)).collect();
    thread::sleep(A_MOMENT);
    service.signal(Signal::TERM);
    let told = Instant::now();
    assert!(soon(DELAY, || service.read("/readyz").status == 503), "readiness does not go");
    assert_eq!(service.read("/livez").status, 200, "it still takes connections while others learn of it");
    for mut waiter in waiters {
        let answer = waiter.answer().expect("whoever waits is answered");
        assert_eq!(answer.status, 202, "{}", answer.json());
        assert!(told.elapsed() > DELAY / 2, "waits are answered after the delay, not at once");
    }
    assert_eq!(service.code_within(DELAY + SLACK), 0, "{}", service.said());
    assert!(told.elapsed() >= DELAY, "the delay is kept");
    assert!(TcpStream::connect(service.address()).is_err(), "the door is shut");
    everything_is_kept(&home, &load.ended());
}

#[test]
fn sigint_stops_as_sigterm_does() {
    let home = Home::new();
    let mut service = Program::guarded(&home).serve();
    let load = Load::while_open(service.address());
    thread::sleep(A_MOMENT);
    service.signal(Signal::INT);
    assert_eq!(service.code_within(SLACK), 0, "{}", service.said());
    everything_is_kept(&home, &load.ended());
}

#[test]
fn a_second_signal_ends_a_long_goodbye_and_still_loses_nothing() {
    let home = Home::new();
    let mut service = Program::guarded(&home).set("SHUTDOWN_DELAY_SECONDS", "60").serve();
    let load = Load::while_open(service.address());
    thread::sleep(A_MOMENT);
    service.signal(Signal::TERM);
    // At the same moment it counts as the same signal.
    service.signal(Signal::TERM);
    service.signal(Signal::INT);
    assert!(soon(SLACK, || service.read("/readyz").status == 503), "readiness does not go");
    thread::sleep(A_WHILE);
    assert_eq!(service.read("/livez").status, 200, "{}", service.said());
    service.signal(Signal::TERM);
    assert_eq!(service.code_within(SLACK), 0, "{}", service.said());
    everything_is_kept(&home, &load.ended());
}

#[test]
fn a_client_that_never_finishes_its_request_does_not_keep_the_process() {
    let home = Home::new();
    let mut service = Program::guarded(&home).set("SHUTDOWN_GRACE_SECONDS", "2").serve();
    let message = messages::report(&new_call());
    let proof = message.proof();
    let headers: Vec<(&str, &str)> = proof.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let whole = request("POST", WEBHOOK, &headers, &message.body);
    let mut half = service.wire();
    half.send(&whole[..whole.len() / 2]).expect("half a request is sent");
    let mut head = service.wire();
    head.send("GET /livez HTTP/1.1\r\nhost: local").expect("half a head is sent");
    thread::sleep(Duration::from_millis(100));
    service.signal(Signal::TERM);
    let told = Instant::now();
    assert_eq!(service.code_within(Duration::from_secs(2) + SLACK), 0, "{}", service.said());
    assert!(told.elapsed() > Duration::from_millis(900), "the half request was given a chance to end: {:?}", told.elapsed());
    let ledger = ledger::ledger([Sent { message, acknowledged: false }]);
    everything_is_kept(&home, &ledger);
}

#[test]
fn a_request_that_is_under_way_at_the_signal_is_finished() {
    let home = Home::new();
    let mut service = Program::guarded(&home).serve();
    let message = messages::report(&new_call());
    let proof = message.proof();
    let headers: Vec<(&str, &str)> = proof.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let whole = request("POST", WEBHOOK, &headers, &message.body);
    let (first, second) = whole.split_at(whole.len() - 100);
    let mut wire = service.wire();
    wire.send(first).expect("the first part is sent");
    thread::sleep(Duration::from_millis(100));
    service.signal(Signal::TERM);
    assert!(service.says("draining"), "{}", service.said());
    wire.send(second).expect("the second part is sent");
    let answer = wire.answer().expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(answer.header("connection"), "close", "a client learns that this connection takes no more");
    assert_eq!(service.code_within(SLACK), 0, "{}", service.said());
    everything_is_kept(&home, &ledger::ledger([Sent { message, acknowledged: true }]));
}

/// Somebody who waits for a call that nobody has heard of.
fn waiting(service: &Service) -> Wire {
    let mut wire = service.wire();
    let path = format!("/api/v1/vapi/calls/{}/result?wait=60", new_call());
    wire.send(request("GET", &path, &[], b"")).expect("the question is sent");
    wire
}

/// Every acknowledged message is there after the next start, and the file is sound.
fn everything_is_kept(home: &Home, ledger: &Ledger) {
    assert!(!ledger.is_empty(), "there was no load");
    let service = Program::guarded(home).serve();
    ledger::check(&service, ledger);
    service.stop();
    ledger::is_sound(&home.store());
}
