//! `ringback doctor`, the real program, against a service of its own and a fake Vapi whose settings are spoiled one at a time.

mod door;
mod fix;
mod rounds;
mod settings;
mod stores;

use std::net::TcpListener;

use ringback::{
    clock::Clock,
    simulate::{FakeVapi, Options},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::{
    home::Home,
    messages::WEBHOOK,
    program::{Ended, Program},
    service::Service,
};

/// The assistant and the number of the fake Vapi.
const ASSISTANT: &str = "ac096342-f2bb-4859-9e6b-32dfe706765e";
const NUMBER: &str = "0f73516e-15a7-4305-8e1c-fa153431e12f";

/// A place where everything is as it should be, until a story spoils it.
struct House {
    home: Home,
    vapi: FakeVapi,
    port: u16,
    program: Program,
    _runtime: Runtime,
}

impl House {
    fn new() -> Self {
        Self::at(Clock::System)
    }

    /// Vapi has another clock.
    fn at(clock: Clock) -> Self {
        let (home, runtime) = (Home::new(), Runtime::new().expect("a runtime"));
        let port = free_port();
        let webhook_url = Some(format!("http://127.0.0.1:{port}{WEBHOOK}"));
        let vapi = runtime.block_on(FakeVapi::start(Options { webhook_url, clock, ..Options::default() })).expect("a fake Vapi");
        let program = Program::guarded(&home)
            .set("PORT", port.to_string())
            .set("PUBLIC_URL", format!("http://127.0.0.1:{port}"))
            .set("VAPI_API_URL", vapi.url())
            .set("VAPI_API_KEY", vapi.key());
        Self { home, vapi, port, program, _runtime: runtime }
    }

    fn serve(&self) -> Service {
        self.program.serve()
    }

    /// Spoils the assistant.
    fn assistant(&self, spoil: impl FnOnce(&mut Value)) {
        self.vapi.spoil_settings(|assistant, _, _| spoil(assistant));
    }

    /// Spoils the number.
    fn number(&self, spoil: impl FnOnce(&mut Value)) {
        self.vapi.spoil_settings(|_, number, _| spoil(number));
    }

    /// All settings as they stand.
    fn settings(&self) -> [Value; 3] {
        let mut seen = None;
        self.vapi.spoil_settings(|assistant, number, org| seen = Some([assistant.clone(), number.clone(), org.clone()]));
        seen.expect("they were shown")
    }

    /// Puts settings back.
    fn set(&self, [assistant, number, org]: [Value; 3]) {
        self.vapi.spoil_settings(|was, number_was, org_was| (*was, *number_was, *org_was) = (assistant, number, org));
    }

    fn doctor(&self, words: &[&str]) -> Ended {
        examined(&self.program, words)
    }

    /// How many requests were no reading.
    fn changes(&self) -> usize {
        self.vapi.requests().iter().filter(|request| request.method != "GET").count()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn examined(program: &Program, words: &[&str]) -> Ended {
    program.clone().with(["doctor"]).with(words).run()
}

/// Everything that is not as it should be: `severity check`, sorted.
fn complaints(ended: &Ended) -> Vec<String> {
    let findings = findings(ended);
    let bad = findings.iter().filter(|finding| finding["severity"] != "ok");
    let mut bad: Vec<String> = bad.map(|finding| format!("{} {}", text(finding, "severity"), text(finding, "check"))).collect();
    bad.sort();
    bad
}

fn findings(ended: &Ended) -> Vec<Value> {
    let told: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    told["findings"].as_array().cloned().expect("a list")
}

/// What was found by a check, all in one text.
fn found(ended: &Ended, check: &str) -> String {
    let findings = findings(ended);
    let found = findings.iter().filter(|finding| finding["check"] == check);
    found.map(Value::to_string).collect::<Vec<_>>().join("\n")
}

fn text<'a>(finding: &'a Value, field: &str) -> &'a str {
    finding[field].as_str().unwrap_or_default()
}
