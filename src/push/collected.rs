//! What a paused subscription collects is not kept for ever: as long as tries are, and then it is given up.
//!
//! It becomes a dead letter, so that the owner sees what was missed, and may have it sent after all; as such it goes in its turn.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::{Push, fan::left_alone};
use crate::{
    lifecycle::Lifecycle,
    store::{Attempt, GiveUp, StoreError},
};

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// Deliveries that are given up at once.
const BATCH: usize = 1_000;
/// Why, as it stands among the tries.
const REASON: &str = "it waited longer than PAYLOAD_RETENTION_DAYS, for its subscription is paused";

/// Gives up what is too old until `lifecycle` stops it.
pub(super) async fn give_up(push: Push, lifecycle: Lifecycle) {
    while !lifecycle.is_soft_stopped() {
        match push.give_up_old().await {
            Ok(0) => {}
            Ok(count) => info!(count, "Deliveries to paused subscriptions were given up: they waited longer than PAYLOAD_RETENTION_DAYS"),
            Err(error) => warn!(%error, "Deliveries that waited too long can't be given up; next try in an hour"),
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = lifecycle.soft_stopped() => {}
        }
    }
}

impl Push {
    /// Gives up what subscriptions that are paused, or that only a later release understands, collected too long ago; returns how many.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't.
    pub async fn give_up_old(&self) -> Result<usize, StoreError> {
        let Some(kept_ms) = self.0.parts.kept_ms else { return Ok(0) };
        let store = self.0.parts.registry.store();
        let known = self.known(&store.outbox().await?).await?;
        let now = self.0.parts.clock.now();
        let mut all = 0;
        for target in left_alone(&known) {
            loop {
                let note = Attempt { at: now, took_ms: 0, status: None, error: Some(REASON.to_owned()) };
                let give_up = GiveUp { target: target.clone(), before: now.plus(-kept_ms), note, limit: BATCH };
                let count = store.give_up_deliveries(give_up).await?;
                all += count;
                if count < BATCH {
                    break;
                }
            }
        }
        Ok(all)
    }
}
