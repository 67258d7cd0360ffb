//! The one rule that changes a record.

pub(crate) mod events;
mod laws;
mod orders;
mod rules;
mod stories;
