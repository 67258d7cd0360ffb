//! What came of asking Vapi, and what policy made of it.

use serde::{Deserialize, Serialize};

use crate::call::time::Millis;

/// Why Vapi was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FetchReason {
    /// The call has a result that is not complete yet.
    Enrich,
    /// The call went silent without a report.
    Check,
    /// Somebody asked for it.
    Manual,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum FetchOutcome {
    /// No usable answer: network, 429, 5xx, HTML, cut, late.
    Failed {
        /// Why, in words for a poller.
        error: String,
    },
    /// Vapi refuses our key (401, 403).
    Denied {
        /// Why, in words for a poller.
        error: String,
    },
    /// Vapi knows no such call (404).
    Unknown,
    /// The call goes on.
    Live,
    /// The call ended.
    Ended {
        /// Its `updatedAt`, verbatim: two equal ones mean that Vapi is done with it.
        updated_at: String,
    },
}

impl FetchOutcome {
    /// Why there is no answer, in words for a poller; `None` when there is one.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Failed { error } | Self::Denied { error } => Some(error),
            Self::Unknown => Some("Vapi knows no such call (404)"),
            Self::Live | Self::Ended { .. } => None,
        }
    }
}

/// One time that Vapi was asked about the call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fetch {
    /// When it was answered, or given up.
    pub at: Millis,
    /// Why it was asked.
    pub reason: FetchReason,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: FetchOutcome,
}

/// How policy settled the call; complete wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// Vapi could not be asked; what is there is all there is.
    FetchFailed,
    /// Nothing more is to be expected.
    Complete,
}
