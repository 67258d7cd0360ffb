//! Tools: what Ringback adds to the time that an endpoint takes, and how late the fallback of one that hangs is.

use std::time::{Duration, Instant};

use anyhow::ensure;
use ringback::simulate::{CallScript, bodies};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    client::{self, Client},
    endpoint, report,
    server::Server,
    setup::Setup,
    stats::{self, Spread},
    table::{Limit, Table},
};

/// What the endpoint takes.
const TAKES: Duration = Duration::from_millis(20);
/// Calls whose assistants ask at the same time.
const ASKING: u32 = 4;
/// Questions of each.
const QUESTIONS: u32 = 50;
/// Those that go to an endpoint that hangs.
const HANGING: u32 = 8;
/// How long that is waited for.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Through Ringback, past it, and to nobody.
pub(crate) async fn answer(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let (quick, hanging) = (endpoint(Some(TAKES)).await?, endpoint(None).await?);
    let config = format!(
        "[tools.lookup_order]\nurl = \"http://127.0.0.1:{quick}/\"\n[tools.hangs]\nurl = \"http://127.0.0.1:{hanging}/\"\n\
         timeout_seconds = {}\nfallback = \"Later.\"\n",
        TIMEOUT.as_secs()
    );
    let store = format!("sqlite:{}", setup.fresh_store("tools")?.display());
    let server = Server::ringback_with(setup, &setup.server_cores, &store, &[("TOOLS", &config)])?;
    setup.stand_aside()?;
    let (mut added, mut late) = (Vec::new(), Vec::new());
    for _ in 0..setup.choice.rounds {
        let direct = asked(quick, ASKING, QUESTIONS, |_, _| client::unsigned("/", b"{}")).await?;
        let run = setup.next_run();
        let through = asked(server.port, ASKING, QUESTIONS, |call, number| question(run, call, number, "lookup_order")).await?;
        added.push(stats::percentile(through, 50) - stats::percentile(direct, 50));
        let run = setup.next_run();
        let waited = asked(server.port, HANGING, 1, |call, number| question(run, call, number, "hangs")).await?;
        late.push(stats::percentile(waited, 100) - TIMEOUT.as_secs_f64() * 1e3);
    }
    setup.stand_anywhere()?;
    let what = "a tool whose endpoint takes 20 ms";
    table.add(what, "time added, median, ms", Spread::of(added), Limit::Below(5.0));
    let what = "a tool whose endpoint hangs";
    table.add(what, "the last fallback of 8, all HTTP 200, after the timeout, ms", Spread::of(late), Limit::Below(100.0));
    Ok(())
}

/// The latencies of questions, some at a time; each must be answered with 200.
async fn asked(port: u16, at_once: u32, each: u32, question: impl Fn(u32, u32) -> Vec<u8>) -> anyhow::Result<Vec<Duration>> {
    let mut asking = JoinSet::new();
    for call in 0..at_once {
        let requests: Vec<Vec<u8>> = (0..each).map(|number| question(call, number)).collect();
        let mut client = Client::connect(port).await?;
        asking.spawn(async move {
            let mut latencies = Vec::new();
            for request in requests {
                let begun = Instant::now();
                client.exchange(&request).await?;
                latencies.push(begun.elapsed());
                ensure!(!client.said().contains("\"error\""), "a tool was not asked: {}", client.said());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(asked) = asking.join_next().await {
        latencies.extend(asked??);
    }
    Ok(latencies)
}

/// A question for a tool, as Vapi sends it.
fn question(run: u32, call: u32, number: u32, tool: &str) -> Vec<u8> {
    let now = ringback::clock::Clock::System.now();
    let script = CallScript::talk(report::id(run, call), now.plus(-60_000)).with_tool_asked(2, tool, json!({"order": number}));
    let at = script.entries[2].at();
    let body = bodies::tool_calls(&script, 2, at);
    // Each question has an id of its own.
    let ids: Vec<String> =
        body["message"]["toolCallList"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_str().map(str::to_owned)).collect();
    let body = ids.iter().fold(body.to_string(), |body, id| body.replace(id.as_str(), &format!("call_{run}_{call}_{number}")));
    client::webhook(body.as_bytes())
}

/// An endpoint that answers after a while, or never.
async fn endpoint(takes: Option<Duration>) -> anyhow::Result<u16> {
    endpoint::open(move |_body| async move {
        match takes {
            Some(takes) => sleep(takes).await,
            None => std::future::pending().await,
        }
        "{\"result\":\"It is packed.\"}"
    })
    .await
}
