//! Looks for calls whose answer was lost: among those that webhooks told of, then in Vapi's list.
//!
//! One listing serves all placings of about the same time that are due. Only a list that was read over all that time and does not have a call speaks
//! against it; so while Vapi can't be asked nothing is given up. Where the store fails for one placing, the others are looked for all the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use tracing::warn;

use super::{
    CallMethod, Dialer, Parts,
    flow::{self, Flow},
    listing::{Placings, shared},
    placing::{Placing, State},
    promise::release_at,
    send::{event_id, lost_words},
};
use crate::{
    call::{
        event::CallEvent,
        id::{CallId, PLACEMENT_ID},
        record::{Fetch, FetchOutcome, FetchReason},
        time::SECOND,
    },
    lifecycle::Lifecycle,
    registry::Change,
    store::{CallFilter, Document, DocumentKind, StoreError, document::Read},
    vapi::{self, client::Refusal},
};

/// Seconds from one look to the next.
const WAITS: [i64; 6] = [1, 1, 3, 5, 10, 10];
/// And from then on.
const LAST_WAIT: i64 = 60;
/// After this time a list without the call is the last one.
pub(super) const GIVE_UP: i64 = 900 * SECOND;
/// Placings looked for together.
const MOST_AT_ONCE: usize = 500;
/// Whoever looks has this long; then somebody else does.
const LEASE: i64 = 120 * SECOND;
/// The worker never waits for less.
const LEAST_PAUSE: Duration = Duration::from_millis(5);
/// After so many failures in a row the store is away: the other placings are left for later.
const MOST_IN_A_ROW: usize = 3;

/// Milliseconds before the next look, after so many.
pub(super) fn wait(looks: usize) -> i64 {
    WAITS.get(looks).copied().unwrap_or(LAST_WAIT) * SECOND
}

/// What the store could not do for some placings, the first of which is named in `why`; it is tried again with the next step.
#[derive(Default)]
struct Trouble {
    left: Vec<String>,
    why: Option<StoreError>,
    in_a_row: usize,
}

impl Trouble {
    /// Does something for a placing, unless the store seems to be away; `None` when it could not be done.
    async fn over<T>(&mut self, id: &str, work: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        if self.in_a_row < MOST_IN_A_ROW {
            match work.await {
                Ok(done) => {
                    self.in_a_row = 0;
                    return Some(done);
                }
                Err(error) => {
                    self.in_a_row += 1;
                    self.why.get_or_insert(match error {
                        StoreError::Unavailable(why) => StoreError::Unavailable(format!("{id}: {why}")),
                        unusable @ (StoreError::Unusable(_) | StoreError::Behind(_)) => unusable,
                    });
                }
            }
        }
        self.left.push(id.to_owned());
        None
    }
}

impl Dialer {
    /// Works until `lifecycle` stops it.
    pub async fn run(self, lifecycle: Lifecycle) {
        self.0.due.work_off(&lifecycle, "Placings can't be read from the store", || self.work()).await;
    }

    async fn work(&self) -> Result<Duration, StoreError> {
        while self.step().await? > 0 {}
        let Parts { registry, clock, .. } = &self.0.parts;
        let (now, next) = (clock.now(), registry.store().next_document(DocumentKind::Placement).await?);
        Ok(self.0.due.plan_next(now, next, LEAST_PAUSE))
    }

    /// Looks once for everything that is due now, and for what could not be looked for the last time; returns how much that was.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked, or could not of some of them. All others were looked for.
    pub async fn step(&self) -> Result<usize, StoreError> {
        let Parts { registry, clock, .. } = &self.0.parts;
        let now = clock.now();
        let leased = registry.store().lease_documents(DocumentKind::Placement, now, now.plus(LEASE), MOST_AT_ONCE).await?;
        let count = leased.len();
        let (mut trouble, mut open) = (Trouble::default(), Placings::new());
        let mut due: Vec<Read<Placing>> = leased.into_iter().filter_map(Read::of).collect();
        for id in self.left_over() {
            let read = trouble.over(&id, self.placing(&id)).await;
            due.extend(read.flatten().filter(|read| read.document.due.is_some_and(|at| at <= now)));
        }
        for Read { document: Document { id, .. }, says } in due {
            if trouble.over(&id, Box::pin(self.is_open(&id, &says))).await == Some(true) {
                open.insert(id, says);
            }
        }
        if !open.is_empty() {
            Box::pin(self.look_for(open, &mut trouble)).await;
        }
        let Trouble { left, why, .. } = trouble;
        self.left().extend(left);
        why.map_or(Ok(count), Err)
    }

    fn left(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left_over(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.left())
    }

    /// Does nobody know yet what came of this placing, which is due? If somebody does, what was to be done then is done.
    async fn is_open(&self, id: &str, says: &Placing) -> Result<bool, StoreError> {
        match (says.state, &says.call_id) {
            (State::Sending, _) if self.is_unsent(id, says).await? => self.never_sent(id).await.map(|()| false),
            (State::Sending | State::Unknown, _) => Ok(true),
            (State::Placed, Some(call)) => self.remind(id, call).await.map(|()| false),
            (State::Placed | State::Refused | State::Lost, _) => self.rest(id).await.map(|()| false),
        }
    }

    async fn look_for(&self, open: Placings, trouble: &mut Trouble) {
        let mut unheard = Placings::new();
        for (id, mut says) in open {
            if trouble.over(&id, self.is_unheard(&id, &mut says)).await == Some(true) {
                unheard.insert(id, says);
            }
        }
        for (span, group) in shared(unheard) {
            let mut found = self.list(span, &group).await;
            for (id, says) in group {
                let settled = async {
                    match found.calls.remove(&id) {
                        Some((call, answer)) => self.found(&id, &call, answer).await,
                        None => self.missed(&id, &says, self.speaks_against(&says, found.covers(&says))).await,
                    }
                };
                trouble.over(&id, settled).await;
            }
        }
    }

    /// Can only Vapi's list tell what came of this placing? It was not heard of, and Kestra, where it was asked, has nothing more to say.
    async fn is_unheard(&self, id: &str, says: &mut Placing) -> Result<bool, StoreError> {
        if let Some(call) = self.heard_of(id).await? {
            return self.found(id, &call, None).await.map(|()| false);
        }
        if says.method == CallMethod::DirectVapi {
            return Ok(true);
        }
        match self.look_at_flow(id, says).await? {
            Flow::Became(call) => self.found(id, &call, None).await.map(|()| false),
            Flow::GoesOn => self.missed(id, says, false).await.map(|()| false),
            Flow::Ended => Ok(true),
        }
    }

    async fn found(&self, id: &str, call: &CallId, answer: Option<CallEvent>) -> Result<(), StoreError> {
        self.note_call(id, call, answer).await?;
        self.wake(id);
        Ok(())
    }

    /// The call that webhooks told of, if one carries this placing.
    async fn heard_of(&self, id: &str) -> Result<Option<CallId>, StoreError> {
        let metadata = BTreeMap::from([(PLACEMENT_ID.to_owned(), vec![id.to_owned()])]);
        let page = self.0.parts.registry.list(CallFilter { metadata, limit: 1, ..CallFilter::default() }).await?;
        Ok(page.calls.first().map(|call| call.id.clone()))
    }

    /// Is it certain enough that there is no call, as Vapi's list does not have it (`whole`: of all the time when it can have been made)?
    fn speaks_against(&self, says: &Placing, whole: bool) -> bool {
        let Parts { client, clock, .. } = &self.0.parts;
        let now = clock.now();
        match says.method {
            CallMethod::DirectVapi => whole && now.since(says.sent_at) >= GIVE_UP,
            // Who has Kestra place calls may have no key to read that list with.
            CallMethod::Kestra => (whole || client.is_none()) && flow::silent_at(says).is_none_or(|at| at <= now),
        }
    }

    /// It was not found: it is looked for again, or given up.
    async fn missed(&self, id: &str, says: &Placing, give_up: bool) -> Result<(), StoreError> {
        let now = self.0.parts.clock.now();
        if give_up {
            let words = match says.method {
                CallMethod::DirectVapi => lost_words(says.sent_at),
                CallMethod::Kestra => flow::lost_words(says),
            };
            return self.lose(id, says, words, None).await;
        }
        self.change(id, |says, document| {
            if !matches!(says.state, State::Sending | State::Unknown) {
                return false;
            }
            says.state = State::Unknown;
            says.looks += 1;
            let next = now.plus(wait(says.looks));
            document.due = Some(flow::silent_at(says).filter(|at| *at > now).map_or(next, |at| at.min(next)));
            true
        })
        .await?;
        self.wake(id);
        Ok(())
    }

    /// Nobody will ever know what came of it, or there is a `refusal` after all: a record under its own id says so.
    pub(super) async fn lose(&self, id: &str, says: &Placing, error: String, refusal: Option<&Refusal>) -> Result<(), StoreError> {
        let Ok(named) = CallId::parse(id) else { return Ok(()) };
        let now = self.0.parts.clock.now();
        warn!(placement_id = id, error, "A call that may have been placed is nowhere; it counts as lost");
        let mut event = vapi::call::placed(&says.asked, event_id(id), &named, now);
        "lost".clone_into(&mut event.source);
        event.details = Some(error.clone());
        event.facts.lost_at = Some(now);
        let fetch = Fetch { at: now, reason: FetchReason::Check, outcome: FetchOutcome::Failed { error } };
        event.facts.fetches.insert(event.id.clone(), fetch);
        let change = Change::of(event);
        self.0.parts.registry.apply_change(change).await?;
        self.change(id, |says, document| {
            if matches!(says.state, State::Placed | State::Refused) {
                return false;
            }
            says.state = State::Lost;
            says.refusal = says.refusal.take().or_else(|| refusal.cloned());
            says.asked.clear();
            document.due = release_at(says, document);
            true
        })
        .await?;
        self.wake(id);
        Ok(())
    }

    /// Looks for an open placing right away, instead of when it is due.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn hurry(&self, id: &CallId) -> Result<(), StoreError> {
        let now = self.0.parts.clock.now();
        self.change(id.as_str(), |says, document| {
            let waits = says.state == State::Unknown && document.due.is_some_and(|at| at > now);
            if waits {
                document.due = Some(now);
            }
            waits
        })
        .await?;
        self.0.due.announce(now);
        Ok(())
    }
}
