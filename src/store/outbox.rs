//! What is on its way to those who asked to be told: targets, and one delivery for each event and target.
//!
//! The log of news is written by the commits themselves, so nothing there is lost. *Fanning out* reads it in order and makes a delivery of each
//! entry for each target that wants it; how far that has come is stored in the same transaction as the deliveries.
//!
//! Properties wanted of every back end:
//! - Fanning out happens once for each position, whoever tries, and never with a list of targets that has changed meanwhile.
//! - A delivery is held by one holder at a time; a lease that ran out is free for others, and whoever held it before can't mark it any more.
//! - Of one target and one call, only the oldest pending delivery is handed out: the others wait for their turn, even while it waits for its
//!   next try. Deliveries about no call wait for nobody.
//! - Whatever is pending for one target, deliveries of others are handed out in time.
//! - An erased or purged call leaves no delivery and no target of its own, but for the news that it was erased.

use serde::{Deserialize, Serialize};

use crate::call::{id::CallId, news::NewsKind, time::Millis};

/// Somebody to be told: a subscription, or whoever waits for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTarget {
    /// Its id.
    pub id: String,
    /// The call or placing that it is about; `None`: a subscription.
    pub scope: Option<String>,
    /// Counts every write.
    pub revision: u64,
    /// What it is, JSON. It holds secrets: encrypted where there is a key, bound to the id.
    pub body: Vec<u8>,
}

/// Targets, and the generation they are of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Counts every change of a subscription.
    pub generation: u64,
    /// The targets, in the order of their ids.
    pub targets: Vec<StoredTarget>,
}

/// How fanning out stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxState {
    /// Counts every change of a subscription.
    pub generation: u64,
    /// Position of the log up to which deliveries were made; 0: nowhere yet.
    pub fanned: u64,
    /// There are subscriptions.
    pub subscriptions: bool,
    /// There are targets of single calls.
    pub callbacks: bool,
}

/// The event that is delivered. Its words are taken from the record when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingEvent {
    /// Its id, as in streams.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The call.
    pub call_id: Option<CallId>,
    /// Counts within the call.
    pub sequence: Option<u64>,
    /// When it happened.
    pub at: Millis,
    /// See [`crate::call::news::NewsItem::about`]; of `subscription.disabled`, the subscription.
    pub about: Option<String>,
}

impl OutgoingEvent {
    /// Does it say all that a `call.updated` before it says?
    #[must_use]
    pub fn replaces_updates(&self) -> bool {
        NewsKind::parse(&self.kind).is_some_and(|kind| kind.is_state() || kind == NewsKind::Deleted)
    }

    /// Is it told although the call is gone?
    pub(super) fn outlives_call(&self) -> bool {
        self.kind == NewsKind::Deleted.as_str()
    }
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// To be tried, for the first time or again.
    Pending,
    /// Taken by the other side.
    Delivered,
    /// Given up.
    Dead,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// How far deliveries are, in the order in which they were asked for; `None` where there is none.
pub type DeliveryStates = Vec<Option<DeliveryState>>;

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began.
    pub at: Millis,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it counts as failed, in our own words.
    pub error: Option<String>,
}

/// One event on its way to one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Whom to.
    pub target: String,
    /// What. Of one target and one event there is one delivery.
    pub event: OutgoingEvent,
    /// How far it is.
    pub state: DeliveryState,
    /// Tries since it was last made pending: [`Delivery::attempts`] may hold more, of an earlier time.
    pub tries: u32,
    /// When it is to be tried next; `None` when it is not pending, or waits for an earlier one.
    pub due: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was delivered or given up.
    pub settled_at: Option<Millis>,
    /// The tries, oldest first; the latest twenty.
    pub attempts: Vec<Attempt>,
}

impl Delivery {
    /// A new one, that waits for its turn if it is about a call.
    pub(super) fn new(target: String, event: OutgoingEvent, at: Millis) -> Self {
        let due = event.call_id.is_none().then_some(at);
        let state = DeliveryState::Pending;
        Self { target, event, state, tries: 0, due, created_at: at, settled_at: None, attempts: Vec::new() }
    }

    /// Notes what came of a try.
    pub(super) fn note(&mut self, mark: DeliveryMark) {
        self.tries += u32::from(mark.attempt.is_some());
        if let Some(attempt) = mark.attempt {
            self.keep(attempt);
        }
        (self.state, self.due, self.settled_at) = match mark.fate {
            Fate::Again(due) => (DeliveryState::Pending, Some(due), None),
            Fate::Delivered => (DeliveryState::Delivered, None, Some(mark.at)),
            Fate::Dead | Fate::Gone => (DeliveryState::Dead, None, Some(mark.at)),
        };
    }

    /// Gives it up without a try; the note says why.
    pub(super) fn give_up(&mut self, note: Attempt) {
        (self.state, self.due, self.settled_at) = (DeliveryState::Dead, None, Some(note.at));
        self.keep(note);
    }

    fn keep(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        self.attempts.drain(..self.attempts.len().saturating_sub(MOST_ATTEMPTS));
    }

    /// Makes it pending again; it waits for its turn if it is about a call.
    pub(super) fn begin_again(&mut self, now: Millis) {
        (self.state, self.tries, self.settled_at) = (DeliveryState::Pending, 0, None);
        self.due = self.event.call_id.is_none().then_some(now);
    }
}

/// Tries that are kept of one delivery.
pub const MOST_ATTEMPTS: usize = 20;

/// A step of fanning out.
#[derive(Debug, Clone)]
pub struct FanOut {
    /// The generation of the subscriptions that were asked.
    pub generation: u64,
    /// Where fanning out stood.
    pub from: u64,
    /// How far it comes by this step.
    pub until: u64,
    /// When.
    pub at: Millis,
    /// The deliveries, in order; whom to, and what. One that is there already, or whose target or call is gone, is left out (but for the news
    /// that the call was erased). Where the event
    /// [replaces updates](OutgoingEvent::replaces_updates), pending deliveries of `call.updated` of the same call to the same target go, unless
    /// somebody holds them.
    pub deliveries: Vec<(String, OutgoingEvent)>,
}

/// Deliveries to be tried now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeasedDeliveries {
    /// The deliveries, the longest overdue first.
    pub deliveries: Vec<Delivery>,
    /// When another one falls due, or its lease runs out; may be in the past where there were more than were asked for.
    pub next: Option<Millis>,
}

/// What is to be leased.
#[derive(Debug, Clone)]
pub struct DeliveryLease {
    /// Now.
    pub now: Millis,
    /// Until when they are held; what a [`DeliveryMark`] has to name.
    pub until: Millis,
    /// At most so many.
    pub limit: usize,
    /// Of one target at most so many.
    pub per_target: usize,
    /// Of these targets none: as many as may be are on their way to them.
    pub except: Vec<String>,
}

/// What came of a try.
#[derive(Debug, Clone)]
pub struct DeliveryMark {
    /// Whom it was for.
    pub target: String,
    /// The event's id.
    pub event_id: String,
    /// Until when it was leased.
    pub lease: Millis,
    /// Now.
    pub at: Millis,
    /// What becomes of it.
    pub fate: Fate,
    /// The try; `None` when it was not tried.
    pub attempt: Option<Attempt>,
}

impl DeliveryMark {
    /// Does the delivery go?
    pub(super) fn drops(&self) -> bool {
        self.fate == Fate::Gone
    }
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is tried again then.
    Again(Millis),
    /// It was delivered; the next of its call is due.
    Delivered,
    /// It is given up; the next of its call is due.
    Dead,
    /// There is nothing to tell any more: it goes; the next of its call is due.
    Gone,
}

/// Pending deliveries that nobody will try any more.
#[derive(Debug, Clone)]
pub struct GiveUp {
    /// Of this target.
    pub target: String,
    /// Made before this.
    pub before: Millis,
    /// Why, as if it were a try: it stands among them, but does not count as one. Its moment is now.
    pub note: Attempt,
    /// At most so many, the oldest first.
    pub limit: usize,
}

/// Deliveries of one target that somebody may hold while others are given up.
pub(super) const MOST_HELD: usize = 100;

/// Which deliveries to look at.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of this target.
    pub target: Option<String>,
    /// Of this call.
    pub call: Option<CallId>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Behind the place that an earlier page told.
    pub cursor: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// Deliveries, the newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeliveryPage {
    /// The deliveries.
    pub deliveries: Vec<Delivery>,
    /// Where the next page begins, if there is more.
    pub next: Option<u64>,
}

/// Which deliveries are to be made again.
#[derive(Debug, Clone)]
pub enum Redelivery {
    /// Those of these events.
    Events(Vec<String>),
    /// Those made since then, in this state or in any that is not pending.
    Since(Millis, Option<DeliveryState>),
}

impl Redelivery {
    /// Is this one of them?
    pub(super) fn takes(&self, delivery: &Delivery) -> bool {
        delivery.state != DeliveryState::Pending
            && match self {
                Self::Events(ids) => ids.contains(&delivery.event.id),
                Self::Since(at, state) => delivery.created_at >= *at && state.is_none_or(|state| delivery.state == state),
            }
    }
}
