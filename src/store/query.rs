//! What can be asked of a list of calls.

use std::{collections::BTreeMap, sync::Arc};

use super::{Columns, StoredCall};
use crate::call::{id::CallId, time::Millis};

/// Which moment sorts a list and bounds it by `since` and `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortBy {
    /// First heard of.
    #[default]
    CreatedAt,
    /// Last changed.
    UpdatedAt,
    /// The line dropped; calls without one are left out.
    EndedAt,
}

/// Where a page begins: after this call, which had this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCursor {
    /// The moment of the last row seen.
    pub at: Millis,
    /// The last row seen.
    pub id: CallId,
}

/// Filters are joined by AND; a list inside one filter means any of them; an empty list means no filter.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Digits of the customer's or the provider's number.
    pub phone: Vec<String>,
    /// `status`.
    pub status: Vec<String>,
    /// `callStatus`.
    pub call_status: Vec<String>,
    /// `dataStatus`.
    pub data_status: Vec<String>,
    /// `assistantId`.
    pub assistant_id: Vec<String>,
    /// `providerId`.
    pub provider_id: Vec<String>,
    /// `serviceRequestId`.
    pub service_request_id: Vec<String>,
    /// `correlationId`.
    pub correlation_id: Vec<String>,
    /// Metadata by key, as text.
    pub metadata: BTreeMap<String, Vec<String>>,
    /// Words in lower case that must all occur.
    pub words: Vec<String>,
    /// Only from this moment on.
    pub since: Option<Millis>,
    /// Only before this moment.
    pub until: Option<Millis>,
    /// Which moment counts.
    pub by: SortBy,
    /// Rows at most.
    pub limit: usize,
    /// Rows to skip, for offset paging.
    pub offset: usize,
    /// Where the page begins.
    pub cursor: Option<PageCursor>,
}

/// One page, newest first.
#[derive(Debug, Clone, Default)]
pub struct CallPage {
    /// The calls.
    pub calls: Vec<Arc<StoredCall>>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<PageCursor>,
}

impl CallFilter {
    /// The moment that sorts this call in this list; `None` leaves it out.
    pub(super) fn moment(&self, call: &StoredCall, columns: &Columns) -> Option<Millis> {
        match self.by {
            SortBy::CreatedAt => Some(call.created_at),
            SortBy::UpdatedAt => Some(call.updated_at),
            SortBy::EndedAt => columns.ended_at,
        }
    }

    /// Does a call that has the moment `at` belong to this list? What the SQL back ends say in SQL.
    pub(super) fn matches(&self, at: Millis, columns: &Columns) -> bool {
        let is_any = |wanted: &[String], value: Option<&str>| wanted.is_empty() || wanted.iter().any(|it| value == Some(it.as_str()));
        let phone = is_any(&self.phone, columns.customer_digits.as_deref()) || is_any(&self.phone, columns.provider_digits.as_deref());
        phone
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && is_any(&self.status, Some(columns.status))
            && is_any(&self.call_status, Some(columns.call_status))
            && is_any(&self.data_status, Some(columns.data_status))
            && is_any(&self.assistant_id, columns.assistant_id.as_deref())
            && is_any(&self.provider_id, columns.provider_id.as_deref())
            && is_any(&self.service_request_id, columns.service_request_id.as_deref())
            && is_any(&self.correlation_id, columns.correlation_id.as_deref())
            && self.matches_metadata(&columns.metadata)
            && self.matches_words(columns.search.as_deref().unwrap_or_default())
    }

    fn matches_metadata(&self, metadata: &str) -> bool {
        if self.metadata.values().all(Vec::is_empty) {
            return true;
        }
        let there: BTreeMap<String, String> = serde_json::from_str(metadata).unwrap_or_default();
        self.metadata.iter().all(|(key, wanted)| wanted.is_empty() || there.get(key).is_some_and(|value| wanted.contains(value)))
    }

    /// Do all words occur in this text?
    pub(super) fn matches_words(&self, search: &str) -> bool {
        self.words.iter().all(|word| search.contains(word.as_str()))
    }
}
