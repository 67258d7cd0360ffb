//! One piece of evidence with its stamp, and which of two is kept.
//!
//! Every rule here is a total order whose maximum is kept, so keeping is commutative, associative and idempotent by construction.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{json::Json, time::Millis};

/// How much a source is to be believed; the greater wins. The scales below never meet in one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rank(u8);

/// The scale of call facts.
impl Rank {
    /// Any other message, and REST answers about a call that has not ended.
    pub const OTHER: Self = Self(0);
    /// A `status-update` that says ended.
    pub const STATUS_ENDED: Self = Self(1);
    /// An `end-of-call-report`.
    pub const REPORT: Self = Self(2);
    /// A REST answer that says ended.
    pub const REST_ENDED: Self = Self(3);
}

/// The scale of tool answers.
impl Rank {
    /// What we answered ourselves, over any echo of it.
    pub const OWN_ANSWER: Self = Self(20);
}

/// The scale of metadata: where in the message a key stood.
impl Rank {
    /// `assistant.metadata`.
    pub const ASSISTANT_METADATA: Self = Self(10);
    /// `assistantOverrides.metadata`.
    pub const OVERRIDES_METADATA: Self = Self(11);
    /// `call.metadata`.
    pub const CALL_METADATA: Self = Self(12);
    /// What we placed the call with.
    pub const PLACED_METADATA: Self = Self(13);
}

/// A value with the stamp it competes by: fill, source, time, canonical bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped<T> {
    /// What was said.
    #[serde(rename = "v")]
    pub value: T,
    /// Who said it.
    #[serde(rename = "r")]
    pub rank: Rank,
    /// When it was said, if the message told.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Millis>,
}

/// A field of a record: nothing heard, or the best evidence so far.
pub type Field<T> = Option<Stamped<T>>;

/// A value that can compete for a field.
pub trait Evidence {
    /// How filled it is: 0 is empty; the greater wins before anything else is compared.
    fn fill(&self) -> u8;
    /// Canonical bytes, the last resort between values of equal stamp.
    fn canonical(&self) -> Cow<'_, [u8]>;
}

impl Evidence for String {
    fn fill(&self) -> u8 {
        u8::from(!self.is_empty())
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.as_bytes())
    }
}

impl Evidence for Json {
    fn fill(&self) -> u8 {
        u8::from(!self.is_empty())
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.as_str().as_bytes())
    }
}

impl Evidence for f64 {
    fn fill(&self) -> u8 {
        1
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.to_string().into_bytes())
    }
}

impl Evidence for i64 {
    fn fill(&self) -> u8 {
        1
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.to_string().into_bytes())
    }
}

impl Evidence for Millis {
    fn fill(&self) -> u8 {
        1
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        self.0.canonical().into_owned().into()
    }
}

/// US dollars. Zero is weaker than any other amount: a webhook's snapshot says 0 until the call is billed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cost(pub f64);

impl Evidence for Cost {
    fn fill(&self) -> u8 {
        // Exactly 0, as Vapi writes it: not a computed number.
        if self.0.abs() > 0.0 { 2 } else { 1 }
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        self.0.canonical().into_owned().into()
    }
}

impl<T: Evidence> Stamped<T> {
    fn order(&self, other: &Self) -> Ordering {
        let stamp = |it: &Self| (it.value.fill(), it.rank, it.sent_at);
        stamp(self).cmp(&stamp(other)).then_with(|| self.value.canonical().cmp(&other.value.canonical()))
    }
}

/// Keeps the better of two fields.
#[must_use]
pub fn best<T: Evidence>(a: Field<T>, b: Field<T>) -> Field<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.order(&b).is_lt() { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The earlier of two moments, where either is known.
#[must_use]
pub fn earliest(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Joins two maps key by key.
#[must_use]
pub fn best_of_each<T: Evidence>(a: BTreeMap<String, Stamped<T>>, b: BTreeMap<String, Stamped<T>>) -> BTreeMap<String, Stamped<T>> {
    merge(a, b, |a, b| if a.order(&b).is_lt() { b } else { a })
}

/// Unites two maps; where both have a key, `pick` makes one value of the two.
#[must_use]
pub fn merge<K: Ord, V>(a: BTreeMap<K, V>, b: BTreeMap<K, V>, pick: impl Fn(V, V) -> V) -> BTreeMap<K, V> {
    let (mut into, from) = if a.len() < b.len() { (b, a) } else { (a, b) };
    for (key, value) in from {
        let value = match into.remove(&key) {
            Some(present) => pick(present, value),
            None => value,
        };
        into.insert(key, value);
    }
    into
}

/// A transcript or a list of messages: the longer one of the better sources is kept, since late messages carry shorter artifacts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Longest<T> {
    /// The text or the messages.
    #[serde(rename = "v")]
    pub value: T,
    /// From a report or an ended REST answer, which outrank any other artifact.
    #[serde(rename = "a")]
    pub authoritative: bool,
    /// When it was said.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Millis>,
}

/// Something with a length by which copies of it compete.
pub trait Measured {
    /// Characters of a text; user and bot entries of a list. 0 is empty.
    fn measure(&self) -> usize;
    /// Canonical bytes, the last resort.
    fn bytes(&self) -> Cow<'_, [u8]>;
}

impl Measured for String {
    fn measure(&self) -> usize {
        self.chars().count()
    }
    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.as_bytes())
    }
}

/// Keeps the better of two: filled, authoritative, longer, later, greater bytes.
#[must_use]
pub fn longest<T: Measured>(a: Option<Longest<T>>, b: Option<Longest<T>>) -> Option<Longest<T>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.order(&b).is_lt() { b } else { a }),
        (a, b) => a.or(b),
    }
}

impl<T: Measured> Longest<T> {
    fn order(&self, other: &Self) -> Ordering {
        let stamp = |it: &Self| {
            let length = it.value.measure();
            (length > 0, it.authoritative, length, it.sent_at)
        };
        stamp(self).cmp(&stamp(other)).then_with(|| self.value.bytes().cmp(&other.value.bytes()))
    }
}
