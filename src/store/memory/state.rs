//! The maps of the memory store, and the order in which calls leave when room is short.
//!
//! Everything about one call is one group: its record, its events, its due time. Events of no call make a group of their own.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    document::Documents,
    figures::Tallies,
    keep::{NewCall, NewEvent},
    news::NewsLog,
    outbox::Outbox,
};
use crate::{
    call::{event::Keep, id::CallId, time::Millis},
    store::{Due, StoreHealth, StoredCall, tombstone::TombstoneHash},
};

/// Who leaves first when room is short: events without a record, then calls that are done, then the others; each the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    class: u8,
    since: Millis,
    id: Option<CallId>,
}

#[derive(Debug, Default)]
struct Group {
    call: Option<NewCall>,
    events: Vec<NewEvent>,
    since: Option<Millis>,
}

impl Group {
    fn turn(&self, id: Option<&CallId>) -> Turn {
        let class = self.call.as_ref().map_or(0, |kept| if kept.call.record.is_done() { 1 } else { 2 });
        let since = self.call.as_ref().map(|kept| kept.call.created_at).or(self.since).unwrap_or(Millis(0));
        Turn { class, since, id: id.cloned() }
    }

    fn bytes(&self) -> u64 {
        self.call.as_ref().map_or(0, |kept| kept.bytes) + self.events.iter().map(NewEvent::bytes).sum::<u64>()
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    closed: bool,
    groups: HashMap<Option<CallId>, Group>,
    turns: BTreeSet<Turn>,
    /// Of every stored event: the group it is in.
    events: HashMap<String, Option<CallId>>,
    dues: HashSet<CallId>,
    tombstones: HashMap<TombstoneHash, Millis>,
    pub(super) log: NewsLog,
    pub(super) outbox: Outbox,
    pub(super) documents: Documents,
    pub(super) notes: HashMap<&'static str, Vec<u8>>,
    pub(super) tallies: Tallies,
    bytes: u64,
}

impl State {
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn close(&mut self) {
        *self = Self { closed: true, ..Self::default() };
    }

    fn kept(&self, id: &CallId) -> Option<&NewCall> {
        self.groups.get(&Some(id.clone()))?.call.as_ref()
    }

    pub(super) fn call(&self, id: &CallId) -> Option<Arc<StoredCall>> {
        self.kept(id).map(|kept| Arc::clone(&kept.call))
    }

    pub(super) fn revision(&self, id: &CallId) -> Option<u64> {
        self.kept(id).map(|kept| kept.call.revision)
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = &NewCall> {
        self.groups.values().filter_map(|group| group.call.as_ref())
    }

    pub(super) fn events(&self, id: &CallId) -> Vec<NewEvent> {
        self.groups.get(&Some(id.clone())).map(|group| group.events.clone()).unwrap_or_default()
    }

    pub(super) fn has_tombstone(&self, hash: &TombstoneHash) -> bool {
        self.tombstones.contains_key(hash)
    }

    /// Events of groups without a record.
    pub(super) fn strays(&self) -> Vec<NewEvent> {
        self.groups.values().filter(|group| group.call.is_none()).flat_map(|group| group.events.clone()).collect()
    }

    pub(super) fn graves(&self) -> Vec<(Vec<u8>, i64)> {
        self.tombstones.iter().map(|(hash, at)| (hash.to_vec(), at.0)).collect()
    }

    pub(super) fn bury(&mut self, hash: TombstoneHash, at: Millis) {
        self.tombstones.entry(hash).or_insert(at);
    }

    /// Changes one group and keeps the count of bytes and the order of leaving right. A group that is left empty goes.
    fn change<T>(&mut self, id: Option<&CallId>, change: impl FnOnce(&mut Group) -> T) -> T {
        let key = id.cloned();
        let group = self.groups.entry(key.clone()).or_default();
        self.turns.remove(&group.turn(id));
        self.bytes -= group.bytes();
        let result = change(group);
        self.bytes += group.bytes();
        if group.call.is_none() && group.events.is_empty() {
            self.groups.remove(&key);
        } else {
            self.turns.insert(group.turn(id));
        }
        result
    }

    /// Notes a repeat of an event that is stored already; false when it is new, or when it is there but could not be read till now.
    pub(super) fn note_repeat(&mut self, delivery: &NewEvent) -> bool {
        let Some(place) = self.events.get(&delivery.entry.event_id).cloned() else { return false };
        self.change(place.as_ref(), |group| {
            let found = group.events.iter().find(|event| event.entry.event_id == delivery.entry.event_id && !event.entry.duplicate);
            let Some(original) = found.filter(|original| original.folded || !delivery.folded) else { return false };
            let repeat = original.repeat(delivery);
            group.events.push(repeat);
            true
        })
    }

    /// The event was there already, but could not be read till now: then it is what it says now, with the body it had.
    pub(super) fn now_read(&mut self, event: &NewEvent) -> bool {
        let Some(place) = self.events.get(&event.entry.event_id).cloned() else { return false };
        let unread = self.change(place.as_ref(), |group| take_if(&mut group.events, |it| it.entry.event_id == event.entry.event_id));
        self.events.insert(event.entry.event_id.clone(), event.call_id.clone());
        self.change(event.call_id.as_ref(), |group| {
            group.events.extend(unread.into_iter().map(|mut it| {
                it.call_id.clone_from(&event.call_id);
                if !it.entry.duplicate {
                    it.folded = true;
                    it.entry.folded = true;
                    it.entry.changed.clone_from(&event.entry.changed);
                    it.entry.version = event.entry.version;
                    it.entry.details.clone_from(&event.entry.details);
                }
                it
            }));
        });
        true
    }

    pub(super) fn add_event(&mut self, event: NewEvent) {
        let id = event.call_id.clone();
        if self.events.contains_key(&event.entry.event_id) {
            return;
        }
        self.events.insert(event.entry.event_id.clone(), id.clone());
        let replaced = self.change(id.as_ref(), |group| {
            group.since.get_or_insert(event.entry.at);
            replace(&mut group.events, event)
        });
        for event_id in replaced {
            self.events.remove(&event_id);
        }
    }

    /// Puts a call in the place of what was there. A lease goes on as long as the due time stays.
    pub(super) fn put_call(&mut self, mut call: NewCall) {
        let id = call.id().clone();
        match call.call.due {
            Some(_) => self.dues.insert(id.clone()),
            None => self.dues.remove(&id),
        };
        self.change(Some(&id), |group| {
            call.lease_until = group.call.as_ref().filter(|old| old.call.due == call.call.due).and_then(|old| old.lease_until);
            group.call = Some(call);
        });
    }

    pub(super) fn set_due(&mut self, id: &CallId, due: Option<Due>) {
        if self.kept(id).is_none() {
            return;
        }
        if due.is_some() {
            self.dues.insert(id.clone())
        } else {
            self.dues.remove(id)
        };
        self.change(Some(id), |group| {
            if let Some(kept) = &mut group.call {
                Arc::make_mut(&mut kept.call).due = due;
                kept.lease_until = None;
            }
        });
    }

    fn waiting(&self) -> impl Iterator<Item = (&NewCall, Due)> {
        self.dues.iter().filter_map(|id| self.kept(id)).filter_map(|kept| kept.call.due.map(|due| (kept, due)))
    }

    pub(super) fn lease_due(&mut self, now: Millis, until: Millis, limit: usize) -> Vec<CallId> {
        let mut ready: Vec<(u8, Millis, CallId)> = self
            .waiting()
            .filter(|(kept, due)| due.at <= now && kept.lease_until.is_none_or(|lease| lease <= now))
            .map(|(kept, due)| (due.urgency(), due.at, kept.id().clone()))
            .collect();
        ready.sort_unstable();
        let taken: Vec<CallId> = ready.into_iter().take(limit).map(|(_, _, id)| id).collect();
        for id in &taken {
            if let Some(kept) = self.groups.get_mut(&Some(id.clone())).and_then(|group| group.call.as_mut()) {
                kept.lease_until = Some(until);
            }
        }
        taken
    }

    pub(super) fn next_due(&self) -> Option<Millis> {
        self.waiting().map(|(kept, due)| kept.lease_until.map_or(due.at, |lease| lease.max(due.at))).min()
    }

    pub(super) fn health(&self) -> StoreHealth {
        let oldest_due = self.waiting().map(|(_, due)| due.at).min();
        let (push_pending, push_dead) = self.outbox.counts();
        let pending = self.dues.len() as u64;
        StoreHealth { size_bytes: self.bytes, pending, oldest_due, push_pending, push_dead, ..StoreHealth::default() }
    }

    /// Drops everything about a call; false when nothing was known.
    pub(super) fn forget(&mut self, id: &CallId) -> bool {
        self.drop_group(Some(id))
    }

    fn drop_group(&mut self, id: Option<&CallId>) -> bool {
        let Some(group) = self.groups.remove(&id.cloned()) else { return false };
        self.turns.remove(&group.turn(id));
        self.bytes -= group.bytes();
        for event in &group.events {
            self.events.remove(&event.entry.event_id);
        }
        if let Some(id) = id {
            self.dues.remove(id);
        }
        if let Some(call) = group.call {
            self.outbox.erase(call.id(), call.call.updated_at);
        }
        true
    }

    /// Lets groups leave until no more than `max_bytes` are kept; what was just written stays.
    pub(super) fn make_room(&mut self, max_bytes: u64, written: Option<&CallId>) {
        while self.bytes > max_bytes {
            let Some(turn) = self.turns.iter().find(|turn| turn.id.as_ref() != written).cloned() else { return };
            self.drop_group(turn.id.as_ref());
        }
    }

    pub(super) fn older_than(&self, before: Millis, limit: usize) -> Vec<Arc<StoredCall>> {
        let mut old: Vec<_> = self.calls().filter(|kept| kept.age() < before).map(|kept| Arc::clone(&kept.call)).collect();
        old.sort_unstable_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        old.truncate(limit);
        old
    }

    /// Drops events that are not, or not yet, about a record, and tombstones.
    pub(super) fn drop_leftovers_before(&mut self, before: Millis) {
        self.tombstones.retain(|_, at| *at >= before);
        self.tallies.forget(before);
        let without_record: Vec<_> = self.groups.iter().filter(|(_, group)| group.call.is_none()).map(|(id, _)| id.clone()).collect();
        for id in without_record {
            let gone = self.change(id.as_ref(), |group| take_if(&mut group.events, |event| event.entry.at < before));
            for event in gone {
                self.events.remove(&event.entry.event_id);
            }
        }
    }

    pub(super) fn drop_bodies_before(&mut self, before: Millis) {
        let all: Vec<_> = self.groups.keys().cloned().collect();
        for id in all {
            self.change(id.as_ref(), |group| {
                group.events.iter_mut().filter(|event| event.entry.at < before).for_each(|event| event.body = None);
            });
        }
    }

    pub(super) fn drop_oldest_bodies(&mut self, count: usize) -> usize {
        let with_body =
            |group: &Group| group.events.iter().filter(|event| event.body.is_some()).map(|event| event.entry.at).collect::<Vec<_>>();
        let mut ages: Vec<(Millis, Option<CallId>)> =
            self.groups.iter().flat_map(|(id, group)| with_body(group).into_iter().map(|at| (at, id.clone()))).collect();
        ages.sort_unstable();
        ages.truncate(count);
        for (at, id) in &ages {
            self.change(id.as_ref(), |group| {
                if let Some(event) = group.events.iter_mut().find(|event| event.entry.at == *at && event.body.is_some()) {
                    event.body = None;
                }
            });
        }
        ages.len()
    }
}

/// Adds an event. A replacing one takes the place of the others of its source, unless one of those is longer. Returns the ids that went.
fn replace(events: &mut Vec<NewEvent>, event: NewEvent) -> Vec<String> {
    if event.keep != Keep::Replacing {
        events.push(event);
        return Vec::new();
    }
    let rival = |other: &NewEvent| other.entry.source == event.entry.source;
    if events.iter().any(|other| rival(other) && other.body_length > event.body_length) {
        return vec![event.entry.event_id];
    }
    let gone = take_if(events, rival);
    events.push(event);
    gone.into_iter().map(|event| event.entry.event_id).collect()
}

fn take_if(events: &mut Vec<NewEvent>, gone: impl Fn(&NewEvent) -> bool) -> Vec<NewEvent> {
    events.extract_if(.., |event| gone(event)).collect()
}
