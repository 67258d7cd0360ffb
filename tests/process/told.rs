//! Whoever subscribed hears of every call that was committed, however often the service is killed, and of nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    servers::{House, INSTANCES, LOAD, addresses, merge, on_every_server, rounds},
    support::{
        home::Home,
        ledger::Ledger,
        load::Load,
        program::Program,
        random_below,
        service::Service,
        soon,
        subscriber::{Subscriber, Told},
    },
};

/// Kills.
const ROUNDS: u32 = 25;
/// The kill comes at most this long after the first message, in milliseconds.
const LATEST_KILL: u64 = 150;
/// The same where a server is asked, which takes longer to begin with.
const LATEST_KILL_WITH_A_SERVER: u64 = 500;
/// Fewer calls than this are no load.
const LEAST: usize = 10;
/// So many times the rounds are made at most, to have that many.
const PATIENT: u32 = 8;
/// So long everything has to be told afterwards: a refused event comes again after 6 s at most.
const PATIENCE: Duration = Duration::from_mins(1);

/// The same where several share a server: what a killed instance held is free again after 30 s, perhaps twice in a row.
const PATIENCE_WITH_OTHERS: Duration = Duration::from_mins(3);

on_every_server! {
    whoever_is_killed_with_a_server_everything_that_was_committed_is_told_in_order_and_nothing_else
    one_of_three_instances_is_killed_and_the_others_tell_the_rest
}

/// One that may tell this machine.
fn telling(program: Program) -> Program {
    program.set("OUTBOUND_ALLOW", "127.0.0.1").set("RUST_LOG", "error,ringback::cli=info")
}

/// What is still on its way, and why.
fn pending(service: &Service) -> String {
    let all = service.read("/api/v1/vapi/subscriptions").json();
    let id = all["data"][0]["id"].as_str().unwrap_or_default().to_owned();
    service.read(&format!("/api/v1/vapi/subscriptions/{id}/deliveries?state=pending&limit=100")).json().to_string()
}

fn subscribe(service: &Service, url: &str) {
    let body = json!({"url": url, "events": ["call.ended", "call.done"]}).to_string();
    let answer = service.wire().ask("POST", "/api/v1/vapi/subscriptions", &[], body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.json());
}

/// Calls that the service says are done.
fn done(service: &Service, ledger: &Ledger) -> BTreeSet<String> {
    let mut wire = service.wire();
    let mut is_done = |call: &&String| {
        let answer = wire.ask("GET", &format!("/api/v1/vapi/calls/{call}/result"), &[], b"").expect("an answer");
        answer.status == 200 && answer.json()["done"] == true
    };
    ledger.keys().filter(|call| is_done(call)).cloned().collect()
}

fn told_to_be_done(told: &[Told]) -> BTreeSet<String> {
    told.iter().filter(|told| told.kind == "call.done").map(|told| told.call.clone()).collect()
}

/// Within its call, nothing is told for the first time after something newer was.
fn is_in_order(told: &[Told]) {
    let mut seen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for told in told {
        let sequences = seen.entry(&told.call).or_default();
        if !sequences.contains(&told.sequence) {
            assert!(sequences.iter().all(|earlier| *earlier < told.sequence), "{told:?} after {sequences:?}");
            sequences.push(told.sequence);
        }
    }
}

/// In the end everything that was committed has been told, in order, and nothing else.
fn is_told(service: &Service, subscriber: &Subscriber, ledger: &Ledger, patience: Duration) {
    let done = done(service, ledger);
    assert!(done.len() >= LEAST, "that was no load: {} calls", done.len());
    let all = soon(patience, || told_to_be_done(&subscriber.told()).is_superset(&done));
    let told = subscriber.told();
    assert!(all, "never told: {:?}\n{}", done.difference(&told_to_be_done(&told)).collect::<Vec<_>>(), pending(service));
    assert_eq!(told_to_be_done(&told), done, "told of a call that is not done");
    is_in_order(&told);
    let ended = |call: &String| told.iter().any(|told| told.call == *call && told.kind == "call.ended");
    assert!(done.iter().all(ended), "each was told to have ended as well");
    let repeats = told.len() - told.iter().map(|told| &told.id).collect::<BTreeSet<_>>().len();
    eprintln!("{} calls, {} events, {repeats} of them repeats", done.len(), told.len());
}

/// Calls whose report was acknowledged.
fn reported(ledger: &Ledger) -> usize {
    ledger.values().filter(|sent| sent.iter().any(|sent| sent.acknowledged && sent.message.kind == "end-of-call-report")).count()
}

/// The only instance is killed again and again.
fn dies_and_comes_back(program: &Program, (rounds, latest): (u32, u64), patience: Duration) {
    let subscriber = Subscriber::start();
    let first = program.serve();
    subscribe(&first, &subscriber.url);
    first.kill();
    let (mut ledger, mut round) = (Ledger::new(), 0);
    // A machine that is busy with other things takes in little before each kill.
    while round < rounds || (reported(&ledger) < LEAST && round < rounds * PATIENT) {
        round += 1;
        let service = program.serve();
        let load = Load::until_cut(service.address());
        thread::sleep(Duration::from_millis(random_below(latest)));
        service.kill();
        ledger.append(&mut load.ended());
    }
    let service = program.serve();
    is_told(&service, &subscriber, &ledger, patience);
    service.stop();
}

#[test]
fn whoever_is_killed_everything_that_was_committed_is_told_in_order_and_nothing_else() {
    let home = Home::new();
    dies_and_comes_back(&telling(Program::guarded(&home)), (ROUNDS, LATEST_KILL), PATIENCE);
}

fn whoever_is_killed_with_a_server_everything_that_was_committed_is_told_in_order_and_nothing_else(house: &House) {
    dies_and_comes_back(&telling(house.program.clone()), (rounds() * 2, LATEST_KILL_WITH_A_SERVER), PATIENCE_WITH_OTHERS);
}

fn one_of_three_instances_is_killed_and_the_others_tell_the_rest(house: &House) {
    let (program, subscriber) = (telling(house.program.clone()), Subscriber::start());
    let mut instances: Vec<Service> = (0..INSTANCES).map(|_| program.serve()).collect();
    subscribe(&instances[0], &subscriber.url);
    let mut ledger = Ledger::new();
    for _ in 0..rounds() {
        let load = Load::through_outages(&addresses(&instances), Instant::now() + LOAD);
        thread::sleep(Duration::from_millis(random_below(LATEST_KILL_WITH_A_SERVER)));
        let victim = usize::try_from(random_below(INSTANCES as u64)).expect("it is small");
        instances.swap_remove(victim).kill();
        instances.push(program.serve());
        merge(&mut ledger, load.ended());
    }
    let any = usize::try_from(random_below(INSTANCES as u64)).expect("it is small");
    is_told(&instances[any], &subscriber, &ledger, PATIENCE_WITH_OTHERS);
    instances.into_iter().for_each(Service::stop);
}
