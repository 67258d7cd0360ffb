//! One instance's work on one batch, from where it stands to its end, or until another instance goes on with it.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{error, info, warn};

use super::{
    Batches, LEASE, MOST_CONFLICTS, Parts, STORE_PAUSE,
    trouble::{failed, not_placed},
    watch::{Event, followed, hung_up, placed, recalled},
};
use crate::{
    batch::{Batch, Ending, Orders},
    call::{
        id::CallId,
        time::{DAY, Millis},
    },
    dial::{Asked, DialError, Key, Named, Order, Outcome, is_placement_id},
    push::{Callback, Reach},
    registry::woken,
    store::{Document, DocumentKind, StoreError, document::Read},
    vapi::client::RefusalReason,
};

/// What the keys of a batch's calls are used for.
const ROUTE: &str = "batch";
/// These keys are remembered for at least so long, however short the retention: an instance may have been down meanwhile.
const KEY_KEPT: i64 = 7 * DAY;
/// Whoever works says so this often.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Lines are busy: waits double from here.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// And grow no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// While as many calls were placed within the minute as may be.
const LIMIT_PAUSE: Duration = Duration::from_secs(1);
/// A call that Vapi fails to place, and says so, is tried so often.
const MOST_TRIES: u32 = 8;

/// The work on one batch.
pub(super) struct Shift {
    pub(super) batches: Batches,
    pub(super) batch: Read<Batch>,
    /// Who is named in the store.
    owner: String,
    orders: Orders,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Event>>,
    placing: BTreeSet<usize>,
    hung_up: BTreeSet<usize>,
    /// Nothing is placed before.
    pause: Option<Instant>,
    /// How often in a row lines were busy.
    busy: u32,
    /// Calls are not placed, and that was told.
    pub(super) failing: bool,
    dirty: bool,
}

/// Why a shift ends before the batch does.
pub(super) enum Stop {
    /// Another instance works on it, or it is gone.
    Lost,
    /// The store can't; it goes on when it can again.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Shift {
    /// Of a batch that was leased.
    pub(super) fn new(batches: Batches, batch: Read<Batch>) -> Self {
        Self {
            batches,
            owner: batch.says.owner.clone(),
            batch,
            orders: Orders { callback: None, requests: Vec::new() },
            work: FuturesUnordered::new(),
            placing: BTreeSet::new(),
            hung_up: BTreeSet::new(),
            pause: None,
            busy: 0,
            failing: false,
            dirty: true,
        }
    }

    /// Works until there is nothing left to do.
    pub(super) async fn run(mut self) {
        match self.go_on().await {
            Ok(()) | Err(Stop::Lost) => {}
            Err(Stop::Store(error)) => warn!(%error, batch_id = self.batch.document.id, "A batch waits for the store"),
        }
    }

    async fn go_on(&mut self) -> Result<(), Stop> {
        if self.batch.says.is_done() && self.batch.document.expires_at.is_some() {
            return self.release().await;
        }
        self.claim().await?;
        if self.work_through().await? { self.finish().await } else { self.hand_over().await }
    }

    /// Works until everything is done, or the service stops; tells whether everything is done.
    async fn work_through(&mut self) -> Result<bool, Stop> {
        let (batches, name) = (self.batches.clone(), CallId::parse(&self.batch.document.id).ok());
        let lifecycle = batches.parts().lifecycle.clone();
        let ticket = name.and_then(|id| batches.parts().registry.waiters().register(&id));
        let mut beats = interval(HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Listens also while something is written.
        let mut told = pin!(woken(ticket.as_ref()));
        loop {
            self.begin();
            if self.is_over() {
                return Ok(true);
            }
            let pause = self.pause;
            tokio::select! {
                Some(event) = self.work.next(), if !self.work.is_empty() => self.take(event),
                () = async { sleep_until(pause.unwrap_or_else(Instant::now)).await }, if pause.is_some() => self.pause = None,
                () = &mut told => {
                    told.set(woken(ticket.as_ref()));
                    self.look().await?;
                }
                _ = beats.tick() => self.dirty = true,
                () = lifecycle.soft_stopped() => return Ok(false),
            }
            while let Some(Some(event)) = self.work.next().now_or_never() {
                self.take(event);
            }
            if self.dirty {
                match self.save(Some(batches.now().plus(LEASE))).await {
                    Err(Stop::Store(error)) => self.wait_for_store(&error),
                    other => other?,
                }
            }
        }
    }

    /// Makes the batch this instance's, and takes up what goes on.
    async fn claim(&mut self) -> Result<(), Stop> {
        self.batch.says.owner.clone_from(&self.batches.0.name);
        self.save(Some(self.batches.now().plus(LEASE))).await?;
        if self.batch.says.is_done() {
            return Ok(());
        }
        let Parts { registry, push, .. } = self.batches.parts();
        let (id, now) = (self.batch.document.id.clone(), self.batches.now());
        let orders = registry.store().document(DocumentKind::Orders, &id, now).await?;
        if let Some(orders) = orders.and_then(Read::<Orders>::of) {
            self.orders = orders.says;
        } else {
            error!(batch_id = id, "What a batch asks for is gone; what was not placed yet is not placed");
        }
        let callback: Option<Value> = self.orders.callback.as_ref().and_then(|callback| serde_json::from_str(callback.get()).ok());
        if let Some(Ok(callback)) = callback.map(|callback| Callback::read(&callback, "callback", &Reach::checked())) {
            push.call_back(&id, callback).await?;
        }
        info!(batch_id = id, calls = self.batch.says.entries.len(), "A batch is worked on");
        let open = self.batch.says.entries.iter().enumerate().filter(|(_, entry)| entry.ending.is_none());
        let open: Vec<_> =
            open.filter_map(|(index, entry)| Some((index, entry.call_id.clone()?, entry.placed_at.unwrap_or(now)))).collect();
        for (index, id, placed_at) in open {
            self.work.push(followed(self.batches.clone(), index, id, placed_at).boxed());
        }
        Ok(())
    }

    /// Begins what can be begun now.
    fn begin(&mut self) {
        let Batch { canceled, hang_up, max_concurrent, .. } = self.batch.says;
        for index in 0..self.batch.says.entries.len() {
            let entry = &self.batch.says.entries[index];
            if entry.ending.is_some() || self.placing.contains(&index) {
                continue;
            }
            match &entry.call_id {
                Some(id) if hang_up && !is_placement_id(id.as_str()) && self.hung_up.insert(index) => {
                    self.work.push(hung_up(self.batches.clone(), index, id.clone(), 0).boxed());
                }
                Some(_) => {}
                None if self.pause.is_some() => {}
                None if canceled => self.cancel(index),
                None if self.under_way() >= max_concurrent => {}
                None => match self.order(index) {
                    Ok(order) => {
                        self.placing.insert(index);
                        self.work.push(placed(self.batches.clone(), index, order).boxed());
                    }
                    Err(ending) => self.end(index, ending),
                },
            }
        }
    }

    /// It is not placed any more; unless it was, and somebody was killed before that could be noted.
    fn cancel(&mut self, index: usize) {
        match self.order(index) {
            Ok(order) => {
                self.placing.insert(index);
                self.work.push(recalled(self.batches.clone(), index, order).boxed());
            }
            Err(_broken) => self.end(index, Ending::Canceled),
        }
    }

    /// Calls that take one of the places.
    fn under_way(&self) -> usize {
        self.placing.len() + self.batch.says.entries.iter().filter(|entry| entry.call_id.is_some() && entry.ending.is_none()).count()
    }

    /// What is ordered of the dialer for a call. Its key is the same whenever and wherever it is ordered.
    fn order(&self, index: usize) -> Result<Order, Ending> {
        let gone = || failed("INTERNAL", "What was asked for is gone.");
        let request = self.orders.requests.get(index).ok_or_else(gone)?.get();
        let body: Value = serde_json::from_str(request).map_err(|_no_json| gone())?;
        let Asked { wanted, callback, method } = Asked::parse(body, &Reach::checked()).map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
            failed("VALIDATION_FAILED", &errors.join("; "))
        })?;
        let kept = self.batches.parts().keep_ms.map(|keep| keep.max(KEY_KEPT));
        let key = Some(Key::kept(format!("{}:{index}", self.batch.document.id), ROUTE, kept));
        let method = method.unwrap_or(self.batches.0.dialer.method());
        Ok(Order { wanted, method, callback, token: self.batch.says.token.clone(), key, hash: hex::encode(Sha256::digest(request)) })
    }

    fn take(&mut self, event: Event) {
        self.dirty = true;
        match event {
            Event::Placed(index, outcome) => {
                self.placing.remove(&index);
                match outcome {
                    Ok(Outcome { named: Named::Call(id) | Named::Open(id), .. }) => {
                        self.busy = 0;
                        self.tell_placed(index);
                        self.follow(index, id);
                    }
                    Ok(Outcome { named: Named::Nothing, .. }) => self.wait(LIMIT_PAUSE),
                    Err(error) => self.not_placed(index, &error),
                }
            }
            Event::Found(index, id) => self.follow(index, id),
            Event::Unplaced(index) => self.batch.says.entries[index].call_id = None,
            Event::Unbegun(index) => {
                self.placing.remove(&index);
                self.end(index, Ending::Canceled);
            }
            Event::Ended(index, ending) => self.end(index, ending),
            Event::HungUp(hang_up) => self.take_hang_up(hang_up),
        }
    }

    fn follow(&mut self, index: usize, id: CallId) {
        let now = self.batches.now();
        let entry = &mut self.batch.says.entries[index];
        entry.call_id = Some(id.clone());
        let placed_at = *entry.placed_at.get_or_insert(now);
        self.work.push(followed(self.batches.clone(), index, id, placed_at).boxed());
    }

    fn end(&mut self, index: usize, ending: Ending) {
        let entry = &mut self.batch.says.entries[index];
        (entry.ending, entry.trouble) = (Some(ending), None);
        self.dirty = true;
    }

    fn not_placed(&mut self, index: usize, error: &DialError) {
        match error {
            DialError::Refused(refusal) if refusal.reason == RefusalReason::RateLimited => self.wait_for_line(refusal.retry_after_ms),
            DialError::Refused(refusal) if matches!(refusal.reason, RefusalReason::Unavailable | RefusalReason::Kestra) => {
                self.batch.says.entries[index].tries += 1;
                if self.batch.says.entries[index].tries >= MOST_TRIES {
                    return self.end(index, Ending::Failed(not_placed(error)));
                }
                self.wait_for_line(refusal.retry_after_ms);
            }
            DialError::TooMany => self.wait_to_place(LIMIT_PAUSE),
            // Nothing is wrong: whoever comes next goes on.
            DialError::Stopping => return self.wait(LIMIT_PAUSE),
            DialError::Store(error) => return self.wait_for_store(error),
            // Somebody took the key away: they will bring it back, or cancel.
            DialError::NoKey => self.wait_to_place(LONGEST_PAUSE),
            DialError::Refused(_) | DialError::NumberNotAllowed | DialError::KeyReused | DialError::Template(_) | DialError::Crashed => {
                return self.end(index, Ending::Failed(not_placed(error)));
            }
        }
        self.tell_not_placed(index, error);
    }

    fn wait_for_line(&mut self, asked: Option<i64>) {
        let asked = Duration::from_millis(asked.and_then(|wait| u64::try_from(wait).ok()).unwrap_or_default());
        let usual = FIRST_PAUSE.saturating_mul(1 << self.busy.min(8));
        self.busy += 1;
        self.wait_to_place(usual.max(asked).min(LONGEST_PAUSE));
    }

    /// Of a canceled batch nothing is placed any more.
    fn wait_to_place(&mut self, pause: Duration) {
        if !self.batch.says.canceled {
            self.wait(pause);
        }
    }

    /// Many look-ups may fail at once: that is told once a pause.
    fn wait_for_store(&mut self, error: &StoreError) {
        if self.pause.is_none() {
            warn!(%error, batch_id = self.batch.document.id, "A batch waits for the store");
        }
        self.wait(STORE_PAUSE);
    }

    fn wait(&mut self, pause: Duration) {
        self.pause = self.pause.max(Some(Instant::now() + pause));
    }

    fn is_over(&self) -> bool {
        self.batch.says.is_done() || self.batch.says.entries.iter().all(|entry| entry.ending.is_some())
    }

    /// Writes how far it is. What somebody else wrote meanwhile is taken over: that it is canceled.
    pub(super) async fn save(&mut self, due: Option<Millis>) -> Result<(), Stop> {
        for _ in 0..MOST_CONFLICTS {
            let mut now = Read { document: self.batch.document.clone(), says: self.batch.says.clone() };
            now.document.due = due;
            let Parts { registry, .. } = self.batches.parts();
            let put = registry.store().put_documents(vec![now.write()], self.batches.now());
            if self.batches.0.dialer.in_time(put).await? {
                self.batch.document.revision += 1;
                self.owner.clone_from(&self.batch.says.owner);
                self.dirty = false;
                return Ok(());
            }
            self.look().await?;
        }
        Err(StoreError::contended("the batch").into())
    }

    /// Looks at what others wrote.
    async fn look(&mut self) -> Result<(), Stop> {
        let Some(theirs) = self.batches.read(&self.batch.document.id).await? else { return Err(Stop::Lost) };
        if ![&self.owner, &self.batches.0.name].contains(&&theirs.says.owner) {
            return Err(Stop::Lost);
        }
        if theirs.says.canceled && !std::mem::replace(&mut self.batch.says.canceled, true) {
            // What was not placed ends now, however long the lines are busy.
            self.pause = None;
        }
        self.batch.says.hang_up |= theirs.says.hang_up;
        let expires_at = self.batch.document.expires_at;
        self.batch.document = Document { expires_at, ..theirs.document };
        Ok(())
    }
}
