//! Vapi's JSON as a borrowed tree with tolerant getters.
//!
//! Real bodies break Vapi's own OpenAPI, so nothing here expects a type: a getter gives what is there in the wanted shape, or nothing.
//! Texts without escapes borrow from the body; objects are sorted by key, so writing the tree gives canonical JSON.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};

use crate::call::json::Json;

/// One value of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Node<'a>>),
    /// An object: keys sorted, each once (of repeated keys the last counts, as in JavaScript).
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Room for the members of an object to begin with: most of Vapi's have no more.
const MEMBERS: usize = 8;

/// Among so many members, looking at each is faster than a search: most names differ in length already.
const FEW_MEMBERS: usize = 12;

/// What stands where nothing stands.
const NOTHING: Node<'static> = Node::Null;

/// Reads a body.
///
/// # Errors
/// The parser's words when it is no JSON. Two things are no errors, though the parser takes them for some: half of a surrogate pair as an
/// escape, which JavaScript writes when it cuts a text in the middle of an emoji, becomes U+FFFD; a number that no float holds becomes `null`.
pub fn parse(body: &[u8]) -> Result<Node<'_>, serde_json::Error> {
    // Bytes that were checked as a whole need no check in each text.
    let parsed = std::str::from_utf8(body).map_or_else(|_foreign| serde_json::from_slice(body), serde_json::from_str);
    parsed.or_else(|error| match mended(body) {
        Some(mended) => serde_json::from_slice::<Node<'_>>(&mended).map(Node::into_owned).map_err(|_still| error),
        None => Err(error),
    })
}

/// The body without lone surrogates and boundless numbers, or `None` when it has none.
fn mended(body: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::with_capacity(body.len());
    let (mut at, mut in_text, mut changed) = (0, false, false);
    while let Some(&byte) = body.get(at) {
        let (length, better): (usize, Option<&[u8]>) = match byte {
            b'\\' => escape(body, at),
            b'-' | b'0'..=b'9' if !in_text => number(body, at),
            _ => (1, None),
        };
        in_text ^= byte == b'"';
        changed |= better.is_some();
        mended.extend_from_slice(better.unwrap_or(&body[at..body.len().min(at + length)]));
        at += length;
    }
    changed.then_some(mended)
}

/// Length of the escape at `start`, a surrogate pair counting as one, and what to write instead.
fn escape(body: &[u8], start: usize) -> (usize, Option<&'static [u8]>) {
    match (escaped_unit(body, start), escaped_unit(body, start + 6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, None),
        (Some(0xD800..=0xDFFF), _) => (6, Some(b"\\ufffd")),
        _ => (2, None),
    }
}

/// Length of the number at `start`, and what to write instead.
fn number(body: &[u8], start: usize) -> (usize, Option<&'static [u8]>) {
    let digits = body[start..].iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).count();
    let boundless = std::str::from_utf8(&body[start..start + digits]).is_ok_and(|it| it.parse().is_ok_and(f64::is_infinite));
    (digits, boundless.then_some(b"null"))
}

/// The UTF-16 unit of the `\uXXXX` escape at `start`.
fn escaped_unit(body: &[u8], start: usize) -> Option<u16> {
    let digits = body.get(start..start + 6)?.strip_prefix(b"\\u")?;
    std::str::from_utf8(digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok())
}

impl<'a> Node<'a> {
    /// The member `key` of an object; `null` for anything else.
    #[must_use]
    pub fn at(&self, key: &str) -> &Node<'a> {
        self.member(key).unwrap_or(&NOTHING)
    }

    /// The member at the end of a path.
    #[must_use]
    pub fn path(&self, keys: &[&str]) -> &Node<'a> {
        keys.iter().fold(self, |node, key| node.at(key))
    }

    fn member(&self, key: &str) -> Option<&Node<'a>> {
        let Node::Object(members) = self else { return None };
        if members.len() <= FEW_MEMBERS {
            return members.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        }
        let at = members.binary_search_by(|(name, _)| name.as_ref().cmp(key)).ok()?;
        members.get(at).map(|(_, value)| value)
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text, if it is one and says something.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        self.text().filter(|text| !text.trim().is_empty())
    }

    /// A text, or the number or boolean that stands where a text should, as text.
    #[must_use]
    pub fn as_words(&self) -> Option<String> {
        match self {
            Node::Text(_) => self.words().map(str::to_owned),
            Node::Bool(_) | Node::Whole(_) | Node::Number(_) => Some(self.canonical()),
            Node::Null | Node::List(_) | Node::Object(_) => None,
        }
    }

    /// A number, or a text that is one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "Vapi's whole numbers are far below 2^53")]
    pub fn number(&self) -> Option<f64> {
        match self {
            Node::Whole(number) => Some(*number as f64),
            Node::Number(number) => Some(*number),
            Node::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    /// A boolean, or a text that is one.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self {
            Node::Bool(value) => Some(*value),
            Node::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The elements of a list; none for anything else.
    #[must_use]
    pub fn items(&self) -> &[Node<'a>] {
        match self {
            Node::List(items) => items,
            _ => &[],
        }
    }

    /// The members of an object, sorted by key; none for anything else.
    #[must_use]
    pub fn members(&self) -> &[(Cow<'a, str>, Node<'a>)] {
        match self {
            Node::Object(members) => members,
            _ => &[],
        }
    }

    /// Is it an object?
    #[must_use]
    pub fn is_object(&self) -> bool {
        matches!(self, Node::Object(_))
    }

    /// Is it `null`, `""`, `[]` or `{}`?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Node::Null => true,
            Node::Text(text) => text.is_empty(),
            Node::List(items) => items.is_empty(),
            Node::Object(members) => members.is_empty(),
            Node::Bool(_) | Node::Whole(_) | Node::Number(_) => false,
        }
    }

    /// Canonical JSON text.
    #[must_use]
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The value to keep as it is; `None` when it is empty.
    #[must_use]
    pub fn json(&self) -> Option<Json> {
        if self.is_empty() { None } else { Json::from_canonical(self.canonical()) }
    }

    fn into_owned(self) -> Node<'static> {
        match self {
            Node::Null => Node::Null,
            Node::Bool(value) => Node::Bool(value),
            Node::Whole(value) => Node::Whole(value),
            Node::Number(value) => Node::Number(value),
            Node::Text(text) => Node::Text(Cow::Owned(text.into_owned())),
            Node::List(items) => Node::List(items.into_iter().map(Node::into_owned).collect()),
            Node::Object(members) => {
                Node::Object(members.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned())).collect())
            }
        }
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null => serializer.serialize_unit(),
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Whole(value) => serializer.serialize_i64(*value),
            Node::Number(value) => serializer.serialize_f64(*value),
            Node::Text(text) => serializer.serialize_str(text),
            Node::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Node::Object(members) => {
                let mut object = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    object.serialize_entry(key, value)?;
                }
                object.end()
            }
        }
    }
}

/// A member's name; borrows when it can.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(TreeVisitor)? {
            Node::Text(text) => Ok(Self(text)),
            _ => Ok(Self(Cow::Borrowed(""))),
        }
    }
}

impl<'de> Deserialize<'de> for Node<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Whole(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "JSON numbers beyond i64 are floats to everyone who reads them")]
    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(i64::try_from(value).map_or(Node::Number(value as f64), Node::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Number(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node<'de>, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Node<'de>)> = Vec::with_capacity(MEMBERS);
        let mut in_order = true;
        while let Some(Key(key)) = object.next_key()? {
            in_order &= members.last().is_none_or(|(last, _)| *last < key);
            members.push((key, object.next_value()?));
        }
        if !in_order {
            // Stable, so that of equal keys the last stays last; then it is the one that is kept.
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            members.reverse();
            members.dedup_by(|(later, _), (earlier, _)| later == earlier);
            members.reverse();
        }
        Ok(Node::Object(members))
    }
}
