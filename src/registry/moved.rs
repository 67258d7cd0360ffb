//! A record as it is written when it was not an event that changed it: when it comes from another store, or is encrypted anew.

use std::sync::Arc;

use super::{columns, published::row};
use crate::{
    call::event::CallEvent,
    store::{CallWrite, Store, StoredCall},
};

/// The write of this call over the revision `expected`, with everything that is derived from its record. `events` came with it; `base` is the
/// address under which the world reaches us, or `""`.
#[must_use]
pub fn write_of<'a>(
    store: &Store,
    call: StoredCall,
    expected: Option<u64>,
    events: impl IntoIterator<Item = &'a CallEvent>,
    base: &str,
) -> CallWrite {
    let published = store.publishes().then(|| row(&call, events, base)).flatten();
    CallWrite { columns: columns::of(&call.record), call: Arc::new(call), expected, published, news: Vec::new() }
}
