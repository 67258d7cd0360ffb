//! May a call be placed at all, and by whom it is to be?

use std::sync::PoisonError;

use serde_json::Value;

use super::{CallMethod, DialError, Dialer, Order, Parts, writer::note_method};
use crate::call::time::SECOND;

/// The minute that calls are counted in.
const MINUTE: i64 = 60 * SECOND;

impl Dialer {
    /// Who places calls of which nobody says it.
    #[must_use]
    pub fn method(&self) -> CallMethod {
        let kestra_places = self.0.parts.kestra.as_ref().is_some_and(crate::kestra::Kestra::places);
        if kestra_places { CallMethod::Kestra } else { CallMethod::DirectVapi }
    }

    /// May this be placed now? Nothing was written down yet.
    pub(super) async fn admit(&self, order: &Order) -> Result<(), DialError> {
        let Parts { client, rules, clock, .. } = &self.0.parts;
        if order.method == CallMethod::DirectVapi && client.is_none() {
            return Err(DialError::NoKey);
        }
        if !rules.allows(order.wanted.number()) {
            return Err(DialError::NumberNotAllowed);
        }
        if order.method == CallMethod::Kestra {
            self.is_kestra_well().await?;
        }
        let now = clock.now();
        let mut placed = self.0.placed.lock().unwrap_or_else(PoisonError::into_inner);
        while placed.front().is_some_and(|at| now.since(*at) >= MINUTE) {
            placed.pop_front();
        }
        if placed.len() >= rules.max_per_minute {
            return Err(DialError::TooMany);
        }
        placed.push_back(now);
        Ok(())
    }

    /// Waits until Vapi may be asked once more, by whom it is asked here.
    pub(super) async fn turn(&self, order: &Order) -> Result<(), DialError> {
        match (&self.0.parts.client, order.method) {
            (Some(client), CallMethod::DirectVapi) => client.turn().await.map_err(DialError::Refused),
            (None, CallMethod::DirectVapi) => Err(DialError::NoKey),
            (_, CallMethod::Kestra) => Ok(()),
        }
    }

    /// What Vapi is to be asked for, by whomever.
    pub(super) fn body(&self, order: &Order, id: &str) -> Result<Value, DialError> {
        let mut body = self.0.parts.writer.call(&order.wanted, id)?;
        if order.method == CallMethod::Kestra {
            note_method(&mut body, order.method);
        }
        Ok(body)
    }
}
