//! `backfill` against a running service and a fake Vapi.

use std::{net::TcpListener, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{DONE, FAILED, INTERRUPTED, USAGE};
use crate::support::{
    home::Home,
    program::{Program, Running},
    service::Service,
    soon,
};

/// Calls that Vapi has.
const CALLS: u64 = 120;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A Vapi with calls of which no webhook arrives anywhere.
fn vapi(home: &Home, port: u16) -> Running {
    let words = format!("simulate --port {port} --calls {CALLS} --rate 500 --pace 0.001 --scenario no-answer");
    Program::in_home(home).with(words.split(' ')).with(["--webhook-url", &format!("http://127.0.0.1:{}", free_port())]).begin()
}

fn service(home: &Home, port: u16) -> Service {
    let key = |program: Program| program.set("VAPI_API_URL", format!("http://127.0.0.1:{port}")).set("VAPI_API_KEY", "sim-key");
    key(Program::guarded(home)).serve()
}

fn backfill(home: &Home, service: &Service, words: &str) -> Program {
    Program::in_home(home).set("RINGBACK_URL", service.url()).with(["backfill"]).with(words.split(' '))
}

#[test]
fn backfill_fetches_every_call_page_by_page_and_sums_up() {
    let home = Home::new();
    let port = free_port();
    let (vapi, service) = (vapi(&home, port), service(&home, port));
    let mut sums = Value::Null;
    let all = soon(Duration::from_secs(40), || {
        let ended = backfill(&home, &service, "--since 1h --json").run();
        assert_eq!(ended.code, DONE, "{}", ended.stderr);
        assert_eq!(ended.stderr, "", "progress is for terminals");
        sums = serde_json::from_str(&ended.stdout).expect("JSON");
        sums["seen"].as_u64().is_some_and(|seen| seen >= CALLS)
    });
    assert!(all, "{sums}");
    let listed = service.read("/api/v1/vapi/calls?limit=100").json();
    assert_eq!((&listed["count"], &listed["pagination"]["hasMore"]), (&json!(100), &json!(true)));
    let again = backfill(&home, &service, "--since 2020-01-01 --all").run();
    assert_eq!(again.code, DONE, "{}", again.stderr);
    assert!(again.stdout.contains(" 0 imported"), "{}", again.stdout);
    vapi.signal(Signal::INT);
    vapi.ended();
    let nobody = backfill(&home, &service, "--since 1h").begin();
    std::thread::sleep(Duration::from_millis(1_500));
    nobody.signal(Signal::INT);
    let ended = nobody.ended();
    assert_eq!(ended.code, INTERRUPTED, "Vapi is gone, and it tried again: {}", ended.stderr);
    assert!(ended.stderr.contains("trying again") && ended.stderr.contains("stopped"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "nothing was found out");
    service.is_well();
}

#[test]
fn backfill_says_what_is_wrong_by_its_exit_code() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let ended = backfill(&home, &service, "--since 1h").run();
    assert_eq!((ended.code, ended.stdout.as_str()), (FAILED, ""), "a failure has seen nothing");
    assert!(ended.stderr.contains("VAPI_API_KEY"), "{}", ended.stderr);
    for (wrong, why) in
        [("2999-01-01", "in the future"), ("30000d", "before there was a Vapi"), ("2019-12-31", "before"), ("1y", "how long ago")]
    {
        let ended = backfill(&home, &service, &format!("--since {wrong}")).run();
        assert!(ended.code == USAGE && ended.stderr.contains(why), "{wrong}: {}", ended.stderr);
    }
    for wrong in ["--since yesterday", "--until 1h", "--since 1h --until x"] {
        let ended = backfill(&home, &service, wrong).run();
        assert_eq!((ended.code, ended.stdout.as_str()), (USAGE, ""), "{wrong}: {}", ended.stderr);
    }
}
