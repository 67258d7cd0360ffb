//! Documents: not yet.

use super::RedisStore;
use crate::{
    call::time::Millis,
    store::{Document, DocumentKind, DocumentPage, DocumentWrite, StoreError},
};

fn absent<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("this engine has no documents yet".to_owned()))
}

#[expect(clippy::unused_async, reason = "the verbs have the same shape on every engine")]
impl RedisStore {
    pub(in crate::store) async fn document(&self, _kind: DocumentKind, _id: &str, _now: Millis) -> Result<Option<Document>, StoreError> {
        absent()
    }

    pub(in crate::store) async fn put_documents(&self, _writes: Vec<DocumentWrite>, _now: Millis) -> Result<bool, StoreError> {
        absent()
    }

    pub(in crate::store) async fn drop_document(&self, _kind: DocumentKind, _id: &str) -> Result<bool, StoreError> {
        absent()
    }

    pub(in crate::store) async fn documents(
        &self,
        _kind: DocumentKind,
        _after: Option<(Millis, String)>,
        _limit: usize,
        _now: Millis,
    ) -> Result<DocumentPage, StoreError> {
        absent()
    }

    pub(in crate::store) async fn lease_documents(
        &self,
        _kind: DocumentKind,
        _now: Millis,
        _until: Millis,
        _limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        absent()
    }

    pub(in crate::store) async fn next_document(&self, _kind: DocumentKind) -> Result<Option<Millis>, StoreError> {
        absent()
    }

    pub(in crate::store) async fn forget_documents(&self, _now: Millis, _limit: usize) -> Result<usize, StoreError> {
        absent()
    }
}
