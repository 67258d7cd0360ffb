//! Bodies are read within a limit of bytes, of time, and of memory that all bodies together may take.
//!
//! Small bodies take memory as their bytes arrive, so that an announcement alone costs nothing. Large ones are few at a time, and one has its
//! place before it is read: many that each hold a part and wait for the rest would keep one another from ever being whole.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::error::ApiError;

/// Bytes of the largest body that counts as small.
const SMALL: u64 = 1_048_576;
/// All small bodies that are being read or worked on may take this many bytes together.
const SMALL_MEMORY: usize = 256 * 1_048_576;
/// Large bodies that are being read or worked on at once. Working on one takes several times its size.
const LARGE_AT_ONCE: usize = 2;
/// How long a body waits for memory; Vapi waits 20 s for its answer unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(15);
/// A body must have arrived within this time.
const DEADLINE: Duration = Duration::from_secs(30);
/// Permits for small bodies are counted in units of this many bytes.
const UNIT: usize = 1_024;

/// Bounds the memory that bodies take.
#[derive(Debug, Clone)]
pub struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A body and the memory it holds; keep it until the work on it is done.
#[derive(Debug)]
pub struct Held {
    /// The bytes.
    pub bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { small: Arc::new(Semaphore::new(SMALL_MEMORY / UNIT)), large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
    }
}

impl Budget {
    /// Reads a body of at most `limit` bytes.
    ///
    /// # Errors
    /// 413 over the limit, 400 when it is cut or too slow, 503 when it gets no memory in time.
    pub async fn read(&self, body: Body, announced: Option<u64>, limit: u64) -> Result<Held, ApiError> {
        if announced.is_some_and(|length| length > limit) {
            return Err(ApiError::PayloadTooLarge(limit));
        }
        timeout(DEADLINE, self.collect(body, announced.unwrap_or_default(), limit)).await.unwrap_or_else(|_late| {
            let seconds = DEADLINE.as_secs();
            Err(ApiError::InvalidPayload(format!("The body did not arrive within {seconds} seconds.")))
        })
    }

    async fn collect(&self, body: Body, announced: u64, limit: u64) -> Result<Held, ApiError> {
        let mut is_large = announced > SMALL;
        let mut memory = if is_large { Some(room(&self.large, 1).await?) } else { None };
        let mut whole = Vec::with_capacity(usize::try_from(announced).unwrap_or_default());
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|cut| ApiError::InvalidPayload(format!("The body was cut: {cut}.")))?;
            let length = (whole.len() + chunk.len()) as u64;
            if length > limit {
                return Err(ApiError::PayloadTooLarge(limit));
            }
            if !is_large && length > SMALL {
                memory = Some(room(&self.large, 1).await?);
                is_large = true;
            }
            if !is_large {
                let more = room(&self.small, chunk.len().div_ceil(UNIT)).await?;
                match &mut memory {
                    Some(memory) => memory.merge(more),
                    None => memory = Some(more),
                }
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Held { bytes: whole.into(), _memory: memory })
    }
}

async fn room(memory: &Arc<Semaphore>, units: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    match timeout(PATIENCE, Arc::clone(memory).acquire_many_owned(units)).await {
        Ok(room) => room.map_err(|closed| ApiError::Internal(closed.to_string())),
        Err(_late) => Err(ApiError::StoreUnavailable("memory for bodies is taken up by other bodies".to_owned())),
    }
}
