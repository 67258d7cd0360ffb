//! A batch comes to its end however often the service is killed under it, and none of its calls is placed twice.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use ringback::simulate::{FakeVapi, Options};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{home::Home, program::Program, random_below, service::Service, soon};

/// Calls of the batch.
const CALLS: usize = 40;
/// How many of them go on at once.
const AT_ONCE: usize = 10;
/// Kills.
const KILLS: usize = 4;
/// Each comes at most this long after the service listens, in milliseconds.
const LATEST_KILL: u64 = 1_500;
/// By then every call that Vapi has was found.
const LOOKED_FOR: Duration = Duration::from_secs(80);
/// A call whose placing was cut off is looked for after a minute; then there is a little to do.
const PATIENCE: Duration = Duration::from_mins(3);

fn serve(home: &Home, vapi: &FakeVapi) -> Service {
    let program = Program::guarded(home).set("VAPI_API_KEY", vapi.key()).set("VAPI_API_URL", vapi.url());
    let program = program.set("RECONCILE_GRACE_SECONDS", "3").set("ENRICH_DELAYS_SECONDS", "1,1,1").unset("VAPI_WEBHOOK_SECRET");
    let service = program.serve();
    vapi.deliver_to(&format!("{}/api/v1/vapi/webhook", service.url()));
    service
}

fn ask(service: &Service, method: &str, path: &str, body: &Value) -> Value {
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let answer =
        service.wire().ask(method, path, &[], &bytes).unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", service.said()));
    assert!(answer.status < 300, "{}", answer.json());
    answer.json()
}

fn rows(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["data"]["results"].as_array().expect("a list").iter()
}

/// Placings of which nobody knows what came: killed in the very moment before they were sent, they are looked for much longer.
fn unsent(answer: &Value) -> BTreeSet<String> {
    let open = rows(answer).filter(|row| row["done"] == false).filter_map(|row| row["callId"].as_str());
    open.filter(|id| id.starts_with("pl_")).map(str::to_owned).collect()
}

#[test]
fn a_batch_of_forty_comes_to_its_end_under_kills_and_none_is_placed_twice() {
    let (home, runtime) = (Home::new(), Runtime::new().expect("a runtime"));
    let vapi = runtime.block_on(FakeVapi::start(Options { pace: 0.02, ..Options::default() })).expect("a fake Vapi");
    let request = json!({"providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap"});
    let body = json!({"requests": vec![request; CALLS], "maxConcurrent": AT_ONCE});
    let mut service = serve(&home, &vapi);
    let made = ask(&service, "POST", "/api/v1/vapi/batches", &body);
    let path = format!("/api/v1/vapi/batches/{}", made["data"]["batchId"].as_str().expect("an id"));
    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(random_below(LATEST_KILL)));
        service.kill();
        service = serve(&home, &vapi);
    }
    let (result, begun) = (format!("{path}/result?view=summary"), Instant::now());
    let mut last = Value::Null;
    let done = soon(PATIENCE, || {
        last = ask(&service, "GET", &result, &Value::Null);
        last["done"] == true || (begun.elapsed() > LOOKED_FOR && unsent(&last).len() + vapi.calls().len() == CALLS)
    });
    let (placed, stats): (BTreeSet<String>, _) = (vapi.calls().into_iter().collect(), &last["data"]["stats"]);
    assert!(done, "{} calls, {stats}, {}", placed.len(), service.said());
    let unsent = unsent(&last);
    let named: BTreeSet<String> = rows(&last).filter_map(|row| Some(row["callId"].as_str()?.to_owned())).collect();
    assert_eq!(named, placed.union(&unsent).cloned().collect(), "each is placed once");
    assert_eq!((named.len(), &stats["completed"]), (CALLS, &json!(placed.len())), "{stats}");
    assert!(unsent.len() <= 1, "hardly ever does a kill come between the note and the sending: {unsent:?}");
    service.stop();
}
