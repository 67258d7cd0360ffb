//! Databases for the tests, on a Redis that the tests of this process share.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use redis::aio::MultiplexedConnection;
use ringback::store::{
    DataKeys, Migrate, Store,
    redis::{RedisOptions, RedisStore},
};

use super::proxy::Proxy;
pub(crate) use crate::redis_server::{PASSWORD, Server, is_tested, url_of};

/// What stands in every commit of the store's stories, and in nothing else.
const COMMIT: &[u8] = b"end-of-call-report";
/// Numbers of databases don't repeat within a process.
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// One of the databases of a server, used by nobody else.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) number: usize,
    pub(crate) port: u16,
}

impl Server {
    /// A database that is empty.
    pub(crate) fn database(&self) -> Database {
        Database { number: DATABASES.fetch_add(1, Ordering::Relaxed), port: self.port }
    }
}

/// The server that the tests of this process share.
fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&[])).as_ref()
}

/// An empty database on the shared server; `None` where Redis is not to be tested.
pub(crate) fn database() -> Option<Database> {
    Some(shared()?.database())
}

impl Database {
    pub(crate) fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// The same database by way of another port, such as a proxy's.
    pub(crate) fn url_by(&self, port: u16) -> String {
        url_of(self.number, port)
    }

    pub(crate) fn options(&self) -> RedisOptions {
        options(&self.url())
    }

    pub(crate) async fn open_with(&self, seeds: &[u8]) -> Store {
        open(&RedisOptions { keys: crate::store_support::keys(seeds), ..self.options() }).await
    }

    pub(crate) async fn open(&self) -> Store {
        open(&self.options()).await
    }

    /// A store by way of a road that can be cut.
    pub(crate) async fn on_the_road(&self) -> (Proxy, Store) {
        let road = Proxy::of(self.port, COMMIT).await;
        let store = open(&options(&self.url_by(road.port()))).await;
        (road, store)
    }

    /// A connection that sees the keys as they are.
    pub(crate) async fn raw(&self) -> MultiplexedConnection {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }
}

pub(crate) fn options(url: &str) -> RedisOptions {
    RedisOptions {
        url: url.into(),
        root_cert: None,
        ephemeral_ok: false,
        max_connections: 3,
        migrate: Migrate::Auto,
        keys: DataKeys::default(),
    }
}

pub(crate) async fn open(options: &RedisOptions) -> Store {
    Store::Redis(RedisStore::open(options).await.expect("the store opens"))
}
