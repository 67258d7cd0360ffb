//! What an id names, and where a placing stands: what whoever asks is told of it.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Dialer, LOOK_AGAIN, Named, is_placement_id,
    placing::{OpenPlacing, Placing, State},
    send::event_id,
};
use crate::{
    call::id::CallId,
    store::{StoreError, document::Read},
    vapi::client::Refusal,
};

/// Where a placing stands.
pub(super) enum Standing {
    Sending,
    Unknown,
    Call(CallId),
    Refused(Refusal),
    /// It counts as lost; there is a refusal if it turned out later that nothing was placed.
    Lost(Option<Refusal>),
    Erased,
    Nothing,
}

/// A placing of which nobody knows what came.
pub(super) fn open(id: &str) -> Named {
    CallId::parse(id).map_or(Named::Nothing, Named::Open)
}

impl Dialer {
    /// What an id names: a placing's id the call that it became, any other id a call.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn named(&self, id: &CallId) -> Result<Named, StoreError> {
        if !is_placement_id(id.as_str()) {
            return Ok(Named::Call(id.clone()));
        }
        // Boxed: of nearly every call somebody asks by its own id.
        Ok(match Box::pin(self.standing(id.as_str())).await? {
            Standing::Call(id) => Named::Call(id),
            Standing::Sending | Standing::Unknown => Named::Open(id.clone()),
            // It has a record of its own, or a tombstone.
            Standing::Lost(_) | Standing::Erased => Named::Call(id.clone()),
            Standing::Refused(_) | Standing::Nothing => Named::Nothing,
        })
    }

    /// The same, as soon as it is known, or after `wait`, or when the service is about to stop.
    ///
    /// # Errors
    /// As [`Dialer::named`].
    pub async fn named_within(&self, id: &CallId, wait: Duration) -> Result<Named, StoreError> {
        if is_placement_id(id.as_str()) { Box::pin(self.opened_within(id, wait)).await } else { Ok(Named::Call(id.clone())) }
    }

    async fn opened_within(&self, id: &CallId, wait: Duration) -> Result<Named, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            let named = self.named(id).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !matches!(named, Named::Open(_)) || left.is_zero() {
                return Ok(named);
            }
            tokio::select! {
                () = self.nap(id.as_str(), left.min(LOOK_AGAIN)) => {}
                () = self.0.parts.lifecycle.soft_stopped() => return Ok(named),
            }
        }
    }

    /// What is known of an open placing; `None` when there is none of this id, or it is not open any more.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn open_placing(&self, id: &CallId) -> Result<Option<OpenPlacing>, StoreError> {
        let Some(Read { says, .. }) = self.placing(id.as_str()).await? else { return Ok(None) };
        let looks = match says.state {
            State::Sending => None,
            State::Unknown => Some(says.looks),
            State::Placed | State::Refused | State::Lost => return Ok(None),
        };
        let Placing { sent_at, asked, method, run, .. } = says;
        let goes_on = run.is_some_and(|run| run.over.is_none());
        Ok(Some(OpenPlacing { event_id: event_id(id.as_str()).to_owned(), sent_at, asked, method, goes_on, looks }))
    }

    pub(super) async fn standing(&self, id: &str) -> Result<Standing, StoreError> {
        if let Some(call) = self.0.known.get(id) {
            return Ok(Standing::Call(call));
        }
        let Some(Read { says, .. }) = self.placing(id).await? else {
            return Ok(if self.is_erased(id).await? { Standing::Erased } else { Standing::Nothing });
        };
        Ok(match (says.state, says.call_id, says.refusal) {
            (State::Placed, Some(call), _) => {
                self.0.known.insert(id.to_owned(), call.clone());
                Standing::Call(call)
            }
            (State::Refused, _, Some(refusal)) => Standing::Refused(refusal),
            (State::Sending, ..) => Standing::Sending,
            (State::Lost, _, refusal) => Standing::Lost(refusal),
            _ => Standing::Unknown,
        })
    }
}
