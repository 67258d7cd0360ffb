//! Vapi's words, in and out.

pub mod client;
