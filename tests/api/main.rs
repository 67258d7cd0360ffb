//! Stories told over the wire, in one binary.

mod support;
mod vapi_client;
