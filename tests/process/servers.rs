//! Several instances on one PostgreSQL server, or on one Redis: whoever is killed, and however, what was acknowledged is there, once and whole.
//!
//! `SERVER_ROUNDS` says how often something is killed in each story (6).

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use crate::{
    postgres_server, redis_server,
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
pub(crate) const INSTANCES: usize = 3;
/// A kill comes at most this long after the first message, in milliseconds.
const LATEST_KILL: u64 = 150;
/// Cuts in one round.
const CUTS: u32 = 5;
/// A server that was killed is away for at most this long, in milliseconds.
const LONGEST_OUTAGE: u64 = 400;
/// Senders go on for this long when somebody comes back.
pub(crate) const LOAD: Duration = Duration::from_secs(2);
/// What one instance committed all others know after this time.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// After an outage the service is ready again within this time.
const RECOVERY: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "a setting of this test, not of the program")]
pub(crate) fn rounds() -> u32 {
    std::env::var("SERVER_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("SERVER_ROUNDS is a number"))
}

/// Runs stories, functions of a [`House`], as tests on every server.
macro_rules! on_every_server {
    ($($story:ident)*) => {
        mod postgres {
            $(#[test] fn $story() {
                if let Some(house) = $crate::servers::House::postgres() {
                    super::$story(&house);
                }
            })*
        }
        mod redis {
            $(#[test] fn $story() {
                if let Some(house) = $crate::servers::House::redis() {
                    super::$story(&house);
                }
            })*
        }
    };
}

pub(crate) use on_every_server;

on_every_server! {
    nothing_acknowledged_is_lost_when_one_of_three_instances_is_killed_again_and_again
    nothing_acknowledged_is_lost_when_the_server_is_killed_again_and_again
    nothing_acknowledged_is_lost_when_the_road_to_the_server_is_slow_and_cut_again_and_again
    a_service_that_starts_before_its_server_is_ready_once_that_is_there
}

/// A server that stores calls.
enum Server {
    Postgres(postgres_server::Server),
    Redis(redis_server::Server),
}

impl Server {
    fn port(&self) -> u16 {
        match self {
            Self::Postgres(server) => server.port,
            Self::Redis(server) => server.port,
        }
    }

    fn url_by(&self, port: u16) -> String {
        match self {
            Self::Postgres(_) => postgres_server::url_of("calls", port),
            Self::Redis(_) => redis_server::url_of(0, port),
        }
    }

    fn tell(&self, word: &str) {
        match self {
            Self::Postgres(server) => server.tell(word),
            Self::Redis(server) => server.tell(word),
        }
    }
}

/// A server, and how instances are started on it.
pub(crate) struct House {
    server: Server,
    pub(crate) program: Program,
    _home: Home,
}

impl House {
    /// `None` where PostgreSQL is not to be tested.
    pub(crate) fn postgres() -> Option<Self> {
        let server = postgres_server::Server::start()?;
        server.create("calls");
        Some(Self::on(Server::Postgres(server)))
    }

    /// `None` where Redis is not to be tested.
    pub(crate) fn redis() -> Option<Self> {
        Some(Self::on(Server::Redis(redis_server::Server::start(&[])?)))
    }

    fn on(server: Server) -> Self {
        let home = Home::new();
        let program = Program::guarded(&home).set("DATABASE_URL", server.url_by(server.port()));
        Self { server, program, _home: home }
    }

    /// The program, by way of another port.
    fn by(&self, port: u16) -> Program {
        self.program.clone().set("DATABASE_URL", self.server.url_by(port))
    }

    fn instances(&self) -> Vec<Service> {
        (0..INSTANCES).map(|_| self.program.serve()).collect()
    }
}

/// Any instance has it all, a second after another one took it at the latest.
fn check_any(instances: &[Service], ledger: &Ledger) {
    thread::sleep(HEARD_WITHIN);
    let any = usize::try_from(random_below(instances.len() as u64)).expect("it is small");
    check(&instances[any], ledger);
}

pub(crate) fn addresses(instances: &[Service]) -> Vec<SocketAddr> {
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
    assert!(acknowledged > rounds() as usize * 3, "that was no load: {acknowledged} messages");
    send_again(&instances, &mut all);
    check_any(&instances, &all);
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

pub(crate) fn merge(all: &mut Ledger, more: Ledger) {
    for (call, sent) in more {
        all.entry(call).or_default().extend(sent);
    }
}

fn nothing_acknowledged_is_lost_when_one_of_three_instances_is_killed_again_and_again(house: &House) {
    let (mut instances, mut all) = (house.instances(), Ledger::new());
    for _ in 0..rounds() {
        let load = Load::through_outages(&addresses(&instances), Instant::now() + LOAD);
        thread::sleep(Duration::from_millis(random_below(LATEST_KILL)));
        let victim = usize::try_from(random_below(INSTANCES as u64)).expect("it is small");
        instances.swap_remove(victim).kill();
        instances.push(house.program.serve());
        let last = load.ended();
        check_any(&instances, &last);
        merge(&mut all, last);
    }
    comes_to_the_same(house, instances, all);
}

fn nothing_acknowledged_is_lost_when_the_server_is_killed_again_and_again(house: &House) {
    let (instances, mut all) = (house.instances(), Ledger::new());
    for _ in 0..rounds() {
        let load = Load::through_outages(&addresses(&instances), Instant::now() + LOAD);
        thread::sleep(Duration::from_millis(random_below(LATEST_KILL)));
        house.server.tell("kill");
        thread::sleep(Duration::from_millis(random_below(LONGEST_OUTAGE)));
        house.server.tell("start");
        let last = load.ended();
        instances.iter().for_each(is_ready_again);
        check_any(&instances, &last);
        merge(&mut all, last);
    }
    comes_to_the_same(house, instances, all);
}

fn nothing_acknowledged_is_lost_when_the_road_to_the_server_is_slow_and_cut_again_and_again(house: &House) {
    let roads: Vec<Road> = (0..INSTANCES).map(|_| Road::to(house.server.port())).collect();
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
        check_any(&instances, &last);
        merge(&mut all, last);
    }
    instances.iter().for_each(is_ready_again);
    comes_to_the_same(house, instances, all);
}

fn a_service_that_starts_before_its_server_is_ready_once_that_is_there(house: &House) {
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

/// `wrong` is a URL that leads nowhere; `backup` is what a backup is told to be made with or for.
fn commands_say_what_is_wrong(house: &House, wrong: &str, backup: &str) {
    let said = house.program.clone().with(["migrate"]).run();
    assert_eq!((said.code, said.stderr.trim()), (0, "ringback: the schema is up to date"));
    house.program.clone().set("MIGRATE", "check").serve().stop();
    for command in ["migrate", "serve"] {
        let said = house.program.clone().set("DATABASE_URL", wrong).with([command]).run();
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
    assert!(said.code == 78 && said.stderr.contains(backup), "{}", said.stderr);
}

#[test]
fn commands_say_what_is_wrong_with_a_database_and_never_its_password() {
    let Some(house) = House::postgres() else { return };
    commands_say_what_is_wrong(&house, &postgres_server::url_of("no_such_database", house.server.port()), "pg_dump");
}

#[test]
fn commands_say_what_is_wrong_with_a_redis_and_never_its_password() {
    let Some(house) = House::redis() else { return };
    let wrong = redis_server::url_of(0, house.server.port()).replacen("p%40", "q%40", 1);
    commands_say_what_is_wrong(&house, &wrong, "for Redis");
}

/// Off loopback what is acknowledged must outlive the server's machine, unless the operator does without.
#[test]
fn a_redis_that_may_lose_what_it_took_is_refused_where_others_can_reach_the_service() {
    let Some(server) = redis_server::Server::start(&["--appendfsync", "everysec"]) else { return };
    let house = House::on(Server::Redis(server));
    let exposed = house.program.clone().set("HOST", "0.0.0.0").set("API_TOKENS", "ops=0123456789abcdef");
    let said = exposed.clone().with(["serve"]).run();
    assert_eq!(said.code, 78, "{}", said.stderr);
    assert!(said.stderr.contains("appendfsync") && said.stderr.contains("?ephemeral=true"), "{}", said.stderr);
    let accepted = format!("{}?ephemeral=true", redis_server::url_of(0, house.server.port()));
    for service in [exposed.set("DATABASE_URL", accepted).serve(), house.program.serve()] {
        assert!(soon(RECOVERY, || service.said().contains("appendfsync is everysec")), "there is a warning: {}", service.said());
        service.stop();
    }
}
