//! Where the service listens, and what requests may ask of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    time::Duration,
};

use reqwest::Url;

use super::{ConfigError, reader::Reader, store::MB};

/// Bounds of the largest body; the greatest is 1 GB.
const BODY_MB: RangeInclusive<u64> = 1..=1_024;
/// Bounds of the number of waiting requests.
const WAITERS: RangeInclusive<usize> = 0..=10_000_000;
/// Longest wait anyone may allow: one day.
const WAIT_SECONDS: RangeInclusive<u32> = 0..=86_400;

/// The HTTP face.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 picks one.
    pub port: u16,
    /// Base address under which the world reaches us, without a slash at its end.
    pub public_url: Option<String>,
    /// Bytes of the largest request body.
    pub max_body_bytes: u64,
    /// Requests that may wait at the same time.
    pub max_waiters: usize,
    /// Longest wait.
    pub wait_max: Duration,
    /// Origins of web pages that may use the API, as browsers write them.
    pub cors_origins: Vec<String>,
}

impl HttpConfig {
    /// Only the address under which the world reaches this service.
    ///
    /// # Errors
    /// When its value can't be used.
    pub fn public_url_from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<String>, ConfigError> {
        let mut reader = Reader::new(&lookup);
        let url = public_url(&mut reader);
        reader.finish(url).map(|(url, _)| url)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            host: host(reader),
            port: reader.whole("PORT", 0..=u16::MAX),
            public_url: public_url(reader),
            max_body_bytes: reader.whole("MAX_BODY_MB", BODY_MB) * MB,
            max_waiters: reader.whole("MAX_WAITERS", WAITERS),
            wait_max: reader.seconds("WAIT_MAX_SECONDS", WAIT_SECONDS),
            cors_origins: origins(reader),
        }
    }

    /// Only this machine can reach us.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.to_canonical().is_loopback()
    }
}

/// conda and some shells export a `HOST` that is no address; that must not keep anyone from starting.
fn host(reader: &mut Reader<'_>) -> IpAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let Some(text) = reader.text("HOST") else { return loopback };
    if text.eq_ignore_ascii_case("localhost") {
        return loopback;
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&text);
    bare.parse().unwrap_or_else(|_| {
        reader.warn(format!("HOST is no IP address and not localhost, so it is ignored; listening on {loopback}"));
        loopback
    })
}

pub(super) fn public_url(reader: &mut Reader<'_>) -> Option<String> {
    let domain = reader.plain("RAILWAY_PUBLIC_DOMAIN").and_then(|domain| base_url(&format!("https://{domain}")));
    reader.optional("PUBLIC_URL", BASE_URL, base_url).or(domain)
}

fn origins(reader: &mut Reader<'_>) -> Vec<String> {
    let mut origins = Vec::new();
    for entry in reader.list("CORS_ORIGINS") {
        let url = base_url(&entry).and_then(|url| Url::parse(&url).ok()).filter(|url| url.path() == "/");
        match url {
            Some(url) => origins.push(url.origin().ascii_serialization()),
            None => reader.problem("CORS_ORIGINS must list origins such as https://app.example.com, without a path and without *"),
        }
    }
    origins
}

/// What [`base_url`] takes, in words.
pub(super) const BASE_URL: &str = "an address such as https://ringback.example.com, without user, query or #";

/// An http or https address to which paths are appended: no slash at its end.
pub(super) fn base_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let bare = url.query().is_none() && url.fragment().is_none();
    (plain && bare).then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// The host of an address is this machine.
pub(super) fn is_loopback_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}
