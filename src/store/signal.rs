//! What instances tell each other: a call changed.

use crate::call::id::CallId;

/// Something that another instance, or this one, did to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The call was written.
    Changed {
        /// The call.
        id: CallId,
        /// The revision that stands now, at least.
        revision: u64,
    },
    /// The call was erased.
    Erased(CallId),
    /// There is news that is about no call.
    News,
    /// Signals may have been missed: nothing that is remembered of unsettled or erased calls can be relied upon.
    Missed,
}
