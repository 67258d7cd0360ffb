//! From one stored state of a call to the next, and from a state to the answer about it.

use std::sync::Arc;

use super::Change;
use crate::{
    call::{
        event::{CallEvent, EventKind, Keep},
        field::{Longest, Stamped},
        id::CallId,
        join::join,
        news::{self, Changed, NewsItem},
        policy::{self, Due, Moment, Plan},
        record::{CallRecord, Fetch, FetchReason, Line, Settled, ToolCall},
        time::Millis,
        view::{self, CallResult, Meta, View},
    },
    envelope::Envelope,
    store::StoredCall,
};

/// A change worked out, not yet stored.
pub(super) struct Step {
    /// What to write; `None` when the record says all that already.
    pub(super) after: Option<Arc<StoredCall>>,
    /// What the event changed, by the names of `CallResult`.
    pub(super) changed: Vec<&'static str>,
    /// The *settled* event, if policy settled the call.
    pub(super) settled: Option<CallEvent>,
    /// A poller sees the difference.
    pub(super) visible: bool,
    /// What there is to tell.
    pub(super) news: Vec<NewsItem>,
}

/// How a call looks to pollers.
pub type Rendered<'a> = CallResult<'a>;

/// Joins a change to what was stored before, and lets policy look at it.
pub(super) fn step(id: &CallId, before: Option<&StoredCall>, change: &Change, plan: &Plan, moment: Moment) -> Step {
    let was = before.map(|call| call.record.clone()).unwrap_or_default();
    let said = change.more.iter().fold((*change.event.facts).clone(), |all, event| join(all, (*event.facts).clone()));
    let mut record = join(was, said);
    let asked = change.ask.map(|reason| Due { at: moment.now, reason });
    let verdict = policy::decide(&record, asked.or(before.and_then(|call| call.due)), plan, moment);
    record.settled = record.settled.max(verdict.settle);
    record.settled_at = record.settled_at.or(verdict.settle.map(|_| moment.now));
    // An event that states nothing makes no call known.
    let says_nothing_new = match before {
        Some(call) => call.record == record && call.due == verdict.due,
        None => record == CallRecord::default(),
    };
    if says_nothing_new {
        return Step { after: None, changed: Vec::new(), settled: None, visible: false, news: Vec::new() };
    }
    let changed = changed_fields(before.map(|call| &call.record), &record);
    let mut after = StoredCall {
        id: id.clone(),
        record,
        revision: before.map_or(1, |call| call.revision + 1),
        version: before.map_or(0, |call| call.version),
        created_at: before.map_or(moment.now, |call| call.created_at),
        updated_at: before.map_or(moment.now, |call| call.updated_at),
        due: verdict.due,
        news: before.map_or(0, |call| call.news),
    };
    let visible = before.is_none_or(|call| seen(call) != seen(&after));
    if visible {
        after.version += 1;
        after.updated_at = moment.now;
    }
    let shows = visible && (before.is_none() || changed.is_empty() || changed.iter().any(|field| !TOLD_APART.contains(field)));
    let record = before.map(|call| &call.record);
    let told = news::news(Changed { before: record, after: &after.record, shows, event_id: &change.event.id });
    let items = (after.news + 1..).zip(told).map(|(sequence, (kind, about))| NewsItem { at: moment.now, sequence, kind, about });
    let news: Vec<NewsItem> = items.collect();
    after.news += news.len() as u64;
    let settled = verdict.settle.map(|settled| settled_event(id, settled, moment.now));
    Step { after: Some(Arc::new(after)), changed, settled, visible, news }
}

/// Of these there is news of their own, or none: `call.updated` does not show them, or they would be told twice.
const TOLD_APART: [&str; 3] = ["transcript", "messages", "toolCalls"];

/// No event at all: nothing was heard, nothing is stored. It stands where a change of a call's plan alone is committed.
pub(super) fn no_event(id: &CallId, now: Millis) -> CallEvent {
    CallEvent { source: "plan".to_owned(), keep: Keep::Nothing, ..CallEvent::ours(EventKind::Fetch, Some(id.clone()), now) }
}

fn settled_event(id: &CallId, settled: Settled, now: Millis) -> CallEvent {
    let details = match settled {
        Settled::Complete => "complete",
        Settled::FetchFailed => "fetch_failed",
    };
    let facts = Box::new(CallRecord { settled: Some(settled), settled_at: Some(now), ..CallRecord::default() });
    let ours = CallEvent::ours(EventKind::Settled, Some(id.clone()), now);
    CallEvent { source: "policy".to_owned(), facts, details: Some(details.to_owned()), ..ours }
}

/// What a poller sees of a call, but for the version and its time.
fn seen(call: &StoredCall) -> (Rendered<'_>, bool) {
    let meta = Meta { version: 0, updated_at: None, ..meta(call) };
    (CallResult::of(&call.id, &call.record, meta, View::Full, ""), call.record.is_done())
}

fn meta(call: &StoredCall) -> Meta {
    let next_fetch = call.due.filter(|due| call.record.has_result() && due.reason != FetchReason::Check);
    Meta {
        version: call.version,
        created_at: Some(call.created_at),
        updated_at: Some(call.updated_at),
        next_fetch_at: next_fetch.map(|due| due.at),
    }
}

/// How a stored call looks.
pub(super) fn view<'a>(call: &'a StoredCall, view: View, base: &str) -> Rendered<'a> {
    CallResult::of(&call.id, &call.record, meta(call), view, base)
}

/// The answer about a call that nobody has heard of yet.
#[must_use]
pub fn never_heard_of(id: &CallId) -> Vec<u8> {
    let record = CallRecord::default();
    answer(&CallResult::of(id, &record, Meta::default(), View::Full, ""), false)
}

/// The answer about a call, serialised.
#[must_use]
pub fn answer(result: &Rendered<'_>, done: bool) -> Vec<u8> {
    Envelope { done, ..Envelope::of(result).about(result.call_id) }.to_bytes()
}

/// Which members of `CallResult` an event changed.
fn changed_fields(before: Option<&CallRecord>, after: &CallRecord) -> Vec<&'static str> {
    let nothing = CallRecord::default();
    let before = before.unwrap_or(&nothing);
    macro_rules! compare {
        ($($name:literal: $($field:ident)+;)*) => {
            [$(($name, $(value_differs(&before.$field, &after.$field))||+)),*]
        };
    }
    let differences = compare! {
        "startedAt": started_at live_at;
        "endedAt": ended_at dropped_at resulted_at;
        "endedReason": ended_reason;
        "durationSeconds": duration_seconds;
        "cost": cost;
        "costBreakdown": cost_breakdown;
        "transcript": transcript lines;
        "messages": messages;
        "analysis": summary success_evaluation structured_data structured_data_multi;
        "structuredOutputs": structured_outputs;
        "toolCalls": tool_calls;
        "metadata": metadata;
        "customer": customer_number customer_name;
        "assistantId": assistant_id;
        "phoneNumberId": phone_number_id;
        "correlationId": variable_call_id;
        "recording": recorded;
        "outcome": sip_status heard_live ended_message;
        "webhookReceivedAt": webhook_received_at;
        "fetchAttempts": fetches;
    };
    let states = [
        ("status", view::status(before) != view::status(after)),
        ("callStatus", view::call_state(before) != view::call_state(after)),
        ("dataStatus", view::data_status(before) != view::data_status(after)),
    ];
    states.into_iter().chain(differences).filter_map(|(name, differs)| differs.then_some(name)).collect()
}

/// Do two states of a field show different values? A newer stamp on the same value changes nothing that anybody sees.
fn value_differs<T: Shown>(before: &T, after: &T) -> bool {
    !before.shows_the_same(after)
}

/// A field as it is shown: its value without its stamp.
trait Shown {
    fn shows_the_same(&self, other: &Self) -> bool;
}

macro_rules! shown_as_it_is {
    ($($type:ty),*) => { $(impl Shown for $type { fn shows_the_same(&self, other: &Self) -> bool { self == other } })* };
}

shown_as_it_is!(
    bool,
    Option<Millis>,
    std::collections::BTreeSet<Line>,
    std::collections::BTreeMap<String, Fetch>,
    std::collections::BTreeMap<String, ToolCall>
);

impl<T: PartialEq> Shown for Option<Stamped<T>> {
    fn shows_the_same(&self, other: &Self) -> bool {
        self.as_ref().map(|it| &it.value) == other.as_ref().map(|it| &it.value)
    }
}

impl<T: PartialEq> Shown for Option<Longest<T>> {
    fn shows_the_same(&self, other: &Self) -> bool {
        self.as_ref().map(|it| &it.value) == other.as_ref().map(|it| &it.value)
    }
}

impl<T: PartialEq> Shown for std::collections::BTreeMap<String, Stamped<T>> {
    fn shows_the_same(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|((a, x), (b, y))| a == b && x.value == y.value)
    }
}
