//! `TOOLS`: who answers what the assistant asks.
//!
//! The whole file is checked at the start. A sentence about it names the file, the line or the entry, the field, and what was expected; it never repeats
//! a value: a URL may hold a token.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, time::Duration};

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::reader::Reader;
use crate::outbound::SigningKey;

/// Seconds that an endpoint may be given: Vapi itself waits 20 for tools.
const TIMEOUT_SECONDS: RangeInclusive<f64> = 1.0..=18.0;
/// What an endpoint is given unless told otherwise, in seconds.
const USUAL_TIMEOUT: f64 = 5.0;
/// The same for a relay, whose tools may be as slow as they were before.
const RELAY_TIMEOUT: f64 = 18.0;
/// Vapi gives up an `assistant-request` after 7.5 s, network included.
const ASSISTANT_SECONDS: f64 = 5.0;
/// Characters of a fallback: it is said aloud.
const LONGEST_FALLBACK: usize = 500;
/// What is said for a tool without a fallback of its own.
pub const USUAL_FALLBACK: &str = "I can't do that right now.";
/// The tool that stands for all that are not named.
pub const ANY_TOOL: &str = "*";
/// What `[requests.*]` may be about.
const REQUESTS: [&str; 7] = [
    "assistant-request",
    "call.endpointing.request",
    "campaign.predial",
    "handoff-destination-request",
    "knowledge-base-request",
    "transfer-destination-request",
    "voice-request",
];

/// How the entries of the file begin.
const ENTRIES: [&str; 3] = ["[tools.", "[requests.", "[relay"];
/// What stands in them.
const FIELDS: [&str; 6] = ["url", "secret_env", "timeout_seconds", "fallback", "format", "answer"];

/// Who answers.
#[derive(Debug, Clone, Default)]
pub struct ToolsConfig {
    /// By the tool's name at Vapi.
    pub tools: BTreeMap<String, Tool>,
    /// By Vapi's name of the message.
    pub requests: BTreeMap<String, Answerer>,
    /// The server URL from before.
    pub relay: Option<Relay>,
}

/// A tool's endpoint.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What is said when it does not answer; one line.
    pub fallback: String,
}

/// Somebody to ask.
#[derive(Clone)]
pub struct Endpoint {
    /// Where to.
    pub url: Url,
    /// Signs the requests.
    pub key: Option<SigningKey>,
    /// How long it may take, from the moment the question came in.
    pub timeout: Duration,
    /// In whose words it is asked.
    pub format: Format,
}

/// In whose words an endpoint is asked, and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Ours.
    #[default]
    Ringback,
    /// Vapi's: the message as it came, and the answer as it is.
    Vapi,
}

/// Who answers a message that asks for something other than a tool.
#[derive(Debug, Clone)]
pub enum Answerer {
    /// Always this.
    Fixed(Value),
    /// An endpoint.
    Asked(Endpoint),
}

/// The server URL from before.
#[derive(Clone)]
pub struct Relay {
    /// Where to.
    pub url: Url,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// A URL may hold a token: only its host is shown.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.url.host_str()).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("host", &self.url.host_str()).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tools: BTreeMap<String, RawTool>,
    #[serde(default)]
    requests: BTreeMap<String, RawRequest>,
    relay: Option<RawRelay>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTool {
    url: String,
    secret_env: Option<String>,
    timeout_seconds: Option<f64>,
    fallback: Option<String>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    answer: Option<Value>,
    url: Option<String>,
    secret_env: Option<String>,
    timeout_seconds: Option<f64>,
    format: Option<Format>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRelay {
    url: String,
    timeout_seconds: Option<f64>,
}

impl ToolsConfig {
    /// Is there anybody to ask?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty() && self.requests.is_empty() && self.relay.is_none()
    }

    /// The tool of this name, and the name it stands under.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<(&str, &Tool)> {
        let found = self.tools.get_key_value(name).or_else(|| self.tools.get_key_value(ANY_TOOL));
        found.map(|(name, tool)| (name.as_str(), tool))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let Some(text) = reader.text("TOOLS") else { return Self::default() };
        let file: File = match toml::from_str(&text) {
            Ok(file) => file,
            Err(error) => {
                let origin = reader.origin("TOOLS");
                reader.problem(format!("{origin}: {}", complaint(&error, &text)));
                return Self::default();
            }
        };
        let origin = reader.origin("TOOLS");
        let mut check = Check { reader, origin, place: String::new() };
        let tools = file.tools.into_iter().filter_map(|(name, tool)| Some((name.clone(), check.tool(&name, tool)?))).collect();
        let requests = file.requests.into_iter().filter_map(|(kind, it)| Some((kind.clone(), check.request(&kind, it)?))).collect();
        let relay = file.relay.and_then(|relay| check.relay(&relay));
        Self { tools, requests, relay }
    }
}

/// What is wrong with the file: where, and what was expected there; without a value that stands in it.
fn complaint(error: &toml::de::Error, text: &str) -> String {
    let place = error.span().and_then(|span| place(text, span.start));
    let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
    format!("{place}{}", without_values(error.message()))
}

/// Line and column, and the entry and the field there, where they are words that we know.
fn place(text: &str, offset: usize) -> Option<String> {
    let before = text.get(..offset)?;
    let line = before.split('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let heads = text.lines().take(line).map(str::trim).filter(|line| line.starts_with('['));
    let head =
        heads.last().and_then(|head| Some(head.split_once(']')?.0)).filter(|head| ENTRIES.iter().any(|entry| head.starts_with(entry)));
    let key = text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
    let head = head.map(|head| format!(", {head}]")).unwrap_or_default();
    let key = key.filter(|key| FIELDS.contains(key)).map(|key| format!(" {key}")).unwrap_or_default();
    Some(format!("line {line} column {column}{head}{key}"))
}

/// A sentence of the parser without what it repeats: values, and names, which may be misplaced values. What it expected comes last, and is ours.
fn without_values(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    let begins = |word: &str| message.starts_with(word);
    let cut = |text: &str| text.split(['`', '"', '\'']).next().unwrap_or_default().trim_end().to_owned();
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if begins("unknown field") => format!("unknown field, expected {expected}"),
        Some((_, expected)) if begins("invalid type") || begins("unknown ") => format!("expected {}", in_toml(expected)),
        Some((what, expected)) => format!("{}, expected {expected}", cut(what)),
        // Only our own names are ever missing.
        None if begins("missing field") => message.to_owned(),
        None => cut(message),
    }
}

/// What Rust's words for types mean in TOML.
fn in_toml(expected: &str) -> &str {
    match expected {
        "f64" => "a number",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// Checks one entry after another.
struct Check<'r, 'a> {
    reader: &'r mut Reader<'a>,
    origin: String,
    place: String,
}

impl Check<'_, '_> {
    fn wrong(&mut self, what: &str) {
        self.reader.problem(format!("{}: {}: {what}", self.origin, self.place));
    }

    fn tool(&mut self, name: &str, raw: RawTool) -> Option<Tool> {
        self.place = format!("[tools.{name}]");
        if name.trim().is_empty() {
            self.wrong("needs the tool's name at Vapi, or \"*\"");
        }
        let fallback = raw.fallback.unwrap_or_else(|| USUAL_FALLBACK.to_owned());
        let is_line =
            !fallback.trim().is_empty() && !fallback.chars().any(char::is_control) && fallback.chars().count() <= LONGEST_FALLBACK;
        if !is_line {
            self.wrong("fallback must be one line of 1 to 500 characters");
        }
        let timeout = self.timeout(raw.timeout_seconds, USUAL_TIMEOUT);
        let key = self.key(raw.secret_env.as_deref());
        let url = self.url(&raw.url)?;
        Some(Tool { endpoint: Endpoint { url, key, timeout, format: raw.format }, fallback: fallback.trim().to_owned() })
    }

    fn request(&mut self, kind: &str, raw: RawRequest) -> Option<Answerer> {
        self.place = format!("[requests.\"{kind}\"]");
        if !REQUESTS.contains(&kind) {
            let tools = if matches!(kind, "tool-calls" | "function-call") { "tools stand under [tools.NAME]; " } else { "" };
            self.wrong(&format!("{tools}a request is one of {} (in quotes where it has dots)", REQUESTS.join(", ")));
            return None;
        }
        if kind == "assistant-request" && raw.timeout_seconds.is_some_and(|seconds| seconds > ASSISTANT_SECONDS) {
            self.wrong("timeout_seconds must be at most 5: Vapi waits no longer");
        }
        match (raw.answer, raw.url) {
            (Some(answer), None) => {
                if raw.secret_env.is_some() || raw.timeout_seconds.is_some() || raw.format.is_some() {
                    self.wrong("secret_env, timeout_seconds and format go with url, not with answer");
                }
                if !answer.is_object() {
                    self.wrong("answer must be a table, such as { assistantId = \"…\" }");
                }
                Some(Answerer::Fixed(answer))
            }
            (None, Some(url)) => {
                let timeout = self.timeout(raw.timeout_seconds, USUAL_TIMEOUT);
                let key = self.key(raw.secret_env.as_deref());
                let url = self.url(&url)?;
                Some(Answerer::Asked(Endpoint { url, key, timeout, format: raw.format.unwrap_or_default() }))
            }
            _ => {
                self.wrong("needs either answer or url");
                None
            }
        }
    }

    fn relay(&mut self, raw: &RawRelay) -> Option<Relay> {
        "[relay]".clone_into(&mut self.place);
        let timeout = self.timeout(raw.timeout_seconds, RELAY_TIMEOUT);
        Some(Relay { url: self.url(&raw.url)?, timeout })
    }

    fn url(&mut self, text: &str) -> Option<Url> {
        let url = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            self.wrong("url must be an http or https address");
        }
        url
    }

    fn timeout(&mut self, seconds: Option<f64>, usual: f64) -> Duration {
        let seconds = seconds.unwrap_or(usual);
        if TIMEOUT_SECONDS.contains(&seconds) {
            return Duration::from_secs_f64(seconds);
        }
        self.wrong("timeout_seconds must be a number from 1 to 18");
        Duration::from_secs(1)
    }

    fn key(&mut self, variable: Option<&str>) -> Option<SigningKey> {
        let variable = variable?;
        let Some(text) = self.reader.named(variable) else {
            self.wrong("secret_env must name a variable that is set");
            return None;
        };
        let key = SigningKey::parse(&text);
        if key.is_err() {
            self.wrong("secret_env must name a variable that holds `whsec_` and then 16 to 64 bytes in base64");
        }
        key.ok()
    }
}
