//! Ringback.
pub mod call;
pub mod cli;
pub mod clock;
pub mod simulate;
pub mod store;
pub mod vapi;
