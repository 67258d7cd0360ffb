//! Those who wait: how long after the webhook's 200 one has the answer, and what 10,000 at once cost.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    client::{self, Client},
    report::{self, Template},
    server::Server,
    setup::{Setup, allow_files},
    stats::{self, Spread},
    table::{Limit, Table},
};

/// Bytes of the answer.
const ANSWER: usize = 8 * 1_024;
/// Waits of one round.
const WAITS: u32 = 100;
/// After this time a request that waits is parked.
const PARKED_AFTER: Duration = Duration::from_millis(2);
/// Those who wait at once.
const CROWD: u32 = 10_000;
/// Connections that are made at once, fewer than fit the queue of a listening socket.
const CONNECTED_AT_ONCE: u32 = 500;
/// Files that a crowd takes: its connections and some more.
const FILES: u64 = CROWD as u64 + 200;
/// How long the crowd may take to gather.
const GATHERED_WITHIN: Duration = Duration::from_mins(1);

fn wait_for(id: &str) -> Vec<u8> {
    client::get(&format!("/api/v1/vapi/calls/{id}/result?wait=120"))
}

/// One waits, the report comes.
pub(crate) async fn wake_one(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let template = Template::of_answer(ANSWER);
    let server = Server::ringback(setup, &setup.choice.core, &setup.fresh_store("wake")?)?;
    let (mut sender, mut waiter) = (Client::connect(server.port).await?, Client::connect(server.port).await?);
    let mut rounds = Vec::new();
    for _ in 0..setup.choice.rounds {
        let (run, mut latencies) = (setup.next_run(), Vec::new());
        for index in 0..WAITS {
            let id = report::id(run, index);
            waiter.send(&wait_for(&id)).await?;
            sleep(PARKED_AFTER).await;
            let request = client::webhook(&template.about(&id));
            let sent = async {
                sender.exchange(&request).await?;
                anyhow::Ok(Instant::now())
            };
            let answered = async {
                waiter.receive().await?;
                anyhow::Ok(Instant::now())
            };
            let (sent, answered) = tokio::try_join!(sent, answered)?;
            // Often the waiter is faster.
            latencies.push(answered.saturating_duration_since(sent));
        }
        rounds.push(stats::percentile(latencies, 50));
    }
    table.add("from the webhook's 200 to the answer of one who waits", "median, ms", Spread::of(rounds), Limit::Below(5.0));
    Ok(())
}

/// Everybody waits for one call.
pub(crate) async fn wake_crowd(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    allow_files(FILES)?;
    let template = Template::of_answer(ANSWER);
    let (mut seconds, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..setup.choice.rounds {
        let server = Server::ringback(setup, &setup.choice.core, &setup.fresh_store("crowd")?)?;
        let mut sender = Client::connect(server.port).await?;
        // What a process needs for its first request is no cost of waiting.
        sender.exchange(&client::get("/livez")).await?;
        let before = server.memory()?;
        let id = report::id(setup.next_run(), 0);
        let crowd = gather(&server, &id).await?;
        memory.push((server.memory()? - before) / f64::from(CROWD));
        let mut answers = JoinSet::new();
        for mut waiter in crowd {
            answers.spawn(async move { waiter.receive().await });
        }
        sender.exchange(&client::webhook(&template.about(&id))).await?;
        let sent = Instant::now();
        while let Some(answer) = answers.join_next().await {
            answer??;
        }
        seconds.push(sent.elapsed().as_secs_f64());
    }
    table.add("10,000 who wait at once", "memory of each, KB", Spread::of(memory), Limit::Below(32.0));
    table.add("10,000 who wait at once", "last answer after the webhook's 200, s", Spread::of(seconds), Limit::Below(1.0));
    Ok(())
}

/// Connects the crowd, lets it ask, and waits until all of it is parked.
async fn gather(server: &Server, id: &str) -> anyhow::Result<Vec<Client>> {
    let mut crowd = Vec::new();
    for _ in 0..CROWD / CONNECTED_AT_ONCE {
        let mut arriving = JoinSet::new();
        for _ in 0..CONNECTED_AT_ONCE {
            let (port, request) = (server.port, wait_for(id));
            arriving.spawn(async move {
                let mut waiter = Client::connect(port).await?;
                waiter.send(&request).await?;
                anyhow::Ok(waiter)
            });
        }
        while let Some(waiter) = arriving.join_next().await {
            crowd.push(waiter??);
        }
    }
    let all = format!("ringback_waiters {CROWD}");
    let deadline = Instant::now() + GATHERED_WITHIN;
    while !String::from_utf8_lossy(&server.get("/metrics")?).lines().any(|line| line == all) {
        if Instant::now() > deadline {
            bail!("not everybody waits");
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(crowd)
}
