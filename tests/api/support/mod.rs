//! What stories share.

pub(crate) mod answer;
pub(crate) mod app;
pub(crate) mod ask;
pub(crate) mod bodies;
pub(crate) mod browser;
pub(crate) mod calls;
pub(crate) mod endpoint;
pub(crate) mod engine;
pub(crate) mod kestra;
pub(crate) mod pooler;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod served;
pub(crate) mod servers;
pub(crate) mod stream;
pub(crate) mod subscriber;
pub(crate) mod vapi;

use std::time::{Duration, Instant};

/// Nothing takes longer than this, or the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
