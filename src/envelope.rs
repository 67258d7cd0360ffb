//! The keys that stand in every JSON answer, so that no template fails on a missing one.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Room for an answer to begin with, in bytes: that of most calls fits in.
const ROOM: usize = 16_384;

/// An answer: `data` and what is to be said about it. The same keys stand in a success and in a failure.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<'a, T> {
    /// The HTTP status is 2xx. A failed *call* is a success.
    pub success: bool,
    /// May a poller stop waiting? True exactly when the call's `dataStatus` is `complete` or `fetch_failed`.
    pub done: bool,
    /// The call it is about, if it is about one.
    pub call_id: Option<&'a str>,
    /// What was asked for; `null` in a failure.
    pub data: T,
    /// Lists only: how many rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Lists only: where they go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
    /// What went wrong, for programs; `null` in a success.
    #[schema(example = "CALL_NOT_FOUND")]
    pub code: Option<&'a str>,
    /// What went wrong, in short; `null` in a success.
    pub error: Option<&'a str>,
    /// What to do about it; `null` in a success.
    pub message: Option<&'a str>,
    /// More about a failure, an object or a list by its code; else `null`.
    #[schema(value_type = Value)]
    pub details: Option<&'a Value>,
    /// In a failure the id that the log has; in a success `null`, the header `X-Request-Id` has it.
    pub request_id: Option<&'a str>,
}

/// The `null` that stands for `data` in a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct NoData;

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    /// Rows of a page.
    pub limit: usize,
    /// Rows skipped, with offset paging.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// `cursor` of the next page, with cursor paging; `null` on the last page.
    pub next_cursor: Option<String>,
    /// There is a next page.
    pub has_more: bool,
}

impl Pagination {
    /// Of a list that is there as a whole.
    #[must_use]
    pub fn whole(count: usize) -> Self {
        Self::after(count, None)
    }

    /// Of a page of at most so many rows, and the cursor of the next one, if there is one.
    #[must_use]
    pub fn after(limit: usize, next_cursor: Option<String>) -> Self {
        Self { limit, offset: None, has_more: next_cursor.is_some(), next_cursor }
    }
}

impl<'a, T: Serialize> Envelope<'a, T> {
    /// A success.
    #[must_use]
    pub fn of(data: T) -> Self {
        Self {
            success: true,
            done: false,
            call_id: None,
            data,
            count: None,
            pagination: None,
            code: None,
            error: None,
            message: None,
            details: None,
            request_id: None,
        }
    }

    /// The same, about a call.
    #[must_use]
    pub fn about(self, call_id: &'a str) -> Self {
        Self { call_id: Some(call_id), ..self }
    }

    /// The same, of a list.
    #[must_use]
    pub fn paged(self, count: usize, pagination: Pagination) -> Self {
        Self { count: Some(count), pagination: Some(pagination), ..self }
    }

    /// The answer's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ROOM);
        // Texts, numbers and JSON that was JSON before: nothing here can refuse to be written.
        let _ = serde_json::to_writer(&mut bytes, self);
        // Answers are kept in memory: they take the room that they need.
        bytes.shrink_to_fit();
        bytes
    }
}
