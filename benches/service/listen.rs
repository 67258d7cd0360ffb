//! Those who listen: how soon 5,000 readers, each of its own call, and 5 of all calls hear what 1,000 webhooks a second say, and what they cost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use ringback::simulate::{CallScript, Stage, bodies};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

use crate::{
    client::{self, Client},
    report::{self, Template},
    server::Server,
    setup::{CONNECTIONS, Setup, allow_files},
    stats::{self, Spread},
    table::{Limit, Table},
};

/// Those who listen to a call of their own.
const READERS: u32 = 5_000;
/// Those who listen to all calls.
const WIDE: u32 = 5;
/// Pause between two webhooks: 1,000 a second.
const EVERY: Duration = Duration::from_millis(1);
/// Each call is heard of twice: that it is in progress, and by its report.
const WEBHOOKS: u32 = READERS * 2;
/// What is told of a call: that, and then `call.updated`, `call.ended`, `call.done`.
const EVENTS: u32 = 4;
/// Bytes of the answer about a call, which `call.ended` and `call.done` carry.
const ANSWER: usize = 8 * 1_024;
/// Readers that come at once.
const ARRIVING: u32 = 500;
/// How long they may take to arrive.
const GATHERED_WITHIN: Duration = Duration::from_mins(1);
/// What is not heard this long after the last webhook is lost.
const HEARD_WITHIN: Duration = Duration::from_secs(10);
/// The least share of the rate that the load must reach.
const KEPT_RATE: f64 = 0.97;

/// When each webhook was sent, in nanoseconds after the beginning.
#[derive(Debug)]
struct Sent {
    begun: Instant,
    at: Vec<AtomicU64>,
}

impl Sent {
    fn new() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), at: (0..WEBHOOKS).map(|_| AtomicU64::new(0)).collect() })
    }

    fn now(&self, webhook: u32) {
        let at = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.at[webhook as usize].store(at, Ordering::Release);
    }

    /// How long ago the webhook was sent that an event of a call tells of.
    fn since(&self, call: u32, sequence: u32) -> Duration {
        let webhook = if sequence == 1 { call } else { READERS + call };
        self.begun.elapsed().saturating_sub(Duration::from_nanos(self.at[webhook as usize].load(Ordering::Acquire)))
    }
}

/// The two webhooks about each call.
struct Load {
    run: u32,
    status: Vec<u8>,
    report: Template,
}

impl Load {
    fn new(run: u32) -> Self {
        let now = ringback::clock::Clock::System.now();
        let status = bodies::status_update(&CallScript::talk(report::PLACEHOLDER, now), Stage::InProgress, now);
        Self { run, status: status.to_string().into_bytes(), report: Template::of_answer(ANSWER) }
    }

    fn body(&self, webhook: u32) -> Vec<u8> {
        let id = report::id(self.run, webhook % READERS);
        if webhook < READERS {
            return String::from_utf8_lossy(&self.status).replace(report::PLACEHOLDER, &id).into_bytes();
        }
        self.report.about(&id)
    }
}

/// Everybody listens, the webhooks come.
pub(crate) async fn crowd(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    allow_files(u64::from(READERS + WIDE) + 500)?;
    setup.stand_aside()?;
    let (mut own, mut own_99, mut wide, mut idle, mut loaded) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setup.choice.rounds {
        let alone = grown(setup, false).await?;
        let heard = grown(setup, true).await?;
        own.push(stats::percentile(heard.own.clone(), 50));
        own_99.push(stats::percentile(heard.own, 99));
        wide.push(stats::percentile(heard.wide, 50));
        idle.push(heard.gathered / f64::from(READERS + WIDE));
        loaded.push((heard.after - alone.after) / f64::from(READERS + WIDE));
    }
    setup.stand_anywhere()?;
    let what = "5,000 who listen to a call each, 5 to all, 1,000 webhooks a second";
    table.add(what, "from the webhook's sending to the event of one call, median, ms", Spread::of(own), Limit::Below(20.0));
    table.add(what, "the same, p99, ms", Spread::of(own_99), Limit::None);
    table.add(what, "to the event of who listens to all, median, ms", Spread::of(wide), Limit::Below(20.0));
    table.add(what, "memory of each before the webhooks, KB", Spread::of(idle), Limit::Below(48.0));
    table.add(what, "memory of each after them, KB, above that of a service without readers", Spread::of(loaded), Limit::Below(48.0));
    Ok(())
}

/// What one run showed.
#[derive(Debug, Default)]
struct Heard {
    own: Vec<Duration>,
    wide: Vec<Duration>,
    /// KB that the service grew by when all had come.
    gathered: f64,
    /// KB that it grew by until all was told.
    after: f64,
}

/// One run, with readers or without.
async fn grown(setup: &Setup, readers: bool) -> anyhow::Result<Heard> {
    let server = Server::ringback(setup, &setup.server_cores, &setup.fresh_store("listen")?)?;
    Client::connect(server.port).await?.exchange(&client::get("/livez")).await?;
    let before = server.memory()?;
    let (load, sent) = (Arc::new(Load::new(setup.next_run())), Sent::new());
    let mut listening = JoinSet::new();
    let mut heard = Heard::default();
    if readers {
        gather(&server, load.run, &sent, &mut listening).await?;
        heard.gathered = server.memory()? - before;
    }
    send(&server, &load, &sent).await?;
    let told = async {
        while let Some(told) = listening.join_next().await {
            let Told { is_wide, delays } = told??;
            if is_wide { heard.wide.extend(delays) } else { heard.own.extend(delays) }
        }
        anyhow::Ok(())
    };
    timeout(HEARD_WITHIN, told).await.context("not everybody heard everything")??;
    heard.after = server.memory()? - before;
    Ok(heard)
}

/// What one reader heard, all of it and in order.
struct Told {
    is_wide: bool,
    delays: Vec<Duration>,
}

async fn gather(server: &Server, run: u32, sent: &Arc<Sent>, listening: &mut JoinSet<anyhow::Result<Told>>) -> anyhow::Result<()> {
    let all = READERS + WIDE;
    for first in (0..all).step_by(usize::try_from(ARRIVING)?) {
        let until = (first + ARRIVING).min(all);
        for reader in first..until {
            let (port, sent) = (server.port, Arc::clone(sent));
            listening.spawn(async move { listen(port, run, reader, &sent).await });
        }
        let line = format!("ringback_stream_clients{{transport=\"sse\"}} {until}");
        let deadline = Instant::now() + GATHERED_WITHIN;
        while !String::from_utf8_lossy(&server.get("/metrics")?).lines().any(|it| it == line) {
            ensure!(Instant::now() < deadline, "not everybody listens");
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Listens until it has heard all there is to hear.
async fn listen(port: u16, run: u32, reader: u32, sent: &Sent) -> anyhow::Result<Told> {
    let is_wide = reader >= READERS;
    let mut client = Client::connect(port).await?;
    let path = if is_wide { "/api/v1/vapi/events".to_owned() } else { format!("/api/v1/vapi/calls/{}/events", report::id(run, reader)) };
    client.send(&client::get(&path)).await?;
    // What was heard of each call last.
    let mut heard = vec![0; if is_wide { READERS as usize } else { 1 }];
    let (mut delays, wanted) = (Vec::new(), heard.len() * EVENTS as usize);
    while delays.len() < wanted {
        let block = client.block().await?;
        let Some((_, event)) = block.split_once("event: ") else { continue };
        ensure!(!event.starts_with("stream."), "a reader was told {event}");
        let call = if is_wide { named(event)? } else { reader };
        let sequence = number(event, "\"sequence\":")?;
        let last = &mut heard[if is_wide { call as usize } else { 0 }];
        *last += 1;
        ensure!(*last == sequence, "event {sequence} of call {call} came as number {last}");
        delays.push(sent.since(call, sequence));
    }
    Ok(Told { is_wide, delays })
}

/// The call that an event is about.
fn named(event: &str) -> anyhow::Result<u32> {
    let (_, id) = event.split_once("\"callId\":\"").context("an event has no call")?;
    Ok(u32::from_str_radix(id.get(24..36).context("an id is cut")?, 16)?)
}

fn number(event: &str, before: &str) -> anyhow::Result<u32> {
    let (_, rest) = event.split_once(before).context("an event has no sequence")?;
    Ok(rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse()?)
}

/// Sends all webhooks, each at its time.
async fn send(server: &Server, load: &Arc<Load>, sent: &Arc<Sent>) -> anyhow::Result<()> {
    let mut senders = JoinSet::new();
    let connections = u32::try_from(CONNECTIONS)?;
    let begin = tokio::time::Instant::now();
    for connection in 0..connections {
        let (load, sent, mut client) = (Arc::clone(load), Arc::clone(sent), Client::connect(server.port).await?);
        senders.spawn(async move {
            for webhook in (connection..WEBHOOKS).step_by(CONNECTIONS) {
                let body = load.body(webhook);
                sleep_until(begin + EVERY * webhook).await;
                let request = client::webhook(&body);
                sent.now(webhook);
                client.exchange(&request).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let share = (EVERY * WEBHOOKS).as_secs_f64() / begin.elapsed().as_secs_f64();
    ensure!(share > KEPT_RATE, "only {:.0} webhooks a second were sent", share * 1e3);
    Ok(())
}
