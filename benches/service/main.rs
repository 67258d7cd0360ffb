//! The service under load, beside a floor and a peer. See the README in this folder; `benches/run` starts it.

mod floor;
mod post;
mod report;
mod server;
mod setup;
mod stats;
mod steps;
mod wrk;

use std::{path::Path, sync::Arc};

use crate::{report::Template, server::Server, setup::Setup, stats::Spread};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let [floor, port, files @ ..] = arguments.as_slice()
        && floor == "floor"
    {
        return Ok(runtime.block_on(floor::serve(port.parse()?, files))?);
    }
    if arguments.first().is_some_and(|a| a == "steps") {
        steps::run(arguments.get(1).map(String::as_str));
        return Ok(());
    }
    let setup = Setup::from_env(env!("CARGO_BIN_EXE_ringback"))?;
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    if wanted("get") {
        runtime.block_on(get(&setup))?;
    }
    if wanted("post") {
        runtime.block_on(post(&setup))?;
    }
    if arguments.iter().any(|a| a == "post1") {
        runtime.block_on(async {
            let template = Arc::new(Template::of_body(60 * 1024));
            let ringback = Server::ringback(&setup, 8101, &setup.fresh_store("post")?)?;
            let mut cpu = vec![];
            let mut rate = vec![];
            for _ in 0..setup.rounds {
                let run = post::load(&setup, &ringback, post::WEBHOOK, &template, 64).await?;
                cpu.push((run.cpu * 1e6).round());
                rate.push(run.rate.round());
            }
            println!(
                "cpu {:?} {cpu:?} rate {:?} {rate:?} rss {}",
                Spread::of(cpu.clone()).median,
                Spread::of(rate.clone()).median,
                ringback.rss()? / 1_000_000
            );
            anyhow::Ok(())
        })?;
    }
    if arguments.iter().any(|a| a == "get1") {
        runtime.block_on(async {
            let ringback = Server::ringback(&setup, 8101, &setup.fresh_store("get")?)?;
            let template = Template::of_answer(8 * 1024);
            let id = report::id(0xffff, 0);
            let mut connection = post::Connection::open(ringback.port).await?;
            connection.exchange(&post::request(post::WEBHOOK, &template, &id), 200).await?;
            let run = wrk::get(&setup, &ringback, &[format!("/api/v1/vapi/calls/{id}")], 64)?;
            println!("{run:?}");
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

async fn get(setup: &Setup) -> anyhow::Result<()> {
    let ringback = Server::ringback(setup, 8101, &setup.fresh_store("get")?)?;
    let peer = Server::peer(setup, 8102)?;
    for (index, kb) in [8, 60].into_iter().enumerate() {
        let template = Template::of_answer(kb * 1024);
        let id = report::id(0xffff, index as u64);
        for server in [&ringback, &peer] {
            let mut connection = post::Connection::open(server.port).await?;
            connection.exchange(&post::request(post::WEBHOOK, &template, &id), 200).await?;
        }
        let path = format!("/api/v1/vapi/calls/{id}");
        let file = setup.scratch.join(format!("{kb}.json"));
        std::fs::write(&file, ringback.get(&path)?.1)?;
        println!("{kb} KB: ours {} peer {}", ringback.get(&path)?.1.len(), peer.get(&path)?.1.len());
        let floor = Server::floor(setup, 8103, &[Path::new(&file)])?;
        let mut runs = [vec![], vec![], vec![]];
        for _ in 0..setup.rounds {
            runs[0].push(wrk::get(setup, &floor, &[format!("/{kb}.json")], 64)?);
            runs[1].push(wrk::get(setup, &ringback, &[path.clone()], 64)?);
            runs[2].push(wrk::get(setup, &peer, &[path.clone()], 64)?);
        }
        show(&runs);
    }
    Ok(())
}

fn show(runs: &[Vec<stats::Run>; 3]) {
    for (name, runs) in ["floor", "ringback", "peer"].iter().zip(runs) {
        let rate = Spread::of(runs.iter().map(|run| run.rate));
        let p99 = Spread::of(runs.iter().map(|run| run.p99));
        let p50 = Spread::of(runs.iter().map(|run| run.p50));
        let cpu = Spread::of(runs.iter().map(|run| run.cpu * 1e6));
        println!(
            "{name:10} rate {:9.0} [{:.0} {:.0}] p50 {:.2} p99 {:.2} cpu {:.2} us",
            rate.median, rate.low, rate.high, p50.median, p99.median, cpu.median
        );
    }
    let ratio =
        |over: &[stats::Run], f: fn(&stats::Run) -> f64| Spread::of(runs[1].iter().zip(over).map(|(ours, other)| f(ours) / f(other)));
    println!("   vs floor rate {:?} cpu {:?}", ratio(&runs[0], |r| r.rate).median, 1.0 / ratio(&runs[0], |r| r.cpu).median);
    println!("   vs peer rate {:?} cpu {:?}", ratio(&runs[2], |r| r.rate).median, 1.0 / ratio(&runs[2], |r| r.cpu).median);
}

async fn post(setup: &Setup) -> anyhow::Result<()> {
    let template = Arc::new(Template::of_body(60 * 1024));
    println!("body {} answer {}", template.len(), template.answer);
    let ringback = Server::ringback(setup, 8101, &setup.fresh_store("post")?)?;
    let peer = Server::peer(setup, 8102)?;
    let floor = Server::floor(setup, 8103, &[])?;
    let mut runs = [vec![], vec![], vec![]];
    for _ in 0..setup.rounds {
        runs[0].push(post::load(setup, &floor, post::FLOOR, &template, 64).await?);
        runs[1].push(post::load(setup, &ringback, post::WEBHOOK, &template, 64).await?);
        runs[2].push(post::load(setup, &peer, post::WEBHOOK, &template, 64).await?);
    }
    show(&runs);
    println!("rss {} MB", ringback.rss()? / 1_000_000);
    Ok(())
}
