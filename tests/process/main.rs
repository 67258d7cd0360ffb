//! Stories about the real program: it is started, sent to, stopped, killed, starved and traced.
//!
//! They are a binary of their own beside `tests/api`, because they need real processes, real time and a real file system: what they
//! show (nothing acknowledged is lost, bounded memory, exit codes) can't be shown from within. Nothing here looks inside the service.
//!
//! | Module | What it shows |
//! |---|---|
//! | [`loss`], [`stop`], [`disk`] | what was acknowledged survives SIGKILL, SIGTERM and a full disk |
//! | [`servers`] | the same with a PostgreSQL server or a Redis behind several instances, whoever of them is killed |
//! | [`told`] | subscribers hear of everything that was committed, whoever is killed |
//! | [`batches`] | a batch comes to its end, and none of its calls is placed twice, whoever is killed |
//! | [`trace`] | a 200 leaves only after the store's log was flushed to disk |
//! | [`hostile`] | nonsense, floods and dawdlers at the socket |
//! | [`cli`] | commands, exit codes, refused starts, what is logged |
//! | [`doctor`] | what `ringback doctor` finds, and what it changes |
//! | [`clients`] | clients that people really use: a browser, curl, Node, Vapi's SDKs |
//! | [`placing`] | placed calls: each once, none lost, whatever fails on the way |
//! | [`swept`] | calls of which nothing was heard, found by one instance at a time |
//! | [`start`] | how fast a large store opens, and how much memory an idle service takes |
#![expect(clippy::panic, reason = "a test ends where it fails")]

mod batches;
mod cli;
mod clients;
mod disk;
mod doctor;
mod hostile;
mod loss;
mod placing;
#[path = "../shared/postgres.rs"]
mod postgres_server;
#[path = "../shared/redis.rs"]
mod redis_server;
mod servers;
#[path = "../shared/shell.rs"]
mod shell;
mod start;
mod stop;
mod support;
mod swept;
mod told;
mod trace;
