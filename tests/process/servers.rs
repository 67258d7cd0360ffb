//! Several instances on one PostgreSQL server: whoever is killed, and however, what was acknowledged is there, once and whole.
//!
//! `SERVER_ROUNDS` says how often something is killed in each story (6).

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use crate::{
    postgres_server::{Server, url_of},
    support::{
        home::Home,
        ledger::{Ledger, check},
        load::Load,
        messages::{new_call, report},
        program::Program,
        random_below,
        road::Road,
        service::Service,
        soon,
    },
};

/// Kills in the ordinary suite, in each story.
const ROUNDS: u32 = 6;
/// Instances at work.
const INSTANCES: usize = 3;
/// A kill comes at most this long after the first message, in milliseconds.
const LATEST_KILL: u64 = 150;
/// Cuts in one round.
const CUTS: u32 = 5;
/// A server that was killed is away for at most this long, in milliseconds.
const LONGEST_OUTAGE: u64 = 400;
/// Senders go on for this long when somebody comes back.
const LOAD: Duration = Duration::from_secs(2);
/// After an outage the service is ready again within this time.
const RECOVERY: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "a setting of this test, not of the program")]
fn rounds() -> u32 {
    std::env::var("SERVER_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("SERVER_ROUNDS is a number"))
}

/// A database server, and how instances are started on it.
struct House {
    server: Server,
    program: Program,
    _home: Home,
}

impl House {
    /// `None` where PostgreSQL is not to be tested.
    fn new() -> Option<Self> {
        let server = Server::start()?;
        server.create("calls");
        let home = Home::new();
        let program = Program::guarded(&home).set("DATABASE_URL", url_of("calls", server.port));
        Some(Self { server, program, _home: home })
    }

    /// The program, by way of another port.
    fn by(&self, port: u16) -> Program {
        self.program.clone().set("DATABASE_URL", url_of("calls", port))
    }

    fn instances(&self) -> Vec<Service> {
        (0..INSTANCES).map(|_| self.program.serve()).collect()
    }
}

/// Whichever instance is asked.
fn any(instances: &[Service]) -> &Service {
    &instances[usize::try_from(random_below(instances.len() as u64)).expect("it is small")]
}

fn addresses(instances: &[Service]) -> Vec<SocketAddr> {
    instances.iter().map(Service::address).collect()
}

fn is_ready_again(service: &Service) {
    assert!(soon(RECOVERY, || service.read("/readyz").status == 200), "it is not ready again: {}", service.said());
}

fn acknowledged(ledger: &Ledger) -> usize {
    ledger.values().flatten().filter(|sent| sent.acknowledged).count()
}

/// What got no answer is sent again, to another instance each time, as Vapi does; then it counts as acknowledged.
fn send_again(instances: &[Service], ledger: &mut Ledger) {
    for (number, sent) in ledger.values_mut().flatten().filter(|sent| !sent.acknowledged).enumerate() {
        let answer = instances[number % instances.len()].post(&sent.message);
        assert_eq!(answer.status, 200, "{:?}: {}", sent.message, answer.json());
        sent.acknowledged = true;
    }
}

/// The end of each story: everything is there, once, and each record is what one process makes of the same events.
fn comes_to_the_same(house: &House, instances: Vec<Service>, mut all: Ledger) {
    let acknowledged = acknowledged(&all);
    assert!(acknowledged > rounds() as usize * 10, "that was no load: {acknowledged} messages");
    send_again(&instances, &mut all);
    check(&instances[0], &all);
    let alone = house.program.clone().set("DATABASE_URL", "memory:").serve();
    let mut wire = alone.wire();
    for sent in all.values().flatten() {
        assert_eq!(wire.deliver(&sent.message).expect("an answer").status, 200);
    }
    for (number, call) in all.keys().enumerate() {
        let path = format!("/api/v1/vapi/calls/{call}/result");
        let told = |service: &Service| {
            let mut data = service.read(&path).json()["data"].take();
            for own in ["createdAt", "updatedAt", "webhookReceivedAt", "version"] {
                data.as_object_mut().expect("a call").remove(own);
            }
            data
        };
        assert_eq!(told(&instances[number % INSTANCES]), told(&alone), "{call}");
    }
    eprintln!("{acknowledged} acknowledged messages, none lost");
    alone.stop();
    instances.iter().for_each(Service::is_well);
    instances.into_iter().for_each(Service::stop);
}

fn merge(all: &mut Ledger, more: Ledger) {
    for (call, sent) in more {
        all.entry(call).or_default().extend(sent);
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_one_of_three_instances_is_killed_again_and_again() {
    let Some(house) = House::new() else { return };
    let (mut instances, mut all) = (house.instances(), Ledger::new());
    for _ in 0..rounds() {
        let load = Load::through_outages(&addresses(&instances), Instant::now() + LOAD);
        thread::sleep(Duration::from_millis(random_below(LATEST_KILL)));
        let victim = usize::try_from(random_below(INSTANCES as u64)).expect("it is small");
        instances.swap_remove(victim).kill();
        instances.push(house.program.serve());
        let last = load.ended();
        check(any(&instances), &last);
        merge(&mut all, last);
    }
    comes_to_the_same(&house, instances, all);
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed_again_and_again() {
    let Some(house) = House::new() else { return };
    let (instances, mut all) = (house.instances(), Ledger::new());
    for _ in 0..rounds() {
        let load = Load::through_outages(&addresses(&instances), Instant::now() + LOAD);
        thread::sleep(Duration::from_millis(random_below(LATEST_KILL)));
        house.server.tell("kill");
        thread::sleep(Duration::from_millis(random_below(LONGEST_OUTAGE)));
        house.server.tell("start");
        let last = load.ended();
        instances.iter().for_each(is_ready_again);
        check(any(&instances), &last);
        merge(&mut all, last);
    }
    comes_to_the_same(&house, instances, all);
}

#[test]
fn nothing_acknowledged_is_lost_when_the_road_to_the_server_is_slow_and_cut_again_and_again() {
    let Some(house) = House::new() else { return };
    let roads: Vec<Road> = (0..INSTANCES).map(|_| Road::to(house.server.port)).collect();
    let instances: Vec<Service> = roads.iter().map(|road| house.by(road.port()).serve()).collect();
    let mut all = Ledger::new();
    for _ in 0..rounds() {
        let load = Load::through_outages(&addresses(&instances), Instant::now() + LOAD);
        for _ in 0..CUTS {
            thread::sleep(Duration::from_millis(random_below(LATEST_KILL)));
            roads[usize::try_from(random_below(INSTANCES as u64)).expect("it is small")].cut();
        }
        let last = load.ended();
        instances.iter().for_each(is_ready_again);
        check(any(&instances), &last);
        merge(&mut all, last);
    }
    instances.iter().for_each(is_ready_again);
    comes_to_the_same(&house, instances, all);
}

#[test]
fn a_service_that_starts_before_its_server_is_ready_once_that_is_there() {
    let Some(house) = House::new() else { return };
    house.server.tell("stop");
    let service = house.program.serve();
    assert_eq!((service.read("/livez").status, service.read("/readyz").status), (200, 503));
    let message = report(&new_call());
    let answer = service.post(&message);
    assert_eq!(answer.verdict(), (503, "STORE_UNAVAILABLE".to_owned()));
    assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{answer:?}");
    house.server.tell("start");
    is_ready_again(&service);
    assert_eq!(service.post(&message).status, 200);
    service.stop();
}

#[test]
fn commands_say_what_is_wrong_with_a_database_and_never_its_password() {
    let Some(house) = House::new() else { return };
    let said = house.program.clone().with(["migrate"]).run();
    assert_eq!((said.code, said.stderr.trim()), (0, "ringback: the schema is up to date"));
    let serve = house.program.clone().set("MIGRATE", "check").serve();
    serve.stop();
    let wrong = house.program.clone().set("DATABASE_URL", url_of("no_such_database", house.server.port));
    for command in [vec!["migrate"], vec!["serve"]] {
        let said = wrong.clone().with(command).run();
        assert_eq!(said.code, 78, "{}", said.stderr);
        assert!(
            said.stderr.contains("DATABASE_URL") && !said.stderr.contains("ss%3Aw") && !said.stderr.contains("ss:w"),
            "{}",
            said.stderr
        );
    }
    house.server.tell("stop");
    let said = house.program.clone().with(["migrate"]).run();
    assert_eq!(said.code, 1, "{}", said.stderr);
    let said = house.program.clone().with(["backup", "copy.db"]).run();
    assert!(said.code == 78 && said.stderr.contains("pg_dump"), "{}", said.stderr);
}
