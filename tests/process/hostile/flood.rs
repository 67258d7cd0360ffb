//! Many large bodies at once.

use std::thread;

use serde_json::json;

use super::Door;
use crate::support::messages::new_call;

/// Bodies at once.
const BODIES: usize = 200;
/// Bytes of each, about: what is allowed.
const BYTES: usize = 10 * 1_048_576 - 4_096;
/// Memory at most, in KiB: what working on the few takes that are let in at once, and what those hold that wait outside.
const MEMORY: u64 = 320 * 1_024;

#[test]
fn two_hundred_bodies_of_ten_megabytes_at_once_are_all_answered_within_bounded_memory() {
    // The cache may keep what was taken, as much as it is told; here it is about the taking. The allocator is set as the image sets it.
    let door = Door::guarded_with(|program| program.set("CACHE_MAX_MB", "16").set("MALLOC_MMAP_THRESHOLD_", "1048576"));
    let post = || door.send(door.webhook(large().as_bytes())).map_or(0, |answer| answer.status);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let senders: Vec<_> = (0..BODIES).map(|_| scope.spawn(post)).collect();
        senders.into_iter().map(|sender| sender.join().expect("an answer")).collect()
    });
    let (taken, peak) = (statuses.iter().filter(|status| **status == 200).count(), door.service.peak_memory());
    // How many are taken before the others' patience ends depends on the machine.
    assert!(taken > 0 && statuses.iter().all(|status| matches!(status, 200 | 503)), "{taken} of {BODIES} taken: {statuses:?}");
    assert_eq!(post(), 200, "afterwards there is room");
    assert!(peak < MEMORY, "{peak} KiB at the peak, with {taken} of {BODIES} taken");
    door.service.is_well();
}

/// A report with a transcript of ten megabytes.
fn large() -> String {
    json!({"message": {"type": "end-of-call-report", "call": {"id": new_call()}, "transcript": "word ".repeat(BYTES / 5)}}).to_string()
}
