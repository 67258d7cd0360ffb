//! Each tool call is answered once: within the process by whoever came first, between processes by whose claim was stored.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::call::id::CallId;

/// Answers are remembered for this long; a sender that tries again does so within minutes.
const REMEMBERED_FOR: Duration = Duration::from_mins(10);
/// Memory that they may take, in bytes.
const REMEMBERED_BYTES: u64 = 16 * 1_048_576;
/// What one takes beside its text, in bytes, about.
pub(super) const ENTRY_BYTES: usize = 200;

/// Names one tool call: the call (or nothing) and the tool call's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) call: Option<CallId>,
    pub(super) id: String,
}

impl Key {
    /// The id of the event that says `what` of this tool call: the same whoever makes it, so it is stored once.
    pub(super) fn event_id(&self, what: &str) -> String {
        let mut hash = Sha256::new();
        for part in [what, self.call.as_ref().map_or("", CallId::as_str), &self.id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }
}

/// What this process is asking, and what it was told.
#[derive(Clone)]
pub(super) struct Once(Arc<Inner>);

struct Inner {
    running: Mutex<HashMap<Key, watch::Receiver<Option<Value>>>>,
    answered: Cache<Key, Value>,
}

/// What is to be done about a tool call.
pub(super) enum Turn {
    /// Nobody here is at it.
    First(Lead),
    /// Somebody here is at it; this is where the answer comes.
    Follow(watch::Receiver<Option<Value>>),
    /// It was answered.
    Answered(Value),
}

/// The duty to answer a tool call. Dropped without an answer, those who follow know that there will be none.
pub(super) struct Lead {
    pub(super) key: Key,
    told: watch::Sender<Option<Value>>,
    once: Once,
}

impl Once {
    pub(super) fn new() -> Self {
        let weigh = |key: &Key, value: &Value| u32::try_from(ENTRY_BYTES + key.id.len() + value.to_string().len()).unwrap_or(u32::MAX);
        let answered = Cache::builder().time_to_live(REMEMBERED_FOR).weigher(weigh).max_capacity(REMEMBERED_BYTES).build();
        Self(Arc::new(Inner { running: Mutex::default(), answered }))
    }

    /// Takes a turn at a tool call.
    pub(super) fn turn(&self, key: Key) -> Turn {
        // Whoever leads remembers first and leaves second: within the lock one of the two is seen.
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = self.0.answered.get(&key) {
            return Turn::Answered(answer);
        }
        if let Some(told) = running.get(&key) {
            return Turn::Follow(told.clone());
        }
        let (told, hears) = watch::channel(None);
        running.insert(key.clone(), hears);
        Turn::First(Lead { key, told, once: self.clone() })
    }
}

impl Lead {
    /// This is the answer, for everybody who asks again.
    pub(super) fn answered(self, entry: &Value) {
        self.once.0.answered.insert(self.key.clone(), entry.clone());
        let _ = self.told.send(Some(entry.clone()));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.once.0.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Key, Once, Turn};
    use crate::call::id::CallId;

    fn key(call: &str, id: &str) -> Key {
        Key { call: CallId::parse(call).ok(), id: id.to_owned() }
    }

    #[test]
    fn an_events_id_depends_on_the_call_the_tool_call_and_what_it_says() {
        let id = key("c", "t").event_id("claim");
        assert_eq!(id, key("c", "t").event_id("claim"));
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 8);
        for other in [key("c", "t").event_id("answer"), key("c", "s").event_id("claim"), key("d", "t").event_id("claim")] {
            assert_ne!(id, other);
        }
        assert_ne!(key("ab", "c").event_id("claim"), key("a", "bc").event_id("claim"));
    }

    #[test]
    fn the_first_leads_the_others_follow_and_later_ones_are_told() {
        let once = Once::new();
        let Turn::First(lead) = once.turn(key("c", "t")) else { panic!("nobody was there") };
        let Turn::Follow(told) = once.turn(key("c", "t")) else { panic!("somebody is there") };
        assert!(matches!(once.turn(key("d", "t")), Turn::First(_)), "another call's");
        lead.answered(&json!("so"));
        assert_eq!(*told.borrow(), Some(json!("so")));
        assert!(matches!(once.turn(key("c", "t")), Turn::Answered(answer) if answer == json!("so")));
    }

    #[test]
    fn who_gives_up_makes_room() {
        let once = Once::new();
        let first = once.turn(key("c", "t"));
        let Turn::Follow(told) = once.turn(key("c", "t")) else { panic!("somebody is there") };
        drop(first);
        assert!(told.has_changed().is_err(), "no answer will come");
        assert!(matches!(once.turn(key("c", "t")), Turn::First(_)));
    }
}
