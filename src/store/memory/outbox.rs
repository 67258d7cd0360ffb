//! What is on its way, in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::MemoryStore;
use crate::{
    call::{
        id::CallId,
        news::{NewsItem, NewsKind},
        time::Millis,
    },
    store::{
        Delivery, DeliveryFilter, DeliveryLease, DeliveryMark, DeliveryPage, DeliveryState, DeliveryStates, FanOut, GiveUp,
        LeasedDeliveries, OutboxState, OutgoingEvent, Redelivery, StoreError, StoredTarget, Targets,
    },
};

/// Settled deliveries that are kept: some thirty megabytes.
const MOST_SETTLED: usize = 50_000;

/// A delivery, and until when somebody holds it.
#[derive(Debug)]
struct Row {
    delivery: Delivery,
    held: Option<Millis>,
}

impl Row {
    /// When it can be leased.
    fn ready(&self) -> Option<Millis> {
        self.delivery.due.map(|due| self.held.unwrap_or(due))
    }

    fn is_held(&self, now: Millis) -> bool {
        self.held.is_some_and(|until| until > now)
    }
}

/// The pending deliveries of one call to one target, and the one that is to be tried next.
#[derive(Debug, Default)]
struct Line {
    places: BTreeSet<u64>,
    turn: Option<u64>,
}

/// Targets and deliveries. A delivery's place is its number in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    generation: u64,
    fanned: u64,
    last: u64,
    targets: BTreeMap<String, StoredTarget>,
    rows: BTreeMap<u64, Row>,
    places: HashMap<(String, String), u64>,
    lines: HashMap<(String, CallId), Line>,
    ready: HashMap<String, BTreeSet<(Millis, u64)>>,
    of_call: HashMap<CallId, BTreeSet<u64>>,
    settled: BTreeSet<(Millis, u64)>,
    dead: u64,
}

impl Outbox {
    fn put_target(&mut self, target: StoredTarget, expected: Option<u64>) -> bool {
        if self.targets.get(&target.id).map(|it| it.revision) != expected {
            return false;
        }
        self.generation += u64::from(target.scope.is_none());
        self.targets.insert(target.id.clone(), target);
        true
    }

    fn drop_target(&mut self, id: &str) -> bool {
        let Some(target) = self.targets.remove(id) else { return false };
        self.generation += u64::from(target.scope.is_none());
        let gone: Vec<u64> = self.rows.iter().filter(|(_, row)| row.delivery.target == id).map(|(place, _)| *place).collect();
        for place in gone {
            self.remove(place);
        }
        true
    }

    fn state(&self) -> OutboxState {
        let (generation, fanned) = (self.generation, self.fanned);
        let has = |scoped: bool| self.targets.values().any(|it| it.scope.is_some() == scoped);
        OutboxState { generation, fanned, subscriptions: has(false), callbacks: has(true) }
    }

    /// Takes a row out of its line and of the order in which rows are leased, before it changes. Its line has to be seen to afterwards.
    fn detach(&mut self, place: u64) {
        let Some(row) = self.rows.get(&place) else { return };
        let Delivery { target, event, state, settled_at, .. } = &row.delivery;
        if let Some(ready) = row.ready()
            && let Some(all) = self.ready.get_mut(target)
        {
            all.remove(&(ready, place));
            if all.is_empty() {
                self.ready.remove(target);
            }
        }
        if let Some(at) = settled_at {
            self.settled.remove(&(*at, place));
        }
        self.dead -= u64::from(*state == DeliveryState::Dead);
        if let Some(id) = &event.call_id
            && let Some(line) = self.lines.get_mut(&(target.clone(), id.clone()))
        {
            line.places.remove(&place);
            line.turn = line.turn.filter(|turn| *turn != place);
        }
    }

    /// The opposite of [`Self::detach`].
    fn attach(&mut self, place: u64, row: Row) {
        let Delivery { target, event, state, settled_at, due, .. } = &row.delivery;
        if let Some(ready) = row.ready() {
            self.ready.entry(target.clone()).or_default().insert((ready, place));
        }
        if let Some(at) = settled_at {
            self.settled.insert((*at, place));
        }
        self.dead += u64::from(*state == DeliveryState::Dead);
        if let Some(id) = event.call_id.as_ref().filter(|_| *state == DeliveryState::Pending) {
            let line = self.lines.entry((target.clone(), id.clone())).or_default();
            line.places.insert(place);
            line.turn = line.turn.or_else(|| due.map(|_| place));
        }
        self.rows.insert(place, row);
    }

    fn change(&mut self, place: u64, change: impl FnOnce(&mut Row)) {
        self.detach(place);
        if let Some(mut row) = self.rows.remove(&place) {
            change(&mut row);
            self.attach(place, row);
        }
    }

    fn remove(&mut self, place: u64) -> Option<Delivery> {
        self.detach(place);
        let delivery = self.rows.remove(&place)?.delivery;
        self.places.remove(&(delivery.target.clone(), delivery.event.id.clone()));
        if let Some(id) = &delivery.event.call_id
            && let Some(all) = self.of_call.get_mut(id)
        {
            all.remove(&place);
            if all.is_empty() {
                self.of_call.remove(id);
            }
        }
        Some(delivery)
    }

    /// Gives the turn to the oldest of a line, unless it is held by another.
    fn advance(&mut self, target: &str, call: Option<&CallId>, now: Millis) {
        let Some(id) = call else { return };
        let key = (target.to_owned(), id.clone());
        let Some(line) = self.lines.get(&key) else { return };
        let (oldest, turn) = (line.places.first().copied(), line.turn);
        let Some(oldest) = oldest else {
            self.lines.remove(&key);
            return;
        };
        match turn {
            Some(turn) if turn == oldest || self.rows.get(&turn).is_some_and(|row| row.is_held(now)) => return,
            Some(turn) => self.change(turn, |row| (row.delivery.due, row.held) = (None, None)),
            None => {}
        }
        self.change(oldest, |row| row.delivery.due = Some(now));
    }

    fn fan_out(&mut self, step: FanOut) -> bool {
        if (step.generation, step.from) != (self.generation, self.fanned) {
            return false;
        }
        self.fanned = step.until;
        for (target, event) in step.deliveries {
            self.add(&target, event, step.at);
        }
        true
    }

    fn add(&mut self, target: &str, event: OutgoingEvent, at: Millis) {
        let name = (target.to_owned(), event.id.clone());
        if !self.targets.contains_key(target) || self.places.contains_key(&name) {
            return;
        }
        let call = event.call_id.clone();
        if event.replaces_updates() {
            self.drop_updates(target, call.as_ref(), at);
        }
        self.last += 1;
        let place = self.last;
        self.places.insert(name, place);
        if let Some(id) = &call {
            self.of_call.entry(id.clone()).or_default().insert(place);
        }
        self.attach(place, Row { delivery: Delivery::new(target.to_owned(), event, at), held: None });
        self.advance(target, call.as_ref(), at);
    }

    fn drop_updates(&mut self, target: &str, call: Option<&CallId>, now: Millis) {
        let Some(line) = call.and_then(|id| self.lines.get(&(target.to_owned(), id.clone()))) else { return };
        let old = |place: &&u64| {
            self.rows.get(place).is_some_and(|row| row.delivery.event.kind == NewsKind::Updated.as_str() && !row.is_held(now))
        };
        let gone: Vec<u64> = line.places.iter().filter(old).copied().collect();
        for place in gone {
            self.remove(place);
        }
    }

    fn lease(&mut self, lease: &DeliveryLease) -> LeasedDeliveries {
        let except: HashSet<&str> = lease.except.iter().map(String::as_str).collect();
        let open = |(target, _): &(&String, &BTreeSet<(Millis, u64)>)| !except.contains(target.as_str());
        let of_each = self.ready.iter().filter(open).flat_map(|(_, all)| all.iter().take(lease.per_target));
        let mut taken: Vec<(Millis, u64)> = of_each.filter(|(ready, _)| *ready <= lease.now).copied().collect();
        taken.sort_unstable();
        taken.truncate(lease.limit);
        for (_, place) in &taken {
            self.change(*place, |row| row.held = Some(lease.until));
        }
        let deliveries = taken.iter().filter_map(|(_, place)| self.rows.get(place)).map(|row| row.delivery.clone()).collect();
        let next = self.ready.iter().filter(open).filter_map(|(_, all)| all.first()).map(|(ready, _)| *ready).min();
        LeasedDeliveries { deliveries, next }
    }

    fn mark(&mut self, mark: DeliveryMark) -> bool {
        let Some(place) = self.places.get(&(mark.target.clone(), mark.event_id.clone())).copied() else { return false };
        let Some(row) = self.rows.get(&place).filter(|row| row.held == Some(mark.lease) && mark.lease > mark.at) else { return false };
        let (target, call) = (mark.target.clone(), row.delivery.event.call_id.clone());
        let at = mark.at;
        if mark.drops() {
            self.remove(place);
        } else {
            self.change(place, |row| {
                row.held = None;
                row.delivery.note(mark);
            });
        }
        self.advance(&target, call.as_ref(), at);
        while self.settled.len() > MOST_SETTLED {
            self.forget_first();
        }
        true
    }

    fn forget_first(&mut self) {
        if let Some((_, place)) = self.settled.first().copied() {
            self.remove(place);
        }
    }

    fn page(&self, filter: &DeliveryFilter) -> DeliveryPage {
        let before = filter.cursor.unwrap_or(u64::MAX);
        let wanted = |row: &Row| {
            filter.target.as_ref().is_none_or(|it| row.delivery.target == *it) && filter.state.is_none_or(|it| row.delivery.state == it)
        };
        let places: Box<dyn Iterator<Item = u64>> = match &filter.call {
            Some(id) => Box::new(self.of_call.get(id).into_iter().flat_map(|all| all.range(..before).rev().copied())),
            None => Box::new(self.rows.range(..before).rev().map(|(place, _)| *place)),
        };
        let rows = places.filter_map(|place| Some((place, self.rows.get(&place)?))).filter(|(_, row)| wanted(row));
        let mut rows: Vec<(u64, &Delivery)> = rows.map(|(place, row)| (place, &row.delivery)).take(filter.limit + 1).collect();
        let more = rows.len() > filter.limit;
        rows.truncate(filter.limit);
        let next = rows.last().filter(|_| more).map(|(place, _)| *place);
        DeliveryPage { deliveries: rows.into_iter().map(|(_, delivery)| delivery.clone()).collect(), next }
    }

    fn redeliver(&mut self, target: &str, which: &Redelivery, now: Millis) -> usize {
        let wanted = |row: &&Row| row.delivery.target == target && which.takes(&row.delivery);
        let again: Vec<(u64, Option<CallId>)> =
            self.rows.iter().filter(|(_, row)| wanted(row)).map(|(place, row)| (*place, row.delivery.event.call_id.clone())).collect();
        for (place, call) in &again {
            self.change(*place, |row| row.delivery.begin_again(now));
            self.advance(target, call.as_ref(), now);
        }
        again.len()
    }

    fn give_up(&mut self, GiveUp { target, before, note, limit }: &GiveUp) -> usize {
        let old = |row: &&Row| {
            let Delivery { target: whose, state, created_at, .. } = &row.delivery;
            whose == target && *state == DeliveryState::Pending && created_at < before && !row.is_held(note.at)
        };
        let places = self.rows.iter().filter(|(_, row)| old(row)).take(*limit);
        let places: Vec<(u64, Option<CallId>)> = places.map(|(place, row)| (*place, row.delivery.event.call_id.clone())).collect();
        for (place, call) in &places {
            self.change(*place, |row| row.delivery.give_up(note.clone()));
            self.advance(target, call.as_ref(), note.at);
        }
        places.len()
    }

    fn forget(&mut self, before: Millis, limit: usize) -> usize {
        let old = self.settled.iter().take(limit).take_while(|(at, _)| *at < before).count();
        (0..old).for_each(|_| self.forget_first());
        old
    }

    /// Drops what is on its way of a call that is gone, but for the news of that.
    pub(super) fn erase(&mut self, id: &CallId, now: Millis) {
        self.targets.retain(|_, target| target.scope.as_deref() != Some(id.as_str()));
        let places: Vec<u64> = self.of_call.get(id).into_iter().flatten().copied().collect();
        let mut targets = BTreeSet::new();
        for place in places {
            let Some(delivery) = self.rows.get(&place).map(|row| &row.delivery) else { continue };
            targets.insert(delivery.target.clone());
            if !delivery.event.outlives_call() || !self.targets.contains_key(&delivery.target) {
                self.remove(place);
            }
        }
        for target in &targets {
            self.advance(target, Some(id), now);
        }
    }

    /// How many deliveries are pending, and how many were given up.
    pub(super) fn counts(&self) -> (u64, u64) {
        ((self.rows.len() - self.settled.len()) as u64, self.dead)
    }
}

#[expect(clippy::unused_async, reason = "the verbs have the same shape on every engine")]
impl MemoryStore {
    pub(in crate::store) async fn targets(&self, scope: Option<&str>) -> Result<Targets, StoreError> {
        let state = self.open()?;
        let targets = state.outbox.targets.values().filter(|target| target.scope.as_deref() == scope).cloned().collect();
        Ok(Targets { generation: state.outbox.generation, targets })
    }

    pub(in crate::store) async fn target(&self, id: &str) -> Result<Option<StoredTarget>, StoreError> {
        Ok(self.open()?.outbox.targets.get(id).cloned())
    }

    pub(in crate::store) async fn put_target(&self, target: StoredTarget, expected: Option<u64>) -> Result<bool, StoreError> {
        Ok(self.open()?.outbox.put_target(target, expected))
    }

    pub(in crate::store) async fn put_target_and_tell(
        &self,
        target: StoredTarget,
        expected: Option<u64>,
        news: NewsItem,
    ) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        let put = state.outbox.put_target(target, expected);
        if put {
            state.log.add(None, vec![news]);
        }
        Ok(put)
    }

    pub(in crate::store) async fn drop_target(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.open()?.outbox.drop_target(id))
    }

    pub(in crate::store) async fn outbox(&self) -> Result<OutboxState, StoreError> {
        Ok(self.open()?.outbox.state())
    }

    pub(in crate::store) async fn fan_out(&self, mut step: FanOut) -> Result<bool, StoreError> {
        let mut state = self.open()?;
        step.deliveries.retain(|(_, event)| event.outlives_call() || event.call_id.as_ref().is_none_or(|id| state.call(id).is_some()));
        Ok(state.outbox.fan_out(step))
    }

    pub(in crate::store) async fn lease_deliveries(&self, lease: DeliveryLease) -> Result<LeasedDeliveries, StoreError> {
        Ok(self.open()?.outbox.lease(&lease))
    }

    pub(in crate::store) async fn mark_deliveries(&self, marks: Vec<DeliveryMark>) -> Result<Vec<bool>, StoreError> {
        let mut state = self.open()?;
        Ok(marks.into_iter().map(|mark| state.outbox.mark(mark)).collect())
    }

    pub(in crate::store) async fn deliveries(&self, filter: DeliveryFilter) -> Result<DeliveryPage, StoreError> {
        Ok(self.open()?.outbox.page(&filter))
    }

    pub(in crate::store) async fn delivery_states(&self, target: &str, events: &[String]) -> Result<DeliveryStates, StoreError> {
        let Outbox { places, rows, .. } = &self.open()?.outbox;
        let row = |event: &String| rows.get(places.get(&(target.to_owned(), event.clone()))?);
        Ok(events.iter().map(|event| row(event).map(|row| row.delivery.state)).collect())
    }

    pub(in crate::store) async fn redeliver(&self, target: &str, which: Redelivery, now: Millis) -> Result<usize, StoreError> {
        Ok(self.open()?.outbox.redeliver(target, &which, now))
    }

    pub(in crate::store) async fn give_up_deliveries(&self, give_up: GiveUp) -> Result<usize, StoreError> {
        Ok(self.open()?.outbox.give_up(&give_up))
    }

    pub(in crate::store) async fn forget_deliveries(&self, before: Millis, limit: usize) -> Result<usize, StoreError> {
        Ok(self.open()?.outbox.forget(before, limit))
    }
}
