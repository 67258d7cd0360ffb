//! Subscriptions as they are made, changed and looked at.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{
    Push,
    draft::Draft,
    target::{Hidden, OldSecret, Standing, Subscription, Target, Wanted},
};
use crate::{
    call::{
        time::{DAY, Millis},
        view::View,
    },
    fields::FieldError,
    store::{MOST_CONFLICTS, StoreError, StoredTarget},
};

/// Subscriptions, at most: each costs a look at every event.
pub const MOST_SUBSCRIPTIONS: usize = 100;
/// So long a secret signs along after it was replaced.
const OLD_SECRET_SIGNS: i64 = DAY;
/// Replaced secrets that sign along, at most.
const MOST_OLD_SECRETS: usize = 4;
/// Bytes of a secret made here.
const SECRET_BYTES: usize = 32;

/// A subscription under its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The id.
    pub id: String,
    /// The subscription.
    pub subscription: Subscription,
}

/// Why a subscription is not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is something wrong with it.
    #[error("it can't be as it is")]
    Invalid(Vec<FieldError>),
    /// The idempotency key came with another body before.
    #[error("the idempotency key came with another body before")]
    KeyReused,
    /// There is none of this id.
    #[error("there is none of this id")]
    Missing,
    /// The store can't.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Vec<FieldError>> for Refusal {
    fn from(problems: Vec<FieldError>) -> Self {
        Self::Invalid(problems)
    }
}

impl Push {
    /// Makes a subscription. It hears of what happens from now on.
    ///
    /// # Errors
    /// [`Refusal`] when there is something wrong with it, there are too many, or the store can't.
    pub async fn subscribe(&self, draft: Draft) -> Result<Named, Refusal> {
        let named = self.drafted(draft).await?;
        if !self.make(&named).await? {
            return Err(StoreError::Unavailable("the id of a new subscription is taken".to_owned()).into());
        }
        Ok(named)
    }

    /// What a draft would make, here and now.
    pub(super) async fn drafted(&self, draft: Draft) -> Result<Named, Refusal> {
        let Some(url) = draft.url.clone() else { return Err(Refusal::Invalid(Vec::new())) };
        let secret = match draft.secret.clone() {
            Some(secret) => secret,
            None => new_secret()?,
        };
        let store = self.0.parts.registry.store();
        if store.targets(None).await?.targets.len() >= MOST_SUBSCRIPTIONS {
            let message = format!("there are {MOST_SUBSCRIPTIONS} already; delete one first");
            return Err(Refusal::Invalid(vec![FieldError { field: "subscriptions".to_owned(), message }]));
        }
        let (since, now) = (self.begin_here().await?, self.0.parts.clock.now());
        let mut subscription = Subscription {
            url,
            events: Vec::new(),
            filter: Wanted::default(),
            view: View::Full,
            headers: BTreeMap::new(),
            description: String::new(),
            secret,
            old_secrets: Vec::new(),
            standing: Standing::Active,
            since,
            created_at: now,
            updated_at: now,
        };
        draft.apply(&mut subscription);
        Ok(Named { id: format!("sub_{}", uuid::Uuid::now_v7().simple()), subscription })
    }

    /// Makes it, unless there is one of this id; tells whether there was none.
    pub(super) async fn make(&self, named: &Named) -> Result<bool, StoreError> {
        self.put(&named.id, &named.subscription, None).await
    }

    /// All subscriptions, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn subscriptions(&self) -> Result<Vec<Named>, StoreError> {
        let targets = self.0.parts.registry.store().targets(None).await?.targets;
        Ok(targets.into_iter().filter_map(|target| named(&target).map(|(named, _)| named)).collect())
    }

    /// One subscription.
    ///
    /// # Errors
    /// [`Refusal`] when there is none, or the store can't be asked.
    pub async fn subscription(&self, id: &str) -> Result<Named, Refusal> {
        Ok(self.loaded(id).await?.0)
    }

    /// Changes what a draft says.
    ///
    /// # Errors
    /// [`Refusal`] when there is none of this id, or the store can't.
    pub async fn revise(&self, id: &str, draft: Draft) -> Result<Named, Refusal> {
        self.change(id, |subscription, _now| draft.clone().apply(subscription)).await
    }

    /// Gives it another secret, made here unless given; the one before signs along for a day.
    ///
    /// # Errors
    /// [`Refusal`] when there is none of this id, or the store can't.
    pub async fn rotate(&self, id: &str, secret: Option<Hidden>) -> Result<Named, Refusal> {
        let secret = match secret {
            Some(secret) => secret,
            None => new_secret()?,
        };
        self.change(id, |subscription, now| {
            if subscription.secret == secret {
                return;
            }
            let replaced =
                OldSecret { secret: std::mem::replace(&mut subscription.secret, secret.clone()), until: now.plus(OLD_SECRET_SIGNS) };
            subscription.old_secrets.retain(|old| old.until > now);
            subscription.old_secrets.insert(0, replaced);
            subscription.old_secrets.truncate(MOST_OLD_SECRETS);
        })
        .await
    }

    /// Has its news collected, or told (again).
    ///
    /// # Errors
    /// [`Refusal`] when there is none of this id, or the store can't.
    pub async fn stand(&self, id: &str, standing: Standing) -> Result<Named, Refusal> {
        self.change(id, |subscription, _now| subscription.standing = standing).await
    }

    /// Drops a subscription, and what is on its way to it. Tells whether it was there.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't.
    pub async fn unsubscribe(&self, id: &str) -> Result<bool, StoreError> {
        if !matches!(self.loaded(id).await, Ok(_) | Err(Refusal::Store(_))) {
            return Ok(false);
        }
        // First, or a request that is sent again would make it anew.
        self.forget_answer(id).await?;
        let was_there = self.0.parts.registry.store().drop_target(id).await?;
        self.changed();
        Ok(was_there)
    }

    pub(super) async fn loaded(&self, id: &str) -> Result<(Named, u64), Refusal> {
        let stored = self.0.parts.registry.store().target(id).await?;
        stored.as_ref().and_then(named).ok_or(Refusal::Missing)
    }

    async fn change(&self, id: &str, mut change: impl FnMut(&mut Subscription, Millis)) -> Result<Named, Refusal> {
        for _ in 0..MOST_CONFLICTS {
            let (Named { id, mut subscription }, revision) = self.loaded(id).await?;
            let now = self.0.parts.clock.now();
            change(&mut subscription, now);
            subscription.updated_at = now;
            if self.put(&id, &subscription, Some(revision)).await? {
                return Ok(Named { id, subscription });
            }
        }
        Err(StoreError::contended("the subscription").into())
    }

    async fn put(&self, id: &str, subscription: &Subscription, expected: Option<u64>) -> Result<bool, StoreError> {
        let put = self.0.parts.registry.store().put_target(stored(id, subscription, expected), expected).await?;
        self.changed();
        Ok(put)
    }
}

/// What is to be stored over a revision.
pub(super) fn stored(id: &str, subscription: &Subscription, expected: Option<u64>) -> StoredTarget {
    let (revision, body) = (expected.unwrap_or_default() + 1, Target::Subscription(subscription.clone()).write());
    StoredTarget { id: id.to_owned(), scope: None, revision, body }
}

fn named(stored: &StoredTarget) -> Option<(Named, u64)> {
    match Target::read(&stored.body)? {
        Target::Subscription(subscription) => Some((Named { id: stored.id.clone(), subscription }, stored.revision)),
        Target::Callback(_) => None,
    }
}

fn new_secret() -> Result<Hidden, StoreError> {
    let mut bytes = [0; SECRET_BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_no_chance| StoreError::Unavailable("the machine gives no random numbers".to_owned()))?;
    Ok(Hidden::from(format!("whsec_{}", STANDARD.encode(bytes)).as_str()))
}
