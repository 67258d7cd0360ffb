//! The command line as it is typed: what it prints, where to, and with which exit code.

mod assistant;
mod backfill;
mod call;
mod call_terminal;
mod client;
mod doors;
mod environment;
mod fake;
mod listen;
mod listen_webhooks;
mod logs;
mod moving;
mod store;
mod usage;

/// Exit codes that people's scripts rely on.
const DONE: i32 = 0;
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const CONFIGURATION: i32 = 78;
const TIMED_OUT: i32 = 124;
const INTERRUPTED: i32 = 130;
