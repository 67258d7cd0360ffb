//! What is to be sent again.

use serde_json::Value;

use super::{Push, Refusal};
use crate::{
    call::time::Millis,
    fields::{FieldError, Fields},
    store::{DeliveryState, Redelivery},
};

/// Events named at once, at most.
const MOST_IDS: usize = 1_000;
/// Characters of an event's id, at most.
const LONGEST_ID: usize = 128;

/// Which deliveries are to be made again.
#[derive(Debug, Clone)]
pub struct Again(Redelivery);

impl Again {
    /// Reads `{ids}` or `{since, state}`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::of(body, "");
        let short = |id: &str| if (1..=LONGEST_ID).contains(&id.len()) { Ok(()) } else { Err("must be ids of events".to_owned()) };
        let ids = fields.texts("ids", MOST_IDS, short);
        let moment = |text: &str| Millis::parse_rfc3339(text).ok_or_else(|| "must be a time like 2026-01-31T12:00:00Z".to_owned());
        let since = fields.optional("since", moment);
        let state = fields.optional("state", |word| {
            let settled = DeliveryState::parse(word).filter(|state| *state != DeliveryState::Pending);
            settled.ok_or_else(|| "must be delivered or dead: what is pending is on its way".to_owned())
        });
        let (has_ids, has_since) = (fields.member("ids").is_some(), fields.member("since").is_some());
        match (has_ids, has_since) {
            (true, true) => fields.wrong("since", "can't stand beside ids"),
            (false, false) => fields.wrong("ids", "is required, or since"),
            (true, false) if state.is_some() => fields.wrong("state", "goes with since, not with ids"),
            _ => {}
        }
        let which = if has_ids { Some(Redelivery::Events(ids)) } else { since.map(|since| Redelivery::Since(since, state)) };
        fields.finish(which.map(Self))
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redelivered {
    /// So many deliveries are pending again.
    pub count: usize,
    /// Of the events that were named, those that are on their way already.
    pub pending: Vec<String>,
    /// And those that were never sent to this subscription, or so long ago that nothing is kept of it.
    pub unknown: Vec<String>,
}

impl Push {
    /// Sends deliveries of a subscription again that are not pending.
    ///
    /// # Errors
    /// [`Refusal`] when there is none of this id, or the store can't.
    pub async fn redeliver(&self, id: &str, which: Again) -> Result<Redelivered, Refusal> {
        self.loaded(id).await?;
        let (store, mut told) = (self.0.parts.registry.store(), Redelivered::default());
        if let Redelivery::Events(ids) = &which.0 {
            for (event, state) in ids.iter().zip(store.delivery_states(id, ids).await?) {
                match state {
                    None => told.unknown.push(event.clone()),
                    Some(DeliveryState::Pending) => told.pending.push(event.clone()),
                    Some(DeliveryState::Delivered | DeliveryState::Dead) => {}
                }
            }
        }
        told.count = store.redeliver(id, which.0, self.0.parts.clock.now()).await?;
        self.0.due.notify_one();
        Ok(told)
    }
}
