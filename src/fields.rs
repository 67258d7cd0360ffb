//! Reads an object that somebody sent, field by field, and collects everything that is wrong with it. No sentence repeats a value.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// Characters of an unknown field's name that are repeated, at most.
const LONGEST_NAME: usize = 64;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where it stands, with dots and indices: `customPrompt.systemPrompt`, `options[2]`; `body` is the whole.
    pub field: String,
    /// What it must be.
    pub message: String,
}

/// An object that somebody sent. A `null` counts as absent.
pub struct Fields<'a> {
    members: Option<&'a Map<String, Value>>,
    /// Where it stands; `""`: it is the body.
    place: String,
    read: BTreeSet<&'static str>,
    ignores_rest: bool,
    errors: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, which stands at `place` of the body; `""` is the body itself.
    #[must_use]
    pub fn of(value: &'a Value, place: &str) -> Self {
        let members = value.as_object();
        let mut fields = Self { members, place: place.to_owned(), read: BTreeSet::new(), ignores_rest: false, errors: Vec::new() };
        if members.is_none() {
            let field = if place.is_empty() { "body" } else { place }.to_owned();
            fields.errors.push(FieldError { field, message: "must be an object".to_owned() });
        }
        fields
    }

    /// Something is wrong with a field. Of several sentences about one the first counts.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        let field = if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) };
        if !self.errors.iter().any(|error| error.field == field) {
            self.errors.push(FieldError { field, message: message.into() });
        }
    }

    /// A field must be there, and is not.
    pub fn missing(&mut self, name: &str) {
        self.wrong(name, "is required");
    }

    /// What is wrong with a part of it.
    pub fn also(&mut self, errors: Vec<FieldError>) {
        self.errors.extend(errors);
    }

    /// Fields that are not read are nobody's concern.
    pub fn ignore_rest(&mut self) {
        self.ignores_rest = true;
    }

    /// A field, if it is there.
    pub fn member(&mut self, name: &'static str) -> Option<&'a Value> {
        self.read.insert(name);
        self.members?.get(name).filter(|value| !value.is_null())
    }

    /// Is a field there, be it `null`?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.is_some_and(|members| members.contains_key(name))
    }

    /// A text as `read` understands it.
    pub fn optional<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = self.member(name)?;
        let read = value.as_str().map_or_else(|| Err("must be a text".to_owned()), read);
        read.map_err(|message| self.wrong(name, message)).ok()
    }

    /// The same of one that must be there.
    pub fn required<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if self.member(name).is_none() {
            self.missing(name);
            return None;
        }
        self.optional(name, read)
    }

    /// One of some words, as what it stands for.
    pub fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.member(name)?;
        let found = value.as_str().and_then(|word| choices.iter().find(|(choice, _)| *choice == word));
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.wrong(name, format!("must be one of {}", words.join(", ")));
        }
        found.map(|(_, choice)| *choice)
    }

    /// A switch, off when absent.
    pub fn flag(&mut self, name: &'static str) -> bool {
        match self.member(name) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.wrong(name, "must be true or false");
                false
            }
        }
    }

    /// A text or a list of texts, each as `check` wants it.
    pub fn texts(&mut self, name: &'static str, most: usize, check: impl Fn(&str) -> Result<(), String>) -> Vec<String> {
        let texts = self.member(name).map_or(Ok(Vec::new()), |value| texts(value, most, check));
        texts.map_err(|message| self.wrong(name, message)).unwrap_or_default()
    }

    /// What was read, unless something is wrong.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn finish<T>(mut self, read: Option<T>) -> Result<T, Vec<FieldError>> {
        let strange: Vec<String> = match self.members {
            Some(members) if !self.ignores_rest => members.keys().filter(|name| !self.read.contains(name.as_str())).cloned().collect(),
            _ => Vec::new(),
        };
        for name in strange {
            let name: String = name.chars().take(LONGEST_NAME).collect();
            self.wrong(&name, "is not known here");
        }
        match read {
            Some(read) if self.errors.is_empty() => Ok(read),
            _ => Err(self.errors),
        }
    }
}

/// A text or a list of at most `most` texts, each as `check` wants it, without repeats.
///
/// # Errors
/// What it must be.
pub fn texts(value: &Value, most: usize, check: impl Fn(&str) -> Result<(), String>) -> Result<Vec<String>, String> {
    let values = match value {
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
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
