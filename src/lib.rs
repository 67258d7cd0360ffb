//! Ringback.
pub mod call;
pub mod clock;
pub mod config;
pub mod lifecycle;
pub mod store;
pub mod telemetry;
