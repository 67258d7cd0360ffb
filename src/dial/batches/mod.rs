//! Works through batches: calls that are placed together, so many at once.
//!
//! Properties wanted:
//! - Each call of a batch is placed once, whoever is killed when.
//! - A batch goes slower while lines are busy or the store is away, and goes on; it fails no call for that.
//! - One instance works on a batch; when it is gone, another one goes on within half a minute.
//! - Whoever waits for a batch is woken when it is done, and told once.
//!
//! Design: the batch is a document ([`crate::batch`]) that is written with what it asks for and with the idempotency key, before anything is placed.
//! While an instance works on it, the document is due a little ahead, and put off again and again; whoever finds it due goes on with it. Each call
//! is placed under a key made of the batch's id and its index, so the placing itself knows what was placed before ([`super`]).
//!
//! Races, by name:
//! - *Killed between placing a call and noting it*: the key finds the call again.
//! - *Two instances take themselves for the one that works on it*: the document is written by compare-and-set and names its worker; who is not named
//!   any more stops. What both placed was placed once.
//! - *Canceled while a call is placed*: it is noted, and hung up if that is wanted.
//! - *Killed between the end and telling it*: the document stays due until it was told; telling twice is the same delivery.
//!
//! | Module | What it does |
//! |---|---|
//! | [`draft`] | reads what somebody sent |
//! | `papers` | what is written of a new batch |
//! | `shift`, `end` | one instance's work on one batch |
//! | `watch` | what a shift waits for |
//! | `trouble` | what is told while it can't go on as it should |

pub mod draft;
mod end;
mod papers;
mod shift;
mod trouble;
mod watch;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tracing::warn;

use self::{
    draft::Draft,
    papers::{drop_batch, first, made},
    shift::Shift,
};
use super::{
    CallMethod, DialError, Dialer, Key, MOST_CONFLICTS, Parts,
    placing::{self, Remembered},
};
use crate::{
    batch::{self, Batch, view::BatchResult},
    call::{
        id::CallId,
        time::{Millis, SECOND},
        view::View,
    },
    lifecycle::Lifecycle,
    registry::DueHint,
    store::{DocumentKind, DocumentPage, REMEMBERED, StoreError, document::Read},
};

/// A batch is begun when it is certain that it was written; until then nobody works on it for so many milliseconds. A write that took too long is
/// taken back before.
const UNSURE: i64 = 60 * SECOND;
/// What an idempotency key was used for here.
const ROUTE: &str = "batches";
/// Whoever works on a batch says so at least this often, or another instance goes on with it.
const LEASE: i64 = 15 * SECOND;
/// Batches that one instance works on at once.
const MOST_AT_ONCE: usize = 100;
/// Calls that one instance places at once for all its batches: others want to place calls too, and Vapi takes so many requests a second.
const PLACED_AT_ONCE: usize = 4;
/// The worker never waits for less: there may be more to do than it does at once.
const LEAST_PAUSE: Duration = Duration::from_millis(100);
/// After the store failed, whoever works on a batch waits this long.
const STORE_PAUSE: Duration = Duration::from_secs(2);
/// Where no signals come from other instances, whoever waits looks this often.
const LOOK_AGAIN: Duration = Duration::from_millis(900);

/// Works through batches; a cheap handle.
#[derive(Clone)]
pub struct Batches(Arc<Inner>);

struct Inner {
    dialer: Dialer,
    /// Turns to place a call.
    turns: Semaphore,
    /// What this instance is called in documents.
    name: String,
    /// Batches that are worked on here.
    running: Mutex<HashSet<String>>,
    due: DueHint,
}

/// A batch to make.
#[derive(Debug)]
pub struct NewBatch {
    /// What was checked.
    pub draft: Draft,
    /// Who wants it, by the token's name.
    pub token: Option<String>,
    /// The idempotency key.
    pub key: Option<String>,
    /// Of the body, to tell whether a key comes with another one.
    pub hash: String,
}

/// A batch that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// As it stood when that became certain.
    pub batch: Read<Batch>,
    /// It was made before, by the same key.
    pub replayed: bool,
}

impl Batches {
    /// Batches whose calls this dialer places.
    #[must_use]
    pub fn new(dialer: Dialer) -> Self {
        let (turns, name) = (Semaphore::new(PLACED_AT_ONCE), uuid::Uuid::new_v4().to_string());
        Self(Arc::new(Inner { dialer, turns, name, running: Mutex::default(), due: DueHint::default() }))
    }

    fn parts(&self) -> &Parts {
        &self.0.dialer.0.parts
    }

    fn now(&self) -> Millis {
        self.parts().clock.now()
    }

    /// May this number be called?
    #[must_use]
    pub fn may_call(&self, number: Option<&str>) -> bool {
        self.parts().rules.allows(number)
    }

    /// Makes a batch, or finds the one that was made by the same key.
    ///
    /// # Errors
    /// [`DialError`] when there is no such batch, and nothing is placed.
    pub async fn create(&self, new: NewBatch) -> Result<Made, DialError> {
        if self.parts().lifecycle.is_stopping() {
            return Err(DialError::Stopping);
        }
        let key = new.key.as_ref().map(|text| Key::sent(text.clone(), ROUTE).answer_id(new.token.as_deref()));
        let dialer = &self.0.dialer;
        for _ in 0..MOST_CONFLICTS {
            let before = match &key {
                Some(key) => dialer.answered(key).await?,
                None => None,
            };
            if let Some(Read { says, .. }) = &before
                && let Some(batch) = self.read(&says.placement_id).await?
            {
                return if says.hash == new.hash { Ok(Made { batch, replayed: true }) } else { Err(DialError::KeyReused) };
            }
            if self.parts().client.is_none() && self.takes_our_key(&new.draft) {
                return Err(DialError::NoKey);
            }
            let (id, now) = (batch::new_id(), self.now());
            let answer = key.clone();
            let says = first(&new);
            let batch = made(DocumentKind::Batch, &id, &says, now);
            let document = batch.document.clone();
            let mut writes = vec![batch, made(DocumentKind::Orders, &id, &new.draft.orders, now)];
            writes.extend(key.as_ref().map(|key| {
                let before = before.map(|it| it.document.revision);
                placing::remembered(key, &Remembered::of(&new.hash, &id), before, (now, Some(REMEMBERED)))
            }));
            let written = id.clone();
            let take_back = move |dialer: Dialer| {
                let (id, answer) = (written.clone(), answer.clone());
                async move { drop_batch(dialer, &id, answer.as_deref()).await }
            };
            if dialer.write_or(writes, take_back).await? {
                self.begin(&id).await;
                return Ok(Made { batch: Read { document, says }, replayed: false });
            }
        }
        Err(StoreError::contended("the answer to the key").into())
    }

    /// Is any of it placed by us?
    fn takes_our_key(&self, draft: &Draft) -> bool {
        draft.methods.iter().any(|method| method.unwrap_or(self.0.dialer.method()) == CallMethod::DirectVapi)
    }

    /// Has a batch worked on at once that is written down for certain. If that can't be noted, it begins [`UNSURE`] after it was made.
    async fn begin(&self, id: &str) {
        let now = self.now();
        let begun = async {
            let Some(mut batch) = self.read(id).await? else { return Ok(true) };
            batch.document.due = Some(now);
            self.0.dialer.in_time(self.parts().registry.store().put_documents(vec![batch.write()], now)).await
        };
        if let Err(error) = begun.await {
            warn!(%error, batch_id = id, "A batch can't be begun at once; it begins within a minute");
        }
        self.0.due.announce(now);
    }

    /// A batch as it stands; `None` when there is none of this id.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn read(&self, id: &str) -> Result<Option<Read<Batch>>, StoreError> {
        let store = self.parts().registry.store();
        self.0.dialer.in_time(batch::load(store, id, self.now())).await
    }

    /// Batches as they stand, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn page(&self, after: Option<(Millis, String)>, limit: usize) -> Result<DocumentPage, StoreError> {
        let store = self.parts().registry.store();
        self.0.dialer.in_time(store.documents(DocumentKind::Batch, after, limit, self.now())).await
    }

    /// A batch as it is shown, with its calls.
    ///
    /// # Errors
    /// [`StoreError`] when calls can't be loaded.
    pub async fn shown(&self, batch: &Read<Batch>, view: View) -> Result<BatchResult, StoreError> {
        BatchResult::whole(&self.parts().registry, batch, view.into(), self.now()).await
    }

    /// A batch as it is shown in lists.
    #[must_use]
    pub fn brief(&self, batch: &Read<Batch>) -> BatchResult {
        BatchResult::brief(batch, self.now())
    }

    /// The batch as soon as it is done, or after `wait`, or when the service is about to stop.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn done_within(&self, id: &str, wait: Duration) -> Result<Option<Read<Batch>>, StoreError> {
        let Parts { registry, lifecycle, .. } = self.parts();
        let deadline = Instant::now() + wait;
        let ticket = CallId::parse(id).ok().filter(|_| !wait.is_zero()).and_then(|id| registry.waiters().register(&id));
        loop {
            // Listen first, look second: what happens in between is not missed.
            let woken = ticket.as_ref().map(crate::registry::WaitTicket::woken);
            let batch = self.read(id).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(woken) = woken.filter(|_| !left.is_zero() && batch.as_ref().is_some_and(|batch| !batch.says.is_done())) else {
                return Ok(batch);
            };
            let nap = if registry.store().hears_all() { left } else { left.min(LOOK_AGAIN) };
            tokio::select! {
                () = woken => {}
                () = sleep(nap) => {}
                () = lifecycle.soft_stopped() => return Ok(batch),
            }
        }
    }

    /// Has no more calls of a batch placed, and those that go on hung up if that is wanted. `None` when there is no such batch.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't.
    pub async fn cancel(&self, id: &str, hang_up: bool) -> Result<Option<Read<Batch>>, StoreError> {
        let store = self.parts().registry.store();
        for _ in 0..MOST_CONFLICTS {
            let Some(mut batch) = self.read(id).await? else { return Ok(None) };
            if batch.says.is_done() || (batch.says.canceled && (batch.says.hang_up || !hang_up)) {
                return Ok(Some(batch));
            }
            batch.says.canceled = true;
            batch.says.hang_up |= hang_up;
            let changed = Read { document: batch.document.clone(), says: batch.says.clone() };
            if self.0.dialer.in_time(store.put_documents(vec![changed.write()], self.now())).await? {
                self.wake(id, batch.document.revision + 1).await;
                return Ok(Some(batch));
            }
        }
        Err(StoreError::contended("the batch"))
    }

    /// Whoever waits for a batch looks again, on any instance.
    async fn wake(&self, id: &str, revision: u64) {
        let Ok(id) = CallId::parse(id) else { return };
        let registry = &self.parts().registry;
        registry.waiters().wake(&id);
        if let Err(error) = self.0.dialer.in_time(registry.store().tell(&id, revision)).await {
            warn!(%error, batch_id = id.as_str(), "Other instances could not be told of a batch");
        }
    }

    /// Works until `lifecycle` stops it.
    pub async fn run(self, lifecycle: Lifecycle) {
        self.0.due.work_off(&lifecycle, "Batches can't be read from the store", || self.work()).await;
    }

    async fn work(&self) -> Result<Duration, StoreError> {
        while self.step().await? > 0 {}
        let (now, next) = (self.now(), self.parts().registry.store().next_document(DocumentKind::Batch).await?);
        Ok(self.0.due.plan_next(now, next, LEAST_PAUSE))
    }

    /// Begins to work on all batches that nobody works on; returns how many.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn step(&self) -> Result<usize, StoreError> {
        let Parts { registry, lifecycle, .. } = self.parts();
        let (now, room) = (self.now(), MOST_AT_ONCE.saturating_sub(self.running().len()));
        if room == 0 {
            return Ok(0);
        }
        let leased = registry.store().lease_documents(DocumentKind::Batch, now, now.plus(LEASE), room).await?;
        let count = leased.len();
        for batch in leased.into_iter().filter_map(Read::<Batch>::of) {
            if !self.running().insert(batch.document.id.clone()) {
                continue;
            }
            let (batches, id) = (self.clone(), batch.document.id.clone());
            lifecycle.spawn_quiet(async move {
                let _here = Here(&batches, &id);
                Shift::new(batches.clone(), batch).run().await;
            });
        }
        Ok(count)
    }

    fn running(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that is worked on here, until dropped.
struct Here<'a>(&'a Batches, &'a str);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.running().remove(self.1);
    }
}
