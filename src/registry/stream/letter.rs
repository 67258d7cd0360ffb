//! The same words for those who are not there: what is delivered to subscribers.

use std::sync::Arc;

use serde_json::json;

use super::{
    Bulletin,
    bulletin::{Event, id_of, position_of},
};
use crate::{
    call::{
        id::CallId,
        news::{NewsEntry, NewsItem, NewsKind},
        record::CallRecord,
        time::Millis,
        view::{At, CallResult, Meta, View, data_status, status},
    },
    registry::Registry,
    store::{Loaded, OutgoingEvent, StoreError, StoredCall},
};

/// The type of the event that tells of a subscription that was switched off.
const DISABLED: &str = "subscription.disabled";

/// An event in words.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The event as JSON.
    pub json: String,
    /// `status` of the call, if it is about one that is there.
    pub status: Option<&'static str>,
    /// `dataStatus` of the call, if it is about one that is there.
    pub data_status: Option<&'static str>,
}

impl Letter {
    fn of(json: String) -> Self {
        Self { json, status: None, data_status: None }
    }
}

impl Registry {
    /// What is to be delivered of an entry of the log.
    #[must_use]
    pub fn outgoing(entry: &NewsEntry) -> OutgoingEvent {
        let NewsEntry { position, call_id, item } = entry;
        OutgoingEvent {
            id: id_of(*position),
            kind: item.kind.as_str().to_owned(),
            call_id: Some(call_id.clone()),
            sequence: Some(item.sequence),
            at: item.at,
            about: item.about.clone(),
        }
    }

    /// What is to be delivered of a subscription that was switched off. `id` names the event.
    #[must_use]
    pub fn outgoing_disabled(id: &str, subscription: &str, at: Millis) -> OutgoingEvent {
        let (kind, about) = (DISABLED.to_owned(), Some(subscription.to_owned()));
        OutgoingEvent { id: id.to_owned(), kind, call_id: None, sequence: None, at, about }
    }

    /// What an event says, as its call stands now; `None` when there is nothing to say any more.
    ///
    /// # Errors
    /// [`StoreError`] when the call can't be loaded.
    pub async fn letter(&self, event: &OutgoingEvent, view: View) -> Result<Option<Letter>, StoreError> {
        if event.kind == DISABLED {
            return Ok(Some(Letter::of(disabled(Some(event.id.clone()), event.at, event.about.as_deref()))));
        }
        let (Some(kind), Some(call_id)) = (NewsKind::parse(&event.kind), event.call_id.clone()) else { return Ok(None) };
        let item = NewsItem { at: event.at, sequence: event.sequence.unwrap_or_default(), kind, about: event.about.clone() };
        let entry = NewsEntry { position: position_of(&event.id).unwrap_or_default(), call_id, item };
        if kind == NewsKind::Deleted {
            let (id, call_id) = (Some(event.id.clone()), event.call_id.as_ref());
            let told = Event { id, r#type: kind.as_str(), timestamp: At(event.at), call_id, sequence: event.sequence, data: json!({}) };
            return Ok(Some(Letter::of(told.json())));
        }
        let Some(call) = self.stored(&entry.call_id, entry.item.sequence).await? else { return Ok(None) };
        let json = self.words(&entry, &call, view).await?;
        Ok(Some(Letter { json, status: Some(status(&call.record)), data_status: Some(data_status(&call.record)) }))
    }

    /// An event that tells nothing, to see whether it arrives.
    #[must_use]
    pub fn sample_letter(&self, id: &str, view: View) -> String {
        let (record, call_id) = (CallRecord::default(), CallId::parse("test").ok());
        let data = call_id.as_ref().map(|id| CallResult::of(id, &record, Meta::default(), view, &self.0.base));
        let timestamp = At(self.0.clock.now());
        Event { id: Some(id.to_owned()), r#type: "subscription.test", timestamp, call_id: None, sequence: None, data }.json()
    }

    /// Tells those who listen to all calls that a subscription was switched off.
    pub fn tell_disabled(&self, subscription: &str) {
        let json = disabled(None, self.0.clock.now(), Some(subscription));
        self.0.streams.send_wide(&Arc::new(Bulletin { kind: None, word: DISABLED, call: None, position: None, json }));
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
        Ok(match self.0.store.load(id).await? {
            Loaded::Found(call) => Some(call),
            Loaded::Deleted | Loaded::Missing => None,
        })
    }
}

fn disabled(id: Option<String>, at: Millis, subscription: Option<&str>) -> String {
    let data = json!({"subscriptionId": subscription, "reason": "Its endpoint answered 410 Gone."});
    Event { id, r#type: DISABLED, timestamp: At(at), call_id: None, sequence: None, data }.json()
}
