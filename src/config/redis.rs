//! The URL of a Redis: what of it is ours, what the library knows, what nobody knows.

use std::{fmt, path::PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::{postgres, reader::boolean};

/// A Redis.
#[derive(Clone)]
pub struct RedisUrl {
    /// The URL without parameters.
    pub url: SecretString,
    /// A PEM file of roots for `rediss://`; without it the system's count.
    pub root_cert: Option<PathBuf>,
    /// The server may lose what was acknowledged when its machine goes down.
    pub ephemeral: bool,
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root_cert, ephemeral, .. } = self;
        write!(f, "RedisUrl {{ root_cert: {root_cert:?}, ephemeral: {ephemeral} }}")
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        let all = |it: &Self| (it.url.expose_secret().to_owned(), it.root_cert.clone(), it.ephemeral);
        all(self) == all(other)
    }
}

impl Eq for RedisUrl {}

/// Reads a URL that begins with `redis://` or `rediss://`. With it come sentences for the start log.
pub(super) fn parse(url: &str) -> Result<(RedisUrl, Vec<String>), &'static str> {
    const EXPECTED: &str = "must be redis://USER:PASSWORD@HOST:PORT/NUMBER, with special characters percent-encoded";
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    if address.contains('#') || query.contains('#') {
        return Err("must have no # (a certificate that can't be verified is never accepted; name its root by ?sslrootcert=)");
    }
    let (scheme, rest) = address.split_once("://").ok_or(EXPECTED)?;
    let (authority, number) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() || host.starts_with(':') || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EXPECTED);
    }
    let (mut root_cert, mut ephemeral, mut warnings) = (None, false, Vec::new());
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "sslrootcert" if scheme == "redis" => return Err("may only have sslrootcert with rediss://"),
            "sslrootcert" if value == "system" => {}
            "sslrootcert" => root_cert = Some(PathBuf::from(postgres::decoded(value))),
            "ephemeral" => ephemeral = boolean(value).ok_or("may only have true or false as ephemeral")?,
            unknown => warnings.push(postgres::ignored(unknown)),
        }
    }
    if scheme == "redis" && !postgres::is_private(host) {
        warnings.push("DATABASE_URL lets records travel unencrypted; use rediss://".to_owned());
    }
    Ok((RedisUrl { url: address.into(), root_cert, ephemeral }, warnings))
}
