//! Vapi's words, in and out. Knows our events, nothing of HTTP serving or storage.
//!
//! What Vapi promises is little: a webhook comes once, unless a back-off plan is set; its order is open; its `call` is a snapshot of the moment
//! the call was made; its analysis may come late or never; its presigned links differ on every delivery. So everything here reads tolerantly
//! and states facts; what they mean together is decided in [`crate::call`].

pub mod assistant;
pub mod call;
pub mod client;
pub mod face;
pub mod facts;
pub mod flat;
pub mod json;
pub mod message;
pub mod probe;
pub mod redact;
pub mod signature;
pub mod tool;
