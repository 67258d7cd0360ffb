//! Opens the store that is configured.

use crate::{
    config::{self, DatabaseUrl, SslMode, StoreConfig},
    store::{
        DataKeys, Migrate, Store, StoreError,
        memory::MemoryStore,
        postgres::{PostgresOptions, PostgresStore, Tls},
        redis::{RedisOptions, RedisStore},
        sqlite::{Snapshot, SqliteOptions, SqliteStore},
    },
};

/// A copy of the configured store as it stands, if that is a file: its process may go on writing. `None` for servers, which are shared anyway.
///
/// # Errors
/// [`StoreError::Unusable`] when there is no store, or no copy can be made.
pub fn open_snapshot(config: &StoreConfig) -> Result<Option<Snapshot>, StoreError> {
    let DatabaseUrl::Sqlite { path, .. } = &config.url else { return Ok(None) };
    let keys = DataKeys::from_base64(&config.data_keys)?;
    let max_connections = usize::try_from(config.max_connections).unwrap_or(usize::MAX);
    let options = SqliteOptions { path: path.clone(), max_connections, migrate: Migrate::Auto, ephemeral_ok: true, keys };
    Snapshot::take(&options).map(Some)
}

/// Opens the configured store. Off loopback, a file on a file system that forgets is refused, and so is a Redis that may lose what it took:
/// what is acknowledged must outlive the container.
/// A database that does not answer is no error: its store opens by itself when it does.
///
/// # Errors
/// [`StoreError::Unusable`] or [`StoreError::Behind`] when it can't be opened as configured.
pub async fn open_store(config: &StoreConfig, memory_bytes: u64, exposed: bool) -> Result<Store, StoreError> {
    let keys = DataKeys::from_base64(&config.data_keys)?;
    let max_connections = usize::try_from(config.max_connections).unwrap_or(usize::MAX);
    let migrate = match config.migrate {
        config::Migrate::Auto => Migrate::Auto,
        config::Migrate::Check => Migrate::Check,
    };
    match &config.url {
        DatabaseUrl::Memory => Ok(Store::Memory(MemoryStore::new(memory_bytes))),
        DatabaseUrl::Sqlite { path, ephemeral } => {
            let options = SqliteOptions { path: path.clone(), max_connections, migrate, ephemeral_ok: *ephemeral || !exposed, keys };
            SqliteStore::open(&options).map(Store::Sqlite)
        }
        DatabaseUrl::Postgres(url) => {
            let tls = match url.ssl_mode {
                SslMode::Disable => Tls::Disable,
                SslMode::Prefer => Tls::Prefer,
                SslMode::Require => Tls::Require,
                SslMode::VerifyCa => Tls::VerifyCa,
                SslMode::VerifyFull => Tls::VerifyFull,
            };
            let (root_cert, pooled) = (url.root_cert.clone(), url.pooled);
            let links = config.links;
            let options = PostgresOptions { url: url.url.clone(), tls, root_cert, pooled, max_connections, migrate, keys, links };
            PostgresStore::open(&options).await.map(Store::Postgres)
        }
        DatabaseUrl::Redis(url) => {
            let (root_cert, ephemeral_ok) = (url.root_cert.clone(), url.ephemeral || !exposed);
            let options = RedisOptions { url: url.url.clone(), root_cert, ephemeral_ok, max_connections, migrate, keys };
            RedisStore::open(&options).await.map(Store::Redis)
        }
    }
}
