//! What stories share.

pub(crate) mod vapi;
