//! How often Vapi is asked, and who asks first.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock as _};

/// Who has time looks this often whether somebody in a hurry still waits.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// One limit for all requests. Whoever is in a hurry goes first: who has time takes no turn while anybody in a hurry waits for one.
pub(super) struct Limiter {
    all: DefaultDirectRateLimiter,
    in_a_hurry: AtomicUsize,
}

impl Limiter {
    /// So many requests in one second.
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { all: RateLimiter::direct(Quota::per_second(per_second)), in_a_hurry: AtomicUsize::new(0) }
    }

    /// Waits for a turn: somebody waits for the answer.
    pub(super) async fn urgent(&self) {
        let _hurry = Hurry::of(&self.in_a_hurry);
        self.all.until_ready().await;
    }

    /// Waits for a turn that nobody in a hurry wants.
    pub(super) async fn patient(&self) {
        loop {
            let wait = if self.in_a_hurry.load(Ordering::SeqCst) > 0 {
                LOOK_AGAIN
            } else {
                match self.all.check() {
                    Ok(()) => return,
                    Err(not_yet) => not_yet.wait_time_from(self.all.clock().now()).max(LOOK_AGAIN),
                }
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// Somebody in a hurry, until dropped.
struct Hurry<'a>(&'a AtomicUsize);

impl<'a> Hurry<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        num::NonZeroU32,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use super::Limiter;

    #[tokio::test]
    async fn who_has_time_lets_everybody_in_a_hurry_go_first() {
        let limiter = Arc::new(Limiter::new(NonZeroU32::new(20).expect("not zero")));
        // Nothing is left for this moment.
        for _ in 0..20 {
            limiter.urgent().await;
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let went = |name: &'static str| order.lock().expect("no panic").push(name);
        let patient = async {
            limiter.patient().await;
            went("sweep");
        };
        let urgent = async {
            // Later than the other.
            tokio::time::sleep(Duration::from_millis(5)).await;
            for _ in 0..4 {
                limiter.urgent().await;
                went("enrich");
            }
        };
        tokio::join!(patient, urgent);
        let order = order.lock().expect("no panic").clone();
        let before = order.iter().take_while(|name| **name == "enrich").count();
        assert!(before >= 3, "{order:?}");
    }
}
