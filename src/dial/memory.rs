//! How long a key means the same order, and how long somebody follows who comes with it while the first is on its way.

use std::time::Duration;

use super::placing::{Placing, SENT_WITHIN};
use crate::{
    call::time::{Millis, SECOND},
    store::REMEMBERED,
};

/// Byte-identical requests are one order, until this long (in milliseconds) after it was known what came of the first.
pub const RESENT_WITHIN: i64 = 10 * SECOND;
/// Whoever follows waits this long in all: by then it is placed, refused or unknown.
const FOLLOWED: Duration = Duration::from_secs(70);
/// Clients of Vapi give up after 60 s, and are to have an answer before.
const FOLLOWED_BRIEFLY: Duration = Duration::from_secs(45);

/// What is remembered of an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Milliseconds for which the key is kept; `None`: for good.
    pub(super) kept: Option<i64>,
    /// Milliseconds for which it counts after it is known what came of the order; `None`: as long as it is kept.
    pub(super) counts: Option<i64>,
    /// How long somebody follows.
    pub(super) followed: Duration,
}

impl Memory {
    /// A key that the client chose.
    pub(super) const KEY: Self = Self { kept: Some(REMEMBERED), counts: None, followed: FOLLOWED };
    /// The body itself.
    pub(super) const BODY: Self = Self { kept: Some(SENT_WITHIN + RESENT_WITHIN), counts: Some(RESENT_WITHIN), followed: FOLLOWED_BRIEFLY };

    /// Does the key still mean this placing?
    pub(super) fn holds(self, placing: &Placing, now: Millis) -> bool {
        let known_for = placing.known_at.map(|at| now.since(at));
        self.counts.zip(known_for).is_none_or(|(counts, known_for)| known_for < counts)
    }
}
