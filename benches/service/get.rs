//! Cached `GET /calls/{id}`: beside a floor that serves the same bytes, beside the peer, and with few and many calls known.

use std::{fs, path::PathBuf};

use crate::{
    client::{self, Client},
    fill,
    report::{self, Template},
    server::Server,
    setup::Setup,
    stats::{Run, Spread},
    table::{Limit, Table},
    wrk,
};

/// What is asked for one size of answer.
struct Size {
    kb: usize,
    of_floor: f64,
    of_peer: f64,
}

const SIZES: [Size; 2] = [Size { kb: 8, of_floor: 0.75, of_peer: 4.0 }, Size { kb: 60, of_floor: 0.95, of_peer: 12.0 }];
/// Calls that are asked for while few or many are known.
const ASKED_FOR: u32 = 1_000;
/// Bytes of the answer about each of them.
const ANSWER: usize = 8 * 1_024;

/// One answer, asked for again and again.
pub(crate) async fn beside_others(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let core = &setup.choice.core;
    let ringback = Server::ringback(setup, core, &setup.fresh_store("get")?)?;
    let peer = Server::peer(setup, core)?;
    let run = setup.next_run();
    for Size { kb, of_floor, of_peer } in SIZES {
        let (template, id) = (Template::of_answer(kb * 1_024), report::id(run, kb.try_into()?));
        for server in [&ringback].into_iter().chain(&peer) {
            Client::connect(server.port).await?.exchange(&client::webhook(&template.about(&id))).await?;
        }
        let path = [format!("/api/v1/vapi/calls/{id}")];
        let file: PathBuf = setup.scratch.join(format!("{kb}.json"));
        fs::write(&file, ringback.get(&path[0])?)?;
        let floor = Server::floor(setup, core, &[&file])?;
        let (mut ours, mut floors, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..setup.choice.rounds {
            floors.push(wrk::load(setup, &floor, &[format!("/{kb}.json")])?);
            ours.push(wrk::load(setup, &ringback, &path)?);
            if let Some(peer) = &peer {
                peers.push(wrk::load(setup, peer, &path)?);
            }
        }
        let what = format!("cached `GET /calls/{{id}}`, {kb} KB");
        table.add(&what, "rate ÷ floor", Spread::ratio(&ours, &floors, |run| run.rate), Limit::AtLeast(of_floor));
        table.add(&what, "processor time of the floor ÷ ours", Spread::ratio(&floors, &ours, |run| run.cpu), Limit::None);
        if peer.is_some() {
            table.add(&what, "rate ÷ peer", Spread::ratio(&ours, &peers, |run| run.rate), Limit::AtLeast(of_peer));
        }
        table.add(&what, "p99, ms", Spread::of(ours.iter().map(|run| run.p99)), Limit::Below(10.0));
    }
    Ok(())
}

/// A thousand answers in memory, of a store with nothing else and of one with many calls.
pub(crate) async fn few_or_many_known(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let (few, many) = (setup.fresh_store("few")?, setup.store("many"));
    fill::fill(fill::sqlite(&many)?, setup.choice.known).await?;
    let core = &setup.choice.core;
    let (few, many) = (Server::ringback(setup, core, &few)?, Server::ringback(setup, core, &many)?);
    let (template, run) = (Template::of_answer(ANSWER), setup.next_run());
    let ids: Vec<String> = (0..ASKED_FOR).map(|index| report::id(run, index)).collect();
    for server in [&few, &many] {
        let mut client = Client::connect(server.port).await?;
        for id in &ids {
            client.exchange(&client::webhook(&template.about(id))).await?;
        }
    }
    let paths: Vec<String> = ids.iter().map(|id| format!("/api/v1/vapi/calls/{id}")).collect();
    let (mut of_few, mut of_many): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    for _ in 0..setup.choice.rounds {
        of_few.push(wrk::load(setup, &few, &paths)?);
        of_many.push(wrk::load(setup, &many, &paths)?);
    }
    let what = format!("the same, {} calls known instead of {ASKED_FOR}", setup.choice.known);
    table.add(what, "rate ÷ rate", Spread::ratio(&of_many, &of_few, |run| run.rate), Limit::Within(0.15));
    Ok(())
}
