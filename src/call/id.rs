//! The id of a call, checked once at the door.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};

/// The longest call id that is taken, in bytes.
const MAX_LENGTH: usize = 128;
/// The key under which the metadata of a placed call has the id of its placing.
pub const PLACEMENT_ID: &str = "placementId";
/// How the id of a placing is told from one of Vapi's calls.
pub const PLACEMENT_PREFIX: &str = "pl_";

/// Is this the id of a placing?
#[must_use]
pub fn is_placement_id(id: &str) -> bool {
    id.starts_with(PLACEMENT_PREFIX)
}

/// A call's id: 1 to 128 of `A-Z a-z 0-9 . _ : -`. Vapi's are UUIDs (v4 before November 2025, v7 since), but nothing depends on that.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct CallId(Arc<str>);

/// The text is not a call id: empty, too long, or with a character outside the allowed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a call id has 1 to 128 characters of A-Z a-z 0-9 . _ : -")]
pub struct InvalidCallId;

impl CallId {
    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// [`InvalidCallId`] when the text is empty, longer than 128 bytes, or holds other characters.
    ///
    /// ```
    /// use ringback::call::id::CallId;
    /// assert!(CallId::parse("019c758b-c31b-781d-be9b-73dfed5cadf8").is_ok());
    /// assert!(CallId::parse("no spaces").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidCallId> {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
        if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(harmless) {
            return Err(InvalidCallId);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({})", self.0)
    }
}

impl Borrow<str> for CallId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}
