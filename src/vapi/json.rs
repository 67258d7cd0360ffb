//! Vapi's JSON as a borrowed tree with tolerant getters.
//!
//! Real bodies break Vapi's own OpenAPI, so nothing here expects a type: a getter gives what is there in the wanted shape, or nothing.
//! Objects are sorted by key, so writing the tree gives canonical JSON.
//!
//! A body makes thousands of nodes that live and die together: they lie in one [`Arena`], texts borrow from the body where they can, and
//! nodes are copied instead of changed.

use std::fmt;

use bumpalo::Bump;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::call::json::Json;

mod mend;
mod write;

/// Where the trees of one body lie.
#[derive(Debug, Default)]
pub struct Arena(Bump);

/// One value of a body.
#[derive(Debug, Clone, Copy, PartialEq)]
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
    Text(Text<'a>),
    /// A list.
    List(&'a [Node<'a>]),
    /// An object: keys sorted, each once (of repeated keys the last counts, as in JavaScript).
    Object(&'a [Member<'a>]),
}

/// Name and value of a member of an object.
pub type Member<'a> = (Text<'a>, Node<'a>);

/// A text, and whether JSON writes it as it is, without an escape.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    words: &'a str,
    is_plain: bool,
}

/// Among so many members, looking at each is faster than a search: most names differ in length already.
const FEW_MEMBERS: usize = 12;

/// Room for so many items and members that are being read, to begin with: a report has a list as long as its conversation.
const OPEN_ROOM: usize = 128;

/// What stands where nothing stands.
const NOTHING: Node<'static> = Node::Null;

/// Reads a body.
///
/// # Errors
/// The parser's words when it is no JSON. Two things are no errors, though the parser takes them for some: half of a surrogate pair as an
/// escape, which JavaScript writes when it cuts a text in the middle of an emoji, becomes U+FFFD; a number that no float holds becomes `null`.
pub fn parse<'a>(body: &'a [u8], arena: &'a Arena) -> Result<Node<'a>, serde_json::Error> {
    // Bytes that were checked as a whole need no check in each text.
    let parsed = match std::str::from_utf8(body) {
        Ok(body) => tree(&mut serde_json::Deserializer::from_str(body), arena),
        Err(_foreign) => tree(&mut serde_json::Deserializer::from_slice(body), arena),
    };
    parsed.or_else(|error| match mend::mended(body) {
        Some(mended) => {
            let mended = arena.0.alloc_slice_copy(&mended);
            tree(&mut serde_json::Deserializer::from_slice(mended), arena).map_err(|_still| error)
        }
        None => Err(error),
    })
}

fn tree<'a, R: serde_json::de::Read<'a>>(
    parser: &mut serde_json::Deserializer<R>,
    arena: &'a Arena,
) -> Result<Node<'a>, serde_json::Error> {
    let root = Branch { arena: &arena.0, open: &mut Open::new() }.deserialize(&mut *parser)?;
    parser.end()?;
    Ok(root)
}

impl Arena {
    /// Keeps a text.
    pub fn text(&self, words: &str) -> Text<'_> {
        Text::new(self.0.alloc_str(words))
    }

    /// Keeps the items of a list.
    pub fn items<'a>(&'a self, items: &[Node<'a>]) -> &'a mut [Node<'a>] {
        self.0.alloc_slice_copy(items)
    }

    /// Keeps the members of an object, which are sorted.
    pub fn members<'a>(&'a self, members: &[Member<'a>]) -> &'a mut [Member<'a>] {
        self.0.alloc_slice_copy(members)
    }
}

impl<'a> Text<'a> {
    /// Any text.
    #[must_use]
    pub const fn new(words: &'a str) -> Self {
        Self { words, is_plain: false }
    }

    /// A text that the parser lends: there was no escape in it, so none is needed to write it.
    const fn lent(words: &'a str) -> Self {
        Self { words, is_plain: true }
    }

    /// The words.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.words
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
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
            return members.iter().find(|(name, _)| name.words == key).map(|(_, value)| value);
        }
        let at = members.binary_search_by(|(name, _)| name.words.cmp(key)).ok()?;
        members.get(at).map(|(_, value)| value)
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        match self {
            Node::Text(text) => Some(text.words),
            _ => None,
        }
    }

    /// The text, if it is one and says something.
    #[must_use]
    pub fn words(&self) -> Option<&'a str> {
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
            Node::Text(text) => text.words.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    /// A boolean, or a text that is one.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self {
            Node::Bool(value) => Some(*value),
            Node::Text(text) => text.words.trim().parse().ok(),
            _ => None,
        }
    }

    /// The elements of a list; none for anything else.
    #[must_use]
    pub fn items(&self) -> &'a [Node<'a>] {
        match self {
            Node::List(items) => items,
            _ => &[],
        }
    }

    /// The members of an object, sorted by key; none for anything else.
    #[must_use]
    pub fn members(&self) -> &'a [Member<'a>] {
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
            Node::Text(text) => text.words.is_empty(),
            Node::List(items) => items.is_empty(),
            Node::Object(members) => members.is_empty(),
            Node::Bool(_) | Node::Whole(_) | Node::Number(_) => false,
        }
    }

    /// The value to keep as it is; `None` when it is empty.
    #[must_use]
    pub fn json(&self) -> Option<Json> {
        if self.is_empty() { None } else { Json::from_canonical(self.canonical()) }
    }
}

/// Lists and objects that are being read, one on top of the other: their length is known when they end.
struct Open<'a> {
    items: Vec<Node<'a>>,
    members: Vec<Member<'a>>,
}

impl Open<'_> {
    fn new() -> Self {
        Self { items: Vec::with_capacity(OPEN_ROOM), members: Vec::with_capacity(OPEN_ROOM) }
    }
}

/// A tree about to be read.
struct Branch<'a, 'o> {
    arena: &'a Bump,
    open: &'o mut Open<'a>,
}

impl<'a> Branch<'a, '_> {
    fn below(&mut self) -> Branch<'a, '_> {
        Branch { arena: self.arena, open: self.open }
    }
}

impl<'a> DeserializeSeed<'a> for Branch<'a, '_> {
    type Value = Node<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Node<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Branch<'a, '_> {
    type Value = Node<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node<'a>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'a>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'a>, E> {
        Ok(Node::Whole(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "JSON numbers beyond i64 are floats to everyone who reads them")]
    fn visit_u64<E>(self, value: u64) -> Result<Node<'a>, E> {
        Ok(i64::try_from(value).map_or(Node::Number(value as f64), Node::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node<'a>, E> {
        Ok(Node::Number(value))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Node<'a>, E> {
        Ok(Node::Text(Text::lent(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'a>, E> {
        Ok(Node::Text(Text::new(self.arena.alloc_str(text))))
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<Node<'a>, A::Error> {
        let start = self.open.items.len();
        while let Some(item) = list.next_element_seed(self.below())? {
            self.open.items.push(item);
        }
        let items = self.arena.alloc_slice_copy(&self.open.items[start..]);
        self.open.items.truncate(start);
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut object: A) -> Result<Node<'a>, A::Error> {
        let start = self.open.members.len();
        let mut in_order = true;
        while let Some(name) = object.next_key_seed(Name { arena: self.arena })? {
            let value = object.next_value_seed(self.below())?;
            in_order &= self.open.members[start..].last().is_none_or(|(last, _)| last.words < name.words);
            self.open.members.push((name, value));
        }
        if !in_order {
            in_order_each_once(&mut self.open.members, start);
        }
        let members = self.arena.alloc_slice_copy(&self.open.members[start..]);
        self.open.members.truncate(start);
        Ok(Node::Object(members))
    }
}

/// Sorts the members from `start` on; of those with the same name the last stays.
fn in_order_each_once(members: &mut Vec<Member<'_>>, start: usize) {
    // Stable: of equal names the last stays last.
    members[start..].sort_by(|(a, _), (b, _)| a.words.cmp(b.words));
    let mut kept = start;
    for at in start..members.len() {
        if members.get(at + 1).is_none_or(|(next, _)| next.words != members[at].0.words) {
            members[kept] = members[at];
            kept += 1;
        }
    }
    members.truncate(kept);
}

/// The name of a member about to be read.
struct Name<'a> {
    arena: &'a Bump,
}

impl<'a> DeserializeSeed<'a> for Name<'a> {
    type Value = Text<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Text<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name<'a> {
    type Value = Text<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, words: &'a str) -> Result<Text<'a>, E> {
        Ok(Text::lent(words))
    }

    fn visit_str<E>(self, words: &str) -> Result<Text<'a>, E> {
        Ok(Text::new(self.arena.alloc_str(words)))
    }
}
