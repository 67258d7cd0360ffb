//! What commands need that talk to a running service.

use secrecy::SecretString;

use super::{
    ConfigError,
    http::{BASE_URL, base_url},
    reader::Reader,
};

/// A running service and how to be let in.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Base address, without a slash at its end.
    pub url: String,
    /// The token to show.
    pub token: Option<SecretString>,
}

impl ClientConfig {
    /// Reads `RINGBACK_URL`, or else `BACKEND_URL`, or else `PORT`; and `RINGBACK_TOKEN`.
    ///
    /// # Errors
    /// When a value can't be used.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&lookup);
        let named = reader.optional("RINGBACK_URL", BASE_URL, base_url).or_else(|| reader.optional("BACKEND_URL", BASE_URL, base_url));
        let url = named.unwrap_or_else(|| local(&mut reader));
        let token = reader.text("RINGBACK_TOKEN").map(SecretString::from);
        reader.finish(Self { url, token }).map(|(client, _)| client)
    }
}

fn local(reader: &mut Reader<'_>) -> String {
    let port = reader.whole("PORT", 0..=u16::MAX);
    if port == 0 {
        reader.problem("RINGBACK_URL must say where the service listens when PORT is 0");
    }
    format!("http://127.0.0.1:{port}")
}
