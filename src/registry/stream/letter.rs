//! The same words for those who are not there: what is delivered to subscribers.

use std::sync::Arc;

use super::bulletin::{Event, alone, id_of, position_of};
use crate::{
    call::{
        id::CallId,
        news::{NewsEntry, NewsItem, NewsKind},
        record::CallRecord,
        view::{At, CallResult, Meta, View, data_status, status},
    },
    registry::Registry,
    store::{OutgoingEvent, StoreError, StoredCall},
};

/// An event in words.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The event as JSON.
    pub json: String,
    /// `status` of the call, if it is about one that is there.
    pub status: Option<&'static str>,
    /// `dataStatus` of the call, if it is about one that is there.
    pub data_status: Option<&'static str>,
    /// Where the trace goes on that led to it.
    pub trace: Option<String>,
}

impl Registry {
    /// What is to be delivered of an entry of the log.
    #[must_use]
    pub fn outgoing(entry: &NewsEntry) -> OutgoingEvent {
        let NewsEntry { position, call_id, item } = entry;
        OutgoingEvent {
            id: id_of(*position),
            kind: item.kind.as_str().to_owned(),
            call_id: call_id.clone(),
            sequence: call_id.is_some().then_some(item.sequence),
            at: item.at,
            about: item.about.clone(),
        }
    }

    /// What an event says, as its call stands now; `None` when there is nothing to say any more.
    ///
    /// # Errors
    /// [`StoreError`] when the call can't be loaded.
    pub async fn letter(&self, event: &OutgoingEvent, view: View) -> Result<Option<Letter>, StoreError> {
        let Some(kind) = NewsKind::parse(&event.kind) else { return Ok(None) };
        let item = NewsItem { at: event.at, sequence: event.sequence.unwrap_or_default(), kind, about: event.about.clone() };
        let entry = NewsEntry { position: position_of(&event.id).unwrap_or_default(), call_id: event.call_id.clone(), item };
        if let Some(json) = alone(&entry) {
            return Ok(Some(Letter { json, status: None, data_status: None, trace: None }));
        }
        let Some(id) = &entry.call_id else { return Ok(None) };
        let Some(call) = self.stored(id, entry.item.sequence).await? else { return Ok(None) };
        let json = self.words(&entry, &call, view).await?;
        let (status, data_status) = (Some(status(&call.record)), Some(data_status(&call.record)));
        let trace = call.record.trace.as_ref().map(|trace| trace.value.clone());
        Ok(Some(Letter { json, status, data_status, trace }))
    }

    /// An event that tells nothing, to see whether it arrives.
    #[must_use]
    pub fn sample_letter(&self, id: &str, view: View) -> String {
        let (record, call_id) = (CallRecord::default(), CallId::parse("test").ok());
        let data = call_id.as_ref().map(|id| CallResult::of(id, &record, Meta::default(), view, &self.0.base));
        let timestamp = At(self.0.clock.now());
        Event { id: Some(id.to_owned()), r#type: "subscription.test", timestamp, call_id: None, sequence: None, data }.json()
    }

    /// News that is about no call was put into the log here: whoever tells it may look.
    pub fn told_beside_calls(&self) {
        self.0.streams.hint_ours();
    }

    /// The call as it stood after this news, or later; `None` when it is gone.
    ///
    /// # Errors
    /// [`StoreError`] when it is not in memory and can't be loaded.
    pub async fn stored(&self, id: &CallId, sequence: u64) -> Result<Option<Arc<StoredCall>>, StoreError> {
        let cached = self.0.cache.peek(id).and_then(|cached| cached.stored());
        if let Some(call) = cached.filter(|call| call.news >= sequence) {
            return Ok(Some(call));
        }
        Ok(self.0.store.load(id).await?.found())
    }
}
