//! With what the webhooks of one object prove themselves, as far as its settings tell. Pure; nothing secret leaves it but in what is sent to Vapi.

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::object::{Needs, Object};

/// The header that carries the secret itself.
pub(super) const HEADER: &str = "x-vapi-secret";
/// The other one.
const AUTHORIZATION: &str = "authorization";

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    /// None is asked for.
    NotNeeded,
    /// A credential at Vapi; what is in it is not told.
    Kept,
    /// One of our secrets stands there.
    Ours,
    /// A secret stands there that Vapi does not show.
    Hidden,
    /// A secret that is none of ours.
    Other,
    /// A secret stands there, but secrets as they are do not count here.
    NotCounted,
    /// There is none.
    Missing,
}

impl Credential {
    pub(super) fn is_good(self) -> bool {
        matches!(self, Self::NotNeeded | Self::Kept | Self::Ours | Self::Hidden)
    }
}

/// Looks at the settings of an object.
pub(super) fn of(object: &Object, needs: &Needs) -> Credential {
    if !needs.proof {
        return Credential::NotNeeded;
    }
    let server = object.server();
    if server["credentialId"].as_str().is_some_and(|id| !id.is_empty()) {
        return Credential::Kept;
    }
    let Some(shown) = shown(object) else { return Credential::Missing };
    if !needs.counts("secret") && !needs.counts("bearer") {
        return Credential::NotCounted;
    }
    let word = shown.strip_prefix("Bearer ").unwrap_or(shown).trim();
    let is_ours = |secret: &secrecy::SecretString| bool::from(secret.expose_secret().as_bytes().ct_eq(word.as_bytes()));
    match word {
        word if is_masked(word) => Credential::Hidden,
        _ if needs.secrets.iter().any(is_ours) => Credential::Ours,
        _ => Credential::Other,
    }
}

/// The secret as it stands in the settings.
fn shown(object: &Object) -> Option<&str> {
    let server = object.server();
    let in_headers = header(server["headers"].as_object(), HEADER).or_else(|| header(server["headers"].as_object(), AUTHORIZATION));
    let older = server["secret"].as_str().or_else(|| object.value["serverUrlSecret"].as_str());
    in_headers.or(older).filter(|secret| !secret.is_empty())
}

fn header<'a>(headers: Option<&'a Map<String, Value>>, name: &str) -> Option<&'a str> {
    headers?.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1.as_str()
}

/// Vapi does not show it: to send such a value back would break what is there.
fn is_masked(value: &str) -> bool {
    value.contains("**") || value.contains("••") || value.to_ascii_lowercase().contains("redacted")
}

/// Is there anything in these settings that can't be sent back as it was told?
pub(super) fn hides_something(server: &Value) -> bool {
    match server {
        Value::String(text) => is_masked(text),
        Value::Array(items) => items.iter().any(hides_something),
        Value::Object(members) => members.values().any(hides_something),
        _ => false,
    }
}

/// The headers with our secret in them; `None` when we have none that could stand there.
pub(super) fn headers(server: &Value, needs: &Needs) -> Option<Value> {
    let secret = needs.secrets.first().filter(|_| needs.counts("secret"))?;
    let mut headers = server["headers"].as_object().cloned().unwrap_or_default();
    headers.retain(|name, _| !name.eq_ignore_ascii_case(HEADER));
    headers.insert(HEADER.to_owned(), secret.expose_secret().into());
    Some(Value::Object(headers))
}
