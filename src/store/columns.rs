//! What lists filter and sort by.

use std::borrow::Cow;

use super::StoredCall;
use crate::call::{time::Millis, words};

/// Columns that lists filter and sort by, taken from a record by [`crate::call::view`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Columns {
    /// `status` as pollers see it.
    pub status: &'static str,
    /// `callStatus` as pollers see it.
    pub call_status: &'static str,
    /// `dataStatus` as pollers see it.
    pub data_status: &'static str,
    /// `endedAt` as pollers see it.
    pub ended_at: Option<Millis>,
    /// The assistant that talked.
    pub assistant_id: Option<String>,
    /// From metadata.
    pub provider_id: Option<String>,
    /// From metadata.
    pub service_request_id: Option<String>,
    /// As pollers see it.
    pub correlation_id: Option<String>,
    /// Digits of the customer's number.
    pub customer_digits: Option<String>,
    /// Digits of the provider's number.
    pub provider_digits: Option<String>,
    /// Metadata as a JSON object of texts, for `metadata.KEY`.
    pub metadata: String,
    /// The text in lower case in which `q` looks for words, if it is another one than [`words::of`] makes of the record.
    pub search: Option<String>,
}

impl Columns {
    /// The text in lower case in which `q` looks for words.
    pub(super) fn words(&self, call: &StoredCall) -> Cow<'_, str> {
        self.search.as_deref().map_or_else(|| Cow::Owned(words::of(&call.id, &call.record)), Cow::Borrowed)
    }
}
