//! Where the server is, and how it is reached.

use std::{fmt, path::PathBuf, time::Duration};

use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, TlsCertificates};
use secrecy::{ExposeSecret as _, SecretString};

use super::fault::Fault;
use crate::store::{DataKeys, Migrate, StoreError};

/// To reach the server and be let in must not take longer.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Requests that wait to be sent on one connection before the next one has to wait itself.
const BUFFER: usize = 1_024;
/// Bytes gathered before they are sent: a group of commits has many.
const WRITE_BYTES: usize = 262_144;

/// Where the server is, and how it is opened.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://` or `rediss://`, user and password, host, port, number of the database; no parameters. It holds the password.
    pub url: SecretString,
    /// A PEM file of roots for `rediss://`; without it the system's count.
    pub root_cert: Option<PathBuf>,
    /// Accept a server that may lose what was acknowledged when its machine goes down.
    pub ephemeral_ok: bool,
    /// Connections that read, at least one.
    pub max_connections: usize,
    /// What to do about a schema that is behind.
    pub migrate: Migrate,
    /// What encrypts.
    pub keys: DataKeys,
}

/// How connections are made.
pub(super) struct Door {
    /// Knows no password: what the library makes of a refusal does not tell a wrong one from a server that is full.
    pub(super) client: Client,
    /// Knows everything.
    pub(super) listener: Client,
    user: Option<String>,
    password: Option<SecretString>,
    pub(super) db: i64,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("db", &self.db).finish_non_exhaustive()
    }
}

impl Door {
    pub(super) fn new(options: &RedisOptions) -> Result<Self, StoreError> {
        // The library's words may repeat the password.
        let unreadable =
            |_| StoreError::Unusable("the URL can't be read: is every special character in the password percent-encoded?".to_owned());
        let info = options.url.expose_secret().into_connection_info().map_err(unreadable)?;
        let known = info.redis_settings().clone();
        let unknown = redis::RedisConnectionInfo::default();
        let open = |info: redis::ConnectionInfo| match &options.root_cert {
            None => Client::open(info).map_err(unreadable),
            Some(path) => {
                let wrong = |why: String| StoreError::Unusable(format!("sslrootcert: {} {why}", path.display()));
                let root_cert = Some(std::fs::read(path).map_err(|error| wrong(format!("can't be read: {error}")))?);
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
                    .map_err(|error| wrong(format!("holds no root certificates: {error}")))
            }
        };
        Ok(Self {
            client: open(info.clone().set_redis_settings(unknown))?,
            listener: open(info)?,
            user: known.username().map(str::to_owned),
            password: known.password().map(SecretString::from),
            db: known.db(),
        })
    }

    /// How connections that are asked things are set up.
    pub(super) fn config() -> AsyncConnectionConfig {
        // Who asks knows how long to wait.
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(BUFFER)
            .set_write_backpressure_boundary(WRITE_BYTES)
    }

    /// Says who we are, and which database is meant.
    pub(super) async fn enter(&self, db: &mut redis::aio::MultiplexedConnection) -> Result<(), Fault> {
        let mut words = redis::pipe();
        if let Some(password) = &self.password {
            let words = words.cmd("AUTH");
            if let Some(user) = &self.user {
                words.arg(user);
            }
            words.arg(password.expose_secret());
        }
        if self.db != 0 {
            words.cmd("SELECT").arg(self.db);
        }
        words.cmd("PING");
        Ok(words.exec_async(db).await?)
    }
}
