//! Everything under the newest key: first the records with all that is derived from them, then the bodies.
//!
//! How far it came is noted in the store. Records are written by compare-and-set like any other change, so that instances may be at work; what
//! they write meanwhile is under the newest key too, if that is the first of theirs.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{TransferError, Watcher, go_on, import::nothing};
use crate::{
    call::{id::CallId, time::Millis},
    registry::write_of,
    store::{CallFilter, Commit, Committed, Loaded, MOST_CONFLICTS, PageCursor, Store, StoreError, StoredCall},
};

/// Calls that are read at once.
const PAGE: usize = 100;
/// Bodies that are read at once.
const BODIES: usize = 200;
/// Calls that are written at the same time.
const AT_ONCE: usize = 16;
/// Where the store notes how far it came.
const NOTE: &str = "rekey";

/// How far it came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Progress {
    /// The newest key, by its name.
    key: String,
    /// The last call that was written.
    call: Option<(Millis, CallId)>,
    /// All calls were written.
    calls_done: bool,
    /// The last bodies that were looked at.
    bodies: Option<String>,
    /// How much was done.
    done: u64,
}

/// Encrypts everything with the newest key. `base` is the address under which the world reaches us, or `""`; `now` the time. Returns how many
/// records and bodies were looked at.
///
/// # Errors
/// When the store fails or has no key, when it was stopped, or when an instance still encrypts with an older key.
pub async fn rekey(store: &Store, (base, now): (&str, Millis), watcher: &mut (dyn Watcher + Send)) -> Result<u64, TransferError> {
    let no_key = || TransferError::Refused("DATA_KEY is not set: set it to the new key, and behind it those it had before".to_owned());
    let key = store.data_key().ok_or_else(no_key)?;
    let amounts = store.amounts().await?;
    let all = amounts.calls + amounts.bodies;
    let note = store.note(NOTE).await?.and_then(|note| serde_json::from_slice::<Progress>(&note).ok());
    let mut progress = note.filter(|note| note.key == key).unwrap_or_else(|| Progress { key, ..Progress::default() });
    while !progress.calls_done {
        go_on(watcher)?;
        let cursor = progress.call.take().map(|(at, id)| PageCursor { at, id });
        let page = store.list(CallFilter { limit: PAGE, cursor, ..CallFilter::default() }).await?;
        progress.done += page.calls.len() as u64;
        let writes = stream::iter(page.calls).map(|call| rewrite(store, call, base, now)).buffer_unordered(AT_ONCE);
        let _: Vec<()> = writes.try_collect().await?;
        progress.calls_done = page.next.is_none();
        progress.call = page.next.map(|next| (next.at, next.id));
        set(store, &progress).await?;
        watcher.told(progress.done, all);
    }
    loop {
        go_on(watcher)?;
        let resealed = store.reseal(progress.bodies.clone(), BODIES).await?;
        progress.done += resealed.seen as u64;
        if resealed.seen == 0 {
            break;
        }
        progress.bodies = resealed.next;
        set(store, &progress).await?;
        watcher.told(progress.done, all);
    }
    store.forget_keys().await?;
    // The next one begins anew, whatever its key.
    set(store, &Progress::default()).await?;
    let older = store.older_keys().await?.join(", ");
    if !older.is_empty() {
        return Err(TransferError::Refused(format!(
            "an instance that runs encrypts with an older key ({older}), which is still needed: put the new key first in its DATA_KEY, restart it, and \
             run `ringback rekey` again"
        )));
    }
    Ok(progress.done)
}

async fn set(store: &Store, progress: &Progress) -> Result<(), StoreError> {
    let from = store.note(NOTE).await?;
    store.set_note(NOTE, from, serde_json::to_vec(progress).unwrap_or_default()).await.map(drop)
}

/// Writes a call as it is. Pollers see no change.
async fn rewrite(store: &Store, mut call: Arc<StoredCall>, base: &str, now: Millis) -> Result<(), TransferError> {
    for _ in 0..MOST_CONFLICTS {
        let next = StoredCall { revision: call.revision + 1, ..StoredCall::clone(&call) };
        let write = Some(write_of(store, next, Some(call.revision), [], base));
        let commit = Commit { write, ..Commit::of(nothing(Some(&call.id), now)) };
        match store.commit(commit).await? {
            Committed::Conflict => match store.load(&call.id).await? {
                Loaded::Found(there) => call = there,
                Loaded::Deleted | Loaded::Missing => return Ok(()),
            },
            Committed::Done | Committed::Duplicate | Committed::Deleted => return Ok(()),
        }
    }
    Err(StoreError::contended("the record").into())
}
