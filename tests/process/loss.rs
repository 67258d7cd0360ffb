//! What was acknowledged is there after a SIGKILL, and nothing is there by half.
//!
//! `LOSS_ROUNDS` says how often the service is killed (50); `.ci/loss` does it ten thousand times.

use std::{thread, time::Duration};

use crate::support::{
    home::Home,
    ledger::{Ledger, check, is_sound},
    load::Load,
    program::Program,
    random_below,
    service::Service,
};

/// Kills in the ordinary suite.
const ROUNDS: u32 = 50;
/// Rounds on one store; then a new one.
const ROUNDS_OF_A_STORE: u32 = 250;
/// The kill comes at most this long after the first message, in milliseconds.
const LATEST_KILL: u64 = 120;
/// One start in so many is killed before it listens.
const KILLED_STARTS: u64 = 5;
/// A start is killed at most this long after it began, in milliseconds.
const LATEST_START_KILL: u64 = 40;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_half_done_however_often_the_service_is_killed() {
    let rounds = rounds();
    let (mut done, mut acknowledged) = (0, 0);
    while done < rounds {
        let next = ROUNDS_OF_A_STORE.min(rounds - done);
        acknowledged += killed_often(next);
        done += next;
        eprintln!("{done} kills, {acknowledged} acknowledged messages, none lost");
    }
    assert!(acknowledged > rounds as usize, "that was no load: {acknowledged} messages in {rounds} rounds");
}

/// Kills the service on one store so often; returns how many messages it had acknowledged, all of which were found.
fn killed_often(rounds: u32) -> usize {
    let home = Home::new();
    let (mut all, mut last) = (Ledger::new(), Ledger::new());
    for _ in 0..rounds {
        let service = restarted(&home);
        check(&service, &last);
        all.append(&mut last);
        last = killed_under_load(service);
    }
    all.append(&mut last);
    let acknowledged = all.values().flatten().filter(|sent| sent.acknowledged).count();
    let service = restarted(&home);
    check(&service, &all);
    send_again(&service, &mut all);
    check(&service, &all);
    service.stop();
    is_sound(&home.store());
    acknowledged
}

#[expect(clippy::disallowed_methods, reason = "a setting of this test, not of the program")]
fn rounds() -> u32 {
    match std::env::var("LOSS_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("LOSS_ROUNDS is a number"),
        Err(_) => ROUNDS,
    }
}

/// The service on the store that a killed one left behind; now and then its first start is killed as well.
fn restarted(home: &Home) -> Service {
    if random_below(KILLED_STARTS) == 0 {
        let mut child = Program::guarded(home).spawn_service();
        thread::sleep(Duration::from_millis(random_below(LATEST_START_KILL)));
        child.kill().expect("the child is ours");
        child.wait().expect("the child is ours");
    }
    Program::guarded(home).serve()
}

fn killed_under_load(service: Service) -> Ledger {
    let load = Load::until_cut(service.address());
    thread::sleep(Duration::from_millis(random_below(LATEST_KILL)));
    service.kill();
    load.ended()
}

/// What got no answer is sent again, as Vapi does; then it counts as acknowledged.
fn send_again(service: &Service, ledger: &mut Ledger) {
    for sent in ledger.values_mut().flatten().filter(|sent| !sent.acknowledged) {
        let answer = service.post(&sent.message);
        assert_eq!(answer.status, 200, "{:?}: {}", sent.message, answer.json());
        sent.acknowledged = true;
    }
}
