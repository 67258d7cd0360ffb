//! Nothing secret gets past the door.

mod bodies;
mod prompts;
mod properties;
mod urls;

use ringback::vapi::{json, redact::redact};
use serde_json::Value;

/// Keys whose values are secrets, however they are spelled.
const SECRET_KEYS: [&str; 16] = [
    "secret",
    "serverUrlSecret",
    "token",
    "accessToken",
    "refreshToken",
    "authToken",
    "twilioAuthToken",
    "twilioApiSecret",
    "twilioApiKey",
    "apiKey",
    "password",
    "authorization",
    "privateKey",
    "jwt",
    "controlUrl",
    "listenUrl",
];

/// A value, redacted.
fn redacted(value: &Value) -> Value {
    let text = value.to_string();
    let arena = json::Arena::default();
    let tree = json::parse(text.as_bytes(), &arena).expect("JSON");
    serde_json::from_str(&redact(&tree, &arena).canonical()).expect("JSON again")
}
