//! How fast a store of many calls opens, and how much memory a service takes that has nothing to do.

use std::{path::Path, time::Duration};

use futures_util::{StreamExt as _, stream};
use ringback::{
    app::App,
    clock::Clock,
    config::Config,
    vapi::message::{self, Delivery},
};

use crate::support::{
    home::Home,
    load::Load,
    messages::{self, new_call, now},
    program::Program,
    service::Service,
};

/// Calls of the ordinary story.
const SOME: usize = 2_000;
/// Calls of the measurement.
const MANY: usize = 100_000;
/// Starts that are measured.
const STARTS: usize = 11;
/// Commits under way at once while a store is filled.
const AT_ONCE: usize = 512;
/// Long enough for whatever a service does after its start.
const A_WHILE: Duration = Duration::from_millis(500);
/// From the start of the process to its start line, in a release build on a machine that does little else.
const START: Duration = Duration::from_millis(150);
/// Debug builds on busy machines are given more.
const START_OF_DEBUG: Duration = Duration::from_secs(2);
/// Memory of an idle service, in KiB.
const IDLE: u64 = 40 * 1_024;
/// The same without the pages of the program itself, of which a debug build has several times as many.
const IDLE_ALLOCATED: u64 = 24 * 1_024;

#[test]
fn a_store_of_some_thousand_calls_opens_at_once_and_idling_takes_little_memory() {
    let home = Home::new();
    let last = filled(&home.store(), SOME);
    let service = Program::guarded(&home).serve();
    assert!(service.started_in < START_OF_DEBUG, "{:?}", service.started_in);
    knows(&service, &last, SOME);
    let (idle, allocated) = (service.memory(), service.allocated());
    assert!(allocated < IDLE_ALLOCATED && (idle < IDLE || cfg!(debug_assertions)), "{idle} KiB, of which {allocated} are its own");
}

#[test]
#[ignore = "a measurement of the release build: cargo test --release --test process start -- --ignored --nocapture"]
fn a_store_of_a_hundred_thousand_calls_opens_within_150_milliseconds() {
    let home = Home::new();
    let last = filled(&home.store(), MANY);
    let mut starts: Vec<_> = (0..STARTS).map(|_| measured(&home, &last)).collect();
    starts.sort_by_key(|(start, _)| *start);
    let (median, idle) = starts[STARTS / 2];
    let service = Program::guarded(&home).serve();
    let load = Load::until_cut(service.address());
    std::thread::sleep(A_WHILE);
    service.kill();
    load.ended();
    let megabytes = |name: &str| std::fs::metadata(home.file(name)).map_or(0, |file| file.len() >> 20);
    let (store, log) = (megabytes("ringback.db"), megabytes("ringback.db-wal"));
    let (after_a_kill, _) = measured(&home, &last);
    eprintln!("{MANY} calls, {store} MB: {:?} to {:?}, median {median:?}; idle RSS {idle} KiB", starts[0].0, starts[STARTS - 1].0);
    eprintln!("after a kill, with a log of {log} MB: {after_a_kill:?}");
    let allowed = if cfg!(debug_assertions) { START_OF_DEBUG } else { START };
    assert!(median < allowed, "{median:?}");
    assert!(idle < IDLE, "{idle} KiB");
}

/// One start: how long it took, and the memory a while later.
fn measured(home: &Home, last: &str) -> (Duration, u64) {
    let service = Program::guarded(home).serve();
    let start = service.started_in;
    std::thread::sleep(A_WHILE);
    let idle = service.memory();
    assert_eq!(service.read(&format!("/api/v1/vapi/calls/{last}")).status, 200);
    service.stop();
    (start, idle)
}

fn knows(service: &Service, last: &str, calls: usize) {
    assert_eq!(service.read(&format!("/api/v1/vapi/calls/{last}")).status, 200);
    let page = service.read("/api/v1/vapi/calls?limit=100").json();
    assert_eq!((page["count"].as_u64(), &page["pagination"]["hasMore"]), (Some(100), &(calls > 100).into()));
}

/// Takes in the reports of so many talks. Returns the last call's id.
fn filled(store: &Path, calls: usize) -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let url = format!("sqlite:{}", store.display());
        let config = Config::from_env(|name| (name == "DATABASE_URL").then(|| url.clone())).expect("usable settings");
        let app = App::build(config, Clock::System).await.expect("the store opens");
        let registry = &app.api().registry;
        let take = |id: String| async move {
            let message = messages::report(&id);
            let inbound = message::read(&message.body, Delivery::default(), now()).expect("a message");
            registry.apply(inbound.event).await.expect("it is stored");
            id
        };
        let ids = stream::iter(0..calls).map(|_| take(new_call())).buffer_unordered(AT_ONCE);
        let last = ids.fold(String::new(), |_, id| async { id }).await;
        registry.store().close().await.expect("it closes");
        last
    })
}
