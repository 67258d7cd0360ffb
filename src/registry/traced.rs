//! What is done later for a call, here or by another instance, goes on in the trace of what led to it: the record keeps where.

use super::{Change, Registry};
use crate::{
    call::{
        field::{Rank, Stamped},
        record::CallRecord,
    },
    trace::{self, Traces},
};

impl Registry {
    /// Makes spans of what is done to calls.
    #[must_use]
    pub fn traces(&self) -> &Traces {
        &self.0.traces
    }
}

impl Change {
    /// What follows from the change goes on in the trace of the work at hand, if there is one. An event that states nothing leads to nothing.
    pub(super) fn note_trace(&mut self) {
        let Some(value) = trace::current() else { return };
        if *self.event.facts == CallRecord::default() {
            return;
        }
        let says = |fact: fn(&CallRecord) -> bool| std::iter::once(&self.event).chain(&self.more).any(|event| fact(&event.facts));
        let rank = match () {
            () if says(|facts| facts.rest_ended) => Rank::REST_ENDED,
            () if says(|facts| facts.reported) => Rank::REPORT,
            () => Rank::OTHER,
        };
        self.event.facts.trace = Some(Stamped { value, rank, sent_at: Some(self.event.received_at) });
    }
}
