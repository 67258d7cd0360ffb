//! Events that could not be read.

use crate::call::{id::CallId, time::Millis};

/// An event that waits for a version that understands it.
#[derive(Debug, Clone)]
pub struct UnfoldedEvent {
    /// Its id.
    pub id: String,
    /// The call it is about; the body alone need not name it.
    pub call_id: Option<CallId>,
    /// The message's type.
    pub source: String,
    /// When it reached us.
    pub received_at: Millis,
    /// The redacted body, canonical JSON.
    pub body: Vec<u8>,
}
