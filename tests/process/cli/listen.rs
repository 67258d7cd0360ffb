//! `listen` follows the events of a running service.

use std::{path::PathBuf, time::Duration};

use rustix::process::Signal;
use serde_json::Value;

use super::{DONE, FAILED, INTERRUPTED, USAGE};
use crate::support::{
    home::Home,
    messages::{self, new_call},
    program::{Program, Running},
    service::Service,
    skipped, soon,
    target::Target,
};

const PATIENCE: Duration = Duration::from_secs(20);
const READ: &str = "a-read-token-of-the-tests";
const POLL: &str = "a-poll-token-of-the-tests";

/// A listener whose words go into a file, so that they can be read while it runs.
pub(super) struct Listening {
    running: Running,
    file: PathBuf,
}

impl Listening {
    pub(super) fn begin(home: &Home, url: &str, words: &str) -> Self {
        let file = home.file(&format!("heard-{}", new_call()));
        let program = Program::in_home(home).set("RINGBACK_URL", url).set("OUT", &file).with(["listen"]).with(words.split_whitespace());
        Self { running: program.under(["sh", "-c", r#"exec "$0" "$@" > "$OUT""#]).begin(), file }
    }

    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap_or_default()
    }

    pub(super) fn says(&self, words: &str) {
        assert!(soon(PATIENCE, || self.said().contains(words)), "no {words} in {}", self.said());
    }

    /// Every event so far, where they are told as JSON.
    fn events(&self) -> Vec<Value> {
        self.said().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Ends it as Ctrl-C does; what it said on stderr.
    pub(super) fn interrupted(self) -> String {
        self.running.signal(Signal::INT);
        let ended = self.running.ended();
        assert_eq!(ended.code, INTERRUPTED, "{}", ended.stderr);
        ended.stderr
    }
}

/// Waits until so many listen.
pub(super) fn listened_to(service: &Service, count: usize) {
    let line = format!("ringback_stream_clients{{transport=\"sse\"}} {count}");
    let told = || String::from_utf8_lossy(&service.read("/metrics").body).lines().any(|it| it == line);
    assert!(soon(PATIENCE, told), "{count} do not listen: {}", service.said());
}

fn live(service: &Service, call: &str) {
    for message in messages::life_of(call) {
        assert_eq!(service.post(&message).status, 200);
    }
}

#[test]
fn calls_are_told_line_by_line_until_somebody_presses_ctrl_c() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let listening = Listening::begin(&home, &service.url(), "");
    listened_to(&service, 1);
    let call = new_call();
    live(&service, &call);
    listening.says("call.done");
    let said = listening.said();
    assert_eq!(listening.interrupted(), "", "nobody watches stderr");
    assert!(!said.contains('\x1b'), "no terminal, no colours: {said}");
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().skip(1).collect()).collect();
    assert!(lines.iter().all(|line| line[1] == call), "{said}");
    assert_eq!(lines[0], ["call.updated", &call, "queued"]);
    let kinds: Vec<_> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(kinds[kinds.len() - 2..], ["call.ended", "call.done"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "call.transcript").count(), 2, "{said}");
    assert!(lines.iter().any(|line| line[0] == "call.transcript" && line[2] == "bot:"), "{said}");
}

#[test]
fn a_script_takes_json_and_an_exit_code_when_the_call_is_done() {
    let home = Home::new();
    let service = Program::guarded(&home).set("API_TOKENS", format!("poll:p={POLL},read:r={READ}")).serve();
    let call = new_call();
    let listen = Program::in_home(&home).set("RINGBACK_URL", service.url()).set("RINGBACK_TOKEN", POLL);
    let listen = listen.with(["listen", "--json", "--until-done", "--call", &call]);
    let running = listen.clone().begin();
    let told = || service.wire().ask("GET", "/metrics", &[("authorization", &format!("Bearer {READ}"))], b"").expect("an answer").body;
    assert!(soon(PATIENCE, || String::from_utf8_lossy(&told()).contains("ringback_stream_clients{transport=\"sse\"} 1")));
    live(&service, &call);
    let ended = running.ended();
    assert_eq!((ended.code, ended.stderr.lines().count()), (DONE, 1), "that it waited is no news: {}", ended.stderr);
    let events: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let sequences: Vec<u64> = events.iter().filter_map(|event| event["sequence"].as_u64()).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    let last = events.last().expect("an event");
    assert_eq!((&last["type"], &last["data"]["dataStatus"]), (&"call.done".into(), &"complete".into()));
    // Whoever comes later, or goes on behind it, does not wait for ever; nor does one who did not ask for the end.
    for (words, lines) in
        [(vec![], 1), (vec!["--types", "call.tool"], 1), (vec!["--last-event-id", last["id"].as_str().expect("an id")], 0)]
    {
        let ended = listen.clone().with(&words).run();
        assert_eq!((ended.code, ended.stdout.lines().count()), (DONE, lines), "{words:?}: {}{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn a_listener_goes_on_where_it_was_when_the_service_comes_back() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let port = service.address().port().to_string();
    let listening = Listening::begin(&home, &service.url(), "--json");
    listened_to(&service, 1);
    let (before, between, after) = (new_call(), new_call(), new_call());
    live(&service, &before);
    listening.says("call.done");
    service.stop();
    // Elsewhere, where it does not listen.
    let elsewhere = Program::guarded(&home).serve();
    live(&elsewhere, &between);
    elsewhere.stop();
    let service = Program::guarded(&home).set("PORT", port).serve();
    live(&service, &after);
    assert!(soon(PATIENCE, || listening.said().matches("\"call.done\"").count() == 3), "{}", listening.said());
    let events = listening.events();
    for call in [&before, &between, &after] {
        let of_call = events.iter().filter(|event| event["callId"] == call.as_str());
        let sequences: Vec<u64> = of_call.filter_map(|event| event["sequence"].as_u64()).collect();
        assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "nothing twice, nothing missing");
    }
    let told = listening.interrupted();
    assert_eq!(told.matches("trying again").count(), 1, "{told}");
    assert!(told.contains("listening again"), "{told}");
}

#[test]
fn filters_leave_out_what_was_not_asked_for() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let call = new_call();
    live(&service, &call);
    let number = service.read(&format!("/api/v1/vapi/calls/{call}")).json()["data"]["customer"]["number"].clone();
    let number = number.as_str().expect("a number");
    let heard = Listening::begin(&home, &service.url(), &format!("--types call.done,call.ended --status completed --phone {number}"));
    let unheard = ["--phone +15550000000", "--assistant nobody", "--status voicemail"]
        .map(|words| Listening::begin(&home, &service.url(), &format!("--types call.done {words}")));
    listened_to(&service, 4);
    live(&service, &new_call());
    heard.says("call.done");
    assert_eq!(heard.said().lines().count(), 2, "{}", heard.said());
    heard.interrupted();
    for unheard in unheard {
        assert_eq!(unheard.said(), "");
        unheard.interrupted();
    }
}

#[test]
fn events_are_posted_on_and_what_is_refused_is_told() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let (target, refusing) = (Target::answering(200), Target::answering(500));
    let call = new_call();
    let words = format!("--types call.ended,call.done --call {call} --until-done --forward");
    let begin = |url: &str| Listening::begin(&home, &service.url(), &format!("{words} {url}"));
    let (taken, refused) = (begin(target.url.trim_start_matches("http://")), begin(&refusing.url));
    listened_to(&service, 2);
    live(&service, &call);
    for kind in ["call.ended", "call.done"] {
        let got = target.next();
        assert_eq!((got.json()["type"].as_str(), got.header("content-type")), (Some(kind), "application/json"));
        refusing.next();
    }
    let ended = taken.running.ended();
    assert!(ended.code == DONE && !ended.stderr.contains("forwarded"), "{}", ended.stderr);
    let ended = refused.running.ended();
    assert_eq!((ended.code, ended.stderr.matches("refused: 500").count()), (DONE, 2), "{}", ended.stderr);
}

#[test]
fn what_can_not_be_listened_to_is_said_at_once() {
    let home = Home::new();
    let service = Program::guarded(&home).set("API_TOKENS", format!("poll:p={POLL},read:r={READ}")).serve();
    for (words, token, why) in [
        ("", "a-wrong-token-hunter2", "401"),
        ("", POLL, "403"),
        ("--deliveries", READ, "403"),
        ("--types call.dnoe", READ, "types takes"),
        ("--url http://127.0.0.1:1", READ, "does not answer"),
        ("--record /nonexistent/file", READ, "/nonexistent/file"),
    ] {
        let listen = Program::in_home(&home).set("RINGBACK_URL", service.url()).set("RINGBACK_TOKEN", token);
        let ended = listen.with(["listen"]).with(words.split_whitespace()).run();
        assert_eq!((ended.code, ended.stdout.as_str()), (FAILED, ""), "{words}: {}", ended.stderr);
        assert!(ended.stderr.contains(why) && !ended.stderr.contains("hunter2"), "{words}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
    for words in
        ["--until-done", "--secret x", "--record f --phone 1", "--forward ftp://host", "--call no/id", "--status", "--url nonsense"]
    {
        let ended = Program::in_home(&home).with(["listen"]).with(words.split_whitespace()).run();
        assert_eq!(ended.code, USAGE, "{words}: {}", ended.stderr);
    }
}

#[test]
fn the_stream_of_an_erased_call_ends_and_later_ones_are_refused() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let call = new_call();
    live(&service, &call);
    let listening = Listening::begin(&home, &service.url(), &format!("--call {call}"));
    listened_to(&service, 1);
    assert_eq!(service.wire().ask("DELETE", &format!("/api/v1/vapi/calls/{call}"), &[], b"").expect("an answer").status, 200);
    listening.says("call.deleted");
    assert_eq!(listening.running.ended().code, DONE);
    let ended = Program::in_home(&home).set("RINGBACK_URL", service.url()).with(["listen", "--call", &call]).run();
    assert_eq!(ended.code, FAILED);
    assert!(ended.stderr.contains("410"), "{}", ended.stderr);
}

#[test]
fn a_terminal_has_colours_unless_they_are_not_wanted() {
    if std::process::Command::new("script").arg("--version").output().is_err() {
        return skipped("a terminal: there is no `script`");
    }
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let call = new_call();
    live(&service, &call);
    // script runs the words behind -c on a terminal of its own.
    let on_terminal = |name: &str, value: &str| {
        let listen = Program::in_home(&home).set("RINGBACK_URL", service.url()).set(name, value);
        let listen = listen.with(["listen", "--until-done", "--call", &call]);
        listen.under(["sh", "-c", r#"exec script -qec "$(printf '%s ' "$0" "$@")" /dev/null"#]).run()
    };
    for (name, value, coloured) in [("NO_COLOR", "", true), ("NO_COLOR", "1", false)] {
        let ended = on_terminal(name, value);
        assert_eq!(ended.code, DONE, "{ended:?}");
        assert!(ended.stdout.contains("call.done"), "{ended:?}");
        assert_eq!(ended.stdout.contains("\x1b[32mcall.done"), coloured, "{ended:?}");
    }
}

#[test]
fn whoever_listens_to_a_call_that_nobody_has_heard_of_is_told_that_they_wait() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let call = new_call();
    let listening = Listening::begin(&home, &service.url(), &format!("--call {call}"));
    listened_to(&service, 1);
    live(&service, &call);
    listening.says("call.done");
    let said = listening.interrupted();
    assert!(said.contains(&format!("nothing was heard of call {call} yet")), "{said}");
    let again = Listening::begin(&home, &service.url(), &format!("--call {call}"));
    listened_to(&service, 1);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(again.interrupted(), "", "now it is known");
}
