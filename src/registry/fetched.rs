//! What came of asking Vapi, and what came of waiting for a report, as changes of a call.

use super::Change;
use crate::call::{
    event::{CallEvent, EventKind},
    id::CallId,
    record::{CallRecord, Fetch},
    time::Millis,
};

impl Change {
    /// An event alone.
    #[must_use]
    pub fn of(event: CallEvent) -> Self {
        Self { event, more: Vec::new(), after_fetch: false, not_before: None, ask: None }
    }

    /// A note that Vapi was asked, and its answer if there was one, to be folded in one commit. `not_before`: Vapi asked not to be asked earlier.
    #[must_use]
    pub fn fetched(id: &CallId, fetch: Fetch, answer: Option<CallEvent>, not_before: Option<Millis>) -> Self {
        let (at, details) = (fetch.at, fetch.outcome.error().map(str::to_owned));
        let event = CallEvent::ours(EventKind::Fetch, Some(id.clone()), at);
        let fetches = std::iter::once((event.id.clone(), fetch)).collect();
        let facts = Box::new(CallRecord { fetches, ..CallRecord::default() });
        let event = CallEvent { source: "fetch".to_owned(), facts, details, ..event };
        Self { event, more: answer.into_iter().collect(), after_fetch: true, not_before, ask: None }
    }

    /// The report was waited for long enough: it counts as lost.
    #[must_use]
    pub fn recovered(id: &CallId, at: Millis) -> Self {
        let facts = Box::new(CallRecord { recovered_at: Some(at), ..CallRecord::default() });
        let details = Some("the report never came by webhook; the result is what Vapi's REST told".to_owned());
        let event =
            CallEvent { source: "policy".to_owned(), facts, details, ..CallEvent::ours(EventKind::Recovered, Some(id.clone()), at) };
        Self { after_fetch: true, ..Self::of(event) }
    }
}
