//! A call as Vapi's REST describes it becomes an event like any other.

use super::{
    facts::{Subject, stated_moment},
    json::{self, Arena, Node},
    message::{rest_state, sha256},
    redact::redact,
};
use crate::call::{
    event::{CallEvent, EventKind, Keep},
    field::{Rank, Stamped},
    id::CallId,
    join::normal,
    record::{CallRecord, CallState, FetchOutcome},
    time::Millis,
};

/// A REST answer, understood.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The event to fold.
    pub event: CallEvent,
    /// What it means for the fetch.
    pub outcome: FetchOutcome,
}

/// Reads a call object that Vapi answered at `answered_at`. `None` when it is no JSON object, or the object of another call than `asked`.
#[must_use]
pub fn read(body: &[u8], asked: &CallId, answered_at: Millis) -> Option<Answer> {
    let arena = Arena::default();
    let root = json::parse(body, &arena).ok()?;
    if root.at("id").words() != Some(asked.as_str()) {
        return None;
    }
    let root = redact(&root, &arena);
    let canonical = root.canonical();
    let ended = rest_state(root.at("status")) == Some(CallState::Ended);
    let updated_at = root.at("updatedAt").as_words().unwrap_or_default();
    let event = CallEvent {
        id: sha256(canonical.as_bytes()),
        kind: EventKind::Fetch,
        source: "rest".to_owned(),
        call_id: Some(asked.clone()),
        sent_at: Some(answered_at),
        received_at: answered_at,
        proof: None,
        keep: Keep::Whole,
        facts: Box::new(normal(facts(&root, answered_at))),
        folded: true,
        body: canonical.into_bytes().into(),
        details: None,
    };
    let outcome = if ended { FetchOutcome::Ended { updated_at } } else { FetchOutcome::Live };
    Some(Answer { event, outcome })
}

/// What Vapi is asked for, as it may be stored: JSON without secrets. `None` when it is no JSON.
#[must_use]
pub fn redacted(asked: &[u8]) -> Option<String> {
    let arena = Arena::default();
    let root = json::parse(asked, &arena).ok()?;
    Some(redact(&root, &arena).canonical())
}

/// Our placing of a call, with what Vapi was asked for (as [`redacted`] left it): what it says of metadata outranks what others say.
#[must_use]
pub fn placed(asked: &str, event_id: &str, call_id: &CallId, at: Millis) -> CallEvent {
    let arena = Arena::default();
    let mut facts = json::parse(asked.as_bytes(), &arena).map_or_else(
        |_unreadable| CallRecord::default(),
        |root| Subject { body: &root, call: &root, rank: Rank::OTHER, sent_at: Some(at) }.facts(),
    );
    facts.metadata.values_mut().for_each(|value| value.rank = Rank::PLACED_METADATA);
    CallEvent {
        id: event_id.to_owned(),
        kind: EventKind::Placed,
        source: "placed".to_owned(),
        call_id: Some(call_id.clone()),
        sent_at: Some(at),
        received_at: at,
        proof: None,
        keep: Keep::Whole,
        facts: Box::new(normal(facts)),
        folded: true,
        body: asked.as_bytes().to_vec().into(),
        details: None,
    }
}

fn facts(call: &Node<'_>, answered_at: Millis) -> CallRecord {
    let state = rest_state(call.at("status")).unwrap_or_default();
    let ended = state == CallState::Ended;
    let rank = if ended { Rank::REST_ENDED } else { Rank::OTHER };
    let sent_at = Some(answered_at);
    let stamp = |value| Stamped { value, rank, sent_at };
    let sip_status = call.path(&["phoneCallProviderDetails", "sipStatus"]).number();
    CallRecord {
        state,
        heard_live: state.is_live(),
        rest_ended: ended,
        resulted_at: sent_at.filter(|_| ended),
        started_at: stated_moment(call.at("startedAt")).map(stamp),
        ended_at: stated_moment(call.at("endedAt")).map(stamp),
        sip_status: sip_status.map(|status| Stamped { value: whole(status), rank, sent_at }),
        ..Subject { body: call, call, rank, sent_at }.facts()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates; a SIP status has three digits")]
fn whole(number: f64) -> i64 {
    number as i64
}
