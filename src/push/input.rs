//! Reads what somebody sent, field by field, and collects everything that is wrong with it. No sentence repeats a value.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Map, Value};

use super::target::{Hidden, Much};

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

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands: names, joined by dots.
    pub field: String,
    /// What it must be.
    pub message: String,
}

/// An object that somebody sent.
pub(super) struct Input<'a> {
    members: Option<&'a Map<String, Value>>,
    /// Where it stands; `""`: it is the body.
    field: String,
    read: BTreeSet<&'static str>,
    ignores_rest: bool,
    problems: Vec<Problem>,
}

impl<'a> Input<'a> {
    pub(super) fn new(value: &'a Value, field: &str) -> Self {
        let mut input =
            Self { members: value.as_object(), field: field.to_owned(), read: BTreeSet::new(), ignores_rest: false, problems: Vec::new() };
        if input.members.is_none() {
            input
                .problems
                .push(Problem { field: if field.is_empty() { "body" } else { field }.to_owned(), message: "must be an object".to_owned() });
        }
        input
    }

    pub(super) fn problem(&mut self, name: &str, message: &str) {
        let field = [self.field.as_str(), name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        self.problems.push(Problem { field, message: message.to_owned() });
    }

    /// Members that are not read are nobody's concern.
    pub(super) fn ignore_rest(&mut self) {
        self.ignores_rest = true;
    }

    /// A member, if it stands there; `null` counts as absent.
    pub(super) fn member(&mut self, name: &'static str) -> Option<&'a Value> {
        self.read.insert(name);
        self.members?.get(name).filter(|value| !value.is_null())
    }

    /// Is a member there, be it `null`?
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.is_some_and(|members| members.contains_key(name))
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.optional(name, |text| Ok(text.to_owned()))
    }

    /// A text as `read` understands it.
    pub(super) fn optional<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = self.member(name)?;
        let read = value.as_str().map_or_else(|| Err("must be a text".to_owned()), read);
        read.map_err(|message| self.problem(name, &message)).ok()
    }

    /// The same of one that must be there.
    pub(super) fn required<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if self.member(name).is_none() {
            self.problem(name, "is required");
            return None;
        }
        self.optional(name, read)
    }

    /// `full` or `summary`.
    pub(super) fn much(&mut self, name: &'static str) -> Much {
        let read = |text: &str| match text {
            "full" => Ok(Much::Full),
            "summary" => Ok(Much::Summary),
            _ => Err("must be full or summary".to_owned()),
        };
        self.optional(name, read).unwrap_or_default()
    }

    /// A text or a list of texts, each as `check` wants it.
    pub(super) fn texts(&mut self, name: &'static str, most: usize, check: impl Fn(&str) -> Result<(), String>) -> Vec<String> {
        let texts = self.member(name).map_or(Ok(Vec::new()), |value| texts(value, most, check));
        texts.map_err(|message| self.problem(name, &message)).unwrap_or_default()
    }

    /// Headers by name, to be sent along.
    pub(super) fn headers(&mut self, name: &'static str) -> BTreeMap<String, Hidden> {
        let headers = self.member(name).map_or(Ok(BTreeMap::new()), headers);
        headers.map_err(|message| self.problem(name, &message)).unwrap_or_default()
    }

    /// What else is wrong belongs to this too.
    pub(super) fn also(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
    }

    /// The value, unless something is wrong.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, Vec<Problem>> {
        let strange: Vec<String> = match self.members {
            Some(members) if !self.ignores_rest => members.keys().filter(|name| !self.read.contains(name.as_str())).cloned().collect(),
            _ => Vec::new(),
        };
        for name in strange {
            let name: String = name.chars().take(64).collect();
            self.problem(&name, "is not known here");
        }
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(self.problems),
        }
    }
}

pub(super) fn texts(value: &Value, most: usize, check: impl Fn(&str) -> Result<(), String>) -> Result<Vec<String>, String> {
    let values = match value {
        Value::Array(values) => values.iter().collect(),
        one => vec![one],
    };
    if values.len() > most {
        return Err(format!("may list {most} values"));
    }
    let mut texts: Vec<String> = Vec::new();
    for value in values {
        let text = value.as_str().ok_or("must be a text or a list of texts")?;
        check(text)?;
        if !texts.iter().any(|other| other == text) {
            texts.push(text.to_owned());
        }
    }
    Ok(texts)
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

fn headers(value: &Value) -> Result<BTreeMap<String, Hidden>, String> {
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
