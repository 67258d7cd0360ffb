//! Ringback.
pub mod call;
pub mod clock;
pub mod store;
pub mod vapi;
