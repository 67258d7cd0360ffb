//! The one rule that changes a record.
//!
//! Properties wanted: `join` is commutative, associative and idempotent, and reads no clock, no configuration and no order of arrival.
//! Then late, repeated and reordered deliveries, and any number of instances, are no special cases.
//!
//! Design: every field is a maximum under a total order ([`super::field`]), a set union, or a map joined key by key. Two closures come
//! on top, and both are safe because they only ever drop what can no longer win:
//!
//! - *Erased absorbs.* A record with `deleted_at` is nothing but that; joining anything to it changes only the time, to the earlier.
//! - *Lines give way.* Live lines are shown only while neither report nor REST brought transcript and messages. Once both are there the
//!   lines are dropped, in the record and in everything joined later.

use std::cmp::max;

use super::{
    field::{best, best_of_each, earliest, longest, merge},
    record::{CallRecord, Fetch, ToolCall},
};

/// Joins what two sets of events say together.
#[must_use]
pub fn join(a: CallRecord, b: CallRecord) -> CallRecord {
    let deleted_at = earliest(a.deleted_at, b.deleted_at);
    if deleted_at.is_some() {
        return CallRecord { deleted_at, ..CallRecord::default() };
    }
    let mut joined = CallRecord {
        state: max(a.state, b.state),
        heard_live: a.heard_live | b.heard_live,
        reported: a.reported | b.reported,
        rest_ended: a.rest_ended | b.rest_ended,
        recorded: a.recorded | b.recorded,
        webhook_received_at: earliest(a.webhook_received_at, b.webhook_received_at),
        heard_at: max(a.heard_at, b.heard_at),
        live_at: earliest(a.live_at, b.live_at),
        dropped_at: earliest(a.dropped_at, b.dropped_at),
        resulted_at: earliest(a.resulted_at, b.resulted_at),
        started_at: best(a.started_at, b.started_at),
        ended_at: best(a.ended_at, b.ended_at),
        ended_reason: best(a.ended_reason, b.ended_reason),
        ended_message: best(a.ended_message, b.ended_message),
        duration_seconds: best(a.duration_seconds, b.duration_seconds),
        cost: best(a.cost, b.cost),
        cost_breakdown: best(a.cost_breakdown, b.cost_breakdown),
        costs: best(a.costs, b.costs),
        sip_status: best(a.sip_status, b.sip_status),
        summary: best(a.summary, b.summary),
        success_evaluation: best(a.success_evaluation, b.success_evaluation),
        structured_data: best(a.structured_data, b.structured_data),
        structured_data_multi: best(a.structured_data_multi, b.structured_data_multi),
        structured_outputs: best_of_each(a.structured_outputs, b.structured_outputs),
        transcript: longest(a.transcript, b.transcript),
        messages: longest(a.messages, b.messages),
        lines: a.lines.into_iter().chain(b.lines).collect(),
        tool_calls: merge(a.tool_calls, b.tool_calls, ToolCall::join),
        metadata: best_of_each(a.metadata, b.metadata),
        variable_call_id: best(a.variable_call_id, b.variable_call_id),
        assistant_id: best(a.assistant_id, b.assistant_id),
        phone_number_id: best(a.phone_number_id, b.phone_number_id),
        org_id: best(a.org_id, b.org_id),
        call_type: best(a.call_type, b.call_type),
        name: best(a.name, b.name),
        customer_number: best(a.customer_number, b.customer_number),
        customer_name: best(a.customer_name, b.customer_name),
        promises: a.promises.join(b.promises),
        fetches: merge(a.fetches, b.fetches, max::<Fetch>),
        lost_at: earliest(a.lost_at, b.lost_at),
        settled: max(a.settled, b.settled),
        settled_at: earliest(a.settled_at, b.settled_at),
        server: best(a.server, b.server),
        owed: a.owed | b.owed,
        recovered_at: earliest(a.recovered_at, b.recovered_at),
        deleted_at: None,
    };
    drop_superseded_lines(&mut joined);
    joined
}

/// The normal form of a record: what joining it with itself gives.
#[must_use]
pub fn normal(mut record: CallRecord) -> CallRecord {
    if record.deleted_at.is_some() {
        return CallRecord { deleted_at: record.deleted_at, ..CallRecord::default() };
    }
    drop_superseded_lines(&mut record);
    record
}

fn drop_superseded_lines(record: &mut CallRecord) {
    let transcript = record.transcript.as_ref().is_some_and(|it| it.authoritative && !it.value.is_empty());
    let messages = record.messages.as_ref().is_some_and(|it| it.authoritative && !it.value.is_empty());
    if transcript && messages {
        record.lines.clear();
    }
}
