//! Looks for calls whose answer was lost: among those that webhooks told of, then in Vapi's list.
//!
//! One listing serves all placings that are due. Only a list that was read to its end and does not have a call speaks against it; so while Vapi can't be
//! asked nothing is given up.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde_json::Value;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::{
    CallMethod, Dialer, Parts,
    flow::{self, Flow},
    placing::{Placing, State},
    promise::release_at,
    send::{event_id, lost_words},
    writer::placement_in,
};
use crate::{
    call::{
        event::CallEvent,
        id::{CallId, PLACEMENT_ID},
        record::{Fetch, FetchOutcome, FetchReason},
        time::{Millis, SECOND},
    },
    lifecycle::Lifecycle,
    registry::Change,
    store::{CallFilter, DocumentKind, StoreError, document::Read},
    vapi::{
        self,
        client::{ListQuery, Listed},
    },
};

/// Seconds from one look to the next.
const WAITS: [i64; 6] = [1, 1, 3, 5, 10, 10];
/// And from then on.
const LAST_WAIT: i64 = 60;
/// After this time a list without the call is the last one.
pub(super) const GIVE_UP: i64 = 900 * SECOND;
/// Vapi's clock may be behind ours by this much.
const SKEW: i64 = 120 * SECOND;
/// Calls on a page of Vapi's list.
const PAGE: usize = 50;
/// And on the largest that Vapi gives.
const LARGEST_PAGE: usize = 1_000;
/// Pages that are read of one list.
const MOST_PAGES: usize = 40;
/// Placings looked for together.
const MOST_AT_ONCE: usize = 500;
/// Whoever looks has this long; then somebody else does.
const LEASE: i64 = 120 * SECOND;
/// The worker looks at least this often, hints or not.
const LONGEST_SLEEP: i64 = 5 * SECOND;
/// After the store failed, the worker waits this long.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// Milliseconds before the next look, after so many.
pub(super) fn wait(looks: usize) -> i64 {
    WAITS.get(looks).copied().unwrap_or(LAST_WAIT) * SECOND
}

/// What Vapi's list told.
struct Found {
    /// Calls, by the placing that they carry.
    calls: HashMap<String, (CallId, Option<CallEvent>)>,
    /// Everything was read.
    whole: bool,
}

impl Dialer {
    /// Works until `lifecycle` stops it.
    pub async fn run(self, lifecycle: Lifecycle) {
        let mut failed = false;
        while !lifecycle.is_stopping() {
            let pause = match self.work().await {
                Ok(pause) => {
                    failed = false;
                    pause
                }
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        warn!(%error, "Placings can't be read from the store");
                    }
                    STORE_PAUSE
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.0.due.earlier() => {}
                () = lifecycle.soft_stopped() => {}
            }
        }
    }

    async fn work(&self) -> Result<Duration, StoreError> {
        while self.step().await? > 0 {}
        let now = self.0.parts.clock.now();
        let latest = now.plus(LONGEST_SLEEP);
        let next = self.0.parts.registry.store().next_document(DocumentKind::Placement).await?.map_or(latest, |at| at.min(latest));
        self.0.due.plan(Some(next));
        // Never zero: what another instance holds must not spin the loop.
        Ok(Duration::from_millis(u64::try_from(next.since(now)).unwrap_or_default().max(5)))
    }

    /// Looks once for everything that is due now; returns how much that was.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn step(&self) -> Result<usize, StoreError> {
        let Parts { registry, clock, .. } = &self.0.parts;
        let now = clock.now();
        let leased = registry.store().lease_documents(DocumentKind::Placement, now, now.plus(LEASE), MOST_AT_ONCE).await?;
        let count = leased.len();
        let mut open = BTreeMap::new();
        for Read { document, says } in leased.into_iter().filter_map(Read::<Placing>::of) {
            match (says.state, &says.call_id) {
                (State::Sending, _) if Box::pin(self.is_unsent(&document.id, &says)).await? => {
                    Box::pin(self.never_sent(&document.id)).await?;
                }
                (State::Sending | State::Unknown, _) => drop(open.insert(document.id, says)),
                (State::Placed, Some(call)) => Box::pin(self.remind(&document.id, call)).await?,
                (State::Placed | State::Refused | State::Lost, _) => {
                    Box::pin(self.rest(&document.id)).await?;
                }
            }
        }
        if !open.is_empty() {
            Box::pin(self.look_for(open)).await?;
        }
        Ok(count)
    }

    async fn look_for(&self, mut open: BTreeMap<String, Placing>) -> Result<(), StoreError> {
        let ids: Vec<String> = open.keys().cloned().collect();
        for id in ids {
            if let Some(call) = self.heard_of(&id).await? {
                open.remove(&id);
                self.found(&id, &call, None).await?;
            }
        }
        self.look_at_flows(&mut open).await?;
        let Some(earliest) = open.values().map(|says| says.sent_at).min() else { return Ok(()) };
        let Found { mut calls, whole } = self.list(earliest, &open).await;
        for (id, says) in open {
            match calls.remove(&id) {
                Some((call, answer)) => self.found(&id, &call, answer).await?,
                None => self.missed(&id, &says, self.speaks_against(&says, whole)).await?,
            }
        }
        Ok(())
    }

    /// Of what Kestra places, only that is left of which Kestra has nothing more to say.
    async fn look_at_flows(&self, open: &mut BTreeMap<String, Placing>) -> Result<(), StoreError> {
        let flows: Vec<_> = open.extract_if(.., |_, says| says.method == CallMethod::Kestra).collect();
        for (id, mut says) in flows {
            match self.look_at_flow(&id, &mut says).await? {
                Flow::Became(call) => self.found(&id, &call, None).await?,
                Flow::GoesOn => self.missed(&id, &says, false).await?,
                Flow::Ended => drop(open.insert(id, says)),
            }
        }
        Ok(())
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

    /// Reads Vapi's list from a moment on, until all that is open was found or there is no more.
    async fn list(&self, from: Millis, open: &BTreeMap<String, Placing>) -> Found {
        let mut found = Found { calls: HashMap::new(), whole: false };
        let Some(client) = &self.0.parts.client else { return found };
        let mut query = ListQuery { created_from: Some(from.plus(-SKEW)), limit: PAGE, ..ListQuery::default() };
        for _ in 0..MOST_PAGES {
            let (page, rows) = match client.list(&query).await {
                Listed::Calls { calls, rows } => (calls, rows),
                Listed::TooLarge if query.limit > 1 => {
                    query.limit /= 2;
                    continue;
                }
                other => {
                    debug!(answer = ?other, "Vapi's list could not be read");
                    return found;
                }
            };
            let now = self.0.parts.clock.now();
            for row in &page {
                let call: Value = serde_json::from_slice(&row.body).unwrap_or_default();
                if let Some(id) = placement_in(&call).filter(|id| open.contains_key(*id)) {
                    let answer = vapi::call::read(&row.body, &row.id, now).map(|answer| answer.event);
                    found.calls.insert(id.to_owned(), (row.id.clone(), answer));
                }
            }
            if rows < query.limit || found.calls.len() == open.len() {
                found.whole = true;
                return found;
            }
            // The bound is inclusive, so that none of the same moment is left out.
            let oldest = page.iter().filter_map(|row| row.created_at).min();
            if oldest.is_some() && oldest == query.created_to && query.limit < LARGEST_PAGE {
                // A page full of one moment: only a larger one gets past it.
                query.limit = LARGEST_PAGE.min(query.limit * 2);
                continue;
            }
            if oldest.is_none() || oldest == query.created_to {
                return found;
            }
            query.created_to = oldest;
        }
        found
    }

    /// Is it certain enough that there is no call, as Vapi's list does not have it (`whole`: it was read to its end)?
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
            return self.lose(id, says, now).await;
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

    /// Nobody will ever know what came of it: a record under its own id says so.
    async fn lose(&self, id: &str, says: &Placing, now: Millis) -> Result<(), StoreError> {
        let Ok(named) = CallId::parse(id) else { return Ok(()) };
        warn!(placement_id = id, "A call that may have been placed is nowhere; it counts as lost");
        let error = match says.method {
            CallMethod::DirectVapi => lost_words(says.sent_at),
            CallMethod::Kestra => flow::lost_words(says),
        };
        let mut event = vapi::call::placed(&says.asked, event_id(id), &named, now);
        "lost".clone_into(&mut event.source);
        event.details = Some(error.clone());
        event.facts.lost_at = Some(now);
        let fetch = Fetch { at: now, reason: FetchReason::Check, outcome: FetchOutcome::Failed { error } };
        event.facts.fetches.insert(event.id.clone(), fetch);
        let change = Change { event, more: Vec::new(), after_fetch: false, not_before: None, ask: None };
        self.0.parts.registry.apply_change(change).await?;
        self.change(id, |says, document| {
            if says.state == State::Placed {
                return false;
            }
            says.state = State::Lost;
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
