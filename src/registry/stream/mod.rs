//! Those who listen to calls as they go on.
//!
//! Properties wanted:
//! - A reader that says where it was misses nothing and is told nothing twice, whichever instance it comes back to.
//! - All readers hear one order, that of the commits.
//! - A reader costs little while nothing happens to its call, and a slow one costs a bounded amount: it is dropped, and told so.
//! - Nobody listens, nobody pays: then the log is only written, never read.
//!
//! Design: the store keeps a log of news, written by the commits themselves. One task (`tail`) reads it from where it was, whenever this instance
//! committed something or another one signals that it did, and hands each entry to those who want it (`Streams::send`). What there is to say is
//! put into words once for all of them (`Bulletin`). A reader that is behind (`Reader`) reads the log by itself until it has caught up.
//!
//! Races, by name:
//! - *A reader joins while an entry is handed out*: joining notes the position that was handed out last, under the same lock; what comes after it
//!   reaches the reader, and up to it the reader reads the log itself.
//! - *A reader has read further than was handed out*: it passes over what it knows.
//! - *The last reader leaves and another one joins while a page is read*: only what lies behind the position noted by the new one is handed out.
//! - *An entry nobody wanted is wanted by the time it is handed out*: it is put into words then, and handed out again.

mod bulletin;
mod filter;
mod letter;
mod reader;
mod tail;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, mpsc};

pub use self::{
    bulletin::Bulletin,
    filter::{Filter, TYPES},
    letter::Letter,
    reader::{Reader, Said, Since},
};
pub(super) use tail::tell;

use crate::{call::id::CallId, store::StoredCall};

/// Readers at once.
const MOST_READERS: usize = 20_000;
/// Bulletins that a reader of one call may be behind.
const CALL_ROOM: usize = 64;
/// Bulletins that a reader of all calls may be behind.
const WIDE_ROOM: usize = 1_024;
/// Lately committed states that wait to be told, at most; others are loaded.
const MOST_FRESH: u64 = 2_048;
/// And for how long: the log is read within milliseconds.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// Everybody who listens; a cheap handle.
#[derive(Clone)]
pub struct Streams(Arc<Hub>);

struct Hub {
    seats: Mutex<Seats>,
    /// There may be something new in the log.
    news: Notify,
    /// The same, for whoever delivers it: this instance committed it.
    ours: Notify,
    /// Another one may have.
    theirs: Notify,
    fresh: moka::sync::Cache<(CallId, u64), Arc<StoredCall>>,
    count: AtomicUsize,
}

#[derive(Default)]
struct Seats {
    /// What was handed out last; `None` while nobody listens.
    position: Option<u64>,
    wide: Vec<Seat>,
    calls: HashMap<CallId, Vec<Seat>>,
    /// Names the next seat.
    next: u64,
}

struct Seat {
    name: u64,
    sender: mpsc::Sender<Arc<Bulletin>>,
}

/// The right to listen; dropped, it is free for another reader.
pub(super) struct Ticket(Arc<Hub>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A place among those who listen; dropped, it is free again.
struct Place {
    hub: Arc<Hub>,
    scope: Option<CallId>,
    name: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.seats().leave(self.scope.as_ref(), self.name);
    }
}

impl Default for Streams {
    fn default() -> Self {
        let fresh = moka::sync::Cache::builder().max_capacity(MOST_FRESH).time_to_live(FRESH_FOR).build();
        Self(Arc::new(Hub {
            seats: Mutex::default(),
            news: Notify::new(),
            ours: Notify::new(),
            theirs: Notify::new(),
            fresh,
            count: AtomicUsize::new(0),
        }))
    }
}

impl Streams {
    /// How many listen.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// The right to listen; `None` when there are too many.
    pub(super) fn admit(&self) -> Option<Ticket> {
        // Made first: dropped, it takes back what was counted.
        let before = self.0.count.fetch_add(1, Ordering::AcqRel);
        let ticket = Ticket(Arc::clone(&self.0));
        (before < MOST_READERS).then_some(ticket)
    }

    /// There may be something new in the log.
    pub(super) fn hint(&self) {
        self.0.news.notify_one();
        self.0.theirs.notify_one();
    }

    /// This instance put something into the log.
    pub(super) fn hint_ours(&self) {
        if self.position().is_some() {
            self.0.news.notify_one();
        }
        self.0.ours.notify_one();
    }

    /// Waits until this instance put something into the log.
    pub async fn ours(&self) {
        self.0.ours.notified().await;
    }

    /// Waits until another instance may have put something into the log.
    pub async fn theirs(&self) {
        self.0.theirs.notified().await;
    }

    /// A call was committed, and this much of its news with it: whoever tells them need not load it.
    pub(super) fn committed(&self, call: &Arc<StoredCall>, news: impl Iterator<Item = u64>) {
        let is_heard = self.position().is_some();
        let mut told = false;
        for sequence in news {
            told = true;
            if is_heard {
                self.0.fresh.insert((call.id.clone(), sequence), Arc::clone(call));
            }
        }
        if told {
            self.hint_ours();
        }
    }

    fn fresh(&self, id: &CallId, sequence: u64) -> Option<Arc<StoredCall>> {
        self.0.fresh.remove(&(id.clone(), sequence))
    }

    fn position(&self) -> Option<u64> {
        self.0.seats().position
    }

    /// Does anybody want news of this call, or of what is about none?
    fn is_wanted(&self, id: Option<&CallId>) -> bool {
        self.0.seats().wants(id)
    }

    /// Takes a place. Where nothing was handed out yet, `newest` is where that begins. Returns what was handed out last: the rest will come.
    fn join(&self, scope: Option<&CallId>, newest: u64) -> (Place, mpsc::Receiver<Arc<Bulletin>>, u64) {
        let (sender, receiver) = mpsc::channel(if scope.is_some() { CALL_ROOM } else { WIDE_ROOM });
        let mut seats = self.0.seats();
        let position = *seats.position.get_or_insert(newest);
        let name = seats.next;
        seats.next += 1;
        let seat = Seat { name, sender };
        match scope {
            Some(id) => seats.calls.entry(id.clone()).or_default().push(seat),
            None => seats.wide.push(seat),
        }
        drop(seats);
        // What was committed since `newest` was looked at had no one to be told to.
        self.hint();
        (Place { hub: Arc::clone(&self.0), scope: scope.cloned(), name }, receiver, position)
    }

    /// Hands out what stands at a position of the log, unless it was. False if somebody wants it and it was not put into words.
    fn send(&self, id: Option<&CallId>, position: u64, bulletin: Option<&Arc<Bulletin>>) -> bool {
        let mut seats = self.0.seats();
        if seats.position.is_none_or(|last| last >= position) {
            return true;
        }
        match bulletin {
            None if seats.wants(id) => return false,
            None => {}
            // A reader that has no room left is slow: its seat goes, and it finds out when it has read what it has.
            Some(bulletin) => seats.each(id, |seat| seat.sender.try_send(Arc::clone(bulletin)).is_ok()),
        }
        seats.position = Some(position);
        true
    }

    /// Hands out what stands in no log. Readers who have little room left go without it.
    pub(super) fn send_passing(&self, id: &CallId, bulletin: &Arc<Bulletin>) {
        self.0.seats().each(Some(id), |seat| {
            if seat.sender.capacity() > seat.sender.max_capacity() / 2 {
                let _ = seat.sender.try_send(Arc::clone(bulletin));
            }
            true
        });
    }

    /// The log was looked at up to here.
    fn looked_at(&self, position: u64) {
        let mut seats = self.0.seats();
        seats.position = seats.position.map(|last| last.max(position));
    }

    async fn hinted(&self) {
        self.0.news.notified().await;
    }
}

impl Hub {
    fn seats(&self) -> MutexGuard<'_, Seats> {
        // A panic under this lock can't leave the seats half-changed.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    fn wants(&self, id: Option<&CallId>) -> bool {
        !self.wide.is_empty() || id.is_some_and(|id| self.calls.contains_key(id))
    }

    /// Asks each seat that hears of this call, or of what is about none, whether it stays.
    fn each(&mut self, id: Option<&CallId>, mut stays: impl FnMut(&Seat) -> bool) {
        self.wide.retain(&mut stays);
        if let Some(id) = id
            && let Some(seats) = self.calls.get_mut(id)
        {
            seats.retain(stays);
            if seats.is_empty() {
                self.calls.remove(id);
            }
        }
    }

    fn leave(&mut self, scope: Option<&CallId>, name: u64) {
        self.each(scope, |seat| seat.name != name);
        if self.wide.is_empty() && self.calls.is_empty() {
            self.position = None;
        }
    }
}
