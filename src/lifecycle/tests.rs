use std::{
    future::pending,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{DONE, FAILED, Lifecycle, SAME_SIGNAL, panic_reason};
use crate::config::ShutdownConfig;

const DELAY: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(25);

fn lifecycle() -> Lifecycle {
    Lifecycle::new(ShutdownConfig { delay: DELAY, grace: GRACE })
}

/// Supervises to the end; the exit code, and the time it took from now.
async fn end(lifecycle: &Lifecycle) -> (u8, Duration) {
    let start = Instant::now();
    (lifecycle.supervise().await, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_program_runs_until_it_is_stopped() {
    let lifecycle = lifecycle();
    assert!(timeout(Duration::from_hours(1), lifecycle.supervise()).await.is_err());
    assert!(!lifecycle.is_stopping());
}

#[tokio::test(start_paused = true)]
async fn readiness_goes_first_and_the_soft_stop_follows_after_the_delay() {
    let lifecycle = lifecycle();
    lifecycle.stop();
    assert!(lifecycle.is_stopping() && !lifecycle.is_soft_stopped());

    let watcher = lifecycle.clone();
    let seen = lifecycle.spawn_quiet(async move {
        let start = Instant::now();
        watcher.soft_stopped().await;
        start.elapsed()
    });
    assert_eq!(end(&lifecycle).await, (DONE, DELAY));
    assert_eq!(seen.await.unwrap(), DELAY);
}

#[tokio::test(start_paused = true)]
async fn running_work_is_drained() {
    let lifecycle = lifecycle();
    let finished = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let finished = Arc::clone(&finished);
        lifecycle.spawn_quiet(async move {
            sleep(DELAY + Duration::from_secs(3)).await;
            finished.fetch_add(1, Ordering::SeqCst);
        });
    }
    lifecycle.stop();
    assert_eq!(end(&lifecycle).await, (DONE, DELAY + Duration::from_secs(3)));
    assert_eq!(finished.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn work_that_begins_while_draining_is_waited_for() {
    let lifecycle = lifecycle();
    let (parent, done) = (lifecycle.clone(), Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&done);
    lifecycle.spawn("http", async move {
        parent.soft_stopped().await;
        sleep(Duration::from_secs(1)).await;
        parent.spawn_quiet(async move {
            sleep(Duration::from_secs(1)).await;
            flag.store(true, Ordering::SeqCst);
        });
    });
    lifecycle.stop();
    assert_eq!(end(&lifecycle).await, (DONE, DELAY + Duration::from_secs(2)));
    assert!(done.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_is_dropped_before_the_deadline() {
    let lifecycle = lifecycle();
    lifecycle.spawn("worker", pending());
    lifecycle.stop();
    let (code, took) = end(&lifecycle).await;
    assert_eq!(code, DONE, "the worker was waiting, so dropping it lost nothing");
    assert!(took > DELAY + GRACE / 2 && took < DELAY + GRACE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_ignores_the_hard_stop_does_not_keep_the_process() {
    let lifecycle = lifecycle();
    let _request = lifecycle.spawn_quiet(pending::<()>());
    lifecycle.stop();
    let (code, took) = end(&lifecycle).await;
    assert!(code == DONE && took < DELAY + GRACE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_may_watch_the_hard_stop() {
    let lifecycle = lifecycle();
    let watcher = lifecycle.clone();
    let request = lifecycle.spawn_quiet(async move { watcher.hard_stopped().await });
    lifecycle.stop();
    let (code, took) = end(&lifecycle).await;
    assert!(code == DONE && took < DELAY + GRACE);
    request.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_the_delay_and_the_drain() {
    let lifecycle = lifecycle();
    lifecycle.spawn("worker", pending());
    lifecycle.stop();
    lifecycle.abort();
    assert_eq!(end(&lifecycle).await, (DONE, Duration::ZERO));

    let draining = self::lifecycle();
    draining.spawn("worker", pending());
    let handle = draining.clone();
    let operator = async {
        handle.stop();
        sleep(DELAY + Duration::from_secs(2)).await;
        handle.abort();
    };
    let (ended, ()) = tokio::join!(end(&draining), operator);
    assert_eq!(ended, (DONE, DELAY + Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn a_crashed_task_stops_the_program_at_once_with_a_failure() {
    let lifecycle = lifecycle();
    let others_drained = Arc::new(AtomicBool::new(false));
    let (other, drained) = (lifecycle.clone(), Arc::clone(&others_drained));
    lifecycle.spawn("enrich", async move {
        other.soft_stopped().await;
        drained.store(true, Ordering::SeqCst);
    });
    lifecycle.spawn("reaper", async { panic!("on purpose") });
    assert_eq!(end(&lifecycle).await, (FAILED, Duration::ZERO));
    assert!(lifecycle.is_stopping() && others_drained.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_crashes_while_draining_is_a_failure_too() {
    let lifecycle = lifecycle();
    let task = lifecycle.clone();
    lifecycle.spawn("reaper", async move {
        task.soft_stopped().await;
        panic!("on purpose");
    });
    lifecycle.stop();
    assert_eq!(end(&lifecycle).await.0, FAILED);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_request_is_returned_to_its_caller_only() {
    let lifecycle = lifecycle();
    let request = lifecycle.spawn_quiet(async {
        assert!(Instant::now().elapsed() > DELAY, "on purpose");
    });
    assert!(request.await.unwrap_err().is_panic());
    assert!(!lifecycle.is_stopping());
    lifecycle.stop();
    assert_eq!(end(&lifecycle).await.0, DONE);
}

#[tokio::test(start_paused = true)]
async fn a_task_may_end_by_itself() {
    let lifecycle = lifecycle();
    lifecycle.spawn("once", async {});
    sleep(Duration::from_secs(1)).await;
    assert!(!lifecycle.is_stopping());
    lifecycle.stop();
    assert_eq!(end(&lifecycle).await, (DONE, DELAY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_task_that_blocks_beyond_the_deadline_is_a_failure() {
    let lifecycle = Lifecycle::new(ShutdownConfig { delay: Duration::ZERO, grace: Duration::from_millis(100) });
    let (begun, begins) = tokio::sync::oneshot::channel();
    lifecycle.spawn("stuck", async {
        let _ = begun.send(());
        std::thread::sleep(Duration::from_millis(600));
    });
    begins.await.unwrap();
    lifecycle.stop();
    let (code, took) = end(&lifecycle).await;
    assert_eq!(code, FAILED);
    assert!(took < Duration::from_millis(400), "{took:?}");
}

#[tokio::test]
async fn the_first_signal_stops_its_echo_does_nothing_and_the_second_aborts() {
    let lifecycle = lifecycle();
    lifecycle.watch_signals().unwrap();
    lifecycle.spawn("worker", pending());
    for (signal, stopped, aborted) in [("-TERM", true, false), ("-INT", true, true)] {
        for _echo in 0..2 {
            assert!(Command::new("kill").args([signal, &std::process::id().to_string()]).status().unwrap().success());
        }
        timeout(Duration::from_secs(5), async {
            while (lifecycle.is_stopping(), lifecycle.is_soft_stopped()) != (stopped, aborted) {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the signal arrives");
        sleep(SAME_SIGNAL * 2).await;
        assert_eq!(lifecycle.is_soft_stopped(), aborted);
    }
    assert_eq!(lifecycle.supervise().await, DONE);
}

#[test]
fn only_a_fixed_text_of_a_panic_is_told() {
    let fixed = std::panic::catch_unwind(|| panic!("a fixed text")).unwrap_err();
    assert_eq!(panic_reason(fixed.as_ref()), "a fixed text");
    let number = "+15550100";
    let quoting = std::panic::catch_unwind(|| panic!("no such number: {number}")).unwrap_err();
    assert!(!panic_reason(quoting.as_ref()).contains(number));
}
