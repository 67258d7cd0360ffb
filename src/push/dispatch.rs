//! Takes deliveries that are due, has each tried, and notes what came of it.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::sleep,
};
use tracing::warn;

use super::{
    Push,
    fan::{Known, left_alone},
    lanes::{Lanes, MOST_TAKEN},
    target::Target,
};
use crate::{
    call::time::{Millis, SECOND},
    lifecycle::Lifecycle,
    store::{Delivery, DeliveryLease, DeliveryMark, Fate, LeasedDeliveries, StoreError},
};

/// A lease outlives a try of 15 s and the note of what came of it.
const LEASE: i64 = 30 * SECOND;
/// Due deliveries are looked for at least this often: other instances make them too.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Nothing could be taken although something is due: somebody else holds it, or its target is full.
const HELD_PAUSE: Duration = Duration::from_millis(200);
/// After the store failed.
const STORE_PAUSE: Duration = Duration::from_millis(500);
/// Deliveries that one step takes.
const STEP: usize = 1_000;

/// A try that ended: what to note, and whether there was an answer.
pub(super) struct Done {
    pub(super) mark: DeliveryMark,
    pub(super) answered: bool,
}

/// A try that ended, and its lane.
type Ended = (Arc<str>, Done);

/// Tells until `lifecycle` stops it; then it waits for the tries on their way.
pub(super) async fn dispatch(push: Push, lifecycle: Lifecycle) {
    let (done, dones) = unbounded_channel();
    let mut desk = Desk { push, lifecycle, lanes: Lanes::default(), marks: Vec::new(), done, dones, failing: false };
    while !desk.lifecycle.is_soft_stopped() {
        let pause = desk.turn().await;
        tokio::select! {
            Some(done) = desk.dones.recv() => desk.take(done),
            () = desk.push.0.due.notified() => {}
            () = sleep(pause) => {}
            () = desk.lifecycle.soft_stopped() => {}
        }
    }
    while !(desk.lanes.is_empty() && desk.marks.is_empty()) {
        desk.note().await;
        tokio::select! {
            Some(done) = desk.dones.recv() => desk.take(done),
            () = sleep(STORE_PAUSE), if !desk.marks.is_empty() || desk.lanes.is_empty() => {}
        }
        desk.note().await;
    }
}

/// What was taken at a moment.
struct Taken {
    leased: LeasedDeliveries,
    known: Arc<Known>,
    now: Millis,
}

struct Desk {
    push: Push,
    lifecycle: Lifecycle,
    lanes: Lanes,
    /// To be noted.
    marks: Vec<DeliveryMark>,
    done: UnboundedSender<Ended>,
    dones: UnboundedReceiver<Ended>,
    failing: bool,
}

impl Desk {
    /// Notes what has ended, takes what is due meanwhile, and begins it. Returns how long there is nothing to do.
    async fn turn(&mut self) -> Duration {
        while let Ok(done) = self.dones.try_recv() {
            self.take(done);
        }
        let marks = std::mem::take(&mut self.marks);
        let (noted, leased) = tokio::join!(self.noted(marks), self.leased());
        // What follows what was noted is due now, and may have been so too late to be taken with the others.
        let has_noted = matches!(noted, Ok(count) if count > 0);
        self.marks = noted.err().unwrap_or_default();
        if let Err(error) = &leased
            && !self.failing
        {
            warn!(%error, "Due deliveries can't be taken; they are when the store can be asked again");
        }
        self.failing = leased.is_err();
        let pause = match leased {
            Ok(Some(leased)) => self.begin(leased).await,
            Ok(None) => LOOK_EVERY,
            Err(_) => STORE_PAUSE,
        };
        if has_noted && !self.failing {
            Duration::ZERO
        } else if self.marks.is_empty() {
            pause
        } else {
            pause.min(STORE_PAUSE)
        }
    }

    fn take(&mut self, (lane, done): Ended) {
        self.lanes.end(&lane, done.answered);
        self.marks.push(done.mark);
    }

    async fn note(&mut self) {
        let marks = std::mem::take(&mut self.marks);
        self.marks = self.noted(marks).await.err().unwrap_or_default();
    }

    /// How many were noted. What can't be noted comes back; it is noted later, or never: then its lease runs out, and it is tried again.
    async fn noted(&self, mut marks: Vec<DeliveryMark>) -> Result<usize, Vec<DeliveryMark>> {
        let now = self.push.0.parts.clock.now();
        marks.retain(|mark| mark.lease > now);
        let count = marks.len();
        if count > 0
            && let Err(error) = self.push.0.parts.registry.store().mark_deliveries(marks.clone()).await
        {
            warn!(%error, "What came of some deliveries can't be noted");
            return Err(marks);
        }
        Ok(count)
    }

    /// Takes what is due and has room; `None` when there is no room, or nobody to tell.
    async fn leased(&self) -> Result<Option<Taken>, StoreError> {
        let store = self.push.0.parts.registry.store();
        let state = store.outbox().await?;
        let room = self.lanes.room();
        if room == 0 || (!state.subscriptions && !state.callbacks) {
            return Ok(None);
        }
        let known = self.push.known(&state).await?;
        let now = self.push.0.parts.clock.now();
        let except = left_alone(&known).chain(self.lanes.full()).cloned().collect();
        let lease = DeliveryLease { now, until: now.plus(LEASE), limit: room, per_target: MOST_TAKEN, except };
        Ok(Some(Taken { leased: store.lease_deliveries(lease).await?, known, now }))
    }

    /// Has them tried; returns how long nothing else is due.
    async fn begin(&mut self, Taken { leased, known, now }: Taken) -> Duration {
        let began = leased.deliveries.len();
        let lanes = join_all(leased.deliveries.iter().map(|delivery| self.push.lane(&delivery.target, &known))).await;
        let mut next = leased.next;
        for (delivery, lane) in leased.deliveries.into_iter().zip(lanes) {
            if let Some(comes) = self.lanes.later(&lane, now).filter(|_| *lane != *delivery.target) {
                next = Some(next.map_or(comes, |next| next.min(comes)));
                self.marks.push(put_back(delivery, now, comes));
                continue;
            }
            self.lanes.begin(&lane);
            let (push, known, done) = (self.push.clone(), Arc::clone(&known), self.done.clone());
            self.lifecycle.spawn_quiet(async move {
                // Nobody hears it if the service was stopped hard meanwhile.
                let _ = done.send((lane, push.tried(delivery, &known, now.plus(LEASE)).await));
            });
        }
        if !self.marks.is_empty() {
            self.note().await;
        }
        pause(next, now, began)
    }
}

/// It was not tried, and is free again.
fn put_back(delivery: Delivery, now: Millis, comes: Millis) -> DeliveryMark {
    let (target, event_id, lease) = (delivery.target, delivery.event.id, now.plus(LEASE));
    DeliveryMark { target, event_id, lease, at: now, fate: Fate::Again(comes), attempt: None }
}

fn pause(next: Option<Millis>, now: Millis, began: usize) -> Duration {
    let wait = next.map(|next| Duration::from_millis(u64::try_from(next.since(now)).unwrap_or_default()));
    match wait {
        Some(Duration::ZERO) if began > 0 => Duration::ZERO,
        Some(wait) => wait.clamp(HELD_PAUSE, LOOK_EVERY),
        None => LOOK_EVERY,
    }
}

impl Push {
    /// The lane of a target: of a subscription its own, of a callback that of its host.
    async fn lane(&self, target: &str, known: &Known) -> Arc<str> {
        if known.find(target).is_some() {
            return target.into();
        }
        if let Some(lane) = self.0.hosts.get(target) {
            return lane;
        }
        match self.0.parts.registry.store().target(target).await.map(|stored| stored.and_then(|stored| Target::read(&stored.body))) {
            Ok(Some(Target::Callback(callback))) => {
                let lane: Arc<str> = callback.host().into();
                self.0.hosts.insert(target.to_owned(), Arc::clone(&lane));
                lane
            }
            // Whatever it is, it is looked up again when it is tried.
            _ => target.into(),
        }
    }

    /// Makes every try that is due now; returns how many.
    pub(super) async fn dispatch_due(&self) -> Result<usize, StoreError> {
        let store = self.0.parts.registry.store();
        let mut tried = 0;
        loop {
            let state = store.outbox().await?;
            let known = self.known(&state).await?;
            let now = self.0.parts.clock.now();
            let except = left_alone(&known).cloned().collect();
            let lease = DeliveryLease { now, until: now.plus(LEASE), limit: STEP, per_target: STEP, except };
            let leased = store.lease_deliveries(lease).await?.deliveries;
            if leased.is_empty() {
                return Ok(tried);
            }
            tried += leased.len();
            let done = join_all(leased.into_iter().map(|delivery: Delivery| self.tried(delivery, &known, now.plus(LEASE)))).await;
            store.mark_deliveries(done.into_iter().map(|done| done.mark).collect()).await?;
        }
    }
}
