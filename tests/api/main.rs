//! Stories told over the wire, in one binary.

mod replay;
mod rough_vapi;
mod simulate;
mod support;
mod vapi_client;
