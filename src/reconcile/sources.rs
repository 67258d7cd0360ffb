//! Whose webhooks came here: assistants, numbers and server addresses, and since when.
//!
//! A webhook that was let in says whose it is. What is new is written into a note of the store soon after; what a kill takes away is learned
//! from the next webhook, and at every start from the calls that changed last.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    call::{record::CallRecord, time::Millis},
    registry::Registry,
    store::{CallFilter, SortBy, StoreError},
};

/// The note's name.
const NOTE: &str = "webhook_sources";
/// Sources remembered at most; past it the one known for the shortest time goes.
const MOST: usize = 5_000;
/// Calls that are looked at when the note is read for the first time.
const RECENT: usize = 200;
/// A note that others write too is tried so often.
const TRIES: usize = 5;

/// Since when webhooks came from whom; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Sources(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    since: HashMap<String, Millis>,
    is_loaded: bool,
    is_written: bool,
}

/// Whose a call is: its assistant, its number, where its webhooks go.
#[must_use]
pub fn names(record: &CallRecord) -> Vec<String> {
    let named = [("assistant", &record.assistant_id), ("number", &record.phone_number_id), ("server", &record.server)];
    named.into_iter().filter_map(|(kind, field)| Some(format!("{kind}:{}", field.as_ref()?.value))).collect()
}

impl Sources {
    /// A webhook of these was let in at `now`.
    pub fn heard(&self, names: &[String], now: Millis) {
        let mut known = self.known();
        for name in names.iter().filter(|name| !name.is_empty()) {
            if !known.since.contains_key(name) {
                known.learn(name.clone(), now);
                known.is_written = false;
            }
        }
    }

    /// Did webhooks come from any of these?
    #[must_use]
    pub fn has_any(&self, names: &[String]) -> bool {
        let known = self.known();
        names.iter().any(|name| known.since.contains_key(name))
    }

    /// Did webhooks come from any of these before this moment?
    #[must_use]
    pub fn had_any(&self, names: &[String], before: Millis) -> bool {
        let known = self.known();
        names.iter().filter_map(|name| known.since.get(name)).any(|since| *since < before)
    }

    /// Did no webhook ever come?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known().since.is_empty()
    }

    /// Reads what the store knows, and writes there what is new.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn share(&self, registry: &Registry) -> Result<(), StoreError> {
        if !self.known().is_loaded {
            self.learn_from_calls(registry).await?;
        }
        let outcome = self.write(registry).await;
        if !matches!(outcome, Ok(true)) {
            self.known().is_written = false;
        }
        outcome.map(drop)
    }

    /// Tells whether what is known here stands in the store then.
    async fn write(&self, registry: &Registry) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            let note = registry.store().note(NOTE).await?;
            let there: HashMap<String, Millis> = note.as_deref().and_then(|note| serde_json::from_slice(note).ok()).unwrap_or_default();
            let all = {
                let mut known = self.known();
                for (name, since) in &there {
                    known.learn(name.clone(), *since);
                }
                // Before it is written: what is heard meanwhile says that it is not.
                (known.is_loaded, known.is_written) = (true, true);
                known.since.clone()
            };
            let next = serde_json::to_vec(&all).unwrap_or_default();
            if all == there || registry.store().set_note(NOTE, note, next).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Is there something to write, or nothing read yet?
    #[must_use]
    pub fn is_to_be_shared(&self) -> bool {
        let known = self.known();
        !known.is_loaded || !known.is_written
    }

    async fn learn_from_calls(&self, registry: &Registry) -> Result<(), StoreError> {
        let mut filter = CallFilter { by: SortBy::UpdatedAt, limit: RECENT / 2, ..CallFilter::default() };
        for _ in 0..2 {
            let page = registry.list(filter.clone()).await?;
            for call in page.calls.iter().filter(|call| call.record.heard_at.is_some()) {
                let mut known = self.known();
                for name in names(&call.record) {
                    known.learn(name, call.created_at);
                }
            }
            filter.cursor = page.next;
            if filter.cursor.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn learn(&mut self, name: String, since: Millis) {
        let earliest = self.since.entry(name).or_insert(since);
        *earliest = since.min(*earliest);
        if self.since.len() > MOST
            && let Some(youngest) = self.since.iter().max_by_key(|(_, since)| **since).map(|(name, _)| name.clone())
        {
            self.since.remove(&youngest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Millis, Sources};

    #[test]
    fn a_source_counts_from_its_first_webhook_on() {
        let sources = Sources::default();
        let nora = ["assistant:nora".to_owned()];
        assert!(sources.is_empty() && !sources.has_any(&nora));
        sources.heard(&nora, Millis(20));
        sources.heard(&nora, Millis(30));
        assert!(sources.has_any(&nora) && sources.had_any(&nora, Millis(21)) && !sources.had_any(&nora, Millis(20)));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let sources = Sources::default();
        for number in 0..MOST + 10 {
            sources.heard(&[format!("assistant:{number}")], Millis(i64::try_from(number).unwrap_or_default()));
        }
        assert_eq!(sources.known().since.len(), MOST);
        assert!(sources.has_any(&["assistant:0".to_owned()]), "the oldest stay");
    }
}
