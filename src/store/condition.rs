//! Whether the database can be asked right now.

use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::store::StoreError;

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody knows yet.
    Opening,
    Open,
    /// It does not answer; it is tried again and again. The text is for logs.
    Down(String),
    /// It answers, and can't be used until the operator does what the text says.
    Unusable(String),
    /// It answers, and its schema is older than the one that is needed.
    Behind(String),
    Closed,
}

#[derive(Debug)]
pub(super) struct Condition(watch::Sender<State>);

impl Condition {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(State::Opening))
    }

    /// Fails at once when asking would be in vain.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match &*self.0.borrow() {
            State::Open => Ok(()),
            State::Opening => Err(StoreError::Unavailable("it is not open yet".to_owned())),
            State::Down(why) => Err(StoreError::Unavailable(format!("it does not answer: {why}"))),
            State::Unusable(why) => Err(StoreError::Unusable(why.clone())),
            State::Behind(why) => Err(StoreError::Behind(why.clone())),
            State::Closed => Err(closed()),
        }
    }

    pub(super) fn set(&self, state: State) {
        self.0.send_if_modified(|now| {
            if *now == state || *now == State::Closed {
                return false;
            }
            match (&*now, &state) {
                // The same trouble in other words.
                (State::Down(_), State::Down(_)) => {}
                (_, State::Down(why)) => warn!(why, "The database does not answer; trying again"),
                (_, State::Unusable(why) | State::Behind(why)) => error!(why, "The database can't be used"),
                (State::Down(_) | State::Unusable(_) | State::Behind(_), State::Open) => info!("The database answers again"),
                _ => {}
            }
            *now = state;
            true
        });
    }

    pub(super) fn is_opening(&self) -> bool {
        *self.0.borrow() == State::Opening
    }

    /// Closes for good; false if it was closed before.
    pub(super) fn close(&self) -> bool {
        self.0.send_replace(State::Closed) != State::Closed
    }

    /// Waits until it is known whether it is open.
    pub(super) async fn decided(&self) -> State {
        self.wait(|state| *state != State::Opening).await
    }

    /// Waits until it is open, or closed for good.
    pub(super) async fn opened(&self) {
        self.wait(|state| matches!(state, State::Open | State::Closed)).await;
    }

    async fn wait(&self, until: impl FnMut(&State) -> bool) -> State {
        let mut states = self.0.subscribe();
        let state = states.wait_for(until).await.map(|state| state.clone());
        state.unwrap_or(State::Closed)
    }
}

/// What every verb says after [`Condition::close`].
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".to_owned())
}
