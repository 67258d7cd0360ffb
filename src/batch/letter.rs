//! The event that tells whoever waits for a batch that it is done.

use serde::Serialize;

use super::{extent::Extent, load, view::BatchResult};
use crate::{
    call::{time::Millis, view::At},
    registry::{Letter, Registry},
    store::{OutgoingEvent, StoreError},
};

/// Its type.
pub const DONE: &str = "batch.done";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    id: &'a str,
    r#type: &'a str,
    timestamp: At,
    call_id: Option<&'a str>,
    sequence: Option<u64>,
    data: BatchResult,
}

/// The event about a batch. Its id is the same whoever makes it, so that it is delivered once.
#[must_use]
pub fn event(batch_id: &str, at: Millis) -> OutgoingEvent {
    let (id, about) = (format!("done_{batch_id}"), Some(batch_id.to_owned()));
    OutgoingEvent { id, kind: DONE.to_owned(), call_id: None, sequence: None, at, about }
}

/// What the event says, as the batch stands, with so much of its calls; `None` when it is gone.
///
/// # Errors
/// [`StoreError`] when it can't be loaded.
pub async fn letter(registry: &Registry, event: &OutgoingEvent, extent: Extent, now: Millis) -> Result<Option<Letter>, StoreError> {
    let Some(batch) = load(registry.store(), event.about.as_deref().unwrap_or_default(), now).await? else { return Ok(None) };
    let status = if batch.says.canceled { "canceled" } else { "completed" };
    let data = BatchResult::whole(registry, &batch, extent, now).await?;
    let told = Event { id: &event.id, r#type: DONE, timestamp: At(event.at), call_id: None, sequence: None, data };
    let json = serde_json::to_string(&told).unwrap_or_default();
    Ok(Some(Letter { json, status: Some(status), data_status: Some("complete"), trace: None }))
}
