//! Whoever is told when a placed call is done.
//!
//! They are written down after the placing and before Vapi is asked. So a placing that is still being sent, and whose callback is not there, was
//! never sent; and what was perhaps sent is told about, whoever was killed when.

use serde_json::json;
use tracing::warn;

use super::{DialError, Dialer, placing::Placing};
use crate::{
    call::time::{Millis, SECOND},
    push::Callback,
    store::{Document, StoreError},
    vapi::client::{Refusal, RefusalReason},
};

/// Whoever is told goes so many milliseconds before their placing or batch does.
const BEFORE_THE_END: i64 = 3_600 * SECOND;

impl Dialer {
    /// Writes down who is told of a placing. If that can't be, nothing is placed.
    pub(super) async fn promise(&self, id: &str, callback: Option<Callback>) -> Result<(), DialError> {
        let Some(callback) = callback else { return Ok(()) };
        let Err(error) = self.in_time(self.0.parts.push.call_back(id, callback)).await else { return Ok(()) };
        if let Err(error) = self.never_sent(id).await {
            warn!(%error, placement_id = id, "A placing that was not sent could not be noted as such; that is made up for later");
        }
        self.wake(id);
        Err(error.into())
    }

    /// A placing that was written down was not sent, and will not be.
    pub(super) async fn never_sent(&self, id: &str) -> Result<(), StoreError> {
        self.note_refusal(id, &unsent("Vapi was not asked: the store failed before.")).await
    }

    /// A placing was written down, and then the process stood still for so long that it must not be sent any more.
    pub(super) async fn send_no_more(&self, id: &str) -> DialError {
        let refusal = unsent("Vapi was not asked: Ringback stood still when it was about to.");
        warn!(placement_id = id, "The process stood still between writing a placing down and sending it; it is not sent");
        if let Err(error) = self.note_refusal(id, &refusal).await {
            warn!(%error, placement_id = id, "That could not be noted; its call will be looked for in vain");
        }
        self.wake(id);
        DialError::Refused(refusal)
    }

    /// Is it certain that a placing that is being sent was not?
    pub(super) async fn is_unsent(&self, id: &str, says: &Placing) -> Result<bool, StoreError> {
        Ok(says.called_back && !self.in_time(self.0.parts.push.calls_back(id)).await?)
    }

    /// Nobody is told of this placing any more.
    pub(super) async fn release(&self, id: &str) -> Result<(), StoreError> {
        self.in_time(self.0.parts.push.call_off(id)).await
    }
}

fn unsent(message: &str) -> Refusal {
    let details = json!({"status": null, "message": message});
    Refusal { reason: RefusalReason::Unavailable, details, retry_after_ms: None }
}

/// When whoever is told of a placing has to go, if anybody is.
pub(super) fn release_at(says: &Placing, document: &Document) -> Option<Millis> {
    document.expires_at.filter(|_| says.called_back).map(before)
}

/// When whoever is told has to go, of something that goes at a moment.
pub(super) fn before(ends: Millis) -> Millis {
    ends.plus(-BEFORE_THE_END)
}
