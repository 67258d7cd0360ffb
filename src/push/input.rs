//! Fields that subscriptions and callbacks have in common.

use std::collections::BTreeMap;

use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;

use super::target::Hidden;
use crate::{call::view::View, fields::Fields};

/// Characters of an address, at most.
const LONGEST_URL: usize = 2_048;
/// Headers of one subscription, at most.
const MOST_HEADERS: usize = 20;
/// Characters of one header's name, at most.
const LONGEST_HEADER_NAME: usize = 64;
/// Characters of one header's value, at most.
const LONGEST_HEADER: usize = 2_048;
/// Headers that are ours to send, or the connection's.
const OWN_HEADERS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
];
/// And all that begin so.
const OWN_PREFIXES: [&str; 2] = ["webhook-", "proxy-"];

/// `full` or `summary`.
pub(super) fn view(fields: &mut Fields<'_>, name: &'static str) -> Option<View> {
    fields.choice(name, &[("full", View::Full), ("summary", View::Summary)])
}

/// Headers by name, to be sent along.
pub(super) fn headers(fields: &mut Fields<'_>, name: &'static str) -> BTreeMap<String, Hidden> {
    let headers = fields.member(name).map_or(Ok(BTreeMap::new()), read_headers);
    headers.map_err(|message| fields.wrong(name, message)).unwrap_or_default()
}

/// An address that may be asked over HTTP.
pub(super) fn url(text: &str) -> Result<Hidden, String> {
    const EXPECTED: &str = "must be an http or https address";
    let parsed = Url::parse(text).map_err(|_no_url| EXPECTED.to_owned())?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none_or(str::is_empty) {
        return Err(EXPECTED.to_owned());
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("must not hold a user or a password; send them in headers".to_owned());
    }
    if text.len() > LONGEST_URL || text.chars().any(char::is_whitespace) {
        return Err(format!("must have at most {LONGEST_URL} characters, and no spaces"));
    }
    if parsed.fragment().is_some() {
        return Err("must have no # part: it is never sent".to_owned());
    }
    Ok(Hidden::from(text))
}

fn read_headers(value: &Value) -> Result<BTreeMap<String, Hidden>, String> {
    let given = value.as_object().ok_or("must be an object of texts")?;
    if given.len() > MOST_HEADERS {
        return Err(format!("may have {MOST_HEADERS} members"));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in given {
        let name = HeaderName::try_from(name.as_str()).ok().filter(|name| name.as_str().len() <= LONGEST_HEADER_NAME);
        let name = name.ok_or("must have names that headers can have")?;
        let name = name.as_str();
        if OWN_HEADERS.contains(&name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(format!("may not set {name}"));
        }
        let text = value.as_str().filter(|text| text.len() <= LONGEST_HEADER && HeaderValue::from_str(text).is_ok());
        let text = text.ok_or_else(|| format!("must give {name} a text of at most {LONGEST_HEADER} characters on one line"))?;
        headers.insert(name.to_owned(), Hidden::from(text));
    }
    Ok(headers)
}
