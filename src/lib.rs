//! Ringback stands between [Vapi](https://vapi.ai), which runs phone calls by AI, and everybody who waits for what came of a call. It takes
//! Vapi's webhooks, makes one reliable record of each call, completes it from Vapi's REST interface, and hands it out the moment it is known.
//!
//! # The one idea
//!
//! A call is what all its events say together. A webhook, a REST answer, a decision of our own: each becomes a [`call::event::CallEvent`] at
//! the door, and carries what it states as a small [`call::record::CallRecord`]. [`call::join::join`] puts two records together; it is
//! commutative, associative and idempotent, and it is the only rule that changes a record. Late, lost, repeated and reordered deliveries are no
//! special cases then. Policy ([`call::policy`]) looks at the joined record and decides when Vapi is asked and when a call is settled; it
//! never edits.
//!
//! ```text
//!  bytes ─► http::proof ─► vapi::message ─► CallEvent ─► registry ─► store (one commit) ─► cache ─► waiters
//!                                              ▲            │
//!                        vapi::call ◄─ vapi::client ◄── enrich (what policy found due), reconcile (what was lost)
//! ```
//!
//! # The rooms
//!
//! | Module | What it is |
//! |---|---|
//! | [`cli`] | the commands, one a file |
//! | [`app`] | the one place where the parts are wired |
//! | [`http`] | the HTTP face: route table, extractors, one file a resource |
//! | [`doctor`] | is everything as it must be for webhooks to arrive? |
//! | [`tools`] | has questions of the assistant answered, each once |
//! | [`push`] | tells subscribers, and whoever waits for one call |
//! | [`dial`] | places calls, each once, and finds those whose answer was lost; works through batches |
//! | [`enrich`] | asks Vapi for what its webhooks did not bring |
//! | [`reconcile`] | looks through Vapi's list for calls whose webhooks were lost |
//! | [`transfer`] | moving all calls to another store, and encrypting them anew |
//! | [`audit`] | who changed what, and when; when tokens were used last |
//! | [`analytics`] | numbers about many calls |
//! | [`keep`] | retention, archive, room on disk |
//! | [`batch`] | calls placed together: what is kept of them, and how that looks |
//! | [`registry`] | all the calls: the one writer, the cache, those who wait |
//! | [`vapi`] | Vapi's words, in and out: proofs, messages, REST, redaction |
//! | [`store`] | the durable truth: memory, SQLite, PostgreSQL, Redis |
//! | [`call`] | our words, pure: event, record, join, policy, view |
//! | [`kestra`] | asks a Kestra: starts its flow, looks at executions, resumes them |
//! | [`outbound`] | requests to other people's addresses, guarded and signed |
//! | [`simulate`] | a stateful fake Vapi, for users, tests and benches |
//! | [`words`] | words of strangers, made fit to be shown |
//! | [`trace`] | which trace the work at hand belongs to |
//! | [`config`], [`clock`], [`lifecycle`], [`telemetry`], [`envelope`], [`error`] | what every room has: settings, time, tasks, logs and metrics, answers |
//!
//! Imports go one way: `cli → app → http → {tools, dial, push, enrich, reconcile, analytics, keep, transfer} → batch → registry → vapi → store → call`.
//!
//! # Walkthrough: a report comes in
//!
//! 1. [`http::server`] accepts the connection; `http::observe` gives the request its id and, at the end, its log line.
//! 2. The extractor `http::proof::VerifiedWebhook` looks for a proof in the headers, reads the body within its limits, and has
//!    [`vapi::signature`] check the raw bytes. No handler can see a body that was not verified.
//! 3. [`vapi::message::read`] parses the body into a borrowed tree ([`vapi::json`]), redacts it ([`vapi::redact`]), names the event by the hash
//!    of what is left, and reads the facts it states ([`vapi::facts`]).
//! 4. [`registry::Registry::apply`] takes the call's turn, joins the facts to the record, lets policy look at it, and hands event, record and
//!    due time to [`store::Store::commit`] as one transaction. A writer commits whatever is queued at once; the
//!    PostgreSQL store also writes the documents' table and tells the other instances.
//! 5. Once that is durable: the serialised answer goes into the cache, waiters are woken if the call is done, and the handler answers 200.
//! 6. If analysis is missing, the record has a due time. [`enrich`] takes it by lease, asks Vapi, and the answer goes through steps 4 and 5.
//!
//! # Walkthrough: a poller waits
//!
//! 1. `GET /calls/{id}/result?wait=30` comes in; `http::auth::Caller` checks the token's scope.
//! 2. `http::result::wait` asks the registry: from memory, else from the store. If the call is done, its bytes are the answer.
//! 3. Else it takes a ticket ([`registry::Waiters`]), looks once more, and sleeps until the ticket is woken, the time is over, or the
//!    service is about to stop. A ticket that is dropped frees its place.
//! 4. The commit that settles the call wakes every ticket of that call and no other. Where several instances share a database, it sends them a
//!    signal with the call and its revision, and each wakes its own ([`registry::follow`]).
//!
//! # What is promised
//!
//! A 200 to a webhook means that it is on disk. `kill -9` at any moment loses no acknowledged event. `done` never goes back. No secret that
//! came in a body is stored, logged or shown.

pub mod analytics;
pub mod app;
pub mod audit;
pub mod batch;
pub mod call;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dial;
pub mod doctor;
pub mod enrich;
pub mod envelope;
pub mod error;
pub mod fields;
pub mod http;
pub mod keep;
pub mod kestra;
pub mod lifecycle;
pub mod outbound;
pub mod push;
pub mod reconcile;
pub mod registry;
pub mod simulate;
pub mod store;
pub mod telemetry;
pub mod tools;
pub mod trace;
pub mod transfer;
pub mod vapi;
pub mod words;
