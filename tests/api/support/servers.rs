//! Servers that several instances can share, PostgreSQL and Redis, under the same words.

use ringback::store::Store;

use super::{app::Engine, postgres, proxy::Proxy, redis};

/// Runs stories, functions of an [`Engine`], as tests on both, by this flavor of tokio's runtime.
macro_rules! on_both_servers {
    ($flavor:tt: $($story:ident)*) => {
        mod on_postgres {
            $(#[tokio::test(flavor = $flavor)] async fn $story() {
                if $crate::support::postgres::is_tested() {
                    super::$story($crate::support::app::Engine::Postgres).await;
                }
            })*
        }
        mod on_redis {
            $(#[tokio::test(flavor = $flavor)] async fn $story() {
                if $crate::support::redis::is_tested() {
                    super::$story($crate::support::app::Engine::Redis).await;
                }
            })*
        }
    };
}
pub(crate) use on_both_servers;

/// A server of a story's own.
pub(crate) enum Server {
    Postgres(postgres::Server),
    Redis(redis::Server),
}

impl Server {
    pub(crate) fn start(engine: Engine) -> Self {
        match engine {
            Engine::Redis => Self::Redis(redis::Server::start(&[]).expect("Redis is to be tested")),
            _ => Self::Postgres(postgres::Server::start().expect("PostgreSQL is to be tested")),
        }
    }

    /// The ways in which it can end.
    pub(crate) fn ends(&self) -> &'static [&'static str] {
        match self {
            Self::Postgres(_) => &["stop", "crash", "kill"],
            Self::Redis(_) => &["stop", "kill"],
        }
    }

    /// Tells it to `start`, or to end.
    pub(crate) fn tell(&self, word: &str) {
        match self {
            Self::Postgres(server) => server.tell(word),
            Self::Redis(server) => server.tell(word),
        }
    }

    pub(crate) fn database(&self) -> Database {
        match self {
            Self::Postgres(server) => Database::Postgres(server.database()),
            Self::Redis(server) => Database::Redis(server.database()),
        }
    }
}

/// An empty database.
pub(crate) enum Database {
    Postgres(postgres::Database),
    Redis(redis::Database),
}

impl Database {
    /// One on the server that the tests share.
    pub(crate) async fn of(engine: Engine) -> Self {
        match engine {
            Engine::Redis => Self::Redis(redis::database().expect("Redis is to be tested")),
            _ => Self::Postgres(postgres::database().await.expect("PostgreSQL is to be tested")),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Postgres(database) => database.port,
            Self::Redis(database) => database.port,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url_by(self.port())
    }

    /// The same database by way of another port, such as a proxy's.
    pub(crate) fn url_by(&self, port: u16) -> String {
        match self {
            Self::Postgres(database) => database.url_by(port),
            Self::Redis(database) => database.url_by(port),
        }
    }

    pub(crate) async fn open(&self) -> Store {
        match self {
            Self::Postgres(database) => database.open().await,
            Self::Redis(database) => database.open().await,
        }
    }

    /// A store by way of a road that can be cut.
    pub(crate) async fn on_the_road(&self) -> (Proxy, Store) {
        match self {
            Self::Postgres(database) => database.on_the_road().await,
            Self::Redis(database) => database.on_the_road().await,
        }
    }
}
