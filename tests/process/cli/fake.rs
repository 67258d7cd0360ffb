//! `simulate`, `serve`, `result` and `replay` together, as in a tour without a Vapi account.

use std::{fmt::Write as _, net::TcpListener, time::Duration};

use rustix::process::Signal;
use serde_json::Value;

use super::{DONE, FAILED, USAGE};
use crate::support::{
    SECRET,
    home::Home,
    messages::{self, WEBHOOK, new_call},
    program::Program,
    service::Service,
    soon,
};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn done_calls(service: &Service) -> usize {
    let calls = service.read("/api/v1/vapi/calls?dataStatus=complete&limit=100").json();
    calls["data"].as_array().map_or(0, Vec::len)
}

#[test]
fn simulated_calls_are_received_completed_and_told() {
    let home = Home::new();
    let port = free_port();
    let service = Program::guarded(&home)
        .set("VAPI_API_URL", format!("http://127.0.0.1:{port}"))
        .set("VAPI_API_KEY", "sim-key")
        .set("ENRICH_DELAYS_SECONDS", "0.3,0.3,0.5,1,1,2,2,5")
        .serve();
    let words = format!(
        "simulate --port {port} --calls 4 --rate 20 --pace 0.01 --scenario all --late-analysis --auth hmac --duplicate 0.5 --shuffle"
    );
    let vapi = Program::in_home(&home).with(words.split(' ')).with(["--secret", SECRET, "--webhook-url", &service.url()]).begin();
    assert!(soon(Duration::from_secs(40), || done_calls(&service) == 4), "{} of 4 are done: {}", done_calls(&service), service.said());
    vapi.signal(Signal::INT);
    let ended = vapi.ended();
    assert_eq!(ended.code, DONE, "{}", ended.stderr);
    assert_eq!(ended.stdout, format!("VAPI_API_URL=http://127.0.0.1:{port}\nVAPI_API_KEY=sim-key\n"), "two lines to paste");
    assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);

    let calls = service.read("/api/v1/vapi/calls").json();
    let id = calls["data"][0]["id"].as_str().expect("a call").to_owned();
    let result = Program::in_home(&home).set("RINGBACK_URL", service.url()).with(["result", &id]).run();
    assert_eq!(result.code, DONE, "{}", result.stderr);
    assert_eq!(serde_json::from_str::<Value>(&result.stdout).expect("JSON")["id"], id.as_str());
    service.is_well();
}

#[test]
fn replay_posts_recorded_bodies_in_every_way_of_proving_them() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    for auth in ["secret", "bearer", "signature", "standard", "hmac"] {
        let call = new_call();
        let life = messages::life_of(&call);
        let mut lines = String::new();
        for message in &life {
            let _ = writeln!(lines, "{}", String::from_utf8_lossy(&message.body));
        }
        let file = home.write("recorded.jsonl", lines);
        let replay = |secret: &str| {
            let words = ["replay", "--url", &service.url(), "--secret", secret, "--auth", auth];
            Program::in_home(&home).set("RINGBACK_URL", "http://127.0.0.1:1").with(words).with([&file]).run()
        };
        let wrong = replay("another-secret-hunter2");
        assert_eq!(wrong.code, FAILED);
        assert!(wrong.stdout.lines().all(|line| line.starts_with("401 ")), "{}", wrong.stdout);
        assert!(wrong.stderr.contains(&service.url()) && wrong.stderr.contains("401: "), "told where and why: {}", wrong.stderr);
        assert_eq!(wrong.stderr.lines().count(), 1, "and once: {}", wrong.stderr);
        let taken = replay(SECRET);
        assert_eq!(taken.code, DONE, "{auth}: {}{}", taken.stdout, taken.stderr);
        let told: Vec<String> = life.iter().map(|message| format!("200 {} {call}", message.kind)).collect();
        assert_eq!(taken.stdout.lines().collect::<Vec<_>>(), told, "{auth}");
        let path = format!("/api/v1/vapi/calls/{call}");
        let version = service.read(&path).json()["data"]["version"].clone();
        assert_eq!(replay(SECRET).code, DONE, "a second time is fine");
        assert_eq!(service.read(&path).json()["data"]["version"], version, "and changes nothing");
    }
}

#[test]
fn replay_posts_nothing_of_a_bad_file_and_says_when_nobody_listens() {
    let home = Home::new();
    let service = Program::in_home(&home).serve();
    let call = new_call();
    let good = home.write("good.json", messages::report(&call).body);
    for bad in [&b"{\"message\":"[..], b"[]", b"", b"\xff"] {
        let bad = home.write("bad.json", bad);
        let ended = Program::in_home(&home).with(["replay", "--url", &service.url()]).with([&good, &bad]).run();
        assert_eq!((ended.code, ended.stdout.as_str()), (USAGE, ""));
        assert!(ended.stderr.contains("bad.json"), "{}", ended.stderr);
    }
    assert_eq!(service.read(&format!("/api/v1/vapi/calls/{call}")).status, 404);

    let url = format!("http://127.0.0.1:{}{WEBHOOK}", free_port());
    let silent = Program::in_home(&home).with(["replay", "--url", &url]).with([&good]).run();
    assert_eq!(silent.code, FAILED);
    assert_eq!(silent.stdout, format!("000 end-of-call-report {call}\n"));
    assert!(silent.stderr.contains(&format!("{url}: Connection refused")), "{}", silent.stderr);
}
