//! Those who do what is due: when they look again, and what ends their waiting.

use std::{cell::Cell, time::Duration};

use ringback::{
    call::time::{Millis, SECOND},
    config::ShutdownConfig,
    lifecycle::Lifecycle,
    registry::DueHint,
    store::StoreError,
};
use tokio::time::{Instant, sleep};

const LEAST: Duration = Duration::from_millis(7);

#[test]
fn the_next_look_is_when_something_is_due_and_neither_too_soon_nor_too_late() {
    let (hint, now) = (DueHint::default(), Millis(100));
    for (next, pause) in [(None, 5_000), (Some(60_000), 5_000), (Some(3_000), 3_000), (Some(1), 7), (Some(0), 7), (Some(-9), 7)] {
        assert_eq!(hint.plan_next(now, next.map(|next| now.plus(next)), LEAST).as_millis(), pause, "{next:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_fails_waits_and_a_hint_or_a_stop_ends_the_waiting() {
    let times = ShutdownConfig { delay: Duration::ZERO, grace: Duration::ZERO };
    let (hint, lifecycle, looks, begun) = (DueHint::default(), Lifecycle::new(times), Cell::new(0), Instant::now());
    let work = || async {
        looks.set(looks.get() + 1);
        match looks.get() {
            1 => Err(StoreError::Unavailable("away".to_owned())),
            _ => Ok(hint.plan_next(Millis(0), None, LEAST)),
        }
    };
    let others = async {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(looks.get(), 1, "the store is left alone for a while");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(looks.get(), 2);
        hint.announce(Millis(9 * SECOND));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(looks.get(), 2, "it looks before that anyway");
        hint.announce(Millis(SECOND));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(looks.get(), 3);
        lifecycle.abort();
    };
    tokio::join!(hint.work_off(&lifecycle, "It failed", work), others);
    assert_eq!(begun.elapsed().as_secs(), 5);
}
