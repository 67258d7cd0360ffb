//! What somebody wants of a subscription, checked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Problem,
    input::{Input, texts, url},
    target::{Hidden, Much, Subscription, Wanted},
};
use crate::{call::measures::STATUSES, outbound::SigningKey, registry::TYPES};

/// Values of one filter, at most.
const MOST_VALUES: usize = 50;
/// Keys of the metadata filter, at most.
const MOST_KEYS: usize = 20;
/// Characters of a value to filter by, at most.
const LONGEST_VALUE: usize = 256;
/// Characters of a description, at most.
const LONGEST_DESCRIPTION: usize = 500;

/// A subscription to be made, or what is to be changed of one: what is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    pub(super) url: Option<Hidden>,
    pub(super) events: Option<Vec<String>>,
    filter: Option<Wanted>,
    view: Option<Much>,
    headers: Option<BTreeMap<String, Hidden>>,
    description: Option<String>,
    pub(super) secret: Option<Hidden>,
}

impl Draft {
    /// Reads a new subscription.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(body: &Value) -> Result<Self, Vec<Problem>> {
        let mut input = Input::new(body, "");
        for name in ["url", "events"] {
            if input.member(name).is_none() {
                input.problem(name, "is required");
            }
        }
        let secret = secret(&mut input);
        let draft = Self { secret, ..Self::members(&mut input) };
        input.finish(Some(draft))
    }

    /// Reads changes.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn changes(body: &Value) -> Result<Self, Vec<Problem>> {
        let mut input = Input::new(body, "");
        for name in ["url", "events"] {
            if input.has(name) && input.member(name).is_none() {
                input.problem(name, "can't be taken away");
            }
        }
        if input.member("secret").is_some() {
            input.problem("secret", "is changed by POST …/rotate");
        }
        let draft = Self::members(&mut input);
        input.finish(Some(draft))
    }

    /// Reads a new secret, if one is named.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn secret(body: &Value) -> Result<Option<Hidden>, Vec<Problem>> {
        let mut input = Input::new(body, "");
        let secret = secret(&mut input);
        input.finish(Some(secret))
    }

    fn members(input: &mut Input<'_>) -> Self {
        Self {
            url: input.optional("url", url),
            events: input.has("events").then(|| events(input)),
            filter: input.has("filter").then(|| filter(input)),
            view: input.has("view").then(|| input.much("view")),
            headers: input.has("headers").then(|| input.headers("headers")),
            description: input.has("description").then(|| description(input)),
            secret: None,
        }
    }

    /// Changes a subscription.
    pub(super) fn apply(self, subscription: &mut Subscription) {
        let Self { url, events, filter, view, headers, description, secret: _ } = self;
        put(&mut subscription.url, url);
        put(&mut subscription.events, events);
        put(&mut subscription.filter, filter);
        put(&mut subscription.view, view);
        put(&mut subscription.headers, headers);
        put(&mut subscription.description, description);
    }
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn secret(input: &mut Input<'_>) -> Option<Hidden> {
    input.optional("secret", |text| {
        SigningKey::parse(text).map(|_key| Hidden::from(text)).map_err(|error| format!("must be a key: {error}"))
    })
}

fn events(input: &mut Input<'_>) -> Vec<String> {
    let known = |word: &str| if TYPES.contains(&word) { Ok(()) } else { Err(format!("must be of {}", TYPES.join(", "))) };
    let events = input.texts("events", TYPES.len(), known);
    if events.is_empty() && input.member("events").is_some_and(|value| value.as_array().is_some_and(Vec::is_empty)) {
        input.problem("events", "must list at least one");
    }
    events
}

fn description(input: &mut Input<'_>) -> String {
    let short = |text: &str| {
        if text.chars().count() <= LONGEST_DESCRIPTION {
            Ok(text.to_owned())
        } else {
            Err(format!("may have {LONGEST_DESCRIPTION} characters"))
        }
    };
    input.optional("description", short).unwrap_or_default()
}

fn filter(input: &mut Input<'_>) -> Wanted {
    let Some(value) = input.member("filter") else { return Wanted::default() };
    let mut part = Input::new(value, "filter");
    let wanted = Wanted {
        assistant_id: part.texts("assistantId", MOST_VALUES, short),
        phone: part.texts("phone", MOST_VALUES, e164),
        status: part.texts("status", STATUSES.len(), |word| {
            if STATUSES.contains(&word) { Ok(()) } else { Err(format!("must be of {}", STATUSES.join(", "))) }
        }),
        metadata: match part.member("metadata").map_or_else(|| Ok(BTreeMap::new()), metadata) {
            Ok(metadata) => metadata,
            Err(message) => {
                part.problem("metadata", &message);
                BTreeMap::new()
            }
        },
    };
    part.finish(Some(wanted)).unwrap_or_else(|problems| {
        input.also(problems);
        Wanted::default()
    })
}

fn metadata(value: &Value) -> Result<BTreeMap<String, Vec<String>>, String> {
    let given = value.as_object().ok_or("must be an object of texts, or of lists of texts")?;
    if given.len() > MOST_KEYS || given.keys().any(|key| key.is_empty() || key.len() > LONGEST_VALUE) {
        return Err(format!("may have {MOST_KEYS} members, with names of at most {LONGEST_VALUE} characters"));
    }
    given.iter().map(|(key, value)| Ok((key.clone(), texts(value, MOST_VALUES, short)?))).collect()
}

fn short(text: &str) -> Result<(), String> {
    if (1..=LONGEST_VALUE).contains(&text.len()) { Ok(()) } else { Err(format!("must have 1 to {LONGEST_VALUE} characters")) }
}

/// A plus, and 7 to 15 digits of which the first is not 0.
fn e164(text: &str) -> Result<(), String> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if is_number { Ok(()) } else { Err("must be numbers like +15551234567".to_owned()) }
}
