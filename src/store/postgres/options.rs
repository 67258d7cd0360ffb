//! Where the database is, and how it is reached.

use std::{path::PathBuf, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use crate::store::{DataKeys, Migrate, StoreError};

/// To reach the server and be let in must not take longer.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A peer that acknowledges nothing for so long is gone.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is idle before the system asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// The name under which the server lists our connections.
const APPLICATION: &str = "ringback";

/// How much TLS is asked for; the words are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// None.
    Disable,
    /// If the server offers it.
    Prefer,
    /// Always; certificates are looked at only if there is a root file.
    Require,
    /// Always, with a certificate that a root stands for.
    VerifyCa,
    /// Always, with a certificate that a root stands for, made out to the host of the URL.
    VerifyFull,
}

/// Where the database is, and how it is opened.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The URL, with only those parameters that `tokio-postgres` knows. It holds the password.
    pub url: SecretString,
    /// How much TLS is asked for.
    pub tls: Tls,
    /// A PEM file of roots; without it the system's count.
    pub root_cert: Option<PathBuf>,
    /// A transaction pooler stands in between: nothing outlives a transaction, neither prepared statements nor `LISTEN`.
    pub pooled: bool,
    /// Connections that read, at least one.
    pub max_connections: usize,
    /// What to do about a schema that is behind.
    pub migrate: Migrate,
    /// What encrypts.
    pub keys: DataKeys,
    /// Tables of other programs are told outcomes, in clear.
    pub links: bool,
}

impl PostgresOptions {
    /// The options as the library takes them.
    pub(super) fn config(&self) -> Result<Config, StoreError> {
        // The library's words may repeat the password.
        let unusable =
            |_| StoreError::Unusable("the URL can't be read: is every special character in the password percent-encoded?".to_owned());
        let mut config: Config = self.url.expose_secret().parse().map_err(unusable)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(StoreError::Unusable("the URL names no host".to_owned()));
        }
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION);
        }
        config.ssl_mode(match self.tls {
            Tls::Disable => SslMode::Disable,
            Tls::Prefer => SslMode::Prefer,
            Tls::Require | Tls::VerifyCa | Tls::VerifyFull => SslMode::Require,
        });
        if config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) && config.get_hostaddrs().is_empty() {
            config.ssl_mode(SslMode::Disable);
        }
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(TCP_USER_TIMEOUT).keepalives_idle(KEEPALIVE_IDLE);
        Ok(config)
    }
}
