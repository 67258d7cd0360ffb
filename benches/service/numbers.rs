//! What operators ask of a store with many calls: the first page, a search for words, analytics over 90 days.
//!
//! Half of the calls talked, half were not picked up; texts, numbers and names are those that webhooks would have brought. Bodies are past their
//! retention. The calls are written by the library, and sieved as the service does it in the background, before the service starts.

use std::{sync::Arc, time::Instant};

use ringback::{
    call::{
        id::CallId,
        record::{CallRecord, Settled},
        time::{DAY, Millis, SECOND},
    },
    clock::Clock,
    registry::write_of,
    simulate::{CallScript, bodies},
    store::{Commit, Loaded, Store, StoredCall},
    vapi::message::{self, Delivery},
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    client::{self, Client},
    engines::Engine,
    fill::{AT_ONCE, RUN, sqlite},
    report,
    server::Server,
    setup::Setup,
    stats::Spread,
    table::{Limit, Table},
};

/// The days over which the calls are spread.
const DAYS: i64 = 90;
/// Conversations that differ; names and numbers differ in every call.
const CONVERSATIONS: u32 = 400;
/// Lines of a conversation: about 1.7 KB.
const LINES: usize = 20;
/// Businesses that were called.
const BUSINESSES: u32 = 5_000;
/// Pages, and rounds of all words, that are asked for in a run.
const PAGES: usize = 20;
/// Analytics asked for in a run.
const ANALYTICS: usize = 5;

/// Calls in the stores of the other engines, which look at every call.
const FEWER: u32 = 100_000;

/// SQLite with many calls, and the other engines with fewer.
pub(crate) async fn of_many(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let path = setup.store("numbers");
    filled(&sqlite(&path)?, setup.choice.known).await?;
    let service = Server::ringback(setup, &setup.choice.core, &path)?;
    measured(setup, &service, (setup.choice.known, "SQLite"), table).await?;
    for (number, engine) in Engine::all().into_iter().enumerate().skip(1) {
        let url = engine.fresh(setup, "numbers", number)?;
        filled(&engine.open(&url).await?, FEWER).await?;
        let service = Server::ringback_on(setup, &setup.choice.core, &url)?;
        measured(setup, &service, (FEWER, engine.name()), table).await?;
    }
    Ok(())
}

/// Sees to it that a store has so many calls, with nothing left for later, and closes it.
async fn filled(store: &Store, calls: u32) -> anyhow::Result<()> {
    fill(store, calls).await?;
    let (begun, mut steps) = (Instant::now(), 0);
    while store.tend(Clock::System.now()).await? > 0 {
        steps += 1;
    }
    eprintln!("{steps} steps of what was left for later took {:?}", begun.elapsed());
    Ok(store.close().await?)
}

/// What it takes to answer.
async fn measured(setup: &Setup, service: &Server, (calls, engine): (u32, &str), table: &mut Table) -> anyhow::Result<()> {
    let (mut pages, mut searches, mut slowest, mut analytics) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let since = Clock::System.now().plus(-DAYS * DAY);
    for _ in 0..setup.choice.rounds {
        pages.push(median(&took(service, &["/api/v1/vapi/calls".to_owned()], PAGES).await?));
        let found = took(service, &queries(calls), 1).await?;
        searches.push(median(&found));
        slowest.push(found.iter().copied().fold(0.0, f64::max));
        let path = format!("/api/v1/vapi/analytics?since={since}");
        analytics.push(median(&took(service, &[path], ANALYTICS).await?));
    }
    let what = format!("{calls} calls with transcripts, {engine}");
    let limit = |most| if engine == "SQLite" { Limit::Below(most) } else { Limit::None };
    table.add(format!("first page, {what}"), "median, ms", Spread::of(pages), limit(200.0));
    table.add(format!("search, {what}"), "median of 16 kinds of words, ms", Spread::of(searches), limit(300.0));
    table.add(format!("search, {what}"), "slowest of them, ms", Spread::of(slowest), Limit::None);
    table.add(format!("analytics over 90 days, {what}"), "median, ms", Spread::of(analytics), limit(1_000.0));
    Ok(())
}

/// Words that everybody says, that few say, that one call has, and that nobody says; whole and in part.
fn queries(calls: u32) -> Vec<String> {
    let (one, other) = (calls / 3, calls / 2 + 1);
    let words = [
        "thursday".to_owned(),
        "thursday+invoice".to_owned(),
        "plumb".to_owned(),
        "deposit+reschedule+warranty".to_owned(),
        format!("business-{}", one % BUSINESSES),
        format!("name{one}x"),
        format!("ame{other}"),
        number(one).trim_start_matches('+').to_owned(),
        number(other)[5..].to_owned(),
        report::id(RUN, one),
        format!("{}+thursday", &number(other)[3..]),
        "nobody-says-this".to_owned(),
        "zeppelin".to_owned(),
        "invoice+zeppelin".to_owned(),
        "oboe".to_owned(),
        "zyx".to_owned(),
    ];
    words.into_iter().map(|words| format!("/api/v1/vapi/calls?q={words}")).collect()
}

fn median(took: &[f64]) -> f64 {
    Spread::of(took.iter().copied()).median
}

/// How long each answer took, in ms.
async fn took(service: &Server, paths: &[String], times: usize) -> anyhow::Result<Vec<f64>> {
    let mut client = Client::connect(service.port).await?;
    let mut took = Vec::new();
    for path in std::iter::repeat_n(paths, times).flatten() {
        let asked = Instant::now();
        client.exchange(&client::get(path)).await?;
        took.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    eprintln!("{took:.1?}");
    Ok(took)
}

/// The number that was called.
fn number(index: u32) -> String {
    format!("+1555{:07}", u64::from(index) * 7 % 9_999_991)
}

async fn fill(store: &Store, calls: u32) -> anyhow::Result<()> {
    let last = CallId::parse(&report::id(RUN, calls - 1))?;
    if matches!(store.load(&last).await?, Loaded::Found(_)) {
        return Ok(());
    }
    eprintln!("filling a store with {calls} calls");
    let talks: Vec<Vec<String>> = (0..CONVERSATIONS).map(|seed| report::conversation(u64::from(seed), LINES)).collect();
    let talks = Arc::new(talks);
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let (store, talks) = (store.clone(), Arc::clone(&talks));
        workers.spawn(async move {
            for index in (worker..calls).step_by(AT_ONCE.try_into()?) {
                store.commit(commit(&store, &talks, index, calls - index)?).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}

/// A call, one of many that are spread over the days.
fn commit(store: &Store, talks: &[Vec<String>], index: u32, ago: u32) -> anyhow::Result<Commit> {
    let id = report::id(RUN, index);
    let all = i64::from(index) + i64::from(ago);
    let at = Clock::System.now().plus(-i64::from(ago) * (DAYS * DAY - 3_600 * SECOND) / all);
    let event = message::read(body(&id, index, talks, at).as_bytes(), Delivery::default(), at)?.event;
    let ended = event.facts.ended_at.as_ref().map_or(at, |ended| ended.value);
    let record = CallRecord {
        settled: Some(Settled::Complete),
        settled_at: Some(ended.plus(i64::from(index % 40) * 250)),
        ..(*event.facts).clone()
    };
    let call = StoredCall { id: CallId::parse(&id)?, record, revision: 1, version: 1, created_at: at, updated_at: at, due: None, news: 0 };
    let write = write_of(store, call, None, [], "");
    let mut event = event.without_facts();
    event.body = Vec::new().into();
    Ok(Commit { event, changed: vec!["status"], more: Vec::new(), past: Vec::new(), write: Some(write) })
}

fn body(id: &str, index: u32, talks: &[Vec<String>], at: Millis) -> String {
    let customer = json!({"number": number(index), "name": format!("Name{index}x Doe")});
    let metadata =
        json!({"providerId": format!("p-{}", index % BUSINESSES), "providerName": format!("Business-{} Ltd", index % BUSINESSES)});
    let script = if index.is_multiple_of(2) {
        CallScript::unanswered(id, at, "customer-did-not-answer")
    } else {
        CallScript::talk(id, at).with_lines(talks[index as usize % talks.len()].iter().map(String::as_str))
    };
    let script = script.with_requested("customer", customer).with_requested("assistantId", json!(format!("a-{}", index % 7)));
    bodies::end_of_call_report(&script.with_metadata(metadata), at).to_string()
}
