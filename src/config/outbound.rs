//! Whom we may tell something: private places, and a Kestra.

use std::fmt;

use secrecy::SecretString;

use super::{
    http::{BASE_URL, base_url, is_loopback_url},
    reader::Reader,
};
use crate::outbound::guard::Allowed;

/// Letters of a Kestra tenant, at most.
const LONGEST_TENANT: usize = 100;

/// Requests of ours to other people's addresses.
#[derive(Debug, Clone, Default)]
pub struct OutboundConfig {
    /// Private addresses that URLs given over the API may reach.
    pub allowed: Allowed,
    /// The Kestra whose executions are resumed.
    pub kestra: Option<KestraConfig>,
}

/// A Kestra.
#[derive(Debug, Clone)]
pub struct KestraConfig {
    /// Its base address, without a slash at its end.
    pub url: String,
    /// The tenant when none is named.
    pub tenant: String,
    /// How to be let in.
    pub login: KestraLogin,
}

/// How Kestra lets us in.
#[derive(Clone)]
pub enum KestraLogin {
    /// It is open.
    Open,
    /// A user and a password.
    Basic(String, SecretString),
    /// An API token.
    Token(SecretString),
}

impl fmt::Debug for KestraLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Basic(..) => "Basic",
            Self::Token(_) => "Token",
        })
    }
}

impl OutboundConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self { allowed: allowed(reader), kestra: kestra(reader) }
    }
}

fn allowed(reader: &mut Reader<'_>) -> Allowed {
    let entries = reader.list("OUTBOUND_ALLOW");
    Allowed::parse(entries.iter().map(String::as_str)).unwrap_or_else(|place| {
        reader.problem(format!(
            "OUTBOUND_ALLOW: entry {place} must be a host, a *.suffix, an address or a range such as 10.0.0.0/8, each with an optional :port"
        ));
        Allowed::default()
    })
}

fn kestra(reader: &mut Reader<'_>) -> Option<KestraConfig> {
    let url = reader.optional("KESTRA_URL", BASE_URL, base_url);
    let tenant =
        reader.value("KESTRA_TENANT", "a tenant's name: letters, digits, - and _", |text| is_tenant(text).then(|| text.to_owned()));
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| SecretString::from(text));
    let token = reader.optional("KESTRA_API_TOKEN", "one word of visible ASCII characters", visible);
    let user = reader.text("KESTRA_USERNAME");
    let password = reader.text("KESTRA_PASSWORD").map(SecretString::from);
    let login = match (user, password, token) {
        (None, None, None) => KestraLogin::Open,
        (None, None, Some(token)) => KestraLogin::Token(token),
        (Some(user), Some(password), None) => KestraLogin::Basic(user, password),
        _ => {
            reader
                .problem("KESTRA_USERNAME and KESTRA_PASSWORD belong together, and KESTRA_API_TOKEN stands alone; set one of the two ways");
            KestraLogin::Open
        }
    };
    let is_open = matches!(login, KestraLogin::Open);
    if url.is_none() && !is_open {
        reader.warn("KESTRA_URL is not set, so how to be let in there is of no use");
    }
    if url.as_deref().is_some_and(|url| url.starts_with("http:") && !is_loopback_url(url)) && !is_open {
        reader.warn("KESTRA_URL is http, so what lets us in there crosses the network in clear");
    }
    url.map(|url| KestraConfig { url, tenant, login })
}

/// What can stand in a path as a tenant.
#[must_use]
pub fn is_tenant(text: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_TENANT).contains(&text.len()) && text.bytes().all(letters)
}
