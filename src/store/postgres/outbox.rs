//! What is on its way: not yet.

use super::PostgresStore;
use crate::{
    call::time::Millis,
    store::{
        DeliveryFilter, DeliveryLease, DeliveryMark, DeliveryPage, FanOut, LeasedDeliveries, OutboxState, Redelivery, StoreError,
        StoredTarget, Targets,
    },
};

fn absent<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("this engine has no outbox yet".to_owned()))
}

#[expect(clippy::unused_async, reason = "the verbs have the same shape on every engine")]
impl PostgresStore {
    pub(in crate::store) async fn targets(&self, _scope: Option<&str>) -> Result<Targets, StoreError> {
        absent()
    }

    pub(in crate::store) async fn target(&self, _id: &str) -> Result<Option<StoredTarget>, StoreError> {
        absent()
    }

    pub(in crate::store) async fn put_target(&self, _target: StoredTarget, _expected: Option<u64>) -> Result<bool, StoreError> {
        absent()
    }

    pub(in crate::store) async fn drop_target(&self, _id: &str) -> Result<bool, StoreError> {
        absent()
    }

    pub(in crate::store) async fn outbox(&self) -> Result<OutboxState, StoreError> {
        absent()
    }

    pub(in crate::store) async fn fan_out(&self, _step: FanOut) -> Result<bool, StoreError> {
        absent()
    }

    pub(in crate::store) async fn lease_deliveries(&self, _lease: DeliveryLease) -> Result<LeasedDeliveries, StoreError> {
        absent()
    }

    pub(in crate::store) async fn mark_deliveries(&self, _marks: Vec<DeliveryMark>) -> Result<Vec<bool>, StoreError> {
        absent()
    }

    pub(in crate::store) async fn deliveries(&self, _filter: DeliveryFilter) -> Result<DeliveryPage, StoreError> {
        absent()
    }

    pub(in crate::store) async fn redeliver(&self, _target: &str, _which: Redelivery, _now: Millis) -> Result<usize, StoreError> {
        absent()
    }

    pub(in crate::store) async fn forget_deliveries(&self, _before: Millis, _limit: usize) -> Result<usize, StoreError> {
        absent()
    }
}
