//! `call` at a terminal: what is shown while the call goes on, and what Ctrl-C asks.

use std::time::Duration;

use serde_json::Value;

use super::{
    DONE, INTERRUPTED, TIMED_OUT,
    call::{OTHERWISE, REQUEST, call, calling},
};
use crate::support::{home::Home, service::Service, soon, terminal::Terminal};

const CTRL_C: &str = "\x03";

/// `call` at a terminal, with these words more.
fn at_terminal(home: &Home, service: &Service, words: &[&str]) -> Terminal {
    let file = home.write("request.json", REQUEST);
    Terminal::run(&call(home, service, words).with([file]))
}

/// The only call, as the service has it.
fn only_call(service: &Service) -> Value {
    service.read("/api/v1/vapi/calls").json()["data"][0].take()
}

#[test]
fn where_the_line_is_and_what_is_said_is_shown_while_it_happens() {
    let home = Home::new();
    calling(&home, "--pace 0.2", |service| {
        let terminal = at_terminal(&home, service, &[]);
        terminal.shows("- ringing");
        terminal.shows("- in-progress");
        terminal.shows("  assistant: ");
        terminal.shows("  customer: ");
        assert_eq!(only_call(service)["callStatus"], "in-progress", "it is shown while they talk: {}", terminal.screen());
        let ended = terminal.ended();
        assert_eq!(ended.code, DONE, "{}", ended.stderr);
        assert!(ended.stdout.starts_with("completed, ") && !ended.stdout.contains("assistant:"), "only the result: {}", ended.stdout);
        let in_order = ["- ringing", "[ringing 0:00]", "- in-progress", "[in-progress 0:0", "  assistant: ", "  customer: ", "- ended"];
        let places: Vec<_> = in_order.iter().map(|words| ended.stderr.find(words)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} {}", ended.stderr);
        assert!(ended.stderr.ends_with("\r\u{1b}[K"), "the last line is taken away: {:?}", ended.stderr);
    });
}

#[test]
fn ctrl_c_asks_and_yes_hangs_up() {
    let home = Home::new();
    calling(&home, "--pace 1", |service| {
        let mut terminal = at_terminal(&home, service, &[]);
        terminal.shows("- in-progress");
        terminal.types(CTRL_C);
        terminal.shows("Hang up? [y/N] ");
        assert_eq!(only_call(service)["callStatus"], "in-progress", "nothing is done before the answer");
        terminal.types("y\n");
        let ended = terminal.ended();
        assert_eq!((ended.code, ended.stdout.as_str()), (INTERRUPTED, ""));
        assert!(ended.stderr.contains("hung up") && !ended.stderr.contains("goes on"), "{}", ended.stderr);
        // At this pace it would talk for half a minute.
        assert!(soon(Duration::from_secs(8), || only_call(service)["callStatus"] == "ended"), "{}", only_call(service));
    });
}

#[test]
fn any_other_answer_and_a_second_ctrl_c_let_the_call_go_on() {
    for answer in ["n\n", "\n", CTRL_C] {
        let home = Home::new();
        calling(&home, "--pace 1", |service| {
            let mut terminal = at_terminal(&home, service, &[]);
            terminal.shows("- ringing");
            terminal.types(CTRL_C);
            terminal.shows("Hang up? [y/N] ");
            terminal.types(answer);
            let ended = terminal.ended();
            assert_eq!((ended.code, ended.stdout.as_str()), (INTERRUPTED, ""), "{answer:?}");
            assert!(!ended.stderr.contains("hung up"), "{}", ended.stderr);
            assert!(soon(Duration::from_secs(15), || only_call(service)["callStatus"] == "in-progress"), "it goes on");
        });
    }
}

#[test]
fn exit_codes_are_the_same_at_a_terminal() {
    let home = Home::new();
    calling(&home, "--pace 0.05 --scenario busy", |service| {
        let ended = at_terminal(&home, service, &[]).ended();
        assert_eq!((ended.code, ended.stdout.starts_with("no_answer")), (OTHERWISE, true), "{}", ended.stdout);
        assert!(ended.stderr.contains("- ended"), "{}", ended.stderr);
        let late = at_terminal(&home, service, &["--wait", "0.1"]).ended();
        assert_eq!((late.code, late.stdout.as_str()), (TIMED_OUT, ""), "{}", late.stderr);
        assert!(late.stderr.contains("ringback result "), "{}", late.stderr);
        let placed = at_terminal(&home, service, &["--no-wait"]).ended();
        let id: Value = serde_json::from_str(&placed.stdout).expect("JSON");
        assert_eq!((placed.code, &id["status"], placed.stderr.as_str()), (DONE, &"initiated".into(), ""));
    });
}
