//! What stories share.

pub(crate) mod receiver;
pub(crate) mod vapi;
