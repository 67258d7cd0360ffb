//! Stories told over the wire, and the contract of every store, in one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod architecture;
mod cache;
mod deleting;
mod enrichment;
mod facts;
mod faults;
mod join;
mod lists;
mod outage;
mod policy;
mod polling;
mod proofs;
mod questions;
mod readme;
mod recording;
mod redaction;
mod replay;
mod restart;
mod result;
mod retention;
mod rough_vapi;
mod silence;
mod simulate;
mod store_contract;
mod store_lists;
mod store_load;
mod store_speed;
mod store_sqlite;
mod store_support;
mod store_trouble;
mod support;
mod timeline;
mod vapi_client;
mod view;
mod webhook;
