//! What stories share.

pub(crate) mod bodies;
pub(crate) mod receiver;
pub(crate) mod vapi;
