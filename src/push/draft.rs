//! What somebody wants of a subscription, checked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    input::{self, headers},
    reach::Reach,
    target::{Hidden, Subscription, Wanted},
};
use crate::{
    call::{measures::STATUSES, phone::is_e164, view::View},
    fields::{FieldError, Fields, texts},
    outbound::SigningKey,
    registry::TYPES,
};

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
    view: Option<View>,
    headers: Option<BTreeMap<String, Hidden>>,
    description: Option<String>,
    pub(super) secret: Option<Hidden>,
}

impl Draft {
    /// Reads a new subscription.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(body: &Value, reach: &Reach) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::of(body, "");
        for name in ["url", "events"] {
            if fields.member(name).is_none() {
                fields.missing(name);
            }
        }
        let secret = secret(&mut fields);
        let draft = Self { secret, ..Self::members(&mut fields, reach) };
        fields.finish(Some(draft))
    }

    /// Reads changes.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn changes(body: &Value, reach: &Reach) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::of(body, "");
        for name in ["url", "events"] {
            if fields.has(name) && fields.member(name).is_none() {
                fields.wrong(name, "can't be taken away");
            }
        }
        if fields.member("secret").is_some() {
            fields.wrong("secret", "is changed by POST …/rotate");
        }
        let draft = Self::members(&mut fields, reach);
        fields.finish(Some(draft))
    }

    /// Reads a new secret, if one is named.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn secret(body: &Value) -> Result<Option<Hidden>, Vec<FieldError>> {
        let mut fields = Fields::of(body, "");
        let secret = secret(&mut fields);
        fields.finish(Some(secret))
    }

    fn members(fields: &mut Fields<'_>, reach: &Reach) -> Self {
        Self {
            url: fields.optional("url", |text| reach.url(text)),
            events: fields.has("events").then(|| events(fields)),
            filter: fields.has("filter").then(|| filter(fields)),
            view: fields.has("view").then(|| input::view(fields, "view").unwrap_or(View::Full)),
            headers: fields.has("headers").then(|| headers(fields, "headers")),
            description: fields.has("description").then(|| description(fields)),
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

fn secret(fields: &mut Fields<'_>) -> Option<Hidden> {
    fields.optional("secret", |text| {
        SigningKey::parse(text).map(|_key| Hidden::from(text)).map_err(|error| format!("must be a key: {error}"))
    })
}

fn events(fields: &mut Fields<'_>) -> Vec<String> {
    let known = |word: &str| if TYPES.contains(&word) { Ok(()) } else { Err(format!("must be of {}", TYPES.join(", "))) };
    let events = fields.texts("events", TYPES.len(), known);
    if events.is_empty() && fields.member("events").is_some_and(|value| value.as_array().is_some_and(Vec::is_empty)) {
        fields.wrong("events", "must list at least one");
    }
    events
}

fn description(fields: &mut Fields<'_>) -> String {
    let short = |text: &str| {
        if text.chars().count() <= LONGEST_DESCRIPTION {
            Ok(text.to_owned())
        } else {
            Err(format!("may have {LONGEST_DESCRIPTION} characters"))
        }
    };
    fields.optional("description", short).unwrap_or_default()
}

fn filter(fields: &mut Fields<'_>) -> Wanted {
    let Some(value) = fields.member("filter") else { return Wanted::default() };
    let mut part = Fields::of(value, "filter");
    let wanted = Wanted {
        assistant_id: part.texts("assistantId", MOST_VALUES, short),
        phone: part.texts("phone", MOST_VALUES, e164),
        status: part.texts("status", STATUSES.len(), |word| {
            if STATUSES.contains(&word) { Ok(()) } else { Err(format!("must be of {}", STATUSES.join(", "))) }
        }),
        metadata: match part.member("metadata").map_or_else(|| Ok(BTreeMap::new()), metadata) {
            Ok(metadata) => metadata,
            Err(message) => {
                part.wrong("metadata", message);
                BTreeMap::new()
            }
        },
    };
    part.finish(Some(wanted)).unwrap_or_else(|problems| {
        fields.also(problems);
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

fn e164(text: &str) -> Result<(), String> {
    if is_e164(text) { Ok(()) } else { Err("must be numbers like +15551234567".to_owned()) }
}
