//! One call, ready to be served.
//!
//! Its answer is written when somebody first asks: most events of a call are followed by the next one before anybody does.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::{body::Bytes, http::HeaderValue};

use super::render;
use crate::{
    call::{
        id::CallId,
        policy,
        record::{CallRecord, ToolAnswer, ToolCall},
        time::Millis,
        view::View,
    },
    store::StoredCall,
};

/// What an entry takes beside the words of its call: keys, pointers, moka's own bookkeeping, and the answer's many names.
const ENTRY_OVERHEAD: usize = 2_560;
/// What a message or a line takes beside its words.
const MESSAGE_OVERHEAD: usize = 128;

/// One call, ready to be served.
#[derive(Debug)]
pub struct CachedCall {
    /// The call.
    pub id: CallId,
    /// The record's version, quoted.
    pub etag: HeaderValue,
    /// May a poller stop waiting?
    pub done: bool,
    /// Is there a result to show?
    pub has_result: bool,
    /// Vapi said twice that it knows no such call.
    pub unknown_to_vapi: bool,
    /// Counts writes; a greater one replaces a lesser.
    pub revision: u64,
    /// When it was put here.
    pub cached_at: Millis,
    /// From when on it is not served any more.
    pub expires_at: Millis,
    body: OnceLock<Bytes>,
    /// Until the answer is made of it, and while more events are to be expected.
    stored: Mutex<Option<Arc<StoredCall>>>,
    /// Address under which the world reaches us, or `""`.
    base: Arc<str>,
    weight: usize,
}

impl CachedCall {
    pub(super) fn of(call: &Arc<StoredCall>, base: &Arc<str>, now: Millis) -> Self {
        let (done, words) = (call.record.is_done(), words(&call.record));
        Self {
            id: call.id.clone(),
            etag: etag(call.version),
            done,
            has_result: call.record.has_result(),
            unknown_to_vapi: policy::is_unknown_to_vapi(&call.record),
            revision: call.revision,
            cached_at: now,
            expires_at: now,
            body: OnceLock::new(),
            stored: Mutex::new(Some(Arc::clone(call))),
            base: Arc::clone(base),
            // A record takes about as much memory as the answer made of it.
            weight: ENTRY_OVERHEAD + if done { words } else { 2 * words },
        }
    }

    /// The whole answer, serialised: envelope and full view. The same bytes serve 200 and 202.
    ///
    /// # Panics
    /// Never: the record is there until the answer is made of it.
    #[must_use]
    pub fn body(&self) -> Bytes {
        let made = || {
            let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
            let call = if self.done { stored.take() } else { stored.clone() };
            drop(stored);
            let call = call.expect("taken by nobody but this, once");
            render::answer(&render::view(&call, View::Full, &self.base), self.done).into()
        };
        self.body.get_or_init(made).clone()
    }

    /// The stored record; `None` once the answer is made of it and no more events are to be expected.
    #[must_use]
    pub fn stored(&self) -> Option<Arc<StoredCall>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that it takes, about: of the record, of the answer, or of both.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }
}

/// Bytes of everything in a record that can be long.
fn words(record: &CallRecord) -> usize {
    let messages = record.message_list().iter().map(|it| it.message.len() + MESSAGE_OVERHEAD);
    let lines = record.lines.iter().map(|it| it.text.len() + MESSAGE_OVERHEAD);
    let parts = [&record.costs, &record.cost_breakdown, &record.structured_data, &record.structured_data_multi];
    let parts = parts.into_iter().flatten().map(|it| it.value.as_str().len());
    let outputs = record.structured_outputs.values().map(|it| it.value.0.as_str().len());
    let tools = record.tool_calls.values().map(tool_words);
    let metadata = record.metadata.iter().map(|(key, it)| key.len() + it.value.as_str().len());
    let summary = record.summary.as_ref().map_or(0, |it| it.value.len());
    record.transcript_text().len() + summary + messages.chain(lines).chain(parts).chain(outputs).chain(tools).chain(metadata).sum::<usize>()
}

fn tool_words(call: &ToolCall) -> usize {
    let answer = call.answer.as_ref().map_or(0, |it| match &it.value {
        ToolAnswer::Result(text) | ToolAnswer::Error(text) => text.len(),
    });
    MESSAGE_OVERHEAD + answer + call.arguments.as_ref().map_or(0, |it| it.value.as_str().len())
}

fn etag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}
