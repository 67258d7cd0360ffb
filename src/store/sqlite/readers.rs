//! A small pool of connections that read, used on tokio's blocking threads.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::open;
use crate::store::StoreError;

/// How long a free connection is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// How soon the answer is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// One call: webhooks wait for it.
    Lookup,
    /// Perhaps the whole table. Never takes the last connection, so that lookups go on.
    Scan,
}

/// The pool. Connections are opened when first needed.
#[derive(Debug)]
pub(super) struct Readers {
    shared: Arc<Shared>,
    scans: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    all: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// A pool of at most `size` connections (at least one).
    pub(super) fn new(path: PathBuf, size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared { path, all: Arc::new(Semaphore::new(size)), idle: Mutex::default() });
        Self { shared, scans: Arc::new(Semaphore::new(size.saturating_sub(1).max(1))) }
    }

    /// Asks something of what is durable.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        kind: Read,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permits = async {
            let scan = match kind {
                Read::Lookup => None,
                Read::Scan => Some(Arc::clone(&self.scans).acquire_owned().await?),
            };
            Ok::<_, tokio::sync::AcquireError>((scan, Arc::clone(&self.shared.all).acquire_owned().await?))
        };
        let permits = tokio::time::timeout(PATIENCE, permits)
            .await
            .map_err(|_elapsed| StoreError::Unavailable(format!("no free connection within {PATIENCE:?}")))?
            .map_err(|_closed| StoreError::Unavailable("it is closed".to_owned()))?;
        let shared = Arc::clone(&self.shared);
        let asked = tokio::task::spawn_blocking(move || {
            // Held until the connection is back.
            let _permits = permits;
            shared.ask(question)
        });
        asked.await.unwrap_or_else(|error| Err(StoreError::Unavailable(format!("a read crashed: {error}"))))
    }

    /// Lets go of every connection; later reads fail.
    pub(super) fn close(&self) {
        self.scans.close();
        self.shared.all.close();
        self.shared.idle().clear();
    }
}

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle().pop();
        let db = match idle {
            Some(db) => db,
            None => open::reader(&self.path)?,
        };
        let answer = question(&db);
        if !self.all.is_closed() {
            self.idle().push(db);
        }
        answer
    }
}
