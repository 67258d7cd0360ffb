//! Streams, heard by a browser's `EventSource`, by curl, and by the WebSocket that Node has built in.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use super::is_there;
use crate::support::{
    home::Home,
    messages::{self, new_call},
    program::Program,
    service::Service,
    skipped, soon,
    target::Target,
};

const TOKENS: &str = "poll:page=poll-token-0123456789,read:all=read-token-0123456789,admin:ops=admin-token-0123456789";
const READ: &str = "read-token-0123456789";
const PATIENCE: Duration = Duration::from_secs(30);

/// A page that tells its own server what it hears.
const PAGE: &str = r#"<script>
const [url, kinds] = [decodeURIComponent(location.hash.slice(1)), ["call.updated", "call.transcript", "call.ended", "call.done"]];
const tell = (heard) => fetch("/heard", {method: "POST", body: JSON.stringify(heard)});
const events = new EventSource(url);
events.onopen = () => tell({open: true});
events.onerror = () => tell({error: events.readyState});
for (const kind of kinds)
    events.addEventListener(kind, (event) => tell({kind, id: event.lastEventId, data: JSON.parse(event.data)}));
</script>"#;

/// A program that runs beside the story; killed when dropped.
struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn browser() -> Option<&'static str> {
    ["chromium", "google-chrome", "chromium-browser"].into_iter().find(|browser| is_there(browser))
}

/// A browser without a window on a page, with a profile of its own.
fn browse(browser: &str, home: &Home, url: &str) -> Beside {
    let profile = format!("--user-data-dir={}", home.file("profile").display());
    let words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0"];
    let mut command = Command::new(browser);
    command.args(words).arg(profile).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Beside(command.spawn().expect("the browser starts"))
}

/// What the page heard next, its coming and going aside.
fn heard(target: &Target) -> Value {
    loop {
        let got = target.next();
        if got.line == "POST /heard" {
            return got.json();
        }
    }
}

fn live(service: &Service, call: &str) {
    for message in messages::life_of(call) {
        assert_eq!(service.post(&message).status, 200);
    }
}

fn sse_clients(service: &Service) -> bool {
    let answer = service.wire().ask("GET", "/metrics", &[("authorization", &format!("Bearer {READ}"))], b"").expect("an answer");
    String::from_utf8_lossy(&answer.body).contains("ringback_stream_clients{transport=\"sse\"} 1")
}

#[test]
fn a_page_hears_a_call_and_goes_on_by_itself_after_a_restart() {
    let Some(browser) = browser() else { return skipped("an EventSource: no Chromium is installed") };
    let (home, target) = (Home::new(), Target::serving(200, PAGE));
    let origin = target.url.trim_end_matches("/hook").to_owned();
    let program = Program::guarded(&home).set("API_TOKENS", TOKENS).set("CORS_ORIGINS", &origin);
    let service = program.serve();
    let port = service.address().port().to_string();
    let call = new_call();
    let stream = format!("{}/api/v1/vapi/calls/{call}/events?close=done&access_token=poll-token-0123456789", service.url());
    let _browser = browse(browser, &home, &format!("{}#{}", target.url, stream.replace('&', "%26")));
    assert_eq!(heard(&target), json!({"open": true}));
    let life = messages::life_of(&call);
    let (before, after) = life.split_at(4);
    let mut events = Vec::new();
    for message in before {
        assert_eq!(service.post(message).status, 200);
        events.push(heard(&target));
    }
    service.stop();
    assert_eq!(heard(&target), json!({"error": 0}), "it comes back");
    // The rest is said while nobody listens.
    let elsewhere = program.clone().serve();
    for message in after {
        assert_eq!(elsewhere.post(message).status, 200);
    }
    elsewhere.stop();
    let _service = program.set("PORT", &port).serve();
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "call.done") {
        let event = heard(&target);
        if event["kind"].is_string() {
            kinds.push(event["kind"].as_str().expect("a kind").to_owned());
            events.push(event);
        }
    }
    let sequences: Vec<u64> = events.iter().filter_map(|event| event["data"]["sequence"].as_u64()).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "nothing twice, nothing missing");
    assert!(events.iter().all(|event| event["id"] == event["data"]["id"] && event["data"]["callId"] == call.as_str()));
    // After close=done a browser comes back once, and is told to stay away (readyState 2: closed).
    let mut states = Vec::new();
    while states.last() != Some(&json!(2)) {
        let event = heard(&target);
        assert!(!event["kind"].is_string(), "{event}");
        states.extend(event.get("error").cloned());
    }
}

#[test]
fn curl_prints_events_as_they_come_and_ends_with_the_call() {
    if !is_there("curl") {
        return skipped("curl is not installed");
    }
    let home = Home::new();
    let service = Program::guarded(&home).set("API_TOKENS", TOKENS).serve();
    for version in ["--http1.1", "--http1.0"] {
        let call = new_call();
        let file = home.file(&format!("curl-{call}"));
        let url = format!("{}/api/v1/vapi/calls/{call}/events?close=done", service.url());
        let mut curl = Command::new("curl");
        curl.args(["-N", "-sS", "--fail", "--max-time", "60", version, "-H", &format!("Authorization: Bearer {READ}"), "-o"]);
        let mut curl = Beside(curl.arg(&file).arg(url).stderr(Stdio::inherit()).spawn().expect("curl starts"));
        let printed = || std::fs::read_to_string(&file).unwrap_or_default();
        assert!(soon(PATIENCE, || printed().starts_with("retry: 2000\n\n")), "{version}: {}", printed());
        assert_eq!(service.post(&messages::ringing(&call)).status, 200);
        assert!(soon(PATIENCE, || printed().contains("event: call.updated\n")), "{version}: at once: {}", printed());
        live(&service, &call);
        assert!(soon(PATIENCE, || curl.0.try_wait().expect("it is ours").is_some()), "{version}: {}", printed());
        assert!(curl.0.wait().expect("it is ours").success(), "{version}");
        let printed = printed();
        let (_, last) = printed.trim_end().rsplit_once("\n\n").expect("events");
        assert!(last.starts_with("event: call.done\nid: "), "{last}");
    }
}

/// Prints a line for what it is told, until the socket is closed.
const SOCKET: &str = r#"
const socket = new (globalThis.WebSocket ?? require("ws"))(process.argv[1]);
const say = (...words) => process.stdout.write(words.join(" ") + "\n");
socket.onmessage = ({data}) => { const event = JSON.parse(data); say(event.type, event.callId, event.sequence); };
socket.onclose = ({code, wasClean}) => say("closed", code, wasClean);
"#;

/// What makes Node have a WebSocket: newer ones have it built in, older ones may have the package `ws`.
fn websocket_flags() -> Option<&'static [&'static str]> {
    const CHECK: &str = "process.exit(typeof (globalThis.WebSocket ?? require('ws')) === 'function' ? 0 : 1)";
    let has = |flags: &[&str]| {
        let status = Command::new("node").args(flags).args(["-e", CHECK]).stderr(Stdio::null()).status();
        is_there("node") && status.is_ok_and(|status| status.success())
    };
    [&["--experimental-websocket"][..], &[]].into_iter().find(|flags| has(flags))
}

#[test]
fn the_websocket_of_node_hears_the_same() {
    let Some(flags) = websocket_flags() else { return skipped("a WebSocket: neither Node 20.10 or newer is installed nor its package ws") };
    let home = Home::new();
    let service = Program::guarded(&home).set("API_TOKENS", TOKENS).serve();
    let begin = |query: &str| {
        let url = format!("ws://{}/api/v1/vapi/ws?access_token={READ}{query}", service.address());
        Command::new("node")
            .args(flags)
            .args(["-e", SOCKET, &url])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts")
    };
    let (until_done, until_stop) = (begin("&close=done"), begin("&types=call.done"));
    let metrics = || {
        let answer = service.wire().ask("GET", "/metrics", &[("authorization", &format!("Bearer {READ}"))], b"").expect("an answer");
        String::from_utf8_lossy(&answer.body).contains("ringback_stream_clients{transport=\"websocket\"} 2")
    };
    assert!(soon(PATIENCE, metrics), "two listen");
    let call = new_call();
    live(&service, &call);
    let said = |child: Child| String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text");
    let heard = said(until_done);
    let lines: Vec<&str> = heard.lines().collect();
    let (end, events) = lines.split_last().expect("lines");
    assert_eq!(*end, "closed 1000 true");
    for (index, line) in events.iter().enumerate() {
        assert!(line.starts_with("call.") && line.ends_with(&format!(" {call} {}", index + 1)), "{heard}");
    }
    assert!(events.last().is_some_and(|line| line.starts_with("call.done ")), "{heard}");
    let count = events.len();
    service.stop();
    assert_eq!(said(until_stop), format!("call.done {call} {count}\nclosed 1001 true\n"), "a stop says so");
}

#[test]
fn a_client_that_leaves_is_noticed() {
    if !is_there("curl") {
        return skipped("curl is not installed");
    }
    let home = Home::new();
    let service = Program::guarded(&home).set("API_TOKENS", TOKENS).serve();
    let url = format!("{}/api/v1/vapi/events?access_token={READ}", service.url());
    let curl = Beside(Command::new("curl").args(["-N", "-s", &url]).stdout(Stdio::null()).spawn().expect("curl starts"));
    assert!(soon(PATIENCE, || sse_clients(&service)));
    drop(curl);
    assert!(soon(PATIENCE, || !sse_clients(&service)), "it is still counted");
    assert!(!service.said().contains(READ), "a token in an address is in no log");
}
