//! `GET /call`: the calls of the organisation, newest first, a page at a time.

use hyper::body::Bytes;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{NoAnswer, VapiClient, Whole, answer, answer::Fetched};
use crate::call::{id::CallId, time::Millis};

/// Which calls are asked for; all bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Changed at this moment or later.
    pub updated_from: Option<Millis>,
    /// Changed at this moment or earlier.
    pub updated_to: Option<Millis>,
    /// Made at this moment or later.
    pub created_from: Option<Millis>,
    /// Made at this moment or earlier.
    pub created_to: Option<Millis>,
    /// Calls at most; one has 42 KB, and some have six times as much.
    pub limit: usize,
}

impl ListQuery {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let bounds = [
            ("updatedAtGe", self.updated_from),
            ("updatedAtLe", self.updated_to),
            ("createdAtGe", self.created_from),
            ("createdAtLe", self.created_to),
        ];
        let bounds = bounds.into_iter().filter_map(|(name, bound)| Some((name, bound?.to_string())));
        std::iter::once(("limit", self.limit.to_string())).chain(bounds).collect()
    }
}

/// One call of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCall {
    /// Its id.
    pub id: CallId,
    /// When it was made.
    pub created_at: Option<Millis>,
    /// When it was last changed, verbatim.
    pub updated_at: String,
    /// The whole call, as Vapi sent it.
    pub body: Bytes,
}

/// What came of asking for a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A page.
    Calls {
        /// Those that have an id.
        calls: Vec<ListedCall>,
        /// How many there were: fewer than the limit mean that there are no more.
        rows: usize,
    },
    /// More than is read of one answer: ask for fewer.
    TooLarge,
    /// Vapi refuses the key.
    Denied {
        /// 401 or 403.
        status: u16,
    },
    /// No usable answer.
    Failed {
        /// Why, in words for an operator.
        error: String,
        /// How long Vapi asks to be left alone, in milliseconds; at most one hour.
        retry_after_ms: Option<i64>,
    },
}

impl VapiClient {
    /// Asks for a list of calls: `GET /call`. Whoever wants a single call goes first.
    pub async fn list(&self, query: &ListQuery) -> Listed {
        self.shared.limiter.patient().await;
        match self.ask_now("list", self.shared.request(Method::GET, &["call"], &query.pairs())).await {
            Ok(whole) => of_list(whole, self.shared.clock.now()),
            Err(NoAnswer::TooLarge) => Listed::TooLarge,
            Err(NoAnswer::Other(error)) => Listed::Failed { error, retry_after_ms: None },
        }
    }
}

/// What of a call is read to page on.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    id: serde_json::Value,
    #[serde(default, rename = "createdAt")]
    created_at: serde_json::Value,
    #[serde(default, rename = "updatedAt")]
    updated_at: serde_json::Value,
}

/// What an answer to `GET /call` means; `now` is what a `Retry-After` date is counted from.
fn of_list(whole: Whole, now: Millis) -> Listed {
    if whole.status == StatusCode::OK
        && let Ok(rows) = serde_json::from_slice::<Vec<&RawValue>>(&whole.body)
    {
        let calls = rows.iter().filter_map(|row| listed(row)).collect();
        return Listed::Calls { calls, rows: rows.len() };
    }
    match answer::of_call(whole, now) {
        Fetched::Denied { status } => Listed::Denied { status },
        Fetched::Failed { error, retry_after_ms } => Listed::Failed { error, retry_after_ms },
        Fetched::Call(_) | Fetched::Unknown => {
            Listed::Failed { error: "Vapi answered with something that is no list of calls".to_owned(), retry_after_ms: None }
        }
    }
}

fn listed(row: &RawValue) -> Option<ListedCall> {
    let head: Head = serde_json::from_str(row.get()).ok()?;
    Some(ListedCall {
        id: CallId::parse(head.id.as_str()?).ok()?,
        created_at: head.created_at.as_str().and_then(Millis::parse_rfc3339),
        updated_at: head.updated_at.as_str().unwrap_or_default().to_owned(),
        body: Bytes::copy_from_slice(row.get().as_bytes()),
    })
}
