//! From Vapi's bodies to facts.

mod bad_input;
mod calls;
mod messages;
mod mutated;
mod payloads;
mod places;
mod times;
mod tools;
