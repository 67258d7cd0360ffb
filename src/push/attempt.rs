//! One try of one delivery.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{
    Push,
    callback::Callback,
    dispatch::Done,
    fan::Known,
    schedule::{Heard, Rules, Tried, jitter, patience},
    subscriptions::{Named, Refusal, stored},
    target::{Hidden, Standing, Subscription, Target},
};
use crate::{
    batch::{self, extent::Extent},
    call::{
        id::CallId,
        news::{NewsItem, NewsKind},
        time::{Millis, SECOND},
        view::View,
    },
    outbound::{Failure, Post, Reply, SigningKey, Trust},
    registry::Letter,
    store::{Attempt, Delivery, DeliveryMark, Fate, MOST_CONFLICTS, OutgoingEvent, StoreError},
    trace::{self, Work},
};

/// How long one try may take in all.
pub(super) const WITHIN: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read.
const MOST_ANSWER_BYTES: usize = 65_536;
/// When the store can't be asked for what is to be told, it is asked again this much later.
const STORE_PAUSE: i64 = 5 * SECOND;

/// What came of asking somebody.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) heard: Heard,
    /// The status of the answer.
    pub(super) status: Option<u16>,
    /// Why it does not count, in our words.
    pub(super) error: Option<String>,
    pub(super) patience: Option<i64>,
}

/// What came of a test event.
#[derive(Debug, Clone)]
pub struct Tested {
    /// The event's id.
    pub event_id: String,
    /// It was taken.
    pub delivered: bool,
    /// The try.
    pub attempt: Attempt,
}

impl Outcome {
    pub(super) fn of(reply: Result<Reply, Failure>, now: Millis) -> Self {
        match reply {
            Ok(reply) if reply.status.is_success() => {
                Self { heard: Heard::Taken, status: Some(reply.status.as_u16()), error: None, patience: None }
            }
            Ok(reply) => {
                let status = reply.status.as_u16();
                let (error, patience) = (Some(format!("it answered {status}")), patience(&reply.headers, now));
                Self { heard: Heard::Status(status), status: Some(status), error, patience }
            }
            Err(failure) => Self::failed(failure.to_string()),
        }
    }

    pub(super) fn failed(error: String) -> Self {
        Self { heard: Heard::Nothing, status: None, error: Some(error), patience: None }
    }
}

/// Whom a delivery is for, ready to be asked.
enum Door<'a> {
    Subscription(&'a Subscription),
    Callback(Callback),
}

impl Push {
    /// Makes a try of a leased delivery.
    pub(super) async fn tried(&self, delivery: Delivery, known: &Known, lease: Millis) -> Done {
        let (fate, attempt, answered) = match self.attempt(&delivery, known).await {
            Ok(outcome) => outcome,
            Err(error) => {
                warn!(%error, "A delivery waits: the store can't tell what is to be delivered");
                (Fate::Again(self.0.parts.clock.now().plus(STORE_PAUSE)), None, true)
            }
        };
        let (target, event_id, at) = (delivery.target, delivery.event.id, self.0.parts.clock.now());
        Done { mark: DeliveryMark { target, event_id, lease, at, fate, attempt }, answered }
    }

    async fn attempt(&self, delivery: &Delivery, known: &Known) -> Result<(Fate, Option<Attempt>, bool), StoreError> {
        let now = self.0.parts.clock.now();
        let without = |fate| Ok((fate, None, true));
        let door = match known.find(&delivery.target) {
            Some(subscription) => Door::Subscription(subscription),
            None => match self.0.parts.registry.store().target(&delivery.target).await?.map(|stored| Target::read(&stored.body)) {
                Some(Some(Target::Callback(callback))) => Door::Callback(callback),
                // A subscription that was made since, or is of a later release: it is looked up anew.
                Some(_) => return without(Fate::Again(now.plus(SECOND))),
                None => return without(Fate::Gone),
            },
        };
        let of_batch = delivery.event.kind == batch::letter::DONE;
        let extent = match &door {
            Door::Subscription(subscription) => match subscription.standing {
                Standing::Active => subscription.view.into(),
                Standing::Paused => return without(Fate::Again(now)),
                Standing::Disabled => return without(Fate::Dead),
            },
            Door::Callback(callback) => callback.extent(of_batch),
        };
        let registry = &self.0.parts.registry;
        let letter = if of_batch {
            batch::letter::letter(registry, &delivery.event, extent.smaller(refused_as_too_large(delivery)), now).await?
        } else {
            registry.letter(&delivery.event, if extent == Extent::Full { View::Full } else { View::Summary }).await?
        };
        let Some(letter) = letter else { return without(Fate::Gone) };
        let begun = Instant::now();
        let about = Work::asking("deliver").after(letter.trace.as_deref());
        let outcome = self.0.parts.registry.traces().span(about, self.told(&door, delivery, &letter)).await;
        let at = self.0.parts.clock.now();
        let (kind, rules) = match &door {
            Door::Subscription(_) => ("subscription", Rules::Webhook),
            Door::Callback(callback @ Callback::Webhook { .. }) => (callback.kind(), Rules::Webhook),
            Door::Callback(callback) => (callback.kind(), Rules::Resume),
        };
        let tried = Tried { heard: outcome.heard, tries: delivery.tries + 1, at, patience: outcome.patience, jitter: jitter() };
        let fate = rules.fate(tried);
        if let (Heard::Status(410), Door::Subscription(subscription)) = (outcome.heard, &door) {
            self.switch_off(&delivery.target, &subscription.url).await?;
        }
        self.count(delivery, kind, fate, &outcome);
        let answered = outcome.status.is_some();
        let attempt = Attempt { at: now, took_ms: milliseconds(begun), status: outcome.status, error: outcome.error };
        Ok((fate, Some(attempt), answered))
    }

    /// The same as [`Self::ask`], and says of the work at hand what came of it.
    async fn told(&self, door: &Door<'_>, delivery: &Delivery, letter: &Letter) -> Outcome {
        let outcome = self.ask(door, delivery, letter).await;
        trace::note("ringback.event_type", delivery.event.kind.clone());
        trace::note("ringback.event_id", delivery.event.id.clone());
        if let Some(id) = &delivery.event.call_id {
            trace::note("ringback.call_id", id.as_str().to_owned());
        }
        if let Some(status) = outcome.status {
            trace::note("http.response.status_code", i64::from(status));
        }
        if outcome.heard != Heard::Taken {
            trace::failed("not delivered");
        }
        outcome
    }

    async fn ask(&self, door: &Door<'_>, delivery: &Delivery, letter: &Letter) -> Outcome {
        let body = Bytes::from(letter.json.clone());
        match door {
            Door::Subscription(subscription) => self.post_signed(subscription, &delivery.event.id, body).await,
            Door::Callback(Callback::Webhook { url, .. } | Callback::N8nResume { url, .. }) => {
                let headers = [("webhook-id", delivery.event.id.clone()), ("webhook-timestamp", self.seconds().to_string())];
                let headers = headers.into_iter().filter_map(|(name, text)| Some((HeaderName::from_static(name), text.try_into().ok()?)));
                self.post(url, headers.collect(), body).await
            }
            Door::Callback(Callback::KestraResume { execution_id, tenant, .. }) => {
                let OutgoingEvent { call_id, about, .. } = &delivery.event;
                let subject = call_id.as_ref().map(CallId::as_str).or(about.as_deref()).unwrap_or_default();
                self.resume_kestra(execution_id, tenant.as_deref(), (subject, letter), delivery.tries > 0).await
            }
        }
    }

    async fn post_signed(&self, subscription: &Subscription, id: &str, body: Bytes) -> Outcome {
        let keys = subscription.keys(self.0.parts.clock.now());
        if keys.is_empty() {
            return Outcome::failed("its secret can't be read".to_owned());
        }
        let mut headers = own_headers(&subscription.headers);
        headers.extend(SigningKey::headers_by_all(&keys, id, self.seconds(), &body));
        self.post(&subscription.url, headers, body).await
    }

    async fn post(&self, url: &Hidden, mut headers: HeaderMap, body: Bytes) -> Outcome {
        let Ok(url) = Url::parse(url.reveal()) else { return Outcome::failed("its address can't be read".to_owned()) };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let post = Post { url: &url, trust: Trust::Given, headers, body, within: WITHIN, most_bytes: MOST_ANSWER_BYTES };
        Outcome::of(self.0.parts.outbound.post(post).await, self.0.parts.clock.now())
    }

    /// Sends a subscription an event that tells nothing, at once and once.
    ///
    /// # Errors
    /// [`Refusal`] when there is none of this id, or the store can't be asked.
    pub async fn test(&self, id: &str) -> Result<Tested, Refusal> {
        let Named { subscription, .. } = self.loaded(id).await?.0;
        let event_id = format!("test_{}", uuid::Uuid::now_v7().simple());
        let body = self.0.parts.registry.sample_letter(&event_id, subscription.view);
        let (at, begun) = (self.0.parts.clock.now(), Instant::now());
        let outcome = self.post_signed(&subscription, &event_id, body.into()).await;
        let delivered = outcome.heard == Heard::Taken;
        self.0.parts.metrics.push_attempted("test", if delivered { "delivered" } else { "failed" });
        let attempt = Attempt { at, took_ms: milliseconds(begun), status: outcome.status, error: outcome.error };
        Ok(Tested { event_id, delivered, attempt })
    }

    /// The other side says that this address is gone. If it is still the one, nothing is sent there any more, and everybody may know.
    async fn switch_off(&self, id: &str, url: &Hidden) -> Result<(), StoreError> {
        for _ in 0..MOST_CONFLICTS {
            let (Named { mut subscription, .. }, revision) = match self.loaded(id).await {
                Ok(loaded) => loaded,
                Err(Refusal::Store(error)) => return Err(error),
                Err(_) => return Ok(()),
            };
            if subscription.standing == Standing::Disabled || subscription.url != *url {
                return Ok(());
            }
            let now = self.0.parts.clock.now();
            (subscription.standing, subscription.updated_at) = (Standing::Disabled, now);
            let news = NewsItem { at: now, sequence: 0, kind: NewsKind::Disabled, about: Some(id.to_owned()) };
            let registry = &self.0.parts.registry;
            if registry.store().put_target_and_tell(stored(id, &subscription, Some(revision)), Some(revision), news).await? {
                warn!(subscription = id, "A subscription is switched off: its endpoint answered 410");
                self.changed();
                registry.told_beside_calls();
                return Ok(());
            }
        }
        Err(StoreError::contended("the subscriptions"))
    }

    fn count(&self, delivery: &Delivery, kind: &'static str, fate: Fate, outcome: &Outcome) {
        let result = match fate {
            Fate::Delivered => "delivered",
            Fate::Dead => "dead",
            Fate::Again(_) | Fate::Gone => "failed",
        };
        self.0.parts.metrics.push_attempted(kind, result);
        let (target, event, error) = (&delivery.target, &delivery.event, outcome.error.as_deref());
        let call_id = event.call_id.as_ref().map(CallId::as_str);
        if fate == Fate::Dead {
            warn!(target, event_id = event.id, event_type = event.kind, call_id, error, "A delivery was given up");
        } else {
            debug!(target, event_id = event.id, event_type = event.kind, call_id, result, error, "A delivery was tried");
        }
    }

    fn seconds(&self) -> i64 {
        self.0.parts.clock.now().0.div_euclid(SECOND)
    }
}

/// How often it was answered that this is too much, since it was last begun to be told: by now the endpoint may take more.
fn refused_as_too_large(delivery: &Delivery) -> usize {
    let tries = usize::try_from(delivery.tries).unwrap_or(usize::MAX);
    delivery.attempts.iter().rev().take(tries).filter(|attempt| attempt.status == Some(413)).count()
}

/// The headers that somebody wants sent along.
fn own_headers(headers: &BTreeMap<String, Hidden>) -> HeaderMap {
    let read = |(name, value): (&String, &Hidden)| {
        let mut value = HeaderValue::from_str(value.reveal()).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name.as_str()).ok()?, value))
    };
    headers.iter().filter_map(read).collect()
}

fn milliseconds(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}
