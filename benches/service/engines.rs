//! The engines side by side: what a webhook and a poll cost on each, and what lists cost when few or many calls are known.

use std::time::Instant;

use ringback::store::{
    DataKeys, Migrate, Store,
    postgres::{PostgresOptions, PostgresStore, Tls},
    redis::{RedisOptions, RedisStore},
};

use crate::{
    client::{self, Client},
    fill, post, postgres_server, redis_server,
    report::{self, Template},
    server::Server,
    setup::Setup,
    stats::{Run, Spread},
    table::{Limit, Table},
    wrk,
};

/// Calls that count as few.
const FEW: u32 = 10_000;
/// Pages that are asked for in a run.
const PAGES: u32 = 40;
/// Connections of the library to a store that is filled.
const CONNECTIONS: usize = 4;
/// Bytes of a cached answer.
const ANSWER: usize = 8 * 1_024;

/// An engine with a server of its own, which waits for the disk and runs on any core.
pub(crate) enum Engine {
    Sqlite,
    Postgres(postgres_server::Server),
    Redis(redis_server::Server),
}

impl Engine {
    /// All that this machine has.
    pub(crate) fn all() -> Vec<Self> {
        let postgres = postgres_server::Server::start().map(Self::Postgres);
        let redis = redis_server::Server::start(&[]).map(Self::Redis);
        [Some(Self::Sqlite), postgres, redis].into_iter().flatten().collect()
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
            Self::Redis(_) => "Redis",
        }
    }

    /// The URL of a new, empty store.
    pub(crate) fn fresh(&self, setup: &Setup, name: &str, number: usize) -> anyhow::Result<String> {
        Ok(match self {
            Self::Sqlite => format!("sqlite:{}", setup.fresh_store(name)?.display()),
            Self::Postgres(server) => {
                server.create(name);
                postgres_server::url_of(name, server.port)
            }
            Self::Redis(server) => redis_server::url_of(number, server.port),
        })
    }

    /// Opens a store for the library.
    pub(crate) async fn open(&self, url: &str) -> anyhow::Result<Store> {
        let migrate = Migrate::Auto;
        Ok(match self {
            Self::Sqlite => fill::sqlite(url.trim_start_matches("sqlite:").as_ref())?,
            Self::Postgres(_) => {
                let (tls, max_connections) = (Tls::Prefer, CONNECTIONS);
                let options = PostgresOptions {
                    url: url.into(),
                    tls,
                    root_cert: None,
                    pooled: false,
                    max_connections,
                    migrate,
                    keys: DataKeys::default(),
                    links: true,
                };
                Store::Postgres(PostgresStore::open(&options).await?)
            }
            Self::Redis(_) => {
                let options = RedisOptions {
                    url: url.into(),
                    root_cert: None,
                    ephemeral_ok: false,
                    max_connections: CONNECTIONS,
                    migrate,
                    keys: DataKeys::default(),
                };
                Store::Redis(RedisStore::open(&options).await?)
            }
        })
    }
}

/// Webhooks and cached answers on every engine, beside SQLite.
pub(crate) async fn side_by_side(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let (engines, report, answer) = (Engine::all(), Template::of_body(post::REPORT), Template::of_answer(ANSWER));
    let report = std::sync::Arc::new(report);
    let mut services = Vec::new();
    for (number, engine) in engines.iter().enumerate() {
        let url = engine.fresh(setup, "engines", number)?;
        services.push(Server::ringback_on(setup, &setup.server_cores, &url)?);
    }
    let id = report::id(setup.next_run(), 0);
    let path = [format!("/api/v1/vapi/calls/{id}")];
    let mut posts: Vec<Vec<Run>> = vec![Vec::new(); services.len()];
    let mut gets = posts.clone();
    for _ in 0..setup.choice.rounds {
        for (at, service) in services.iter().enumerate() {
            setup.stand_aside()?;
            posts[at].push(post::load(setup, service, true, &report).await?);
            setup.stand_anywhere()?;
            // The answer may have left memory meanwhile.
            Client::connect(service.port).await?.exchange(&client::webhook(&answer.about(&id))).await?;
            service.get(&path[0])?;
            gets[at].push(wrk::load(setup, service, &path)?);
        }
    }
    for (at, engine) in engines.iter().enumerate().skip(1) {
        let name = engine.name();
        let of_posts = Spread::ratio(&posts[at], &posts[0], |run| run.rate);
        let least = if matches!(engine, Engine::Postgres(_)) { Limit::AtLeast(0.2) } else { Limit::None };
        table.add(format!("`POST /webhook`, 60 KB, {name}"), "rate ÷ SQLite's", of_posts, least);
        let of_gets = Spread::ratio(&gets[at], &gets[0], |run| run.rate);
        table.add(format!("cached `GET /calls/{{id}}`, 8 KB, {name}"), "rate ÷ SQLite's", of_gets, Limit::Within(0.15));
    }
    Ok(())
}

/// A page of the list, and one by number, with few and with many calls in the store.
pub(crate) async fn few_or_many_listed(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    for engine in Engine::all() {
        let mut services = Vec::new();
        for (number, calls) in [FEW, setup.choice.known].into_iter().enumerate() {
            let url = engine.fresh(setup, &format!("listed_{number}"), number)?;
            fill::fill(engine.open(&url).await?, calls).await?;
            services.push(Server::ringback_on(setup, &setup.choice.core, &url)?);
        }
        for (what, path) in [("list", "/api/v1/vapi/calls?limit=50"), ("by-phone", "/api/v1/vapi/calls/by-phone/")] {
            let (mut few, mut many) = (Vec::new(), Vec::new());
            for _ in 0..setup.choice.rounds {
                few.push(pages(&services[0], what, path).await?);
                many.push(pages(&services[1], what, path).await?);
            }
            let what = format!("{what} page, {} calls, {}", setup.choice.known, engine.name());
            table.add(&what, "median, ms", Spread::of(many.iter().copied()), Limit::Below(10.0));
            let ratios = many.iter().zip(&few).map(|(many, few)| many / few);
            table.add(&what, "time ÷ that of 10,000", Spread::of(ratios), Limit::Below(2.0));
        }
    }
    Ok(())
}

/// The median time of a page, in ms.
async fn pages(service: &Server, what: &str, path: &str) -> anyhow::Result<f64> {
    let mut client = Client::connect(service.port).await?;
    let mut took = Vec::new();
    for page in 0..PAGES {
        let number = if what == "by-phone" { format!("+{}?limit=50", fill::digits(page)) } else { String::new() };
        let asked = Instant::now();
        client.exchange(&client::get(&format!("{path}{number}"))).await?;
        took.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Spread::of(took).median)
}
