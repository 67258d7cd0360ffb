//! A store that is gone with the process. It keeps at most so many bytes: over it, the oldest calls that are done leave first.

mod document;
mod figures;
mod keep;
mod moving;
mod news;
mod outbox;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::{
    keep::{NewCall, NewEvent},
    state::State,
};
use super::{
    CallFilter, CallPage, Commit, Committed, Due, Loaded, NewsPage, PageCursor, Retention, StoreError, StoreHealth, StoredCall,
    TimelineEntry, UnfoldedEvent, pack::Packer, tombstone::TombstoneKey,
};
use crate::call::{event::Keep, id::CallId, time::Millis};

/// The engine behind `memory:`. A cheap handle; clones share what is kept.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max_bytes: u64,
    tombstones: TombstoneKey,
    packer: Packer,
    /// A std mutex: held for map operations only, never across an await.
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store that keeps about `max_bytes` at most.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let state = Mutex::new(State::default());
        let shared = Shared { max_bytes, tombstones: TombstoneKey::random(), packer: Packer::default(), state };
        Self { shared: Arc::new(shared) }
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_closed() { Err(StoreError::Unavailable("it is closed".to_owned())) } else { Ok(state) }
    }
}

#[expect(clippy::unused_async, reason = "the verbs have the same shape on every engine")]
impl MemoryStore {
    pub(super) async fn load(&self, id: &CallId) -> Result<Loaded, StoreError> {
        let state = self.open()?;
        Ok(match state.call(id) {
            Some(call) => Loaded::Found(call),
            None if state.has_tombstone(&self.shared.tombstones.hash(id)) => Loaded::Deleted,
            None => Loaded::Missing,
        })
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let Commit { event, changed, more, past, write } = commit;
        let call_id = write.as_ref().map(|write| write.call.id.clone()).or_else(|| event.call_id.clone());
        let version = write.as_ref().map(|write| write.call.version);
        let packer = &self.shared.packer;
        let cause = NewEvent::of(event, changed.into_iter().map(str::to_owned).collect(), version, packer)?;
        let more = more.into_iter().map(|event| NewEvent::of(event, Vec::new(), version, packer));
        let past = past.into_iter().map(|it| NewEvent::of(it.event, it.changed, it.version, packer));
        let more = more.chain(past).collect::<Result<Vec<_>, _>>()?;
        let write = write.map(|write| (write.expected, NewCall::of(write.call, write.columns), write.news));

        let mut state = self.open()?;
        if call_id.as_ref().is_some_and(|id| state.has_tombstone(&self.shared.tombstones.hash(id))) {
            return Ok(Committed::Deleted);
        }
        if state.note_repeat(&cause) {
            return Ok(Committed::Duplicate);
        }
        if let Some((expected, call, _)) = &write
            && state.revision(call.id()) != *expected
        {
            return Ok(Committed::Conflict);
        }
        let unread = state.now_read(&cause);
        for event in (!unread).then_some(cause).into_iter().chain(more).filter(|event| event.keep != Keep::Nothing) {
            state.add_event(event);
        }
        if let Some((_, call, news)) = write {
            state.log.add(Some(call.id()), news);
            state.put_call(call);
        }
        state.make_room(self.shared.max_bytes, call_id.as_ref());
        Ok(Committed::Done)
    }

    pub(super) async fn list(&self, filter: CallFilter) -> Result<CallPage, StoreError> {
        let state = self.open()?;
        let mut rows: Vec<(Millis, &CallId, &Arc<StoredCall>)> = state
            .calls()
            .filter_map(|kept| {
                let at = filter.moment(&kept.call, &kept.columns)?;
                filter.matches(at, &kept.columns).then_some((at, &kept.call.id, &kept.call))
            })
            .filter(|(at, id, _)| filter.cursor.as_ref().is_none_or(|cursor| (*at, *id) < (cursor.at, &cursor.id)))
            .collect();
        rows.sort_unstable_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)));
        let rows = rows.get(filter.offset..).unwrap_or_default();
        let page = &rows[..rows.len().min(filter.limit)];
        let next = page.last().filter(|_| rows.len() > page.len()).map(|(at, id, _)| PageCursor { at: *at, id: (*id).clone() });
        Ok(CallPage { calls: page.iter().map(|(_, _, call)| Arc::clone(call)).collect(), next })
    }

    pub(super) async fn timeline(&self, id: &CallId, bodies: bool) -> Result<Vec<TimelineEntry>, StoreError> {
        let events = self.open()?.events(id);
        let packer = bodies.then_some(&self.shared.packer);
        let mut entries = events.into_iter().map(|event| event.into_entry(packer)).collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(|entry| entry.at);
        Ok(entries)
    }

    pub(super) async fn lease_due(&self, now: Millis, until: Millis, limit: usize) -> Result<Vec<CallId>, StoreError> {
        Ok(self.open()?.lease_due(now, until, limit))
    }

    pub(super) async fn next_due(&self) -> Result<Option<Millis>, StoreError> {
        Ok(self.open()?.next_due())
    }

    pub(super) async fn set_due(&self, id: &CallId, due: Option<Due>) -> Result<(), StoreError> {
        self.open()?.set_due(id, due);
        Ok(())
    }

    pub(super) async fn delete(&self, id: &CallId, at: Millis, always: bool) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let told = state.call(id).map(|call| call.news);
        let known = state.forget(id);
        state.log.erase(id, told, at);
        state.outbox.erase(id, at);
        if known || always {
            state.bury(self.shared.tombstones.hash(id), at);
        }
        Ok(known)
    }

    pub(super) async fn purge(&self, retention: Retention, limit: usize) -> Result<Vec<Arc<StoredCall>>, StoreError> {
        let mut state = self.open()?;
        if let Some(before) = retention.bodies_before {
            state.drop_bodies_before(before);
        }
        let Some(before) = retention.records_before else { return Ok(Vec::new()) };
        let gone = state.older_than(before, limit);
        for call in &gone {
            state.forget(&call.id);
            state.log.forget(&call.id);
        }
        state.drop_leftovers_before(before);
        Ok(gone)
    }

    pub(super) async fn purgeable(&self, retention: Retention, limit: usize) -> Result<Vec<Arc<StoredCall>>, StoreError> {
        let state = self.open()?;
        Ok(retention.records_before.map(|before| state.older_than(before, limit)).unwrap_or_default())
    }

    /// Always empty: whatever is in this memory was read by this very version.
    pub(super) async fn unfolded(&self) -> Result<Vec<UnfoldedEvent>, StoreError> {
        self.open().map(|_| Vec::new())
    }

    pub(super) async fn news(&self, after: u64, call: Option<&CallId>, limit: usize) -> Result<NewsPage, StoreError> {
        Ok(self.open()?.log.page(after, call, limit))
    }

    pub(super) async fn forget_news(&self, before: Millis, limit: usize) -> Result<usize, StoreError> {
        Ok(self.open()?.log.forget_before(before, limit))
    }

    pub(super) async fn health(&self) -> Result<StoreHealth, StoreError> {
        Ok(self.open()?.health())
    }

    pub(super) async fn drop_oldest_bodies(&self, count: usize) -> Result<usize, StoreError> {
        Ok(self.open()?.drop_oldest_bodies(count))
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        self.open()?.close();
        Ok(())
    }
}
