//! Moving all calls from one store to another, and encrypting them anew.
//!
//! | Module | What it does |
//! |---|---|
//! | [`mod@line`] | the lines of an export: JSON, one thing a line |
//! | [`mod@export`] | a store, or the rest of it, as lines |
//! | [`mod@import`] | lines into a store: what is there is joined with what comes |
//! | [`mod@rekey`] | everything under the newest key |
//!
//! Each can be interrupted at any moment and begun again: an export goes on behind its last line, the other two behind what they noted in the
//! store. What is done twice changes nothing.

pub mod export;
pub mod import;
pub mod line;
pub mod rekey;

use tokio_util::sync::CancellationToken;

use crate::store::StoreError;

/// Whoever watches, and may stop it.
pub trait Watcher {
    /// So much is done, of so much in all as far as is known.
    fn told(&mut self, done: u64, all: u64);
    /// What stops it.
    fn stop(&self) -> &CancellationToken;
}

/// Why it did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It was stopped; it can go on where it was.
    #[error("interrupted; the same command goes on from here")]
    Stopped,
    /// The store fails.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The file can't be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// A line can't be used.
    #[error("line {number}: {why}")]
    Line {
        /// From 1.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
    /// What was asked for can't be done; the text says what to do.
    #[error("{0}")]
    Refused(String),
}

fn go_on(watcher: &dyn Watcher) -> Result<(), TransferError> {
    if watcher.stop().is_cancelled() { Err(TransferError::Stopped) } else { Ok(()) }
}
