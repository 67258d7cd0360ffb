//! Every variable, its default and its checks. Nothing else in the program reads the environment.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`mod@variables`] | all variables as data; `.env.example` and the README's table are made of it |
//! | [`environment`] | the process's environment above a `.env` file |
//! | `reader` | one value after another; collects all problems, shows no value |
//! | [`http`], [`store`], [`vapi`], [`access`], [`client`] | what the parts of the program need |
//! | [`postgres`], [`redis`] | the URL of a PostgreSQL database; of a Redis |
//! | [`tools`] | who answers what the assistant asks |
//! | [`dial`] | who may be called |
//! | [`outbound`] | whom we may tell something |
//! | [`proxies`] | whose `X-Forwarded-For` is believed |
//!
//! [`Config::from_env`] takes a lookup, so that tests need no environment. Secrets are `secrecy` types or digests, so that `Debug` shows none.

pub mod access;
pub mod client;
pub mod dial;
pub mod environment;
pub mod http;
mod kestra;
pub mod outbound;
pub mod postgres;
pub mod proxies;
mod reader;
pub mod redis;
pub mod store;
pub mod tools;
pub mod vapi;
pub mod variables;

#[cfg(test)]
mod tests;

use std::{ops::RangeInclusive, time::Duration};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use self::reader::{Reader, expected_seconds, milliseconds, parts, seconds};
pub use self::{
    access::{AccessConfig, ApiToken, Scope},
    client::ClientConfig,
    dial::DialConfig,
    environment::Environment,
    http::HttpConfig,
    kestra::{KestraConfig, KestraLogin},
    outbound::OutboundConfig,
    postgres::{PostgresUrl, SslMode},
    proxies::TrustedProxies,
    reader::ConfigError,
    redis::RedisUrl,
    store::{CacheConfig, DatabaseUrl, Migrate, StoreConfig},
    tools::ToolsConfig,
    vapi::{SESSIONS_PATH, ServerConfig, VapiConfig, WEBHOOK_PATHS, WEBHOOK_ROUTE, WebhookConfig},
    variables::{Variable, env_example, readme_table, variables},
};

/// What our own modules are named with, in `RUST_LOG`.
const OURS: &str = "ringback";
/// Bounds of one delay before a fetch; the greatest is one day.
const DELAY_SECONDS: RangeInclusive<u32> = 0..=86_400;
/// Most delays before fetches.
const DELAYS: usize = 20;
/// Bounds of the silence after which a live call is looked up; intervals double from there, so 0 would never end.
const GRACE_SECONDS: RangeInclusive<u32> = 1..=86_400;
/// Bounds of the time from one sweep to the next; the greatest is one day.
const SWEEP_SECONDS: RangeInclusive<u32> = 0..=86_400;
/// Bounds of the pause between two examinations; the greatest is one week.
const DOCTOR_SECONDS: RangeInclusive<u32> = 0..=604_800;
/// Bounds of the two parts of a shutdown; the greatest is one hour.
const SHUTDOWN_SECONDS: RangeInclusive<u32> = 0..=3_600;

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// The HTTP face.
    pub http: HttpConfig,
    /// The durable store.
    pub store: StoreConfig,
    /// Answers kept in memory.
    pub cache: CacheConfig,
    /// How we talk to Vapi.
    pub vapi: VapiConfig,
    /// How Vapi reaches us.
    pub webhook: WebhookConfig,
    /// Where assistants of placed calls send their messages.
    pub server: ServerConfig,
    /// Who may be called, and from where.
    pub dial: DialConfig,
    /// Who may do what.
    pub access: AccessConfig,
    /// Who answers what the assistant asks.
    pub tools: ToolsConfig,
    /// Whom we may tell something.
    pub outbound: OutboundConfig,
    /// How late data is fetched.
    pub complete: CompleteConfig,
    /// Events that are usually only counted are kept too.
    pub keep_all_events: bool,
    /// How often everything is examined; `None`: never.
    pub doctor_every: Option<Duration>,
    /// How long a shutdown takes.
    pub shutdown: ShutdownConfig,
    /// What is logged.
    pub log: LogConfig,
    /// Base address of the collector of traces; `None`: there are none.
    pub otlp_endpoint: Option<String>,
    /// What the start log should say about these settings.
    pub warnings: Vec<String>,
}

/// How late data is fetched.
#[derive(Debug, Clone)]
pub struct CompleteConfig {
    /// Milliseconds to wait, one after another, before each fetch.
    pub delays_ms: Vec<i64>,
    /// Milliseconds of silence after which a live call is looked up, and after its end for which a report is waited for.
    pub grace_ms: i64,
    /// Milliseconds from one sweep for lost webhooks to the next; 0: none are made.
    pub sweep_ms: i64,
    /// The sweep takes all calls of the organisation, not only ours.
    pub sweep_all: bool,
}

/// How long a shutdown takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// From the signal until no connection is taken any more.
    pub delay: Duration,
    /// From there until the process is gone.
    pub grace: Duration,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Directives as `RUST_LOG` has them.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
    /// `NO_COLOR` is set: no colours even on a terminal (<https://no-color.org>).
    pub no_color: bool,
}

impl Config {
    /// Reads and checks every variable that `serve` uses.
    ///
    /// # Errors
    /// With one sentence for each value that can't be used, and when a start would leave the service open to everyone.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&lookup);
        let http = HttpConfig::read(&mut reader);
        let exposed = !http.is_loopback();
        let webhook = WebhookConfig::read(&mut reader, http.public_url.as_deref(), exposed);
        let access = AccessConfig::read(&mut reader, exposed);
        check_doors(&mut reader, exposed, &webhook, &access);
        let tools = ToolsConfig::read(&mut reader);
        let server = ServerConfig::read(&mut reader, webhook.url.clone(), &tools);
        let config = Self {
            store: StoreConfig::read(&mut reader),
            cache: CacheConfig::read(&mut reader),
            vapi: VapiConfig::read(&mut reader),
            outbound: OutboundConfig::read(&mut reader),
            dial: DialConfig::read(&mut reader),
            complete: CompleteConfig::read(&mut reader),
            keep_all_events: reader.word("KEEP_EVENTS", &[("default", false), ("all", true)]),
            doctor_every: Some(reader.seconds("DOCTOR_SECONDS", DOCTOR_SECONDS)).filter(|every| !every.is_zero()),
            shutdown: ShutdownConfig::read(&mut reader, exposed),
            log: LogConfig::read(&mut reader),
            otlp_endpoint: reader.optional("OTEL_EXPORTER_OTLP_ENDPOINT", self::http::BASE_URL, self::http::base_url),
            http,
            webhook,
            server,
            access,
            tools,
            warnings: Vec::new(),
        };
        let kestra_places = config.outbound.kestra.as_ref().is_some_and(|kestra| kestra.places);
        if kestra_places && config.server.credential_id.is_none() && !config.webhook.secrets.is_empty() {
            // Kestra shows its inputs to its users, so our secret is not among them.
            reader.warn("webhooks of calls that Kestra places carry no proof; set VAPI_CREDENTIAL_ID to a credential at Vapi that has one");
        }
        let (config, warnings) = reader.finish(config)?;
        Ok(Self { warnings, ..config })
    }
}

/// Refuses to open webhooks or the API to the world by mistake.
fn check_doors(reader: &mut Reader<'_>, exposed: bool, webhook: &WebhookConfig, access: &AccessConfig) {
    if exposed && webhook.secrets.is_empty() && !access.open_webhooks {
        reader.problem("VAPI_WEBHOOK_SECRET must be set when HOST is not loopback, or ALLOW_UNAUTHENTICATED must list `webhooks`");
    }
    if exposed && access.tokens.is_empty() && !access.open_reads && reader.is_fine("API_TOKENS") {
        reader.problem("API_TOKENS must be set when HOST is not loopback, or ALLOW_UNAUTHENTICATED must list `reads`");
    }
    if access.open_webhooks && !webhook.secrets.is_empty() {
        reader.warn("ALLOW_UNAUTHENTICATED lists `webhooks` and VAPI_WEBHOOK_SECRET is set; take one of the two away");
    }
}

impl CompleteConfig {
    fn read(reader: &mut Reader<'_>) -> Self {
        let expected = format!("`none`, or up to {DELAYS} waits, each {}", expected_seconds(&DELAY_SECONDS));
        let delays_ms = reader.value("ENRICH_DELAYS_SECONDS", &expected, |text| match text {
            "none" => Some(Vec::new()),
            list => {
                let delays: Option<Vec<_>> = parts(list).map(|part| seconds(&part, &DELAY_SECONDS).map(milliseconds)).collect();
                delays.filter(|delays| delays.len() <= DELAYS)
            }
        });
        Self {
            delays_ms,
            grace_ms: milliseconds(reader.seconds("RECONCILE_GRACE_SECONDS", GRACE_SECONDS)),
            sweep_ms: milliseconds(reader.seconds("RECONCILE_SECONDS", SWEEP_SECONDS)),
            sweep_all: reader.word("RECONCILE_SCOPE", &[("ours", false), ("all", true)]),
        }
    }
}

impl ShutdownConfig {
    fn read(reader: &mut Reader<'_>, exposed: bool) -> Self {
        let given =
            reader.optional("SHUTDOWN_DELAY_SECONDS", &expected_seconds(&SHUTDOWN_SECONDS), |text| seconds(text, &SHUTDOWN_SECONDS));
        // Nobody balances load over this machine's own loopback address.
        let usual = if exposed { variables::default_of("SHUTDOWN_DELAY_SECONDS") } else { "0" };
        let delay = given.or_else(|| seconds(usual, &SHUTDOWN_SECONDS)).unwrap_or_default();
        Self { delay, grace: reader.seconds("SHUTDOWN_GRACE_SECONDS", SHUTDOWN_SECONDS) }
    }
}

impl LogConfig {
    /// Only what every command needs.
    ///
    /// # Errors
    /// When a value can't be used.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&lookup);
        let log = Self::read(&mut reader);
        reader.finish(log).map(|(log, _)| log)
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        let mut filter = reader.value("RUST_LOG", "a level such as info, or levels by module such as info,ringback=debug", |text| {
            EnvFilter::try_new(text).ok().map(|_| text.to_owned())
        });
        let words = || filter.split(',').map(str::trim).filter(|word| !word.is_empty());
        let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
        let is_odd = |word: &str| !is_level(word) && !word.contains(['=', ':', '[']) && !word.starts_with(OURS);
        if words().any(is_odd) {
            reader.warn(
                "RUST_LOG holds a word that is no level (error, warn, info, debug, trace, off), and is taken for the name of a module; \
                 all others log as if it were not there",
            );
            if !words().any(is_level) {
                // Or nothing at all would be logged, this warning included.
                filter = format!("{},{filter}", variables::default_of("RUST_LOG"));
            }
        }
        let format = reader.word("LOG_FORMAT", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        Self { filter, format, no_color: reader.plain("NO_COLOR").is_some() }
    }
}
