//! How a store fails.

use std::time::Duration;

/// A store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, is busy, full or broken: try again later. The text is for logs only.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It can't be used as it is: a newer schema, another process holds it, a file system that forgets. The text tells the operator what to do.
    #[error("{0}")]
    Unusable(String),
    /// Its schema is older than the one that this release needs, or there is none yet, and nobody may bring it up to date here.
    #[error("{0}")]
    Behind(String),
}

impl StoreError {
    /// It took longer than this.
    pub(crate) fn late(deadline: Duration) -> Self {
        Self::Unavailable(format!("no answer within {} s", deadline.as_secs()))
    }

    /// Others were faster again and again, [`MOST_CONFLICTS`](super::MOST_CONFLICTS) times.
    pub(crate) fn contended(what: &str) -> Self {
        Self::Unavailable(format!("{what} kept changing under us"))
    }
}
