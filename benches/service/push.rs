//! Deliveries: how soon a subscriber hears of a call that is done, and how many a second it is told when many wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use crate::{
    client::{self, Client},
    endpoint,
    engines::Engine,
    report::{self, Template},
    server::Server,
    setup::Setup,
    stats::{self, Spread},
    table::{Limit, Table},
};

/// Bytes of the answer about a call, which `call.done` carries.
const ANSWER: usize = 8 * 1_024;
/// Calls that end one after another.
const STEADY: u32 = 500;
/// Pause between two of them: 200 a second.
const EVERY: Duration = Duration::from_millis(5);
/// Calls that a paused subscription collects.
const COLLECTED: u32 = 2_000;
/// Connections that Ringback tells one subscriber by, at most.
const AT_ONCE: u32 = 16;
/// Those that bring the reports.
const SENDERS: u32 = 8;
/// What is not told by then is lost.
const TOLD_WITHIN: Duration = Duration::from_mins(1);
const SUBSCRIPTIONS: &str = "/api/v1/vapi/subscriptions";

/// What the subscriber was told, and when: of each call, the first time.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<HashMap<String, Instant>>>);

impl Told {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, body: &[u8]) {
        let at = Instant::now();
        let text = String::from_utf8_lossy(&body[..body.len().min(256)]);
        if let Some((_, rest)) = text.split_once("\"callId\":\"") {
            self.all().entry(rest.chars().take_while(|letter| *letter != '"').collect()).or_insert(at);
        }
    }

    async fn has(&self, count: u32) -> anyhow::Result<()> {
        let deadline = Instant::now() + TOLD_WITHIN;
        while self.all().len() < usize::try_from(count)? {
            ensure!(Instant::now() < deadline, "{} of {count} calls were told", self.all().len());
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

/// One service, and a subscriber of its own.
struct Pair {
    name: &'static str,
    server: Server,
    told: Told,
    subscription: String,
    delays: Vec<f64>,
    delays_99: Vec<f64>,
    rates: Vec<f64>,
    ratios: Vec<f64>,
}

/// On every engine.
pub(crate) async fn told(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let (engines, report) = (Engine::all(), Arc::new(Template::of_answer(ANSWER)));
    let mut pairs = Vec::new();
    for (number, engine) in engines.iter().enumerate() {
        pairs.push(Pair::start(setup, engine, number).await?);
    }
    setup.stand_aside()?;
    for _ in 0..setup.choice.rounds {
        let floor = floor().await?;
        for pair in &mut pairs {
            pair.steady(setup, &report).await?;
            let rate = pair.collected(setup, &report).await?;
            pair.rates.push(rate);
            pair.ratios.push(rate / floor);
        }
    }
    setup.stand_anywhere()?;
    for pair in pairs {
        let what = format!("`call.done` to a subscriber, 8 KB, {}", pair.name);
        table.add(&what, "from the webhook's 200 to the subscriber, 200 calls a second, median, ms", Spread::of(pair.delays), Limit::None);
        table.add(&what, "the same, p99, ms", Spread::of(pair.delays_99), Limit::None);
        table.add(&what, "deliveries a second when 2,000 wait", Spread::of(pair.rates), Limit::None);
        table.add(&what, "rate ÷ that of bare POSTs of the same body by as many connections", Spread::of(pair.ratios), Limit::None);
    }
    Ok(())
}

impl Pair {
    async fn start(setup: &Setup, engine: &Engine, number: usize) -> anyhow::Result<Self> {
        let (told, url) = (Told::default(), engine.fresh(setup, "push", number)?);
        let server = Server::ringback_with(setup, &setup.server_cores, &url, &[("OUTBOUND_ALLOW", "127.0.0.1")])?;
        let heard = told.clone();
        let port = endpoint::open(move |body| {
            heard.take(&body);
            async { "" }
        })
        .await?;
        let body = json!({"url": format!("http://127.0.0.1:{port}/hook"), "events": ["call.done"]}).to_string();
        let mut client = Client::connect(server.port).await?;
        client.exchange(&client::unsigned(SUBSCRIPTIONS, body.as_bytes())).await?;
        let made = client.json()?;
        let subscription = made["data"]["id"].as_str().context("a subscription has no id")?.to_owned();
        let (delays, delays_99, rates, ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { name: engine.name(), server, told, subscription, delays, delays_99, rates, ratios })
    }

    /// Calls end at a steady rate.
    async fn steady(&mut self, setup: &Setup, report: &Arc<Template>) -> anyhow::Result<()> {
        self.told.all().clear();
        let answered = report_all(&self.server, setup.next_run(), STEADY, Some(EVERY), report).await?;
        self.told.has(STEADY).await?;
        let told = self.told.all();
        // It may have been told before we had read the 200.
        let delays: Vec<Duration> = answered.iter().map(|(call, at)| told[call].saturating_duration_since(*at)).collect();
        self.delays.push(stats::percentile(delays.clone(), 50));
        self.delays_99.push(stats::percentile(delays, 99));
        Ok(())
    }

    /// Many wait, and are told all at once; how many a second.
    async fn collected(&self, setup: &Setup, report: &Arc<Template>) -> anyhow::Result<f64> {
        self.stand("pause").await?;
        report_all(&self.server, setup.next_run(), COLLECTED, None, report).await?;
        self.waits(COLLECTED).await?;
        self.told.all().clear();
        let begun = Instant::now();
        self.stand("resume").await?;
        self.told.has(COLLECTED).await?;
        let last = self.told.all().values().max().copied().context("nothing was told")?;
        Ok(f64::from(COLLECTED) / last.duration_since(begun).as_secs_f64())
    }

    async fn stand(&self, how: &str) -> anyhow::Result<()> {
        let path = format!("{SUBSCRIPTIONS}/{}/{how}", self.subscription);
        Client::connect(self.server.port).await?.exchange(&client::unsigned(&path, b"")).await
    }

    /// Until so many deliveries were made: they are when the last of them is listed.
    async fn waits(&self, count: u32) -> anyhow::Result<()> {
        let deadline = Instant::now() + TOLD_WITHIN;
        let mut cursor = String::new();
        let mut found = 0;
        loop {
            let path = format!("{SUBSCRIPTIONS}/{}/deliveries?state=pending&limit=100{cursor}", self.subscription);
            let page: Value = serde_json::from_slice(&self.server.get(&path)?)?;
            found += u32::try_from(page["data"].as_array().map_or(0, Vec::len))?;
            if found >= count {
                return Ok(());
            }
            if let Some(next) = page["pagination"]["nextCursor"].as_str() {
                cursor = format!("&cursor={next}");
                continue;
            }
            ensure!(Instant::now() < deadline, "{found} of {count} deliveries were made");
            (found, cursor) = (0, String::new());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Reports of calls of a run, at a pace or as fast as they go; when each was answered.
async fn report_all(
    server: &Server,
    run: u32,
    count: u32,
    pace: Option<Duration>,
    template: &Arc<Template>,
) -> anyhow::Result<HashMap<String, Instant>> {
    let (mut senders, begin) = (JoinSet::new(), tokio::time::Instant::now());
    for sender in 0..SENDERS {
        let (template, mut client) = (Arc::clone(template), Client::connect(server.port).await?);
        senders.spawn(async move {
            let mut answered = Vec::new();
            for index in (sender..count).step_by(SENDERS as usize) {
                let call = report::id(run, index);
                let request = client::webhook(&template.about(&call));
                if let Some(pace) = pace {
                    sleep_until(begin + pace * index).await;
                }
                client.exchange(&request).await?;
                answered.push((call, Instant::now()));
            }
            anyhow::Ok(answered)
        });
    }
    let mut all = HashMap::new();
    while let Some(sender) = senders.join_next().await {
        all.extend(sender??);
    }
    Ok(all)
}

/// POSTs a second of a body of the same size, by as many connections, with nothing behind them.
async fn floor() -> anyhow::Result<f64> {
    let port = endpoint::open(|_body| async { "" }).await?;
    let request = client::unsigned("/hook", &vec![b'x'; ANSWER]);
    let begun = Instant::now();
    let mut posting = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (request, mut client) = (request.clone(), Client::connect(port).await?);
        posting.spawn(async move {
            for _ in 0..COLLECTED / AT_ONCE {
                client.exchange(&request).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(posted) = posting.join_next().await {
        posted??;
    }
    Ok(f64::from(COLLECTED) / begun.elapsed().as_secs_f64())
}
