//! The sweep by the real program: calls whose webhooks were all lost are found, by one instance at a time.

use std::{net::TcpListener, time::Duration};

use ringback::{
    call::time::Millis,
    simulate::{FakeVapi, Options},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    postgres_server,
    support::{SECRET, home::Home, messages::WEBHOOK, program::Program, service::Service, soon},
};

/// From one sweep to the next, in seconds.
const PERIOD: u16 = 8;
/// A sweep begins this long after its time at most: the worker looks every five seconds.
const FOUND_WITHIN: Duration = Duration::from_secs(25);
/// Where nobody listens: webhooks that go there are lost.
const GONE: &str = "http://127.0.0.1:9/gone";

/// A fake Vapi that tells a service on one port, and the program that asks it.
struct House {
    home: Home,
    vapi: FakeVapi,
    port: u16,
    runtime: Runtime,
}

impl House {
    fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let (home, runtime) = (Home::new(), Runtime::new().expect("a runtime"));
        let webhook_url = Some(format!("http://127.0.0.1:{port}{WEBHOOK}"));
        let options = Options { webhook_url, secret: Some(SECRET.into()), pace: 0.01, ..Options::default() };
        let vapi = runtime.block_on(FakeVapi::start(options)).expect("a fake Vapi");
        Self { home, vapi, port, runtime }
    }

    fn program(&self) -> Program {
        Program::guarded(&self.home)
            .set("VAPI_API_URL", self.vapi.url())
            .set("VAPI_API_KEY", self.vapi.key())
            .set("RECONCILE_SECONDS", PERIOD.to_string())
            .set("RECONCILE_GRACE_SECONDS", "2")
    }

    /// Somebody else places a call of this assistant; its webhooks go to the service, or are lost.
    fn place(&self, assistant: &str, is_heard: bool) -> String {
        let mut request = json!({"assistantId": assistant, "phoneNumberId": format!("{assistant}'s number")});
        if !is_heard {
            request["assistantOverrides"] = json!({"server": {"url": GONE}});
        }
        self.runtime.block_on(async { self.vapi.place(request) })
    }

    /// When the sweep's lists were asked for.
    fn swept(&self) -> Vec<Millis> {
        let lists = self.vapi.requests().into_iter().filter(|request| request.path == "/call" && request.query.contains("updatedAtGe"));
        lists.map(|request| request.at).collect()
    }
}

fn status(service: &Service, call: &str) -> u16 {
    service.read(&format!("/api/v1/vapi/calls/{call}")).status
}

/// The call is found, and done as if its report had come.
fn finds(service: &Service, call: &str) {
    assert!(soon(FOUND_WITHIN, || status(service, call) == 200), "{call} is not found: {}", service.said());
    let mut data = Value::Null;
    let is_done = soon(Duration::from_secs(20), || {
        data = service.read(&format!("/api/v1/vapi/calls/{call}/result")).json()["data"].take();
        data["dataStatus"] == "complete"
    });
    assert!(is_done && data["status"] == "completed" && data["webhookReceivedAt"].is_null(), "{data}");
}

fn lost(service: &Service) -> u64 {
    let metrics = String::from_utf8(service.read("/metrics").body).expect("text");
    let line = metrics.lines().find_map(|line| line.strip_prefix("ringback_lost_webhooks_total{kind=\"all\"} "));
    line.map_or(0, |number| number.parse().expect("a number"))
}

#[test]
fn calls_whose_webhooks_were_all_lost_are_found_and_nobody_elses() {
    let house = House::new();
    let service = house.program().set("PORT", house.port.to_string()).serve();
    let heard = house.place("nora", true);
    assert!(soon(Duration::from_secs(20), || status(&service, &heard) == 200), "{}", service.said());
    let [first, second, foreign] = [("nora", false), ("nora", false), ("stranger", false)].map(|(who, heard)| house.place(who, heard));
    finds(&service, &first);
    finds(&service, &second);
    assert!(soon(Duration::from_secs(20), || lost(&service) == 2), "{} count as lost", lost(&service));
    let swept = house.swept().len();
    assert!(soon(FOUND_WITHIN, || house.swept().len() > swept), "it goes on");
    assert_eq!((status(&service, &foreign), lost(&service)), (404, 2));
    service.is_well();
    service.stop();
}

#[test]
fn of_two_instances_one_sweeps_and_the_other_goes_on_when_it_is_killed() {
    let Some(server) = postgres_server::Server::start() else { return };
    server.create("calls");
    let house = House::new();
    let program = house.program().set("DATABASE_URL", postgres_server::url_of("calls", server.port));
    let (one, other) = (program.clone().set("PORT", house.port.to_string()).serve(), program.serve());
    let heard = house.place("nora", true);
    assert!(soon(Duration::from_secs(20), || status(&one, &heard) == 200), "{}", one.said());
    for _ in 0..2 {
        let lost = house.place("nora", false);
        finds(&one, &lost);
        finds(&other, &lost);
    }
    let swept = house.swept();
    let pauses: Vec<i64> = swept.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(!pauses.is_empty() && pauses.iter().all(|pause| *pause >= i64::from(PERIOD) * 1_000), "both sweep: {pauses:?}");
    // Whichever it was that swept: the one that is left goes on.
    one.kill();
    let left = house.place("nora", false);
    finds(&other, &left);
    other.stop();
}
