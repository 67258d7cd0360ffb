//! JSON that is only passed on: kept as canonical text, never as a tree.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON value as canonical text: keys sorted, no white space. Equal values have equal text, so values compare as bytes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Takes text that is already canonical JSON; `None` when it is no JSON.
    #[must_use]
    pub fn from_canonical(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self)
    }

    /// Any serialisable value, made canonical.
    #[must_use]
    pub fn from_value(value: &serde_json::Value) -> Self {
        // A `Value` has sorted keys and always serialises.
        Self(serde_json::value::to_raw_value(value).unwrap_or_default())
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value as raw JSON, to embed in an answer.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// The value as a tree, to read parts of it.
    #[must_use]
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(self.as_str()).unwrap_or_default()
    }

    /// Is it `null`, `""`, `[]` or `{}`?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.as_str(), "null" | "\"\"" | "[]" | "{}")
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
