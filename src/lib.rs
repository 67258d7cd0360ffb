//! Ringback.
pub mod call;
pub mod cli;
pub mod clock;
pub mod config;
pub mod lifecycle;
pub mod simulate;
pub mod store;
pub mod vapi;
