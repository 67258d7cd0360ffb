//! Commands that ask a running service.

use std::{net::TcpListener, thread, time::Duration};

use ringback::simulate::Auth;
use rustix::process::Signal;
use serde_json::Value;

use super::{CONFIGURATION, DONE, FAILED, TIMED_OUT};
use crate::support::{
    SECRET,
    home::Home,
    messages::{self, new_call},
    program::Program,
    service::Service,
    soon,
};

/// A token that lets read.
const TOKEN: &str = "a-token-of-the-tests-41d7";

fn asking(home: &Home, service: &Service, words: &str) -> Program {
    Program::in_home(home).set("RINGBACK_URL", service.url()).with(words.split(' '))
}

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[test]
fn healthcheck_tells_by_its_exit_code_whether_the_service_is_ready() {
    let home = Home::new();
    let mut service = Program::guarded(&home).set("SHUTDOWN_DELAY_SECONDS", "60").serve();
    let port = service.address().port().to_string();
    for asking in [
        Program::in_home(&home).set("PORT", &port).with(["healthcheck"]),
        Program::in_home(&home).set("RINGBACK_URL", service.url() + "/").with(["healthcheck"]),
        Program::in_home(&home).set("BACKEND_URL", service.url()).with(["healthcheck"]),
        Program::in_home(&home).set("RINGBACK_URL", nowhere()).with(["healthcheck", "--url", &service.url()]),
    ] {
        let ended = asking.run();
        assert_eq!((ended.code, ended.stdout.as_str()), (DONE, ""), "{}", ended.stderr);
    }
    service.signal(Signal::TERM);
    assert!(soon(Duration::from_secs(5), || service.read("/readyz").status == 503));
    let stopping = asking(&home, &service, "healthcheck").run();
    assert_eq!(stopping.code, FAILED, "about to stop is not ready");
    assert!(stopping.stderr.contains("503"), "{}", stopping.stderr);
    thread::sleep(Duration::from_millis(300));
    service.signal(Signal::TERM);
    service.code_within(Duration::from_secs(10));
    let gone = asking(&home, &service, "healthcheck").run();
    assert_eq!((gone.code, gone.stdout.as_str()), (FAILED, ""));
    assert!(gone.stderr.starts_with("ringback: ") && gone.stderr.lines().count() == 1, "{}", gone.stderr);
}

#[test]
fn a_client_that_cant_know_where_the_service_is_asks_for_it() {
    let ended = Program::in_home(&Home::new()).with(["healthcheck"]).run();
    assert_eq!(ended.code, CONFIGURATION);
    assert!(ended.stderr.contains("RINGBACK_URL"), "{}", ended.stderr);
}

#[test]
fn result_prints_the_result_alone_on_stdout() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let message = messages::report(&new_call());
    assert_eq!(service.post(&message).status, 200);
    let ended = asking(&home, &service, &format!("result {}", message.call)).run();
    assert_eq!((ended.code, ended.stderr.as_str()), (DONE, ""));
    let printed: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(printed, service.read(&format!("/api/v1/vapi/calls/{}", message.call)).json()["data"]);
}

#[test]
fn result_waits_until_the_call_is_done() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let message = messages::report(&new_call()).proven_by(Auth::Standard);
    let waiting = asking(&home, &service, &format!("result {} --wait 30", message.call)).begin();
    let metrics = || String::from_utf8_lossy(&service.read("/metrics").body).contains("ringback_waiters 1");
    assert!(soon(Duration::from_secs(10), metrics), "somebody waits");
    assert_eq!(service.post(&message).status, 200);
    let ended = waiting.ended();
    assert_eq!(ended.code, DONE, "{}", ended.stderr);
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).expect("JSON")["dataStatus"], "complete");
}

#[test]
fn result_waits_through_a_restart() {
    let home = Home::new();
    let address = nowhere();
    let port = address.rsplit(':').next().expect("a port");
    let waiting = Program::in_home(&home).set("RINGBACK_URL", &address).with(["result", "call-1", "--wait", "30"]).begin();
    thread::sleep(Duration::from_millis(1_500));
    let service = Program::guarded(&home).set("PORT", port).serve();
    assert_eq!(service.post(&messages::report("call-1")).status, 200);
    let ended = waiting.ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (DONE, ""));
}

#[test]
fn result_says_by_124_that_the_time_was_not_enough_and_prints_what_there_is() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let message = messages::ringing(&new_call());
    assert_eq!(service.post(&message).status, 200);
    for wait in ["", " --wait 0.3"] {
        let ended = asking(&home, &service, &format!("result {}{wait}", message.call)).run();
        assert_eq!(ended.code, TIMED_OUT, "{}", ended.stderr);
        let printed: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert_eq!((&printed["callStatus"], &printed["dataStatus"]), (&"ringing".into(), &"pending".into()));
    }
}

#[test]
fn result_prints_nothing_of_a_call_that_nobody_has_heard_of() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    for (words, code) in [("result nope", FAILED), ("result nope --wait 0.3", TIMED_OUT)] {
        let ended = asking(&home, &service, words).run();
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{words}");
        assert!(ended.stderr.contains("nothing was heard of call nope"), "{}", ended.stderr);
    }
}

#[test]
fn result_says_by_1_that_it_can_not_be_told() {
    let home = Home::new();
    let service = Program::guarded(&home).set("API_TOKENS", format!("poll:me={TOKEN}")).serve();
    let message = messages::report(&new_call());
    assert_eq!(service.post(&message).status, 200);
    let words = format!("result {}", message.call);
    let ask = |token: &str| asking(&home, &service, &words).set("RINGBACK_TOKEN", token).run();
    assert_eq!(ask(TOKEN).code, DONE);
    for wrong in ["", "a-wrong-token-hunter2"] {
        let ended = ask(wrong);
        assert_eq!((ended.code, ended.stdout.as_str()), (FAILED, ""));
        assert!(ended.stderr.contains("401") && !ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
    let by_flag = asking(&home, &service, &format!("{words} --token {TOKEN}")).set("RINGBACK_TOKEN", "a-wrong-token-hunter2").run();
    assert_eq!(by_flag.code, DONE, "{}", by_flag.stderr);

    let silent = Program::in_home(&home).set("RINGBACK_URL", nowhere()).with(words.split(' ')).run();
    assert_eq!((silent.code, silent.stdout.as_str()), (FAILED, ""));
    assert!(silent.stderr.contains("does not answer: Connection refused"), "{}", silent.stderr);
}

#[test]
fn result_says_that_somebody_else_answers_there() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let other = thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().expect("a client");
        let _ = stream.read(&mut [0; 4_096]);
        let page = "<html>Nothing here</html>";
        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}", page.len());
    });
    let ended = Program::in_home(&Home::new()).set("RINGBACK_URL", url).with(["result", "some-call"]).run();
    other.join().expect("no panic");
    assert_eq!((ended.code, ended.stdout.as_str()), (FAILED, ""));
    assert!(ended.stderr.contains("is that a Ringback?"), "{}", ended.stderr);
}

#[test]
fn a_proxy_of_the_environment_does_not_see_what_is_asked_on_this_machine() {
    let home = Home::new();
    let service = Program::in_home(&home).set("VAPI_WEBHOOK_SECRET", SECRET).serve();
    let ended = asking(&home, &service, "healthcheck").set("http_proxy", nowhere()).set("HTTP_PROXY", nowhere()).run();
    assert_eq!(ended.code, DONE, "{}", ended.stderr);
}
