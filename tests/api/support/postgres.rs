//! Databases for the tests, on a server that the tests of this process share.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ringback::store::{
    DataKeys, Migrate, Store,
    postgres::{PostgresOptions, PostgresStore, Tls},
};
use tokio_postgres::{Client, NoTls};

use super::proxy::Proxy;
pub(crate) use crate::postgres_server::{PASSWORD, Server, url_of};
use crate::{postgres_server::programs, shell::START_PATIENCE, store_support::alongside};

/// Is PostgreSQL to be tested? Where it is not installed, somebody has to say that it need not be.
pub(crate) fn is_tested() -> bool {
    programs().is_some()
}

/// Names of databases don't repeat within a process.
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// A database of one test.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl Server {
    /// A connection that may do everything.
    pub(crate) async fn root(&self, database: &str) -> Client {
        root_at(self.port, database).await.unwrap_or_else(|error| panic!("the server does not start: {error}\n{}", self.shell.log()))
    }

    /// A new database that role `ringback` owns; the role may do no more than own it.
    pub(crate) fn database(&self) -> Database {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.create(&name);
        Database { name, port: self.port }
    }
}

async fn root_at(port: u16, database: &str) -> Result<Client, tokio_postgres::Error> {
    let url = format!("postgres://postgres@127.0.0.1:{port}/{database}?application_name=tests");
    let begin = Instant::now();
    loop {
        match tokio_postgres::connect(&url, NoTls).await {
            Ok((client, connection)) => {
                drop(alongside(connection));
                return Ok(client);
            }
            Err(error) if begin.elapsed() > START_PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The server that the tests of this process share. It does not wait for the disk: what that is for, the stories of real processes show.
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Server::start_with("fast")).as_ref()
}

/// A new database on the shared server; `None` where PostgreSQL is not to be tested.
pub(crate) async fn database() -> Option<Database> {
    Some(shared()?.database())
}

impl Database {
    pub(crate) fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// The same database by way of another port, such as a proxy's.
    pub(crate) fn url_by(&self, port: u16) -> String {
        url_of(&self.name, port)
    }

    /// A store by way of a road that can be cut.
    pub(crate) async fn on_the_road(&self) -> (Proxy, Store) {
        let road = Proxy::to(self.port).await;
        let store = open(&options(&self.url_by(road.port()))).await;
        (road, store)
    }

    /// A connection that may do everything.
    pub(crate) async fn root(&self) -> Client {
        root_at(self.port, &self.name).await.unwrap()
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        options(&self.url())
    }

    pub(crate) async fn open_with(&self, seeds: &[u8]) -> Store {
        open(&PostgresOptions { keys: crate::store_support::keys(seeds), ..self.options() }).await
    }

    pub(crate) async fn open(&self) -> Store {
        open(&self.options()).await
    }
}

pub(crate) fn options(url: &str) -> PostgresOptions {
    let url = url.into();
    let (keys, links) = (DataKeys::default(), true);
    PostgresOptions { url, tls: Tls::Prefer, root_cert: None, pooled: false, max_connections: 3, migrate: Migrate::Auto, keys, links }
}

pub(crate) async fn open(options: &PostgresOptions) -> Store {
    Store::Postgres(PostgresStore::open(options).await.expect("the store opens"))
}
