//! Subscriptions that are asked for with an idempotency key: the same key makes one, and is given the same answer, secret and all.
//!
//! The answer is remembered before the subscription is made, in a document: encrypted where there is a key, gone after a day, or with the
//! subscription.
//!
//! Races, by name:
//! - *Two requests with one key*: the document is written by compare-and-set; who loses answers what the winner remembers. Both see to it that
//!   the subscription is there, so neither waits for the other.
//! - *Killed in between*: whoever sends the request again finds the document, and makes the subscription it tells of.

use serde::{Deserialize, Serialize};

use super::{Draft, Push, Refusal, subscriptions::Named, target::Subscription};
use crate::store::{Document, DocumentKind, MOST_CONFLICTS, REMEMBERED, StoreError, answer_id, answer_write};

/// What an idempotency key was used for here.
const ROUTE: &str = "subscriptions";

/// Says that a request may be sent again.
#[derive(Debug, Clone)]
pub struct Once {
    /// Who sends it, by the token's name.
    pub token: Option<String>,
    /// The key.
    pub key: String,
    /// Of the body that comes with it.
    pub hash: String,
}

/// What was answered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    hash: String,
    id: String,
    subscription: Subscription,
}

impl Remembered {
    /// `None` for what only a later release understands.
    fn read(document: &Document) -> Option<Self> {
        serde_json::from_slice(&document.body).ok()
    }
}

impl Push {
    /// Makes a subscription, or finds the one that was made by the same key; tells whether it was found.
    ///
    /// # Errors
    /// [`Refusal`] as of [`Push::subscribe`], and when the key came with another body before.
    pub async fn subscribe_once(&self, draft: Draft, once: Once) -> Result<(Named, bool), Refusal> {
        let store = self.0.parts.registry.store();
        let answer = answer_id(once.token.as_deref(), &once.key, ROUTE);
        for _ in 0..MOST_CONFLICTS {
            let now = self.0.parts.clock.now();
            let before = store.document(DocumentKind::Answer, &answer, now).await?;
            if let Some(Remembered { hash, id, subscription }) = before.as_ref().and_then(Remembered::read) {
                if hash != once.hash {
                    return Err(Refusal::KeyReused);
                }
                let named = Named { id, subscription };
                self.begin_here().await?;
                self.make(&named).await?;
                return Ok((named, true));
            }
            let Named { id, subscription } = self.drafted(draft.clone()).await?;
            let says = Remembered { hash: once.hash.clone(), id, subscription };
            let body = serde_json::to_vec(&says).map_err(|error| StoreError::Unavailable(error.to_string()))?;
            let write = answer_write((&answer, Some(&says.id)), body, before.map(|it| it.revision), (now, Some(REMEMBERED)));
            if store.put_documents(vec![write], now).await? {
                let named = Named { id: says.id, subscription: says.subscription };
                self.make(&named).await?;
                return Ok((named, false));
            }
        }
        Err(StoreError::contended("the answer to the key").into())
    }

    /// Forgets the answer that told of a subscription, and with it the secret.
    pub(super) async fn forget_answer(&self, subscription: &str) -> Result<(), StoreError> {
        let store = self.0.parts.registry.store();
        if let Some(answer) = store.document(DocumentKind::Answer, subscription, self.0.parts.clock.now()).await? {
            store.drop_document(DocumentKind::Answer, &answer.id).await?;
        }
        Ok(())
    }
}
