//! Where calls are kept and for how long, on disk and in memory.

use std::{ops::RangeInclusive, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;

use super::{
    ConfigError,
    postgres::{self, PostgresUrl},
    reader::{Reader, boolean, milliseconds, parts},
    redis::{self, RedisUrl},
};
use crate::call::time::DAY;

/// Most connections to one store.
const CONNECTIONS: RangeInclusive<u32> = 1..=1_000;
/// Longest time in the cache: 30 days.
const TTL_SECONDS: RangeInclusive<u32> = 0..=2_592_000;
/// Bounds of the cache; the greatest is 1 TB.
const CACHE_MB: RangeInclusive<u64> = 1..=1_048_576;
/// Longest retention: a century.
const DAYS: RangeInclusive<i64> = 0..=36_500;
/// Bytes of a data key.
const KEY_BYTES: usize = 32;
/// Bytes in what variables call MB.
pub(super) const MB: u64 = 1_048_576;

/// The engine and where its data lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// Nothing outlives the process.
    Memory,
    /// An SQLite file.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// It may lie on a file system that forgets.
        ephemeral: bool,
    },
    /// A PostgreSQL database.
    Postgres(PostgresUrl),
    /// A Redis.
    Redis(RedisUrl),
}

/// What to do with a schema that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Bring it up to date.
    Auto,
    /// Refuse to start.
    Check,
}

/// The durable store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The engine and where its data lies.
    pub url: DatabaseUrl,
    /// Connections that read.
    pub max_connections: u32,
    /// What to do with a schema that is behind.
    pub migrate: Migrate,
    /// Milliseconds for which a record is kept; `None`: for good.
    pub retention_ms: Option<i64>,
    /// Milliseconds for which a body is kept; `None`: as long as its record.
    pub payload_retention_ms: Option<i64>,
    /// Folder for records that are removed.
    pub archive: Option<PathBuf>,
    /// Keys that encrypt what is stored, newest first, each 32 bytes in base64; none: it is stored in clear.
    pub data_keys: Vec<SecretString>,
    /// Tables of other programs are told outcomes, in clear.
    pub links: bool,
}

impl StoreConfig {
    /// Only what commands need that open the store without serving it.
    ///
    /// # Errors
    /// When a value can't be used.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&lookup);
        let store = Self::read(&mut reader);
        reader.finish(store).map(|(store, _)| store)
    }

    /// The same for a look from outside: nothing is migrated or linked, as whoever runs on it is to find it as it was.
    #[must_use]
    pub fn only_looking(&self) -> Self {
        Self { migrate: Migrate::Check, links: false, ..self.clone() }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut store = Self::values(reader);
        store.links |= store.data_keys.is_empty();
        if !store.data_keys.is_empty() && store.archive.is_some() {
            reader.warn("RETENTION_ARCHIVE is set, and what is written there is not encrypted with DATA_KEY; protect that folder");
        }
        store
    }

    fn values(reader: &mut Reader<'_>) -> Self {
        Self {
            url: database_url(reader),
            max_connections: reader.whole("DATABASE_MAX_CONNECTIONS", CONNECTIONS),
            migrate: reader.word("MIGRATE", &[("auto", Migrate::Auto), ("check", Migrate::Check)]),
            retention_ms: days(reader, "RETENTION_DAYS"),
            payload_retention_ms: days(reader, "PAYLOAD_RETENTION_DAYS"),
            archive: reader.text("RETENTION_ARCHIVE").map(PathBuf::from),
            data_keys: data_keys(reader),
            links: reader.value("LINK_PLAINTEXT", "true or false", boolean),
        }
    }
}

/// Answers kept in memory.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// Milliseconds for which an answer is kept; 0 keeps none.
    pub ttl_ms: i64,
    /// Bytes at most.
    pub max_bytes: u64,
}

impl CacheConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            ttl_ms: milliseconds(reader.seconds("CACHE_TTL_SECONDS", TTL_SECONDS)),
            max_bytes: reader.whole("CACHE_MAX_MB", CACHE_MB) * MB,
        }
    }
}

fn days(reader: &mut Reader<'_>, name: &'static str) -> Option<i64> {
    let days = reader.whole(name, DAYS);
    (days > 0).then_some(days * DAY)
}

fn data_keys(reader: &mut Reader<'_>) -> Vec<SecretString> {
    let expected = "one or more keys, newest first, comma separated, each 32 bytes in base64 (`openssl rand -base64 32` makes one)";
    let read = |list: &str| {
        let keys: Vec<String> = parts(list).collect();
        let is_key = |key: &String| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES);
        let is_new = |(number, key): (usize, &String)| !keys[..number].contains(key);
        let fits = !keys.is_empty() && keys.iter().all(is_key) && keys.iter().enumerate().all(is_new);
        fits.then(|| keys.into_iter().map(SecretString::from).collect())
    };
    reader.optional("DATA_KEY", expected, read).unwrap_or_default()
}

fn database_url(reader: &mut Reader<'_>) -> DatabaseUrl {
    let text = reader.text("DATABASE_URL");
    let default = super::variables::default_of("DATABASE_URL");
    match parse(text.as_deref().unwrap_or(default)) {
        Ok((url, warnings)) => {
            for warning in warnings {
                reader.warn(warning);
            }
            url
        }
        Err(problem) => {
            reader.problem(format!("DATABASE_URL {problem}"));
            DatabaseUrl::Memory
        }
    }
}

/// The engine, and sentences for the start log.
fn parse(url: &str) -> Result<(DatabaseUrl, Vec<String>), &'static str> {
    const EXPECTED: &str = "must be memory:, sqlite:PATH, postgres://… or redis://…";
    let (scheme, rest) = url.split_once(':').ok_or(EXPECTED)?;
    let quiet = |url| (url, Vec::new());
    match scheme {
        "memory" if rest.is_empty() => Ok(quiet(DatabaseUrl::Memory)),
        "sqlite" if rest.starts_with(":memory:") => Err("must be memory: for a store in memory"),
        "sqlite" => sqlite(rest).map(quiet),
        "postgres" | "postgresql" => postgres::parse(url).map(|(url, warnings)| (DatabaseUrl::Postgres(url), warnings)),
        "redis" | "rediss" => redis::parse(url).map(|(url, warnings)| (DatabaseUrl::Redis(url), warnings)),
        _ => Err(EXPECTED),
    }
}

fn sqlite(rest: &str) -> Result<DatabaseUrl, &'static str> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, "ephemeral=false"));
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.ends_with('/') {
        return Err("must name a file after sqlite:");
    }
    let ephemeral = query.strip_prefix("ephemeral=").and_then(boolean).ok_or("may only have ?ephemeral=true after the path")?;
    Ok(DatabaseUrl::Sqlite { path: PathBuf::from(path), ephemeral })
}
