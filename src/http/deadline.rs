//! How long a change is waited for. A store that takes longer is as good as down; what was asked of it goes on, and asking again finds it done.

use std::{future::Future, time::Duration};

use tokio::time::timeout;

use crate::store::StoreError;

/// Vapi waits 20 s by default, and tries again after a 503.
pub(super) const CHANGE_DEADLINE: Duration = Duration::from_secs(5);

/// What came of a change, if it came in time. The change must go on by itself when nobody waits for it any more.
pub(super) async fn in_time<T>(deadline: Duration, change: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(deadline, change).await.unwrap_or_else(|_elapsed| Err(StoreError::late(deadline)))
}
