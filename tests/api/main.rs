//! Stories told over the wire, and the contract of every store, in one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod access;
mod architecture;
mod cache;
mod deleting;
mod engines;
mod enrichment;
mod facts;
mod faults;
mod headers;
mod instances;
mod join;
mod life;
mod linking;
mod lists;
mod metrics;
mod openapi;
mod outage;
mod policy;
mod polling;
#[path = "../shared/postgres.rs"]
mod postgres_server;
mod proofs;
mod published;
mod questions;
mod readme;
mod recording;
mod redaction;
mod redis_away;
#[path = "../shared/redis.rs"]
mod redis_server;
mod replay;
mod restart;
mod result;
mod retention;
mod rough_vapi;
mod silence;
mod simulate;
mod store_away;
mod store_contract;
mod store_lists;
mod store_load;
mod store_postgres;
mod store_published;
mod store_redis;
mod store_speed;
mod store_sqlite;
mod store_support;
mod store_tls;
mod store_trouble;
mod support;
mod timeline;
mod tools;
mod vapi_client;
mod view;
mod webhook;
