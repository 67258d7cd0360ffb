//! The one rule that changes a record.

mod events;
mod laws;
mod orders;
mod rules;
mod stories;
