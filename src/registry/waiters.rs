//! Those who wait for a call to be done.
//!
//! Properties wanted: waking one of 10,000 waiters touches only those of its call; a waiter that leaves takes its entry along; a wake-up between
//! registering and looking is never missed.
//!
//! Design: a map from call to one [`Notify`], behind a plain mutex (held for a map operation, never across an await). A ticket holds the
//! notify; the last ticket of a call removes the entry when it is dropped.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::call::id::CallId;

/// Everybody who waits; a cheap handle.
#[derive(Debug, Clone)]
pub struct Waiters(Arc<Room>);

#[derive(Debug)]
struct Room {
    calls: Mutex<HashMap<CallId, Seat>>,
    count: AtomicUsize,
    most: usize,
}

#[derive(Debug)]
struct Seat {
    notify: Arc<Notify>,
    tickets: usize,
}

/// A place among those who wait for one call; dropped, it is free again.
#[derive(Debug)]
pub struct WaitTicket {
    room: Arc<Room>,
    id: CallId,
    notify: Arc<Notify>,
}

impl Waiters {
    /// Room for `most` waiters.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Room { calls: Mutex::default(), count: AtomicUsize::new(0), most }))
    }

    /// Registers a waiter; `None` when the room is full.
    #[must_use]
    pub fn register(&self, id: &CallId) -> Option<WaitTicket> {
        if self.0.count.fetch_add(1, Ordering::AcqRel) >= self.0.most {
            self.0.count.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let mut calls = self.0.calls();
        let seat = calls.entry(id.clone()).or_insert_with(|| Seat { notify: Arc::new(Notify::new()), tickets: 0 });
        seat.tickets += 1;
        Some(WaitTicket { room: Arc::clone(&self.0), id: id.clone(), notify: Arc::clone(&seat.notify) })
    }

    /// Wakes everybody who waits for the call.
    pub fn wake(&self, id: &CallId) {
        let notify = self.0.calls().get(id).map(|seat| Arc::clone(&seat.notify));
        if let Some(notify) = notify {
            notify.notify_waiters();
        }
    }

    /// Wakes everybody.
    pub fn wake_all(&self) {
        let all: Vec<_> = self.0.calls().values().map(|seat| Arc::clone(&seat.notify)).collect();
        for notify in all {
            notify.notify_waiters();
        }
    }

    /// How many wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// How many calls are waited for.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.0.calls().len()
    }
}

impl Room {
    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, Seat>> {
        // A panic under this lock can't leave the map half-changed.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitTicket {
    /// A future that ends at the next wake-up. It listens from the moment it is made: make it, look, then await it.
    pub fn woken(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

/// Ends at the next wake-up; never, where there was no room for a ticket. Listens from now on, as [`WaitTicket::woken`] does.
pub fn woken(ticket: Option<&WaitTicket>) -> impl Future<Output = ()> {
    let notified = ticket.map(WaitTicket::woken);
    async {
        match notified {
            Some(notified) => notified.await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for WaitTicket {
    fn drop(&mut self) {
        self.room.count.fetch_sub(1, Ordering::AcqRel);
        let mut calls = self.room.calls();
        if let Some(seat) = calls.get_mut(&self.id) {
            seat.tickets -= 1;
            if seat.tickets == 0 {
                calls.remove(&self.id);
            }
        }
    }
}
