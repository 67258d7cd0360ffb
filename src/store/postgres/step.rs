//! One statement with its values.

use std::{borrow::Cow, fmt};

use tokio_postgres::types::{ToSql, Type};

use crate::store::rows::count;

/// A value and the type that the server is told.
pub(super) struct Value<'a> {
    pub(super) data: Box<dyn ToSql + Sync + Send + 'a>,
    pub(super) kind: Type,
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)
    }
}

/// A statement, ready to be sent.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) sql: Cow<'a, str>,
    pub(super) values: Vec<Value<'a>>,
    /// Its text is one of few: worth to be prepared and kept.
    pub(super) kept: bool,
}

impl<'a> Step<'a> {
    /// A statement that is sent again and again.
    pub(super) fn new(sql: &'a str, values: Vec<Value<'a>>) -> Self {
        Self { sql: Cow::Borrowed(sql), values, kept: true }
    }

    /// A statement made up for the moment.
    pub(super) fn once(sql: String, values: Vec<Value<'a>>) -> Self {
        Self { sql: Cow::Owned(sql), values, kept: false }
    }

    pub(super) fn kinds(&self) -> Vec<Type> {
        self.values.iter().map(|value| value.kind.clone()).collect()
    }
}

/// A text without U+0000, which a `text` of PostgreSQL can't hold.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// JSON without the escape of U+0000, which a `jsonb` can't hold.
pub(super) fn clean_json(json: &str) -> Cow<'_, str> {
    if !json.contains(r"\u0000") {
        return clean(json);
    }
    let mut cleaned = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        cleaned.push_str(before);
        // An escape is one character after the backslash, or `u` and four digits: all ASCII, or it was no JSON.
        let length = if escape.starts_with(r"\u") { 6 } else { 2 };
        let (escape, after) = escape.split_at_checked(length).unwrap_or((escape, ""));
        cleaned.push_str(if escape == r"\u0000" { r"\ufffd" } else { escape });
        rest = after;
    }
    cleaned.push_str(rest);
    Cow::Owned(cleaned)
}

impl<'a> Value<'a> {
    fn new(data: impl ToSql + Sync + Send + 'a, kind: Type) -> Self {
        Self { data: Box::new(data), kind }
    }

    pub(super) fn text(text: &'a str) -> Self {
        Self::new(clean(text), Type::TEXT)
    }

    pub(super) fn whole(number: i64) -> Self {
        Self::new(number, Type::INT8)
    }

    /// A limit.
    pub(super) fn count(limit: usize) -> Self {
        Self::whole(count(limit))
    }

    /// A text, or null.
    pub(super) fn maybe_text(text: Option<&'a str>) -> Self {
        Self::new(text.map(clean), Type::TEXT)
    }

    /// A JSON text, or null.
    pub(super) fn maybe_json(json: Option<&'a str>) -> Self {
        Self::new(json.map(clean_json), Type::TEXT)
    }

    /// A whole number, or null.
    pub(super) fn maybe_whole(number: Option<i64>) -> Self {
        Self::new(number, Type::INT8)
    }

    /// A number, or null.
    pub(super) fn maybe_number(number: Option<f64>) -> Self {
        Self::new(number, Type::FLOAT8)
    }

    pub(super) fn yes_or_no(value: bool) -> Self {
        Self::new(value, Type::BOOL)
    }

    pub(super) fn bytes(bytes: &'a [u8]) -> Self {
        Self::new(bytes, Type::BYTEA)
    }

    /// One text of each row.
    pub(super) fn texts<T>(rows: &'a [T], of: impl Fn(&'a T) -> Option<&'a str>) -> Self {
        Self::new(rows.iter().map(|row| of(row).map(clean)).collect::<Vec<_>>(), Type::TEXT_ARRAY)
    }

    /// One JSON text of each row.
    pub(super) fn jsons<T>(rows: &'a [T], of: impl Fn(&'a T) -> Option<&'a str>) -> Self {
        Self::new(rows.iter().map(|row| of(row).map(clean_json)).collect::<Vec<_>>(), Type::TEXT_ARRAY)
    }

    /// One whole number of each row.
    pub(super) fn wholes<T>(rows: &'a [T], of: impl Fn(&'a T) -> Option<i64>) -> Self {
        Self::new(rows.iter().map(of).collect::<Vec<_>>(), Type::INT8_ARRAY)
    }

    /// One number of each row.
    pub(super) fn numbers<T>(rows: &'a [T], of: impl Fn(&'a T) -> Option<f64>) -> Self {
        Self::new(rows.iter().map(of).collect::<Vec<_>>(), Type::FLOAT8_ARRAY)
    }

    /// One yes or no of each row.
    pub(super) fn switches<T>(rows: &'a [T], of: impl Fn(&'a T) -> bool) -> Self {
        Self::new(rows.iter().map(of).collect::<Vec<_>>(), Type::BOOL_ARRAY)
    }

    /// Bytes of each row.
    pub(super) fn blobs<T>(rows: &'a [T], of: impl Fn(&'a T) -> Option<&'a [u8]>) -> Self {
        Self::new(rows.iter().map(of).collect::<Vec<_>>(), Type::BYTEA_ARRAY)
    }
}

#[cfg(test)]
mod tests {
    use super::{clean, clean_json};

    #[test]
    fn only_the_zero_character_is_replaced() {
        assert_eq!(clean("grüße\n\u{1}"), "grüße\n\u{1}");
        assert_eq!(clean("a\0b\0"), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn json_keeps_everything_but_the_escape_of_the_zero_character() {
        for (json, cleaned) in [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (r#""a\u0000b""#, r#""a\ufffdb""#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\\\u0000\u00001\n""#, r#""\\\ufffd\ufffd1\n""#),
            (r#"["ü\u0001\u0000","\""]"#, r#"["ü\u0001\ufffd","\""]"#),
        ] {
            assert_eq!(clean_json(json), cleaned);
            assert!(serde_json::from_str::<serde_json::Value>(&clean_json(json)).is_ok());
        }
        assert_eq!(clean_json("no json \\u0000 \\uü"), "no json \\ufffd \\uü");
    }
}
