//! Nothing secret gets past the door: what is stored, logged, sent on or shown is redacted first.
//!
//! Rules (string values only, at any depth): the value of a secret's key and everything under `headers` and `credentials` becomes
//! `[redacted]`; a URL with a signature or token in its query loses the query; a system prompt becomes its length and hash. A text that is
//! itself JSON, as Vapi writes the arguments of tools, is redacted like the tree it stands for.
//! What people and models said (`transcript`, `messages`, `analysis`, `structuredOutputs`) stays as it is, but for system prompts among messages.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::json::{self, Node};

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// The stand-in for a system prompt is this, its length, [`BEFORE_HASH`], [`HASH_LENGTH`] hex digits, and `]`.
const HIDDEN_PROMPT: &str = "[system prompt: ";
const BEFORE_HASH: &str = " characters, sha256 ";
const HASH_LENGTH: usize = 16;

/// What a key says of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Its text is secret.
    Secret,
    /// Every text under it is secret.
    SecretBranch,
    /// A system prompt that is no message, as some models have it.
    SystemPrompt,
    /// No secret, but it changes with every presigned link: left as it is, a second delivery of one message would look like another message.
    LinksExpire,
    /// Nothing of the above.
    Nothing,
}

/// What a key means that was [`normalised`]: this runs for every member of every body, and a match costs less than a search.
fn meaning(normal: &[u8]) -> Meaning {
    match normal {
        b"accesstoken" | b"apikey" | b"authorization" | b"authtoken" | b"controlurl" | b"jwt" | b"listenurl" | b"password"
        | b"privatekey" | b"refreshtoken" | b"secret" | b"serverurlsecret" | b"token" | b"twilioapikey" | b"twilioapisecret"
        | b"twilioauthtoken" => Meaning::Secret,
        b"credentials" | b"headers" => Meaning::SecretBranch,
        b"systemprompt" => Meaning::SystemPrompt,
        b"presignedurlsexpiresat" => Meaning::LinksExpire,
        _ => Meaning::Nothing,
    }
}

/// Under these keys stands what was said.
const SPOKEN_BRANCHES: [&str; 2] = ["messages", "transcript"];

/// Under these keys stands what a model made of it.
const ANALYSIS_BRANCHES: [&str; 2] = ["analysis", "structuredOutputs"];

/// Bytes of the shortest key of a system prompt that is no message.
const SYSTEM_PROMPT: usize = "systemprompt".len();

/// The longest normalised key that means something here.
const LONGEST_KEY: usize = "presignedurlsexpiresat".len();

/// JSON inside a text inside JSON is looked into this deep; a bound on the stack, for each level may be nested 127 deep by itself.
const MOST_LEVELS: u8 = 2;

/// Where in the tree we are.
#[derive(Clone, Copy)]
enum Branch {
    /// Where secrets are to be found; how many texts we are inside of.
    Plain(u8),
    Secret,
    Spoken,
    Analysis,
}

/// Redacts a body in place.
pub fn redact(node: &mut Node<'_>) {
    walk(node, Branch::Plain(0));
}

fn walk(node: &mut Node<'_>, branch: Branch) {
    match node {
        Node::List(items) => items.iter_mut().for_each(|item| walk(item, branch)),
        Node::Object(members) => {
            if matches!(branch, Branch::Plain(_) | Branch::Spoken) {
                hide_system_prompt(members);
            }
            for (key, value) in members {
                walk_member(key, value, branch);
            }
        }
        Node::Text(text) => match branch {
            Branch::Secret => *text = Cow::Borrowed(REDACTED),
            Branch::Plain(level) => redact_text(text, level),
            Branch::Spoken | Branch::Analysis => {}
        },
        Node::Null | Node::Bool(_) | Node::Whole(_) | Node::Number(_) => {}
    }
}

fn walk_member(key: &str, value: &mut Node<'_>, branch: Branch) {
    let Branch::Plain(_) = branch else {
        // The length first: most of what is walked through are words of a transcript, with short keys.
        let is_prompt =
            matches!(branch, Branch::Spoken) && key.len() >= SYSTEM_PROMPT && normalised(key).meaning() == Meaning::SystemPrompt;
        return if is_prompt { hide_prompt(value) } else { walk(value, branch) };
    };
    match normalised(key).meaning() {
        Meaning::SystemPrompt => hide_prompt(value),
        Meaning::LinksExpire if !value.is_empty() => *value = Node::Text(Cow::Borrowed(REDACTED)),
        Meaning::Secret => hide_texts(value, branch),
        Meaning::SecretBranch => walk(value, Branch::Secret),
        _ if SPOKEN_BRANCHES.contains(&key) => walk(value, Branch::Spoken),
        _ if ANALYSIS_BRANCHES.contains(&key) => walk(value, Branch::Analysis),
        _ => walk(value, branch),
    }
}

/// The value of a secret's key: a text or a list of texts. An object is none: `{"password": {"type": "string"}}` describes a form.
fn hide_texts(value: &mut Node<'_>, branch: Branch) {
    match value {
        Node::Text(text) => *text = Cow::Borrowed(REDACTED),
        Node::List(items) => items.iter_mut().for_each(|item| hide_texts(item, branch)),
        value => walk(value, branch),
    }
}

/// Lower case without `_` and `-`; cut where no key that means something is longer.
fn normalised(key: &str) -> NormalKey {
    let mut normal = NormalKey { bytes: [0; LONGEST_KEY + 1], length: 0 };
    if key.len() <= LONGEST_KEY && !key.bytes().any(|byte| matches!(byte, b'_' | b'-')) {
        normal.length = key.len();
        normal.bytes[..key.len()].copy_from_slice(key.as_bytes());
        normal.bytes.make_ascii_lowercase();
        return normal;
    }
    for byte in key.bytes().filter(|byte| !matches!(byte, b'_' | b'-')).take(LONGEST_KEY + 1) {
        normal.bytes[normal.length] = byte.to_ascii_lowercase();
        normal.length += 1;
    }
    normal
}

/// A key on the stack.
struct NormalKey {
    bytes: [u8; LONGEST_KEY + 1],
    length: usize,
}

impl NormalKey {
    fn meaning(&self) -> Meaning {
        meaning(&self.bytes[..self.length])
    }
}

/// A message of role `system`, or `developer` as newer models call it, keeps only the length and hash of its words.
fn hide_system_prompt(members: &mut [(Cow<'_, str>, Node<'_>)]) {
    let is_system = |role: &str| ["system", "developer"].iter().any(|it| role.eq_ignore_ascii_case(it));
    if members.iter().any(|(key, value)| key == "role" && value.text().is_some_and(is_system)) {
        for (_, value) in members.iter_mut().filter(|(key, _)| matches!(key.as_ref(), "content" | "message")) {
            hide_prompt(value);
        }
    }
}

fn hide_prompt(value: &mut Node<'_>) {
    let words = match &mut *value {
        Node::Null => return,
        Node::Text(text) if text.is_empty() || is_hidden_prompt(text) => return,
        Node::Text(text) => std::mem::take(text),
        other => Cow::Owned(other.canonical()),
    };
    let hash = hex::encode(&Sha256::digest(words.as_bytes())[..HASH_LENGTH / 2]);
    let length = words.chars().count();
    *value = Node::Text(Cow::Owned(format!("{HIDDEN_PROMPT}{length}{BEFORE_HASH}{hash}]")));
}

/// Redacting twice changes nothing; but a prompt can't pass by beginning like a stand-in.
fn is_hidden_prompt(text: &str) -> bool {
    let inside = text.strip_prefix(HIDDEN_PROMPT).and_then(|rest| rest.strip_suffix(']'));
    inside.and_then(|inside| inside.split_once(BEFORE_HASH)).is_some_and(|(length, hash)| {
        length.parse::<usize>().is_ok() && hash.len() == HASH_LENGTH && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn redact_text(text: &mut Cow<'_, str>, level: u8) {
    let tree = if text.trim_start().starts_with(['{', '[']) && level < MOST_LEVELS { json::parse(text.as_bytes()).ok() } else { None };
    let redacted = match tree {
        Some(tree) => redacted_json(tree, level),
        None if text.contains("://") => without_signed_queries(text),
        None => None,
    };
    if let Some(redacted) = redacted {
        *text = Cow::Owned(redacted);
    }
}

/// What stood in a text, redacted and as text again; `None` when it has nothing to hide.
fn redacted_json(mut tree: Node<'_>, level: u8) -> Option<String> {
    let before = tree.canonical();
    walk(&mut tree, Branch::Plain(level + 1));
    let after = tree.canonical();
    (before != after).then_some(after)
}

/// The text without the queries of URLs that carry a signature or token there; `None` when there is none.
fn without_signed_queries(text: &str) -> Option<String> {
    let mut cut = String::new();
    let mut rest = text;
    while let Some(scheme_end) = rest.find("://") {
        // A text that begins with a URL is one, whatever blanks somebody left in it; one in the middle of words ends where they go on.
        let is_all = cut.is_empty() && rest.len() == text.len() && rest[..scheme_end].trim_start().bytes().all(is_scheme);
        let ends = |at: char| at.is_whitespace() || matches!(at, '"' | '<' | '>' | '\\');
        let end = rest[scheme_end..].find(ends).filter(|_| !is_all).map_or(rest.len(), |length| scheme_end + length);
        let (url, after) = rest.split_at(end);
        let query = url[scheme_end..].find(['?', '#']).map(|at| scheme_end + at).filter(|at| is_signed(&url[*at..]));
        cut.push_str(&url[..query.unwrap_or(url.len())]);
        rest = after;
    }
    cut.push_str(rest);
    (cut.len() != text.len()).then_some(cut)
}

fn is_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn is_signed(query: &str) -> bool {
    query.split(['?', '&', ';', '#']).any(|parameter| names_a_secret(parameter.split('=').next().unwrap_or_default()))
}

fn names_a_secret(parameter: &str) -> bool {
    let name = parameter.to_ascii_lowercase().replace(['-', '_'], "");
    matches!(name.as_str(), "sig" | "key" | "auth" | "jwt" | "se")
        || ["signature", "token", "secret", "password", "apikey", "credential"].iter().any(|part| name.contains(part))
}
