//! Placing calls: what Ringback adds to the time that Vapi takes, and how soon who waits for a placed call has its result.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use ringback::simulate::{FakeVapi, Fault, KEY, Options};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    client::{self, Client},
    report::Template,
    server::Server,
    setup::Setup,
    stats::{self, Spread},
    table::{Limit, Table},
};

/// What Vapi takes to place a call.
const TAKES: Duration = Duration::from_millis(100);
/// Calls placed in one round.
const PLACED: usize = 50;
/// From one placing to the next: Ringback asks Vapi for no more than five things a second.
const EVERY: Duration = Duration::from_millis(250);
/// After this time a request that waits is parked.
const PARKED_AFTER: Duration = Duration::from_millis(20);
/// Bytes of a report.
const REPORT: usize = 60 * 1_024;
const REQUEST: &str = r#"{"providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap", "userCriteria":
    "licensed and insured", "location": "Springfield", "clientName": "Nora", "urgency": "within_2_days"}"#;

/// Through Ringback, and past it.
pub(crate) async fn place(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let vapi = FakeVapi::start(Options::default()).await?;
    vapi.fail_always(Fault::Slow(TAKES));
    let store = format!("sqlite:{}", setup.fresh_store("place")?.display());
    let variables = [("VAPI_API_URL", vapi.url()), ("VAPI_API_KEY", KEY), ("DIAL_MAX_PER_MINUTE", "100000"), ("RECONCILE_SECONDS", "0")];
    let server = Server::ringback_with(setup, &setup.server_cores, &store, &variables)?;
    setup.stand_aside()?;
    let (mut added, mut added_99, mut waited, mut waited_99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setup.choice.rounds {
        let through = through(&server).await?;
        let asked = vapi.requests().pop().context("Vapi was asked for nothing")?.body;
        let direct = stats::percentile(direct(vapi.url(), &asked).await?, 50);
        added.push(stats::percentile(through.placed.clone(), 50) - direct);
        added_99.push(stats::percentile(through.placed, 99) - direct);
        waited.push(stats::percentile(through.waited.clone(), 50));
        waited_99.push(stats::percentile(through.waited, 99));
    }
    setup.stand_anywhere()?;
    let what = "`POST /calls`, Vapi takes 100 ms";
    table.add(what, "time added, median, ms", Spread::of(added), Limit::Below(10.0));
    table.add(what, "the same, p99, ms", Spread::of(added_99), Limit::Below(10.0));
    let what = "from the sending of a placed call's report, 60 KB, to the answer of one who waits";
    table.add(what, "median, ms", Spread::of(waited), Limit::Below(20.0));
    table.add(what, "p99, ms", Spread::of(waited_99), Limit::Below(20.0));
    Ok(())
}

/// What one round showed.
#[derive(Debug, Default)]
struct Through {
    /// From the request for a call to its answer.
    placed: Vec<Duration>,
    /// From the sending of its report to the answer of who waits.
    waited: Vec<Duration>,
}

async fn through(server: &Server) -> anyhow::Result<Through> {
    let template = Template::of_body(REPORT);
    let (mut placing, mut waiting, mut sending) =
        (Client::connect(server.port).await?, Client::connect(server.port).await?, Client::connect(server.port).await?);
    let request = client::unsigned("/api/v1/vapi/calls", REQUEST.as_bytes());
    let mut through = Through::default();
    for _ in 0..PLACED {
        let next = tokio::time::Instant::now() + EVERY;
        let begun = Instant::now();
        placing.exchange(&request).await?;
        through.placed.push(begun.elapsed());
        let answer = placing.json()?;
        let id = answer["callId"].as_str().context("an answer names no call")?;
        waiting.send(&client::get(&format!("/api/v1/vapi/calls/{id}/result?wait=60"))).await?;
        sleep(PARKED_AFTER).await;
        let report = client::webhook(&template.about(id));
        let sent = Instant::now();
        let answered = async {
            waiting.receive().await?;
            anyhow::Ok(sent.elapsed())
        };
        let ((), answered) = tokio::try_join!(sending.exchange(&report), answered)?;
        through.waited.push(answered);
        tokio::time::sleep_until(next).await;
    }
    Ok(through)
}

/// The latencies of the same requests that Ringback makes, by a client that is connected as it is.
async fn direct(url: &str, asked: &Value) -> anyhow::Result<Vec<Duration>> {
    let port = url.rsplit(':').next().context("Vapi has a port")?.parse()?;
    let mut client = Client::connect(port).await?;
    let request = client::unsigned("/call", asked.to_string().as_bytes());
    let with_key = String::from_utf8(request)?.replacen("\r\n", &format!("\r\nauthorization: Bearer {KEY}\r\n"), 1);
    let mut latencies = Vec::new();
    for _ in 0..PLACED {
        let begun = Instant::now();
        client.exchange(with_key.as_bytes()).await?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}
