//! The Kestra whose executions are resumed, and whose flow places calls.

use std::fmt;

use secrecy::SecretString;

use super::{
    http::{BASE_URL, base_url, is_loopback_url},
    reader::{Reader, boolean},
};

/// Letters of a tenant, a namespace or a flow of Kestra, at most.
const LONGEST_NAME: usize = 150;

/// A Kestra.
#[derive(Debug, Clone)]
pub struct KestraConfig {
    /// Its base address, without a slash at its end.
    pub url: String,
    /// The tenant when none is named.
    pub tenant: String,
    /// The namespace of the flow that places calls.
    pub namespace: String,
    /// That flow.
    pub flow: String,
    /// It places calls of which nobody says how they are to be placed.
    pub places: bool,
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

/// Reads it, if there is one.
pub(super) fn kestra(reader: &mut Reader<'_>) -> Option<KestraConfig> {
    let url = reader.optional("KESTRA_URL", BASE_URL, base_url);
    let tenant = reader.value("KESTRA_TENANT", "a tenant's name: letters, digits, - and _", |text| is_name(text).then(|| text.to_owned()));
    let namespace =
        reader.value("KESTRA_NAMESPACE", "a namespace: letters, digits, dots, - and _", |text| is_namespace(text).then(|| text.to_owned()));
    let flow = reader.value("KESTRA_FLOW", "a flow's id: letters, digits, - and _", |text| is_name(text).then(|| text.to_owned()));
    let places = reader.value("KESTRA_ENABLED", "true or false", boolean);
    let login = login(reader);
    let is_open = matches!(login, KestraLogin::Open);
    if url.is_none() && !is_open {
        reader.warn("KESTRA_URL is not set, so how to be let in there is of no use");
    }
    if url.is_none() && places {
        reader.problem("KESTRA_ENABLED has calls placed by Kestra; set KESTRA_URL too");
    }
    if url.as_deref().is_some_and(|url| url.starts_with("http:") && !is_loopback_url(url)) && !is_open {
        reader.warn("KESTRA_URL is http, so what lets us in there crosses the network in clear");
    }
    url.map(|url| KestraConfig { url, tenant, namespace, flow, places, login })
}

fn login(reader: &mut Reader<'_>) -> KestraLogin {
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| SecretString::from(text));
    let token = reader.optional("KESTRA_API_TOKEN", "one word of visible ASCII characters", visible);
    let user = reader.text("KESTRA_USERNAME");
    let password = reader.text("KESTRA_PASSWORD").map(SecretString::from);
    match (user, password, token) {
        (None, None, None) => KestraLogin::Open,
        (None, None, Some(token)) => KestraLogin::Token(token),
        (Some(user), Some(password), None) => KestraLogin::Basic(user, password),
        _ => {
            reader
                .problem("KESTRA_USERNAME and KESTRA_PASSWORD belong together, and KESTRA_API_TOKEN stands alone; set one of the two ways");
            KestraLogin::Open
        }
    }
}

/// What can stand in a path.
fn is_name(text: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(letters)
}

/// Names with dots in between.
fn is_namespace(text: &str) -> bool {
    text.len() <= LONGEST_NAME && text.split('.').all(is_name)
}
