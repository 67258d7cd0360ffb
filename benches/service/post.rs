//! `POST /webhook` with a 60 KB report: beside a floor that reads the body and says ok, and beside the peer.
//!
//! wrk can't make this load: a few seconds take more different bodies than its scripts can hold, and they are too slow to sign them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    client::{self, Client},
    report::{self, Template},
    server::Server,
    setup::{CONNECTIONS, Setup},
    stats::{self, Run, Spread},
    table::{Limit, Table},
};

/// Bytes of a report.
pub(crate) const REPORT: usize = 60 * 1_024;

/// Each report about another call, signed when it is sent.
pub(crate) async fn beside_others(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let template = Arc::new(Template::of_body(REPORT));
    let cores = &setup.server_cores;
    let (mut ours, mut floors, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    let ringback = Server::ringback(setup, cores, &setup.fresh_store("post")?)?;
    let (floor, peer) = (Server::floor(setup, cores, &[])?, Server::peer(setup, cores)?);
    setup.stand_aside()?;
    for _ in 0..setup.choice.rounds {
        floors.push(load(setup, &floor, false, &template).await?);
        ours.push(load(setup, &ringback, true, &template).await?);
        if let Some(peer) = &peer {
            peers.push(load(setup, peer, true, &template).await?);
        }
    }
    setup.stand_anywhere()?;
    let what = "`POST /webhook`, 60 KB";
    table.add(what, "rate ÷ floor", Spread::ratio(&ours, &floors, |run| run.rate), Limit::None);
    if peer.is_some() {
        table.add(what, "rate ÷ peer", Spread::ratio(&ours, &peers, |run| run.rate), Limit::AtLeast(2.0));
        table.add(what, "processor time of the peer ÷ ours", Spread::ratio(&peers, &ours, |run| run.cpu), Limit::None);
        table.add(what, "p99 ÷ p99 of the peer", Spread::ratio(&ours, &peers, |run| run.p99), Limit::Below(1.0));
    }
    Ok(())
}

/// A closed loop of connections, which send one report after the other for a while.
pub(crate) async fn load(setup: &Setup, server: &Server, signed: bool, template: &Arc<Template>) -> anyhow::Result<Run> {
    let (run, next, before) = (setup.next_run(), Arc::new(AtomicU32::new(0)), server.processor_time()?);
    let started = Instant::now();
    let until = started + Duration::from_secs(setup.choice.seconds);
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (template, next, mut client) = (Arc::clone(template), Arc::clone(&next), Client::connect(server.port).await?);
        senders.spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < until {
                let body = template.about(&report::id(run, next.fetch_add(1, Ordering::Relaxed)));
                let request = if signed { client::webhook(&body) } else { client::unsigned("/", &body) };
                let sent = Instant::now();
                client.exchange(&request).await?;
                latencies.push(sent.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(sender) = senders.join_next().await {
        latencies.extend(sender??);
    }
    let (taken, cpu) = (started.elapsed().as_secs_f64(), server.processor_time()?.saturating_sub(before).as_secs_f64());
    let requests = f64::from(u32::try_from(latencies.len())?);
    Ok(Run { rate: requests / taken, p99: stats::percentile(latencies, 99), cpu: cpu * 1e6 / requests })
}
