//! Ringback.
pub mod app;
pub mod call;
pub mod cli;
pub mod clock;
pub mod config;
pub mod enrich;
pub mod envelope;
pub mod error;
pub mod http;
pub mod keep;
pub mod lifecycle;
pub mod registry;
pub mod simulate;
pub mod store;
pub mod telemetry;
pub mod vapi;
