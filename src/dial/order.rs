//! What is ordered, and what becomes of it.

use super::{CallMethod, Wanted, memory::Memory};
use crate::{
    call::id::CallId,
    push::Callback,
    store::{StoreError, answer_id},
    vapi::{assistant::TemplateError, client::Refusal},
};

/// A call to place.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is wanted.
    pub wanted: Wanted,
    /// Who places it.
    pub method: CallMethod,
    /// Who is told when it is done.
    pub callback: Option<Callback>,
    /// Who wants it, by the token's name.
    pub token: Option<String>,
    /// By what it is known again.
    pub key: Option<Key>,
    /// Of the body, to tell whether a key comes with another one.
    pub hash: String,
}

/// An idempotency key.
#[derive(Debug, Clone)]
pub struct Key {
    /// As somebody chose it.
    pub text: String,
    /// What it was used for: one key means another thing elsewhere.
    pub route: &'static str,
    /// How long it means the same order.
    pub(super) memory: Memory,
}

impl Key {
    /// A key that came with a request: it is remembered for a day.
    #[must_use]
    pub fn sent(text: String, route: &'static str) -> Self {
        Self { text, route, memory: Memory::KEY }
    }

    /// What somebody sent, by its hash, in the place of a key: for clients that send a request again without saying so. It counts until
    /// [`RESENT_WITHIN`](super::RESENT_WITHIN) after it was known what came of it.
    #[must_use]
    pub fn of_body(hash: String, route: &'static str) -> Self {
        Self { text: hash, route, memory: Memory::BODY }
    }

    /// A key of our own, remembered for so many milliseconds; `None`: for good.
    pub(super) fn kept(text: String, route: &'static str, kept: Option<i64>) -> Self {
        Self { text, route, memory: Memory { kept, ..Memory::KEY } }
    }

    /// The id of what is answered to it.
    pub(super) fn answer_id(&self, token: Option<&str>) -> String {
        answer_id(token, &self.text, self.route)
    }
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The call; or the placing, as long as nobody knows.
    pub named: Named,
    /// It was placed before, by the same key.
    pub replayed: bool,
}

/// What an id names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A call.
    Call(CallId),
    /// A placing of which nobody knows yet what came.
    Open(CallId),
    /// Nothing, though it looks like one of ours.
    Nothing,
}

/// Why there is no call.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// There is no key to ask Vapi with.
    #[error("there is no VAPI_API_KEY")]
    NoKey,
    /// The number may not be called.
    #[error("the number is not in DIAL_ALLOW")]
    NumberNotAllowed,
    /// As many calls were placed within the minute as may be.
    #[error("DIAL_MAX_PER_MINUTE is reached")]
    TooMany,
    /// The key came with another body before.
    #[error("the idempotency key came with another body before")]
    KeyReused,
    /// Vapi refuses, or can't be reached.
    #[error("Vapi refuses")]
    Refused(Refusal),
    /// Nothing was placed, for it could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// We crashed before anything was written down, so nothing was placed.
    #[error("the placing crashed before anything was sent")]
    Crashed,
    /// A template is broken.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The service is about to stop.
    #[error("shutting down")]
    Stopping,
}
