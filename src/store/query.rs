//! What can be asked of a list of calls.

use std::{collections::BTreeMap, sync::Arc};

use super::StoredCall;
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
