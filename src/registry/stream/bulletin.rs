//! News put into words, once for everybody who hears them.

use std::{borrow::Cow, sync::Arc};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    call::{
        id::CallId,
        news::{LineName, NewsEntry, NewsItem, NewsKind},
        record::Line,
        time::Millis,
        view::{At, ToolCallView, View},
    },
    registry::{Registry, render},
    store::{Loaded, StoreError, StoredCall},
};

/// One event of a stream.
#[derive(Debug)]
pub struct Bulletin {
    /// What happened.
    pub kind: NewsKind,
    /// The call, as it stands; `None` when it is erased, or was not heard of before, or it is about none.
    pub call: Option<Arc<StoredCall>>,
    /// Its place in the log; `None` for what goes out live only.
    pub position: Option<u64>,
    /// The event as JSON, on one line.
    pub json: String,
}

impl Bulletin {
    fn of(kind: NewsKind, call: Option<Arc<StoredCall>>, position: Option<u64>, json: String) -> Self {
        Self { kind, call, position, json }
    }
}

/// The `id` of an event: its position as 16 hexadecimal digits.
pub(super) fn id_of(position: u64) -> String {
    format!("{position:016x}")
}

/// Reads an `id`; `None` for what we never gave out.
pub(super) fn position_of(id: &str) -> Option<u64> {
    let is_ours = id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then(|| u64::from_str_radix(id, 16).ok())?.filter(|position| i64::try_from(*position).is_ok())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'a, T> {
    pub(super) id: Option<String>,
    pub(super) r#type: &'static str,
    pub(super) timestamp: At,
    pub(super) call_id: Option<&'a CallId>,
    pub(super) sequence: Option<u64>,
    pub(super) data: T,
}

impl<T: Serialize> Event<'_, T> {
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    message: &'a str,
    /// Epoch milliseconds.
    time: Option<i64>,
    r#final: bool,
}

impl<'a> Said<'a> {
    fn of(line: &'a Line, is_final: bool) -> Self {
        Self { role: line.role.as_str(), message: &line.text, time: line.sent_at.map(|at| at.0), r#final: is_final }
    }
}

/// Tells a reader that it may have missed something.
pub(super) fn gap(last: &str, now: Millis) -> String {
    let message = "Events after this one may be missing: it is older than the log, or not of it.";
    let data = json!({"lastEventId": last.chars().take(64).collect::<String>(), "message": message});
    Event { id: None, r#type: "stream.gap", timestamp: At(now), call_id: None, sequence: None, data }.json()
}

/// Tells a reader why it hears no more.
pub(super) fn dropped(reason: &'static str, message: &'static str, now: Millis) -> String {
    let data = json!({"reason": reason, "message": message});
    Event { id: None, r#type: "stream.dropped", timestamp: At(now), call_id: None, sequence: None, data }.json()
}

impl Registry {
    /// What an entry of the log says, as its call stands; `None` when the call is gone.
    pub(super) async fn bulletin(&self, entry: &NewsEntry) -> Result<Option<Arc<Bulletin>>, StoreError> {
        if let Some(json) = alone(entry) {
            return Ok(Some(Arc::new(Bulletin::of(entry.item.kind, None, Some(entry.position), json))));
        }
        let Some(id) = &entry.call_id else { return Ok(None) };
        let Some(call) = self.as_told(id, entry.item.sequence).await? else { return Ok(None) };
        let json = self.words(entry, &call, View::Full).await?;
        Ok(Some(Arc::new(Bulletin::of(entry.item.kind, Some(call), Some(entry.position), json))))
    }

    /// An entry of the log in words, as its call stands.
    pub(super) async fn words(&self, entry: &NewsEntry, call: &StoredCall, view: View) -> Result<String, StoreError> {
        Ok(match (entry.item.kind, entry.item.about.as_deref()) {
            (NewsKind::Transcript, Some(about)) => self.line_told(entry, call, about).await?,
            (NewsKind::Tool, Some(id)) => {
                let tool = call.record.tool_calls.get(id).map(|tool| ToolCallView::of(id, tool));
                event(entry, tool).json()
            }
            (kind, _) => self.state(entry, call, kind, view),
        })
    }

    /// How a call stands, told without an entry in the log.
    pub(super) fn standing(&self, call: &Arc<StoredCall>) -> Arc<Bulletin> {
        let kind = if call.record.is_done() { NewsKind::Done } else { NewsKind::Updated };
        let item = NewsItem { at: call.updated_at, sequence: call.news, kind, about: None };
        let json = self.state(&NewsEntry { position: 0, call_id: Some(call.id.clone()), item }, call, kind, View::Full);
        Arc::new(Bulletin::of(kind, Some(Arc::clone(call)), None, json))
    }

    fn state(&self, entry: &NewsEntry, call: &StoredCall, kind: NewsKind, view: View) -> String {
        let mut view = render::view(call, view, &self.0.base);
        if kind == NewsKind::Updated {
            view.transcript = Cow::Borrowed("");
            view.messages = Vec::new();
        }
        event(entry, view).json()
    }

    /// Tells those who listen a line while it is still being said. It goes out live only, and to nobody when it can't be known whether the call
    /// was erased.
    pub async fn pass_on(&self, id: &CallId, line: &Line) {
        if !self.0.streams.is_wanted(Some(id)) {
            return;
        }
        let call = match self.0.cache.peek(id).and_then(|cached| cached.stored()) {
            Some(call) => Some(call),
            None => match self.0.store.load(id).await {
                Ok(Loaded::Found(call)) => Some(call),
                Ok(Loaded::Missing) => None,
                Ok(Loaded::Deleted) | Err(_) => return,
            },
        };
        let (kind, timestamp, data) = (NewsKind::Transcript, At(self.0.clock.now()), Said::of(line, false));
        let json = Event { id: None, r#type: kind.as_str(), timestamp, call_id: Some(id), sequence: None, data }.json();
        self.0.streams.send_passing(id, &Arc::new(Bulletin::of(kind, call, None, json)));
    }

    /// The call as it stood after this news, or later.
    async fn as_told(&self, id: &CallId, sequence: u64) -> Result<Option<Arc<StoredCall>>, StoreError> {
        if let Some(call) = self.0.streams.fresh(id, sequence) {
            return Ok(Some(call));
        }
        self.stored(id, sequence).await
    }

    /// A final line. After the report it is in the record no more, and its words are found in the event that brought it, as long as that is kept.
    async fn line_told(&self, entry: &NewsEntry, call: &StoredCall, about: &str) -> Result<String, StoreError> {
        let Some(name) = LineName::parse(about) else { return Ok(event(entry, Value::Null).json()) };
        if let Some(line) = name.find(&call.record) {
            return Ok(event(entry, Said::of(line, true)).json());
        }
        let kept = self.0.store.timeline(&call.id, true).await?;
        let kept = kept.into_iter().find(|it| it.event_id == name.event_id && it.body.is_some());
        let line = kept.and_then(|it| (self.0.line_of)(it.body?.as_bytes(), it.at));
        let line = line.unwrap_or_else(|| Line { sent_at: name.sent_at, role: name.role, text: String::new() });
        Ok(event(entry, Said::of(&line, true)).json())
    }
}

/// An entry that says all there is to say without a record, in words.
pub(super) fn alone(entry: &NewsEntry) -> Option<String> {
    match entry.item.kind {
        NewsKind::Deleted => Some(event(entry, json!({})).json()),
        NewsKind::Disabled => {
            let data = json!({"subscriptionId": entry.item.about, "reason": "Its endpoint answered 410 Gone."});
            Some(event(entry, data).json())
        }
        _ => None,
    }
}

fn event<T: Serialize>(entry: &NewsEntry, data: T) -> Event<'_, T> {
    let NewsEntry { position, call_id, item } = entry;
    let id = (*position > 0).then(|| id_of(*position));
    let sequence = call_id.is_some().then_some(item.sequence);
    Event { id, r#type: item.kind.as_str(), timestamp: At(item.at), call_id: call_id.as_ref(), sequence, data }
}

#[cfg(test)]
mod tests {
    use super::{id_of, position_of};

    #[test]
    fn ids_sort_as_positions_do_and_only_ours_are_read() {
        assert_eq!(position_of(&id_of(1_763_700_000_000_123)), Some(1_763_700_000_000_123));
        assert!(id_of(9) < id_of(10) && id_of(255) < id_of(256));
        for wrong in
            ["", "1", "000000000000000G", "000000000000000A", "ffffffffffffffff", "00000000000000001", "+000000000000001", "ünïcödeünïc"]
        {
            assert_eq!(position_of(wrong), None, "{wrong}");
        }
    }
}
