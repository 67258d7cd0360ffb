//! Nothing secret gets past the door: what is stored, logged, sent on or shown is redacted first.
//!
//! Rules (string values only, at any depth): the value of a secret's key and everything under `headers` and `credentials` becomes
//! `[redacted]`; a URL with a signature or token in its query loses the query; a system prompt becomes its length and hash.
//! What people and models said (`transcript`, `messages`, `analysis`, `structuredOutputs`) stays as it is, but for system prompts among it.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::json::Node;

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// How the stand-in for a system prompt begins; redacting twice changes nothing.
const HIDDEN_PROMPT: &str = "[system prompt: ";

/// Keys whose text is secret, in lower case without `_` and `-`. `presignedurlsexpiresat` is none, but it changes with every presigned link:
/// left as it is, a second delivery of one message would look like another message.
const SECRET_KEYS: [&str; 17] = [
    "accesstoken",
    "apikey",
    "authorization",
    "authtoken",
    "controlurl",
    "jwt",
    "listenurl",
    "password",
    "presignedurlsexpiresat",
    "privatekey",
    "refreshtoken",
    "secret",
    "serverurlsecret",
    "token",
    "twilioapikey",
    "twilioapisecret",
    "twilioauthtoken",
];

/// Under these keys every text is secret.
const SECRET_BRANCHES: [&str; 2] = ["credentials", "headers"];

/// Under these keys stands what was said, or what a model made of it.
const SPOKEN_BRANCHES: [&str; 4] = ["analysis", "messages", "structuredOutputs", "transcript"];

/// The longest normalised secret key.
const LONGEST_KEY: usize = 22;

/// Where in the tree we are.
#[derive(Clone, Copy, PartialEq)]
enum Branch {
    Plain,
    Secret,
    Spoken,
}

/// Redacts a body in place.
pub fn redact(node: &mut Node<'_>) {
    walk(node, Branch::Plain);
}

fn walk(node: &mut Node<'_>, branch: Branch) {
    match node {
        Node::List(items) => items.iter_mut().for_each(|item| walk(item, branch)),
        Node::Object(members) => {
            hide_system_prompt(members);
            for (key, value) in members {
                walk_member(key, value, branch);
            }
        }
        Node::Text(text) => match branch {
            Branch::Secret => *text = Cow::Borrowed(REDACTED),
            Branch::Plain => cut_signed_query(text),
            Branch::Spoken => {}
        },
        Node::Null | Node::Bool(_) | Node::Whole(_) | Node::Number(_) => {}
    }
}

fn walk_member(key: &str, value: &mut Node<'_>, branch: Branch) {
    if key == "systemPrompt" {
        return hide_prompt(value);
    }
    if branch != Branch::Plain {
        return walk(value, branch);
    }
    match value {
        Node::Text(text) if is_secret_key(key) => *text = Cow::Borrowed(REDACTED),
        value => walk(value, branch_under(key)),
    }
}

fn branch_under(key: &str) -> Branch {
    if SPOKEN_BRANCHES.contains(&key) {
        Branch::Spoken
    } else if SECRET_BRANCHES.contains(&normalised(key).as_str()) {
        Branch::Secret
    } else {
        Branch::Plain
    }
}

fn is_secret_key(key: &str) -> bool {
    SECRET_KEYS.binary_search(&normalised(key).as_str()).is_ok()
}

/// Lower case without `_` and `-`; cut where no secret key is longer.
fn normalised(key: &str) -> NormalKey {
    let mut normal = NormalKey { bytes: [0; LONGEST_KEY + 1], length: 0 };
    for byte in key.bytes().filter(|byte| !matches!(byte, b'_' | b'-')).take(LONGEST_KEY + 1) {
        normal.bytes[normal.length] = byte.to_ascii_lowercase();
        normal.length += 1;
    }
    normal
}

/// A key on the stack: this runs for every member of every body.
struct NormalKey {
    bytes: [u8; LONGEST_KEY + 1],
    length: usize,
}

impl NormalKey {
    fn as_str(&self) -> &str {
        // A key cut inside a character is no secret key.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// A message of role `system` keeps only the length and hash of its words.
fn hide_system_prompt(members: &mut [(Cow<'_, str>, Node<'_>)]) {
    let is_system = members.iter().any(|(key, value)| key == "role" && value.text() == Some("system"));
    if is_system {
        for (_, value) in members.iter_mut().filter(|(key, _)| matches!(key.as_ref(), "content" | "message")) {
            hide_prompt(value);
        }
    }
}

fn hide_prompt(value: &mut Node<'_>) {
    let words = match &mut *value {
        Node::Null => return,
        Node::Text(text) if text.is_empty() || text.starts_with(HIDDEN_PROMPT) => return,
        Node::Text(text) => std::mem::take(text),
        other => Cow::Owned(other.canonical()),
    };
    let hash = hex::encode(&Sha256::digest(words.as_bytes())[..8]);
    let hidden = format!("{HIDDEN_PROMPT}{} characters, sha256 {hash}]", words.chars().count());
    *value = Node::Text(Cow::Owned(hidden));
}

/// Cuts the query off a URL that carries a signature or token in it.
fn cut_signed_query(text: &mut Cow<'_, str>) {
    let is_url = text.split_once("://").is_some_and(|(scheme, _)| matches!(scheme.trim_start(), "http" | "https" | "ws" | "wss"));
    if !is_url {
        return;
    }
    let Some((address, query)) = text.split_once('?') else { return };
    if query.split(['&', ';', '#']).any(|parameter| names_a_secret(parameter.split('=').next().unwrap_or_default())) {
        *text = Cow::Owned(address.to_owned());
    }
}

fn names_a_secret(parameter: &str) -> bool {
    let name = parameter.to_ascii_lowercase().replace(['-', '_'], "");
    matches!(name.as_str(), "sig" | "key" | "auth" | "jwt" | "se")
        || ["signature", "token", "secret", "password", "apikey", "credential"].iter().any(|part| name.contains(part))
}
