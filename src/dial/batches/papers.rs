//! The documents of a batch as they are written at first, and taken back.

use super::{NewBatch, UNSURE};
use crate::{
    batch::{Batch, Entry},
    call::time::Millis,
    dial::Dialer,
    store::{Document, DocumentKind, DocumentWrite, StoreError, document::written},
};

/// A new batch: nothing of it has happened.
pub(super) fn first(NewBatch { draft, token, .. }: &NewBatch) -> Batch {
    Batch {
        token: token.clone(),
        max_concurrent: draft.max_concurrent,
        called_back: draft.orders.callback.is_some(),
        canceled: false,
        hang_up: false,
        owner: String::new(),
        finished_at: None,
        entries: vec![Entry::default(); draft.orders.requests.len()],
    }
}

/// Takes a batch back of which somebody was told that it was not made.
pub(super) async fn drop_batch(dialer: Dialer, id: &str, answer: Option<&str>) -> Result<(), StoreError> {
    let store = dialer.0.parts.registry.store();
    store.drop_document(DocumentKind::Batch, id).await?;
    store.drop_document(DocumentKind::Orders, id).await?;
    // By now the key may stand for another batch.
    if let Some(answer) = answer
        && dialer.answered(answer).await?.is_some_and(|answer| answer.says.placement_id == id)
    {
        store.drop_document(DocumentKind::Answer, answer).await?;
    }
    Ok(())
}

/// The write of a new document of a batch. It stays until the batch is done, however long that takes.
pub(super) fn made(kind: DocumentKind, id: &str, says: &impl serde::Serialize, now: Millis) -> DocumentWrite {
    let due = (kind == DocumentKind::Batch).then_some(now.plus(UNSURE));
    let (id, body) = (id.to_owned(), written(says));
    DocumentWrite {
        document: Document { kind, id, revision: 1, alias: None, due, created_at: now, expires_at: None, body },
        expected: None,
    }
}
