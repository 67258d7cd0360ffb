//! Writes that come too late. Whoever asked was told that nothing was placed; so what is written after all is taken back.
//!
//! A store that is slow is not a store that refuses: what waits in its queue is committed when it comes to that.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{Dialer, STORE_DEADLINE};
use crate::store::{DocumentWrite, StoreError};

/// How long after a failure it is tried again to take something back.
const AGAIN: Duration = Duration::from_secs(1);
/// How often: then the store is down for good, and what is left of it is looked for in vain.
const TRIES: usize = 600;

impl Dialer {
    /// Writes documents, all or none. Where that took too long, or failed and may have been done, `take_back` is done once it has ended, until it
    /// could be.
    pub(super) async fn write_or<F>(
        &self,
        writes: Vec<DocumentWrite>,
        take_back: impl Fn(Self) -> F + Send + 'static,
    ) -> Result<bool, StoreError>
    where
        F: Future<Output = Result<(), StoreError>> + Send,
    {
        let parts = &self.0.parts;
        let (registry, now) = (parts.registry.clone(), parts.clock.now());
        let mut writing = parts.lifecycle.spawn_quiet(async move { registry.store().put_documents(writes, now).await });
        let error = match timeout(STORE_DEADLINE, &mut writing).await {
            Ok(Ok(Ok(written))) => return Ok(written),
            Ok(Ok(Err(error))) => error,
            Ok(Err(crash)) => StoreError::Unavailable(format!("the write ended early: {crash}")),
            Err(_late) => StoreError::Unavailable(format!("no answer within {} s", STORE_DEADLINE.as_secs())),
        };
        let dialer = self.clone();
        let undo = async move {
            // It may have ended already; then there is nothing to wait for.
            if !writing.is_finished() && matches!(writing.await, Ok(Ok(false))) {
                return;
            }
            for _ in 0..TRIES {
                let Err(error) = take_back(dialer.clone()).await else { return };
                warn!(%error, "What was written too late can't be taken back yet");
                tokio::select! {
                    () = sleep(AGAIN) => {}
                    () = dialer.0.parts.lifecycle.soft_stopped() => return,
                }
            }
        };
        parts.lifecycle.spawn_quiet(undo);
        Err(error)
    }
}
