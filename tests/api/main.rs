//! Stories told over the wire, and the contract of every store, in one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod architecture;
mod outage;
mod polling;
mod proofs;
mod questions;
mod readme;
mod replay;
mod result;
mod rough_vapi;
mod simulate;
mod store_contract;
mod store_lists;
mod store_load;
mod store_speed;
mod store_sqlite;
mod store_support;
mod store_trouble;
mod support;
mod vapi_client;
mod webhook;
