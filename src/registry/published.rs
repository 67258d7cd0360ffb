//! A call with a result as other programs read it, made of its record and of the report that brought it.

use serde::Serialize;

use super::{Change, Registry, render};
use crate::{
    call::{event::CallEvent, view::View},
    store::{PublishedRow, StoredCall},
};

impl Registry {
    /// The row of a call that a change led to, if the store publishes rows and the call has a result.
    pub(super) fn published(&self, call: &StoredCall, change: &Change) -> Option<Box<PublishedRow>> {
        let events = || std::iter::once(&change.event).chain(&change.more);
        self.store().publishes().then(|| row(call, events(), &self.0.base)).flatten()
    }
}

/// The row of a call; `None` until it has a result. `events` are those of the commit: a report among them is the row's raw payload.
pub(super) fn row<'a>(call: &StoredCall, events: impl IntoIterator<Item = &'a CallEvent>, base: &str) -> Option<Box<PublishedRow>> {
    if !call.record.has_result() {
        return None;
    }
    let view = render::view(call, View::Full, base);
    let record = &call.record;
    let report = events.into_iter().find(|event| event.facts.reported && !event.body.is_empty());
    Some(Box::new(PublishedRow {
        call_id: words(view.call_id),
        assistant_id: view.assistant_id.and_then(words),
        phone_number_id: view.phone_number_id.and_then(words),
        customer_phone: view.customer.number.and_then(words),
        status: words(view.status),
        ended_reason: view.ended_reason.and_then(words),
        started_at: view.started_at.map(|at| at.0.0),
        ended_at: view.ended_at.map(|at| at.0.0),
        duration_minutes: view.duration,
        duration_sec: view.duration_seconds,
        transcript: words(&view.transcript),
        messages: json(&view.messages),
        recording_url: view.recording.url.clone(),
        analysis_summary: words(view.analysis.summary),
        // As it was said: the defaults that answers about provider calls show are no evidence.
        analysis_structured_data: record.structured_data.as_ref().map(|it| it.value.as_str().to_owned()),
        analysis_success_evaluation: words(view.analysis.success_evaluation),
        structured_outputs: json(&view.structured_outputs),
        provider_name: view.provider.name.clone(),
        provider_phone: view.provider.phone.as_deref().and_then(words),
        service_type: view.provider.service.clone(),
        location: view.provider.location.clone(),
        user_criteria: words(&view.request.criteria),
        urgency: view.request.urgency.clone(),
        service_request_id: view.service_request_id.clone(),
        correlation_id: view.correlation_id.clone(),
        cost: view.cost,
        nps_score: view.feedback.nps_score,
        overall_feedback: words(&view.feedback.overall_feedback),
        metadata: json(&view.metadata),
        data_status: words(view.data_status),
        version: Some(view.version.cast_signed()),
        raw_webhook_payload: report.map(|event| String::from_utf8_lossy(&event.body).into_owned()),
        created_at: view.created_at.map(|at| at.0.0),
        updated_at: view.updated_at.map(|at| at.0.0),
    }))
}

/// Free text; none when it is empty.
fn words(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}
