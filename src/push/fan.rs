//! Fanning out: from the log of news to deliveries.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::sleep;
use tracing::warn;

use super::{
    Push,
    callback::Callback,
    subscriptions::Named,
    target::{Standing, Subscription, Target},
};
use crate::{
    call::{
        id::{CallId, PLACEMENT_ID},
        news::{NewsEntry, NewsKind},
        view::metadata_text,
    },
    lifecycle::Lifecycle,
    registry::Registry,
    store::{FanOut, OutboxState, OutgoingEvent, StoreError, StoredCall},
};

/// Entries of the log read at once.
const PAGE: usize = 200;
/// Deliveries made at once, about.
const MOST_AT_ONCE: usize = 2_000;
/// The log is looked at this often though nobody told us to: a signal may be lost, and others make subscriptions too.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What another instance wrote it fans out itself. This much later we look whether it did.
const PATIENCE: Duration = Duration::from_millis(250);
/// After a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// The subscriptions of one generation.
#[derive(Debug, Default)]
pub(super) struct Known {
    generation: u64,
    pub(super) subscriptions: Vec<Named>,
    /// Ids of what only a later release understands.
    pub(super) strange: Vec<String>,
}

impl Known {
    pub(super) fn find(&self, id: &str) -> Option<&Subscription> {
        self.subscriptions.iter().find(|named| named.id == id).map(|named| &named.subscription)
    }
}

/// Targets whose deliveries wait, whatever is due.
pub(super) fn left_alone(known: &Known) -> impl Iterator<Item = &String> {
    let paused = known.subscriptions.iter().filter(|named| named.subscription.standing == Standing::Paused).map(|named| &named.id);
    paused.chain(&known.strange)
}

/// Fans out until `lifecycle` stops it.
pub(super) async fn fan_out(push: Push, lifecycle: Lifecycle) {
    let streams = push.0.parts.registry.streams().clone();
    let mut failing = false;
    loop {
        let outcome = push.fan_out_all(|| lifecycle.is_soft_stopped()).await;
        if let Err(error) = &outcome
            && !failing
        {
            warn!(%error, "News can't be made ready for those who are told; it is when the store can be asked again");
        }
        failing = outcome.is_err();
        // Nobody wants to be told: whoever changes that says so, here; made elsewhere, a target is seen to from there until we look.
        let is_wanted = outcome.is_ok_and(|made| made.is_some());
        tokio::select! {
            () = streams.ours(), if is_wanted => {}
            () = async { streams.theirs().await; sleep(PATIENCE).await }, if is_wanted => {}
            () = push.0.subscribed.notified() => {}
            () = sleep(PAUSE), if failing => {}
            () = sleep(LOOK_EVERY) => {}
            () = lifecycle.soft_stopped() => return,
        }
    }
}

impl Push {
    /// Makes all the deliveries there are to make, unless it is to stop; returns how many, `None` when nobody wants any.
    pub(super) async fn fan_out_all(&self, is_over: impl Fn() -> bool) -> Result<Option<usize>, StoreError> {
        let mut made = 0;
        while !is_over() {
            let state = self.0.parts.registry.store().outbox().await?;
            if !state.subscriptions && !state.callbacks {
                return Ok(None);
            }
            let Some(more) = self.fan_out_step(state).await? else { break };
            made += more;
            if more > 0 {
                self.0.due.notify_one();
            }
        }
        Ok(Some(made))
    }

    /// One step; `None` when there is nothing left to do.
    async fn fan_out_step(&self, state: OutboxState) -> Result<Option<usize>, StoreError> {
        let registry = &self.0.parts.registry;
        let known = self.known(&state).await?;
        let page = registry.store().news(state.fanned, None, PAGE).await?;
        if page.until <= state.fanned {
            return Ok(None);
        }
        // Who began to wait after the first look, for a call that is on this page, is seen by the second one: no generation tells of them.
        let is_done = page.entries.iter().any(|entry| entry.item.kind == NewsKind::Done);
        let callbacks = state.callbacks || (is_done && registry.store().outbox().await?.callbacks);
        let (mut deliveries, mut until) = (Vec::new(), page.until);
        for entry in &page.entries {
            self.deliveries_of(entry, &known, callbacks, &mut deliveries).await?;
            if deliveries.len() >= MOST_AT_ONCE {
                until = entry.position;
                break;
            }
        }
        let made = deliveries.len();
        let step = FanOut { generation: known.generation, from: state.fanned, until, at: self.0.parts.clock.now(), deliveries };
        let done = registry.store().fan_out(step).await?;
        // If not, another instance was faster, or somebody changed a subscription.
        Ok(Some(if done { made } else { 0 }))
    }

    async fn deliveries_of(
        &self,
        entry: &NewsEntry,
        known: &Known,
        callbacks: bool,
        deliveries: &mut Vec<(String, OutgoingEvent)>,
    ) -> Result<(), StoreError> {
        let itself = entry.item.about.as_ref().filter(|_| entry.item.kind == NewsKind::Disabled);
        let wants = |named: &&Named| {
            let Subscription { standing, since, .. } = &named.subscription;
            let hears = *standing != Standing::Disabled && *since < entry.position && itself != Some(&named.id);
            hears && named.subscription.wants_kind(entry.item.kind.as_str())
        };
        let interested: Vec<_> = known.subscriptions.iter().filter(wants).collect();
        let may_be_waited_for = callbacks && entry.item.kind == NewsKind::Done;
        let looks = may_be_waited_for || interested.iter().any(|named| !named.subscription.is_open());
        let call = match &entry.call_id {
            Some(id) if looks => self.0.parts.registry.stored(id, entry.item.sequence).await?,
            _ => None,
        };
        let fits = |named: &&&Named| named.subscription.is_open() || call.as_deref().is_some_and(|call| named.subscription.fits(call));
        let event = Registry::outgoing(entry);
        deliveries.extend(interested.iter().filter(fits).map(|named| (named.id.clone(), event.clone())));
        if may_be_waited_for {
            let waiting = self.waiting(entry, call.as_deref()).await?;
            deliveries.extend(waiting.into_iter().map(|id| (id, event.clone())));
        }
        Ok(())
    }

    /// Those who wait for this call to be done, under its id or that of its placing.
    async fn waiting(&self, entry: &NewsEntry, call: Option<&StoredCall>) -> Result<Vec<String>, StoreError> {
        let placing = call.and_then(|call| metadata_text(&call.record, PLACEMENT_ID));
        let mut waiting = Vec::new();
        for scope in entry.call_id.as_ref().map(CallId::as_str).into_iter().chain(placing.as_deref()) {
            let targets = self.0.parts.registry.store().targets(Some(scope)).await?.targets;
            let due = targets.into_iter().filter(|target| {
                let callback = match Target::read(&target.body) {
                    Some(Target::Callback(callback)) => Some(callback),
                    _ => None,
                };
                callback.is_some_and(|callback: Callback| callback.since() < entry.position) && !waiting.contains(&target.id)
            });
            let due: Vec<String> = due.map(|target| target.id).collect();
            waiting.extend(due);
        }
        Ok(waiting)
    }

    /// The subscriptions as they stand in the store, from memory if they have not changed.
    pub(super) async fn known(&self, state: &OutboxState) -> Result<Arc<Known>, StoreError> {
        let remembered = Arc::clone(&self.0.known.lock().unwrap_or_else(PoisonError::into_inner));
        if remembered.generation == state.generation {
            return Ok(remembered);
        }
        let targets = self.0.parts.registry.store().targets(None).await?;
        let (mut subscriptions, mut strange) = (Vec::new(), Vec::new());
        for target in targets.targets {
            match Target::read(&target.body) {
                Some(Target::Subscription(subscription)) => subscriptions.push(Named { id: target.id, subscription }),
                _ => strange.push(target.id),
            }
        }
        if !strange.is_empty() {
            warn!(count = strange.len(), "Some subscriptions were made by a later release; they are left alone");
        }
        let known = Arc::new(Known { generation: targets.generation, subscriptions, strange });
        *self.0.known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&known);
        Ok(known)
    }

    /// Where a new target's news begin. As long as there was no target, nobody read the log: what is older is skipped.
    pub(super) async fn begin_here(&self) -> Result<u64, StoreError> {
        let store = self.0.parts.registry.store();
        // First the newest entry, then whether there are targets: one that is made in between was made after all that is skipped.
        let newest = store.news(i64::MAX.unsigned_abs(), None, 1).await?.newest;
        let state = store.outbox().await?;
        if !state.subscriptions && !state.callbacks && state.fanned < newest {
            let (generation, from, at) = (state.generation, state.fanned, self.0.parts.clock.now());
            // If it fails, another one skips, or has begun to read.
            store.fan_out(FanOut { generation, from, until: newest, at, deliveries: Vec::new() }).await?;
        }
        Ok(newest)
    }
}
