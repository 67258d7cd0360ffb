//! When each token was used last, to the minute.
//!
//! Whoever polls pays one look at a number for it. What changed is written once a minute, when the service begins to stop, and after the requests
//! that were under way then; a process that is killed forgets a minute of it at most. Of several instances the latest use counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    call::time::Millis,
    clock::Clock,
    lifecycle::Lifecycle,
    store::{
        Document, DocumentKind, DocumentWrite, MOST_CONFLICTS, Store, StoreError,
        document::{Read, written},
    },
};

/// How fine a use is remembered, in milliseconds.
const MINUTE: i64 = 60_000;
/// How often what changed is written.
const WRITE_EVERY: Duration = Duration::from_mins(1);
/// Stands for a token that was not used since the start.
const NEVER: i64 = i64::MIN;

/// Remembers when tokens were used; a cheap handle.
#[derive(Debug, Clone)]
pub struct Usage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tokens: Vec<Token>,
    store: Store,
    clock: Clock,
}

#[derive(Debug)]
struct Token {
    name: String,
    used: AtomicI64,
    written: AtomicI64,
}

/// What is stored of a token.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    used_at: Millis,
}

impl Usage {
    /// Of tokens with these names.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>, store: Store, clock: Clock) -> Self {
        let token = |name| Token { name, used: AtomicI64::new(NEVER), written: AtomicI64::new(NEVER) };
        Self(Arc::new(Inner { tokens: names.into_iter().map(token).collect(), store, clock }))
    }

    /// A token was used.
    pub fn note(&self, name: &str) {
        let Some(token) = self.0.tokens.iter().find(|token| token.name == name) else { return };
        let minute = minute(self.0.clock.now());
        // Written only when it changes, so that requests on all processors share the line in their caches.
        if token.used.load(Ordering::Relaxed) < minute {
            token.used.store(minute, Ordering::Relaxed);
        }
    }

    /// When a token was used last, by any instance; `None`: never, as far as anybody remembers.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn last(&self, name: &str) -> Result<Option<Millis>, StoreError> {
        let here = self.0.tokens.iter().find(|token| token.name == name).map(|token| token.used.load(Ordering::Relaxed));
        let here = here.filter(|at| *at != NEVER).map(Millis);
        let stored = self.stored(name).await?.and_then(|document| used_at(&document));
        Ok(here.max(stored))
    }

    /// Writes what changed.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked; it is written the next time.
    pub async fn write(&self) -> Result<(), StoreError> {
        for token in &self.0.tokens {
            let used = token.used.load(Ordering::Relaxed);
            if used != token.written.load(Ordering::Relaxed) {
                self.raise(&token.name, Millis(used)).await?;
                token.written.store(used, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Writes from time to time until `lifecycle` stops it, and then once more.
    pub async fn run(self, lifecycle: Lifecycle) {
        while !lifecycle.is_soft_stopped() {
            tokio::select! {
                () = tokio::time::sleep(WRITE_EVERY) => {}
                () = lifecycle.soft_stopped() => {}
            }
            if let Err(error) = self.write().await {
                warn!(%error, "When tokens were used last could not be written");
            }
        }
    }

    async fn stored(&self, name: &str) -> Result<Option<Document>, StoreError> {
        self.0.store.document(DocumentKind::Token, name, self.0.clock.now()).await
    }

    /// Sees to it that the stored moment is no earlier than `used`.
    async fn raise(&self, name: &str, used: Millis) -> Result<(), StoreError> {
        for _ in 0..MOST_CONFLICTS {
            let (says, now) = (Kept { used_at: used }, self.0.clock.now());
            let write = match self.stored(name).await? {
                Some(document) if used_at(&document) >= Some(used) => return Ok(()),
                Some(document) => Read { document, says }.write(),
                None => DocumentWrite { document: first(name, &says, now), expected: None },
            };
            if self.0.store.put_documents(vec![write], now).await? {
                return Ok(());
            }
        }
        // Others note the same token over and over: then theirs is as late as ours.
        Ok(())
    }
}

fn first(name: &str, says: &Kept, now: Millis) -> Document {
    let (kind, id, body) = (DocumentKind::Token, name.to_owned(), written(says));
    Document { kind, id, revision: 1, alias: None, due: None, created_at: now, expires_at: None, body }
}

fn used_at(document: &Document) -> Option<Millis> {
    serde_json::from_slice::<Kept>(&document.body).ok().map(|kept| kept.used_at)
}

fn minute(at: Millis) -> i64 {
    at.0.div_euclid(MINUTE) * MINUTE
}
