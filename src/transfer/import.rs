//! Lines into a store: what is there is joined with what comes, so nothing is overwritten, and what comes twice changes nothing.
//!
//! Rules, by name:
//! - *The call is not there*: it is written as it was, versions, times and due time included.
//! - *The call is there*: the records are joined; a version greater than both tells pollers, if that changed anything.
//! - *The subscription is there*: it stays as it is.
//! - *The call was deleted here*: it stays deleted.
//! - *The call was deleted there*: it is deleted here. Tombstones are hashes under the key of their store. An empty store takes that key; another
//!   one only learns of those calls that it knows, for the others can't be guessed.

use std::{
    collections::{HashMap, HashSet},
    io::BufRead,
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{
    TransferError, Watcher, go_on,
    line::{FORMAT, Head, Line, MovedCall, MovedEvent, MovedSubscription, decoded},
};
use crate::{
    call::{
        event::{CallEvent, EventKind, Keep},
        id::CallId,
        join::join,
        time::Millis,
    },
    registry::write_of,
    store::{
        CallFilter, CallWrite, Commit, Committed, Loaded, MOST_CONFLICTS, Store, StoreError, StoredCall, StoredTarget, TimelineEntry,
        moving::{Graves, PastEvent},
    },
};

/// Lines that are read before they are written.
const BATCH: usize = 128;
/// Calls that are written at the same time.
const AT_ONCE: usize = 32;
/// Calls, or events, that are asked for at once.
const PAGE: usize = 100;
/// Where the store notes how far an import came.
const NOTE: &str = "import";

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Calls in the file, of this run.
    pub calls: u64,
    /// Of them: not there before.
    pub new: u64,
    /// Of them: deleted here, and so left out.
    pub deleted: u64,
    /// Calls that were there and were deleted, for they were deleted where the file comes from.
    pub erased: u64,
    /// Tombstones that could not be taken over.
    pub unknown_graves: u64,
}

/// How far an import came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    head: Head,
    lines: u64,
}

/// An opened store, to be opened once more when it took over another store's key.
pub enum Next {
    /// It is done.
    Done(Imported),
    /// Close the store, open it again, and import the same file again: it knows the key of the file now.
    Reopen,
}

/// Reads a file of `bytes` bytes into the store. `base` is the address under which the world reaches us, or `""`; `now` the time.
///
/// # Errors
/// When the store or the file fails, a line can't be used, the end is missing, or it was stopped.
pub async fn import(
    store: &Store,
    mut file: impl BufRead,
    bytes: u64,
    (base, now): (&str, Millis),
    watcher: &mut (dyn Watcher + Send),
) -> Result<Next, TransferError> {
    let mut lines = Lines { file: &mut file, number: 0, bytes: 0 };
    let head = match lines.next() {
        Ok(Some(Line::Ringback(head))) if head.format <= FORMAT => head,
        Err(error @ TransferError::File(_)) => return Err(error),
        Ok(Some(Line::Ringback(_))) => return Err(lines.unusable("it was written by a newer release of Ringback: use that one")),
        _ => return Err(lines.unusable("this is no export of Ringback's")),
    };
    let key = decoded(&head.tombstone_key).ok_or_else(|| lines.unusable("the head is broken"))?;
    if store.graves().await?.key != key && store.bury(Graves { key: key.clone(), all: Vec::new() }).await? {
        return Ok(Next::Reopen);
    }
    let before = noted(store, &head).await?;
    let mut work = Import { store, base, now, imported: Imported::default(), strays: None };
    let mut graves = Graves { key, all: Vec::new() };
    let mut ended = false;
    while !ended {
        go_on(watcher)?;
        let mut batch = Vec::new();
        while batch.len() < BATCH && !ended {
            let line = lines.next()?;
            let line = line.ok_or_else(|| lines.unusable("the file was cut: its last line is not the end of an export"))?;
            match line {
                Line::End(end) if end.lines == lines.number => ended = true,
                Line::End(_) => return Err(lines.unusable("lines are missing before this one")),
                Line::Tombstone(grave) => {
                    let hash = decoded(&grave.hash).ok_or_else(|| lines.unusable("the tombstone is broken"))?;
                    graves.all.push((hash, grave.at));
                }
                _ if lines.number <= before => {}
                Line::Ringback(_) => return Err(lines.unusable("a second head")),
                line => batch.push((lines.number, line)),
            }
        }
        work.take(batch).await?;
        note(store, &head, if ended { 0 } else { lines.number }).await?;
        watcher.told(lines.bytes, bytes);
    }
    work.bury(graves).await?;
    Ok(Next::Done(work.imported))
}

/// The lines of this very export that are in the store.
async fn noted(store: &Store, head: &Head) -> Result<u64, StoreError> {
    let note = store.note(NOTE).await?;
    let progress = note.and_then(|note| serde_json::from_slice::<Progress>(&note).ok());
    Ok(progress.filter(|progress| progress.head == *head).map_or(0, |progress| progress.lines))
}

async fn note(store: &Store, head: &Head, lines: u64) -> Result<(), StoreError> {
    let from = store.note(NOTE).await?;
    let to = serde_json::to_vec(&Progress { head: head.clone(), lines }).unwrap_or_default();
    store.set_note(NOTE, from, to).await.map(drop)
}

struct Lines<'a, F> {
    file: &'a mut F,
    number: u64,
    bytes: u64,
}

impl<F: BufRead> Lines<'_, F> {
    fn next(&mut self) -> Result<Option<Line>, TransferError> {
        let mut text = Vec::new();
        let length = self.file.read_until(b'\n', &mut text)?;
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += length as u64;
        // The words of the parser may repeat what a call is about.
        let line = serde_json::from_slice(&text);
        line.map(Some).map_err(|error| self.unusable(&format!("it can't be read (column {})", error.column())))
    }

    fn unusable(&self, why: &str) -> TransferError {
        TransferError::Line { number: self.number, why: why.to_owned() }
    }
}

/// An event, and what its repeats say.
type Repeats = HashMap<String, HashSet<(Millis, Option<Millis>)>>;

struct Import<'a> {
    store: &'a Store,
    base: &'a str,
    now: Millis,
    imported: Imported,
    /// Events without a record that are there already.
    strays: Option<Repeats>,
}

/// What a call was when it came.
enum Fate {
    New,
    Joined,
    Deleted,
}

impl Import<'_> {
    async fn take(&mut self, batch: Vec<(u64, Line)>) -> Result<(), TransferError> {
        let (mut calls, mut events, mut subscriptions) = (Vec::new(), Vec::new(), Vec::new());
        for (number, line) in batch {
            match line {
                Line::Call(call) => calls.push((number, *call)),
                Line::Event(event) => events.push((number, *event)),
                Line::Subscription(subscription) => subscriptions.push((number, subscription)),
                Line::Ringback(_) | Line::Tombstone(_) | Line::End(_) => {}
            }
        }
        let this = &*self;
        let fates: Vec<Fate> =
            stream::iter(calls).map(|(number, call)| this.call(number, call)).buffer_unordered(AT_ONCE).try_collect().await?;
        for fate in fates {
            self.imported.calls += 1;
            match fate {
                Fate::New => self.imported.new += 1,
                Fate::Joined => {}
                Fate::Deleted => self.imported.deleted += 1,
            }
        }
        for (number, event) in events {
            self.stray(number, event).await?;
        }
        for (number, subscription) in subscriptions {
            self.subscription(number, subscription).await?;
        }
        Ok(())
    }

    async fn subscription(&self, number: u64, moved: MovedSubscription) -> Result<(), TransferError> {
        let broken = || TransferError::Line { number, why: "the subscription is broken".to_owned() };
        let body = decoded(&moved.body).ok_or_else(broken)?;
        let target = StoredTarget { id: moved.id, scope: None, revision: moved.revision, body };
        self.store.put_target(target, None).await?;
        Ok(())
    }

    async fn call(&self, number: u64, call: MovedCall) -> Result<Fate, TransferError> {
        let (call, events) = call.parts();
        let (repeats, events): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.duplicate);
        let events = events.into_iter().map(|event| past(number, event, Some(&call.id))).collect::<Result<Vec<_>, _>>()?;
        for _ in 0..MOST_CONFLICTS {
            let (fate, write) = match self.store.load(&call.id).await? {
                Loaded::Deleted => return Ok(Fate::Deleted),
                Loaded::Missing => (Fate::New, Some(self.write(call.clone(), None, &events))),
                Loaded::Found(there) => (Fate::Joined, self.joined(&there, &call, &events)),
            };
            let commit = Commit { past: events.clone(), write, ..Commit::of(nothing(Some(&call.id), self.now)) };
            match self.store.commit(commit).await? {
                Committed::Conflict => {}
                Committed::Deleted => return Ok(Fate::Deleted),
                Committed::Done | Committed::Duplicate => {
                    self.repeats(number, &call.id, repeats).await?;
                    return Ok(fate);
                }
            }
        }
        Err(StoreError::contended("the record").into())
    }

    fn write(&self, call: StoredCall, expected: Option<u64>, events: &[PastEvent]) -> CallWrite {
        write_of(self.store, call, expected, events.iter().map(|it| &it.event), self.base)
    }

    /// The call that is there, joined with the one that comes; `None` when that changes nothing.
    fn joined(&self, there: &Arc<StoredCall>, call: &StoredCall, events: &[PastEvent]) -> Option<CallWrite> {
        let record = join(there.record.clone(), call.record.clone());
        let due = there.due.or(call.due.filter(|_| !record.is_done()));
        if record == there.record && due == there.due {
            return None;
        }
        let joined = StoredCall {
            id: there.id.clone(),
            record,
            revision: there.revision + 1,
            version: there.version.max(call.version) + 1,
            created_at: there.created_at,
            updated_at: self.now,
            due,
            news: there.news.max(call.news),
        };
        Some(self.write(joined, Some(there.revision), events))
    }

    /// Notes the repeats that are not there yet.
    async fn repeats(&self, number: u64, id: &CallId, repeats: Vec<MovedEvent>) -> Result<(), TransferError> {
        if repeats.is_empty() {
            return Ok(());
        }
        let mut known = Repeats::new();
        self.store.timeline(id, false).await?.iter().for_each(|entry| learn(&mut known, entry));
        for repeat in repeats {
            if known.get(&repeat.id).is_some_and(|there| !there.contains(&(repeat.at, repeat.sent_at))) {
                self.repeat(past(number, repeat, Some(id))?.event).await?;
            }
        }
        Ok(())
    }

    async fn repeat(&self, event: CallEvent) -> Result<(), StoreError> {
        self.store.commit(Commit::of(event)).await.map(drop)
    }

    async fn stray(&mut self, number: u64, event: MovedEvent) -> Result<(), TransferError> {
        if self.strays.is_none() {
            self.strays = Some(strays(self.store).await?);
        }
        let known = self.strays.get_or_insert_default();
        let (call_id, moment) = (event.call_id.clone(), (event.at, event.sent_at));
        let is_repeat = event.duplicate;
        if is_repeat {
            let there = known.entry(event.id.clone()).or_default();
            if there.insert(moment) {
                self.repeat(past(number, event, call_id.as_ref())?.event).await?;
            }
            return Ok(());
        }
        if !known.contains_key(&event.id) {
            known.insert(event.id.clone(), HashSet::new());
            let past = vec![past(number, event, call_id.as_ref())?];
            self.store.commit(Commit { past, ..Commit::of(nothing(call_id.as_ref(), self.now)) }).await?;
        }
        Ok(())
    }

    /// Sees to it that what was deleted there is deleted here.
    async fn bury(&mut self, graves: Graves) -> Result<(), TransferError> {
        if graves.all.is_empty() {
            return Ok(());
        }
        let at: HashMap<&[u8], i64> = graves.all.iter().map(|(hash, at)| (hash.as_slice(), *at)).collect();
        let (mut cursor, mut dead) = (None, Vec::new());
        loop {
            let page = self.store.list(CallFilter { limit: PAGE, cursor, ..CallFilter::default() }).await?;
            let hashes = page.calls.iter().map(|call| (call.id.clone(), graves.hash(&call.id)));
            dead.extend(hashes.filter_map(|(id, hash)| Some((id, *at.get(hash.as_slice())?))));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        self.imported.erased = dead.len() as u64;
        for (id, at) in &dead {
            self.store.delete(id, Millis(*at), true).await?;
        }
        let count = graves.all.len() as u64;
        if !self.store.bury(graves).await? {
            self.imported.unknown_graves = count - self.imported.erased;
        }
        Ok(())
    }
}

/// The events without a record that the store has, and their repeats.
async fn strays(store: &Store) -> Result<Repeats, StoreError> {
    let (mut known, mut after) = (Repeats::new(), None);
    loop {
        let strays = store.strays(after, PAGE).await?;
        strays.events.iter().for_each(|(_, entry)| learn(&mut known, entry));
        after = strays.next;
        if after.is_none() || strays.events.is_empty() {
            return Ok(known);
        }
    }
}

fn learn(known: &mut Repeats, entry: &TimelineEntry) {
    let repeats = known.entry(entry.event_id.clone()).or_default();
    if entry.duplicate {
        repeats.insert((entry.at, entry.sent_at));
    }
}

fn past(number: u64, event: MovedEvent, call: Option<&CallId>) -> Result<PastEvent, TransferError> {
    let newer = || TransferError::Line { number, why: "it holds an event that only a newer release knows: use that one".to_owned() };
    event.past(call.cloned()).ok_or_else(newer)
}

/// What a commit is made for whose events are all of the past. Nothing of it is stored.
pub(super) fn nothing(id: Option<&CallId>, now: Millis) -> CallEvent {
    CallEvent { source: "import".to_owned(), sent_at: None, keep: Keep::Nothing, ..CallEvent::ours(EventKind::Fetch, id.cloned(), now) }
}
