//! Vapi's words, in and out. Nothing inward of here knows what they look like.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`signature`] | does a webhook come from whoever holds our secret? Pure, over the raw bytes |

pub mod signature;
