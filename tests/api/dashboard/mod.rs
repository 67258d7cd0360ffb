//! The page for people: signing in, what it shows, and that it shows everybody's words as words.

mod access;
mod analytics;
mod batches;
mod call;
mod health;
mod now;
mod pages;
mod sessions;
mod subscriptions;
mod timeline;
mod words;

use crate::support::app::Story;

pub(crate) const ADMIN: &str = "admin-token-0123456789";
pub(crate) const PLACE: &str = "place-token-0123456789";
pub(crate) const READ: &str = "read-token-0123456789";
pub(crate) const POLL: &str = "poll-token-0123456789";

/// A service that has tokens of every scope.
pub(crate) fn guarded(story: Story) -> Story {
    story.with("API_TOKENS", &format!("ops={ADMIN}, place:dial={PLACE}, read:eyes={READ}, poll:wait={POLL}"))
}
