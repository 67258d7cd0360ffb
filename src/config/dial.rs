//! Who may be called, from where, and how often.

use std::ops::RangeInclusive;

use super::{reader::Reader, vapi::word};

/// Bounds of the calls placed in a minute.
const PER_MINUTE: RangeInclusive<usize> = 0..=100_000;
/// Digits of a prefix; a whole number has 15 at most (E.164).
const PREFIX_DIGITS: RangeInclusive<usize> = 1..=15;

/// Who may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialConfig {
    /// Vapi's id of the number that calls come from, unless a request names one.
    pub phone_number_id: Option<String>,
    /// How numbers begin that may be called; empty: any.
    pub allow: Vec<String>,
    /// Calls placed in a minute.
    pub max_per_minute: usize,
}

impl DialConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let allow = reader.list("DIAL_ALLOW");
        let is_prefix = |text: &String| {
            text.strip_prefix('+')
                .is_some_and(|digits| PREFIX_DIGITS.contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit()))
        };
        if !allow.iter().all(is_prefix) {
            reader.problem("DIAL_ALLOW must list how numbers begin, each a + and digits, such as +1,+4420");
        }
        let phone_number_id = word(reader, "VAPI_PHONE_NUMBER_ID");
        Self { phone_number_id, allow, max_per_minute: reader.whole("DIAL_MAX_PER_MINUTE", PER_MINUTE) }
    }

    /// May this number be called? One that is not known can't be held against the list.
    #[must_use]
    pub fn allows(&self, number: Option<&str>) -> bool {
        self.allow.is_empty() || number.is_some_and(|number| self.allow.iter().any(|prefix| number.starts_with(prefix)))
    }
}
