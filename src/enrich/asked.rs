//! Ids that somebody asks for and of which nothing was heard.
//!
//! Kept in memory: whoever asks, asks again. An id that nobody asked for in a while is forgotten, so the list stays short.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::call::{
    id::CallId,
    policy::UNKNOWN_TWICE,
    time::{Millis, SECOND},
};

/// Vapi is asked this long after the first question.
const FIRST_ASK: i64 = 20 * SECOND;
/// And then this often.
const ASK_AGAIN: i64 = 30 * SECOND;
/// An id that nobody asked for in this time is forgotten.
const FORGET_AFTER: i64 = 600 * SECOND;
/// Ids remembered at most; more are not asked for.
const MOST_IDS: usize = 10_000;

/// The ids and what Vapi said of them.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<HashMap<CallId, Entry>>);

#[derive(Debug, Clone, Copy)]
struct Entry {
    due: Millis,
    last_asked: Millis,
    /// First and latest time that Vapi knew no such call.
    unknown: Option<(Millis, Millis)>,
}

impl Entry {
    fn is_unknown(&self) -> bool {
        self.unknown.is_some_and(|(first, last)| last.since(first) >= UNKNOWN_TWICE)
    }
}

impl Asked {
    /// Somebody asks for `id`; returns when Vapi is asked.
    pub(super) fn note(&self, id: &CallId, now: Millis) -> Millis {
        self.entry(id, now, now.plus(FIRST_ASK))
    }

    /// Somebody wants Vapi asked right away.
    pub(super) fn hurry(&self, id: &CallId, now: Millis) -> Millis {
        self.entry(id, now, now);
        if let Some(entry) = self.entries().get_mut(id) {
            // What Vapi said before is in doubt.
            *entry = Entry { due: now, last_asked: now, unknown: None };
        }
        now
    }

    fn entry(&self, id: &CallId, now: Millis, first: Millis) -> Millis {
        let mut entries = self.entries();
        if entries.len() >= MOST_IDS {
            entries.retain(|_, entry| now.since(entry.last_asked) < FORGET_AFTER);
        }
        if entries.len() >= MOST_IDS && !entries.contains_key(id) {
            return Millis(i64::MAX);
        }
        let entry = entries.entry(id.clone()).or_insert(Entry { due: first, last_asked: now, unknown: None });
        // Once Vapi has said twice that it knows none, that stands for a while and nobody is asked.
        if !entry.is_unknown() {
            entry.last_asked = now;
        }
        entry.due
    }

    /// Ids that are due, each put off to its next time.
    pub(super) fn take_due(&self, now: Millis, most: usize) -> Vec<CallId> {
        let mut entries = self.entries();
        entries.retain(|_, entry| now.since(entry.last_asked) < FORGET_AFTER);
        let due = entries.iter_mut().filter(|(_, entry)| entry.due <= now && !entry.is_unknown()).take(most);
        due.map(|(id, entry)| {
            entry.due = now.plus(ASK_AGAIN);
            id.clone()
        })
        .collect()
    }

    /// When the next id is due.
    pub(super) fn next_due(&self) -> Option<Millis> {
        self.entries().values().filter(|entry| !entry.is_unknown()).map(|entry| entry.due).min()
    }

    /// Vapi knew no such call at `at`.
    pub(super) fn note_unknown(&self, id: &CallId, at: Millis) {
        if let Some(entry) = self.entries().get_mut(id) {
            let first = entry.unknown.map_or(at, |(first, _)| first);
            entry.unknown = Some((first, at));
        }
    }

    /// Did Vapi say twice, a minute apart, that it knows no such call?
    pub(super) fn is_unknown(&self, id: &CallId, now: Millis) -> bool {
        self.entries().get(id).is_some_and(|entry| entry.is_unknown() && now.since(entry.last_asked) < FORGET_AFTER)
    }

    /// Something was heard of it.
    pub(super) fn forget(&self, id: &CallId) {
        self.entries().remove(id);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<CallId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Asked;
    use crate::call::{
        id::CallId,
        policy::UNKNOWN_TWICE,
        time::{Millis, SECOND},
    };

    const START: Millis = Millis(1_790_421_482_411);

    #[test]
    fn an_id_that_vapi_knew_not_is_asked_for_again_when_somebody_wants_it() {
        let (asked, id) = (Asked::default(), CallId::parse("call-1").unwrap());
        asked.note(&id, START);
        asked.note_unknown(&id, START);
        asked.note_unknown(&id, START.plus(UNKNOWN_TWICE));
        let now = START.plus(UNKNOWN_TWICE + SECOND);
        assert!(asked.is_unknown(&id, now) && asked.take_due(now, 10).is_empty(), "for a while that stands");
        assert_eq!(asked.hurry(&id, now), now);
        assert!(!asked.is_unknown(&id, now));
        assert_eq!(asked.take_due(now, 10), [id]);
    }
}
