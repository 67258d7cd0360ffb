//! Nothing secret gets past the door.

mod bodies;
mod prompts;
mod properties;
mod urls;

use ringback::vapi::{json, redact::redact};
use serde_json::Value;

/// A value, redacted.
fn redacted(value: &Value) -> Value {
    let text = value.to_string();
    let mut tree = json::parse(text.as_bytes()).expect("JSON");
    redact(&mut tree);
    serde_json::from_str(&tree.canonical()).expect("JSON again")
}
