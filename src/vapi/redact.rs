//! Nothing secret gets past the door: what is stored, logged, sent on or shown is redacted first.
//!
//! Rules (string values only, at any depth): the value of a secret's key and everything under `headers` and `credentials` becomes
//! `[redacted]`; a URL with a signature or token in its query loses the query; a system prompt becomes its length and hash. A text that is
//! itself JSON, as Vapi writes the arguments of tools, is redacted like the tree it stands for.
//! What people and models said (`transcript`, `messages`, `analysis`, `structuredOutputs`) stays as it is, but for system prompts among messages.

use sha2::{Digest, Sha256};

use super::json::{self, Arena, Member, Node, Text};

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

/// The body without its secrets.
#[must_use]
pub fn redact<'a>(node: &Node<'a>, arena: &'a Arena) -> Node<'a> {
    Redactor { arena, last_prompt: None }.walk(node, Branch::Plain(0)).unwrap_or(*node)
}

/// A whole body without its secrets, as canonical JSON; `None` when it is no JSON.
#[must_use]
pub fn redacted(body: &[u8]) -> Option<String> {
    let arena = Arena::default();
    let mut json = Vec::with_capacity(body.len());
    redact(&json::parse(body, &arena).ok()?, &arena).write(&mut json);
    String::from_utf8(json).ok()
}

/// Walks a tree. Every step gives what to put in place of what it saw, or `None` when that may stay.
struct Redactor<'a> {
    arena: &'a Arena,
    /// The last system prompt, and what stands for it: a body has the same one several times.
    last_prompt: Option<(&'a str, Node<'a>)>,
}

impl<'a> Redactor<'a> {
    fn walk(&mut self, node: &Node<'a>, branch: Branch) -> Option<Node<'a>> {
        match node {
            Node::List(items) => self.each_item(items, |this, item| this.walk(item, branch)),
            Node::Object(members) => {
                let is_prompt = matches!(branch, Branch::Plain(_) | Branch::Spoken) && is_system_prompt(members);
                self.each_member(members, |this, key, value| match key {
                    "content" | "message" if is_prompt => this.hidden_prompt(value),
                    _ => this.walk_member(key, value, branch),
                })
            }
            Node::Text(text) => match branch {
                Branch::Secret => hidden(text.as_str()),
                Branch::Plain(level) => self.redacted_text(text.as_str(), level),
                Branch::Spoken | Branch::Analysis => None,
            },
            Node::Null | Node::Bool(_) | Node::Whole(_) | Node::Number(_) => None,
        }
    }

    fn walk_member(&mut self, key: &str, value: &Node<'a>, branch: Branch) -> Option<Node<'a>> {
        let Branch::Plain(_) = branch else {
            // The length first: most of what is walked through are words of a transcript, with short keys.
            let is_prompt = matches!(branch, Branch::Spoken) && key.len() >= SYSTEM_PROMPT && meaning_of(key) == Meaning::SystemPrompt;
            return if is_prompt { self.hidden_prompt(value) } else { self.walk(value, branch) };
        };
        match meaning_of(key) {
            Meaning::SystemPrompt => self.hidden_prompt(value),
            Meaning::LinksExpire if !value.is_empty() => Some(Node::Text(Text::new(REDACTED))),
            Meaning::Secret => self.hidden_texts(value, branch),
            Meaning::SecretBranch => self.walk(value, Branch::Secret),
            _ if SPOKEN_BRANCHES.contains(&key) => self.walk(value, Branch::Spoken),
            _ if ANALYSIS_BRANCHES.contains(&key) => self.walk(value, Branch::Analysis),
            _ => self.walk(value, branch),
        }
    }

    /// The value of a secret's key: a text or a list of texts. An object is none: `{"password": {"type": "string"}}` describes a form.
    fn hidden_texts(&mut self, value: &Node<'a>, branch: Branch) -> Option<Node<'a>> {
        match value {
            Node::Text(text) => hidden(text.as_str()),
            Node::List(items) => self.each_item(items, |this, item| this.hidden_texts(item, branch)),
            value => self.walk(value, branch),
        }
    }

    fn each_item(&mut self, items: &'a [Node<'a>], mut step: impl FnMut(&mut Self, &'a Node<'a>) -> Option<Node<'a>>) -> Option<Node<'a>> {
        let mut changed: Option<&mut [Node<'a>]> = None;
        for (at, item) in items.iter().enumerate() {
            if let Some(redacted) = step(self, item) {
                changed.get_or_insert_with(|| self.arena.items(items))[at] = redacted;
            }
        }
        changed.map(|items| Node::List(items))
    }

    fn each_member(
        &mut self,
        members: &'a [Member<'a>],
        mut step: impl FnMut(&mut Self, &str, &'a Node<'a>) -> Option<Node<'a>>,
    ) -> Option<Node<'a>> {
        let mut changed: Option<&mut [Member<'a>]> = None;
        for (at, (key, value)) in members.iter().enumerate() {
            if let Some(redacted) = step(self, key.as_str(), value) {
                changed.get_or_insert_with(|| self.arena.members(members))[at].1 = redacted;
            }
        }
        changed.map(|members| Node::Object(members))
    }

    fn hidden_prompt(&mut self, value: &Node<'a>) -> Option<Node<'a>> {
        let words = match value {
            Node::Null => return None,
            Node::Text(text) if text.as_str().is_empty() || is_hidden_prompt(text.as_str()) => return None,
            Node::Text(text) => text.as_str(),
            other => self.arena.text(&other.canonical()).as_str(),
        };
        if let Some((last, stand_in)) = self.last_prompt
            && last == words
        {
            return Some(stand_in);
        }
        let hash = hex::encode(&Sha256::digest(words.as_bytes())[..HASH_LENGTH / 2]);
        let length = words.chars().count();
        let stand_in = Node::Text(self.arena.text(&format!("{HIDDEN_PROMPT}{length}{BEFORE_HASH}{hash}]")));
        self.last_prompt = Some((words, stand_in));
        Some(stand_in)
    }

    fn redacted_text(&mut self, text: &'a str, level: u8) -> Option<Node<'a>> {
        let is_json = text.trim_start().starts_with(['{', '[']) && level < MOST_LEVELS;
        let redacted = match is_json.then(|| json::parse(text.as_bytes(), self.arena).ok()).flatten() {
            Some(tree) => self.walk(&tree, Branch::Plain(level + 1)).map(|redacted| redacted.canonical()),
            None if text.contains("://") => without_signed_queries(text),
            None => None,
        };
        redacted.map(|redacted| Node::Text(self.arena.text(&redacted)))
    }
}

fn hidden(text: &str) -> Option<Node<'static>> {
    (text != REDACTED).then_some(Node::Text(Text::new(REDACTED)))
}

/// What a key says of its value, however it is spelled.
fn meaning_of(key: &str) -> Meaning {
    if may_mean_something(key.as_bytes()) { normalised(key).meaning() } else { Meaning::Nothing }
}

/// Most keys are told from those of [`meaning`] by their ends alone.
fn may_mean_something(key: &[u8]) -> bool {
    let (Some(first), Some(last)) = (key.first(), key.last()) else { return false };
    let ends = (first.to_ascii_lowercase(), last.to_ascii_lowercase());
    matches!(
        ends,
        (b'_' | b'-', _)
            | (_, b'_' | b'-')
            | (b'a' | b't', b'n' | b'y')
            | (b'c' | b'l', b'l')
            | (b'c' | b'h', b's')
            | (b'j' | b'p' | b's' | b't', b't')
            | (b'p', b'd' | b'y')
            | (b'r', b'n')
    )
}

/// Lower case without `_` and `-`; cut where no key that means something is longer.
fn normalised(key: &str) -> NormalKey {
    let mut normal = NormalKey { bytes: [0; LONGEST_KEY + 1], length: 0 };
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
fn is_system_prompt(members: &[Member<'_>]) -> bool {
    let is_system = |role: &str| ["system", "developer"].iter().any(|it| role.eq_ignore_ascii_case(it));
    members.iter().any(|(key, value)| key.as_str() == "role" && value.text().is_some_and(is_system))
}

/// Redacting twice changes nothing; but a prompt can't pass by beginning like a stand-in.
fn is_hidden_prompt(text: &str) -> bool {
    let inside = text.strip_prefix(HIDDEN_PROMPT).and_then(|rest| rest.strip_suffix(']'));
    inside.and_then(|inside| inside.split_once(BEFORE_HASH)).is_some_and(|(length, hash)| {
        length.parse::<usize>().is_ok() && hash.len() == HASH_LENGTH && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The text without the queries of URLs that carry a signature or token there; `None` when there is none.
fn without_signed_queries(text: &str) -> Option<String> {
    let mut cut = String::new();
    let mut rest = text;
    while let Some(scheme_end) = rest.find("://") {
        // A text that begins with a URL is one, whatever blanks somebody left in it; one in the middle of words ends where they go on.
        let is_all = cut.is_empty() && rest.len() == text.len() && rest[..scheme_end].trim_start().bytes().all(is_scheme);
        let ends = |at: char| at.is_whitespace() || matches!(at, '"' | '<' | '>' | '\\');
        let end = if is_all { rest.len() } else { rest[scheme_end..].find(ends).map_or(rest.len(), |length| scheme_end + length) };
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
    let mut name = String::new();
    query.split(['?', '&', ';', '#']).any(|parameter| {
        let stated = parameter.split('=').next().unwrap_or_default();
        name.clear();
        name.extend(stated.chars().filter(|letter| !matches!(letter, '-' | '_')).map(|letter| letter.to_ascii_lowercase()));
        names_a_secret(&name)
    })
}

fn names_a_secret(name: &str) -> bool {
    matches!(name, "sig" | "key" | "auth" | "jwt" | "se")
        || ["signature", "token", "secret", "password", "apikey", "credential"].iter().any(|part| name.contains(part))
}
