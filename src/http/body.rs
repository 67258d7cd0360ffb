//! Bodies are read within a limit of bytes, of time, and of memory that all bodies together may take.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::error::ApiError;

/// All bodies that are being read or worked on may take this many bytes together, or twice the largest one where that is more.
const MEMORY: u64 = 256 * 1_048_576;
/// A body's announced length is believed up to this many bytes; beyond it memory is taken as bytes arrive.
const BELIEVED: u64 = 1_048_576;
/// A body must have arrived within this time.
const DEADLINE: Duration = Duration::from_secs(30);
/// Permits are counted in units of this many bytes.
const UNIT: u64 = 1_024;

/// Bounds the memory that bodies take.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

/// A body and the memory it holds; keep it until the work on it is done.
#[derive(Debug)]
pub struct Held {
    /// The bytes.
    pub bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget for bodies of at most `largest` bytes each.
    #[must_use]
    pub fn new(largest: u64) -> Self {
        let units = MEMORY.max(largest.saturating_mul(2)) / UNIT;
        Self(Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS))))
    }

    /// Reads a body of at most `limit` bytes.
    ///
    /// # Errors
    /// 413 over the limit, 400 when it is cut or too slow, 503 when memory for bodies is exhausted until the deadline.
    pub async fn read(&self, body: Body, announced: Option<u64>, limit: u64) -> Result<Held, ApiError> {
        if announced.is_some_and(|length| length > limit) {
            return Err(ApiError::PayloadTooLarge(limit));
        }
        timeout(DEADLINE, self.collect(body, announced, limit)).await.unwrap_or_else(|_late| {
            let seconds = DEADLINE.as_secs();
            Err(ApiError::InvalidPayload(format!("The body did not arrive within {seconds} seconds.")))
        })
    }

    async fn collect(&self, body: Body, announced: Option<u64>, limit: u64) -> Result<Held, ApiError> {
        let mut memory: Option<OwnedSemaphorePermit> = None;
        let mut whole = Vec::with_capacity(usize::try_from(announced.unwrap_or_default().min(BELIEVED)).unwrap_or_default());
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|cut| ApiError::InvalidPayload(format!("The body was cut: {cut}.")))?;
            if (whole.len() + chunk.len()) as u64 > limit {
                return Err(ApiError::PayloadTooLarge(limit));
            }
            let units = u32::try_from((chunk.len() as u64).div_ceil(UNIT)).unwrap_or(u32::MAX);
            let more = Arc::clone(&self.0).acquire_many_owned(units).await.map_err(|closed| ApiError::Internal(closed.to_string()))?;
            match &mut memory {
                Some(memory) => memory.merge(more),
                None => memory = Some(more),
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Held { bytes: whole.into(), _memory: memory })
    }
}
