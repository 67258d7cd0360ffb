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

/// What would give an object's webhooks a proof that counts.
pub(super) struct Proposal {
    /// The field of the object that changes, in words.
    pub(super) field: &'static str,
    /// What would stand there, in words.
    pub(super) words: String,
    /// The field of its server that changes.
    pub(super) key: &'static str,
    /// What is sent. May be secret.
    pub(super) value: Value,
}

/// The credential that is configured; else our secret itself; `None` when there is neither.
pub(super) fn proposal(server: &Value, needs: &Needs) -> Option<Proposal> {
    if let Some(id) = &needs.credential_id {
        let words = format!("{id} (VAPI_CREDENTIAL_ID)");
        return Some(Proposal { field: "server.credentialId", words, key: "credentialId", value: id.as_str().into() });
    }
    let words = "the first secret of VAPI_WEBHOOK_SECRET".to_owned();
    Some(Proposal { field: "server.headers.x-vapi-secret", words, key: "headers", value: headers(server, needs)? })
}

/// The headers with our secret in them; `None` when we have none that could stand there.
fn headers(server: &Value, needs: &Needs) -> Option<Value> {
    let secret = needs.secrets.first().filter(|_| needs.counts("secret"))?;
    let mut headers = server["headers"].as_object().cloned().unwrap_or_default();
    headers.retain(|name, _| !name.eq_ignore_ascii_case(HEADER));
    headers.insert(HEADER.to_owned(), secret.expose_secret().into());
    Some(Value::Object(headers))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Needs, proposal};

    #[test]
    fn the_credential_that_is_configured_goes_before_our_secret_itself() {
        let proposed = |credential: Option<&str>, secrets: &[&str]| {
            let (credential_id, proofs) = (credential.map(str::to_owned), vec!["secret".to_owned()]);
            let secrets = secrets.iter().map(|secret| (*secret).into()).collect();
            let needs = Needs { credential_id, secrets, proofs, ..Needs::default() };
            proposal(&json!({"headers": {"X-Vapi-Secret": "another", "X-Mine": "1"}}), &needs).map(|it| (it.field, it.value))
        };
        let with_ours = json!({"X-Mine": "1", "x-vapi-secret": "ours"});
        assert_eq!(proposed(Some("cred-1"), &["ours"]), Some(("server.credentialId", Value::from("cred-1"))));
        assert_eq!(proposed(Some("cred-1"), &[]), Some(("server.credentialId", Value::from("cred-1"))));
        assert_eq!(proposed(None, &["ours"]), Some(("server.headers.x-vapi-secret", with_ours)));
        assert_eq!(proposed(None, &[]), None);
    }
}
