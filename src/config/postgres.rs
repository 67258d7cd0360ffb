//! The URL of a PostgreSQL database, as people copy it from their provider: what of it is ours, what the library knows, what nobody knows.

use std::{fmt, net::IpAddr, path::PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::{proxies, reader::boolean};

/// Supabase's port for connections that are only lent for a transaction.
const TRANSACTION_POOLER_PORT: &str = "6543";
/// Endings of names that only a private network resolves.
const PRIVATE_NAMES: [&str; 6] = [".internal", ".local", ".localhost", ".lan", ".svc", ".home.arpa"];
/// Parameters that are passed on as they are.
const KNOWN: [&str; 17] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];
/// Longest name of a parameter that is repeated in a warning.
const NAME_LENGTH: usize = 32;

/// How much TLS is asked for; the words are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// None.
    Disable,
    /// If the server offers it.
    Prefer,
    /// Always; certificates are looked at only if there is a root file.
    Require,
    /// Always, with a certificate that a root stands for.
    VerifyCa,
    /// Always, with a certificate that a root stands for, made out to the host.
    VerifyFull,
}

/// A PostgreSQL database.
#[derive(Clone)]
pub struct PostgresUrl {
    /// The URL without the parameters below, and without those that nobody knows.
    pub url: SecretString,
    /// How much TLS is asked for; unless the URL says, [`SslMode::Require`] off private networks.
    pub ssl_mode: SslMode,
    /// A PEM file of roots; without it the system's count.
    pub root_cert: Option<PathBuf>,
    /// The connection is only lent for a transaction.
    pub pooled: bool,
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ssl_mode, root_cert, pooled, .. } = self;
        write!(f, "PostgresUrl {{ ssl_mode: {ssl_mode:?}, root_cert: {root_cert:?}, pooled: {pooled} }}")
    }
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        let all = |it: &Self| (it.url.expose_secret().to_owned(), it.ssl_mode, it.root_cert.clone(), it.pooled);
        all(self) == all(other)
    }
}

impl Eq for PostgresUrl {}

/// Reads a URL that begins with `postgres://` or `postgresql://`. With it come sentences for the start log.
pub(super) fn parse(url: &str) -> Result<(PostgresUrl, Vec<String>), &'static str> {
    const EXPECTED: &str = "must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded";
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let authority = address.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default()).ok_or(EXPECTED)?;
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let mut read = Read { hosts: hosts.split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect(), ..Read::default() };
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        read.parameter(parameter)?;
    }
    if read.hosts.is_empty() {
        return Err(EXPECTED);
    }
    let is_private = read.hosts.iter().all(|host| is_private(host));
    let ssl_mode = read.ssl_mode.unwrap_or(if is_private { SslMode::Prefer } else { SslMode::Require });
    if !is_private && matches!(ssl_mode, SslMode::Disable | SslMode::Prefer) {
        read.warnings.push("DATABASE_URL lets records travel unencrypted; use sslmode=require or verify-full".to_owned());
    }
    let mark = if read.kept.is_empty() { "" } else { "?" };
    let url = format!("{address}{mark}{}", read.kept.join("&"));
    let pooled = read
        .pooled
        .unwrap_or_else(|| read.hosts.iter().any(|host| host.rsplit_once(':').is_some_and(|(_, port)| port == TRANSACTION_POOLER_PORT)));
    Ok((PostgresUrl { url: url.into(), ssl_mode, root_cert: read.root_cert, pooled }, read.warnings))
}

/// What was read so far.
#[derive(Default)]
struct Read {
    hosts: Vec<String>,
    kept: Vec<String>,
    ssl_mode: Option<SslMode>,
    root_cert: Option<PathBuf>,
    pooled: Option<bool>,
    warnings: Vec<String>,
}

impl Read {
    fn parameter(&mut self, parameter: &str) -> Result<(), &'static str> {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "sslmode" => {
                self.ssl_mode = Some(ssl_mode(value).ok_or("may only have disable, prefer, require, verify-ca or verify-full as sslmode")?);
            }
            "sslrootcert" if value == "system" => {
                self.ssl_mode.get_or_insert(SslMode::VerifyFull);
            }
            "sslrootcert" => self.root_cert = Some(PathBuf::from(decoded(value))),
            "pgbouncer" => self.pooled = Some(boolean(value).ok_or("may only have true or false as pgbouncer")?),
            known if KNOWN.contains(&known) => {
                if matches!(known, "host" | "hostaddr") {
                    self.hosts.extend(decoded(value).split(',').map(str::to_owned));
                }
                if known == "port" && value == TRANSACTION_POOLER_PORT {
                    self.pooled.get_or_insert(true);
                }
                self.kept.push(parameter.to_owned());
            }
            unknown => self.warnings.push(ignored(unknown)),
        }
        Ok(())
    }
}

/// What the start log says of a parameter that nobody knows.
pub(super) fn ignored(parameter: &str) -> String {
    // A name of any other shape may be part of a password that was not encoded.
    let is_name = parameter.len() <= NAME_LENGTH && parameter.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let name = if is_name { format!("`{parameter}`") } else { "that is not known".to_owned() };
    format!("DATABASE_URL has a parameter {name}; it is ignored")
}

fn ssl_mode(word: &str) -> Option<SslMode> {
    Some(match word {
        "disable" => SslMode::Disable,
        "allow" | "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return None,
    })
}

/// Does a host, perhaps with a port, lie where nobody else listens?
pub(super) fn is_private(host: &str) -> bool {
    let host = decoded(host);
    let (name, port) = host.rsplit_once(':').unwrap_or((&host, ""));
    let name = if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() { name } else { &host };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>().or_else(|_| host.parse()) {
        return proxies::is_private(ip);
    }
    let name = name.to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    host.starts_with('/') || !name.contains('.') || PRIVATE_NAMES.iter().any(|ending| name.ends_with(ending))
}

/// The text behind percent-encoding; as it is where that is broken.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| first == b'%').and_then(|code| hex::decode(code).ok());
        bytes.extend_from_slice(code.as_deref().unwrap_or(&[first]));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
