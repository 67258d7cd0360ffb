//! Sessions that this process has found in the store, for the time when it can't be asked: whoever is signed in then sees what is wrong.
//!
//! Races, by name:
//! - *A request looks its session up while that signs out*: what was signed out stays here as over, and what is here is not put in again, so that
//!   the slower of the two brings nothing back.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use tokio_util::sync::CancellationToken;

use super::LASTS;
use crate::{call::time::Millis, store::Document};

/// Sessions remembered at most. One that is forgotten is found in the store again.
const MOST: u64 = 1_000;

/// The sessions; clones are the same.
#[derive(Debug, Clone)]
pub(in crate::http) struct Remembered(Cache<String, Arc<Known>>);

/// A session, as the store had it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) document: Document,
    /// Tells those who listen with it that it is over.
    pub(super) over: CancellationToken,
}

impl Default for Remembered {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(Duration::from_millis(LASTS.unsigned_abs())).build())
    }
}

impl Remembered {
    /// The store has this one.
    pub(super) fn put(&self, document: Document) -> Arc<Known> {
        let name = document.id.clone();
        self.0.get_with(name, || Arc::new(Known { document, over: CancellationToken::new() }))
    }

    /// A session that goes on, as far as is known here.
    pub(super) fn find(&self, name: &str, now: Millis) -> Option<Arc<Known>> {
        let goes_on = |known: &Known| !known.over.is_cancelled() && known.document.expires_at.is_some_and(|end| end > now);
        self.0.get(name).filter(|known| goes_on(known))
    }

    /// The store has it no more.
    pub(super) fn end(&self, name: &str) {
        if let Some(known) = self.0.get(name) {
            known.over.cancel();
        }
    }
}
