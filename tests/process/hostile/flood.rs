//! Many large bodies at once.

use std::thread;

use serde_json::json;

use super::Door;
use crate::support::messages::new_call;

/// Bodies at once.
const BODIES: usize = 200;
/// Bytes of each, about: what is allowed.
const BYTES: usize = 10 * 1_048_576 - 4_096;
/// Twice what all bodies together may take, in KiB: they are read into memory once, and those that are being worked on are held twice.
const MEMORY: u64 = 2 * 256 * 1_024;

#[test]
fn two_hundred_bodies_of_ten_megabytes_at_once_are_all_answered_within_bounded_memory() {
    let door = Door::guarded();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let senders: Vec<_> =
            (0..BODIES).map(|_| scope.spawn(|| door.send(door.webhook(large().as_bytes())).map_or(0, |answer| answer.status))).collect();
        senders.into_iter().map(|sender| sender.join().expect("an answer")).collect()
    });
    let taken = statuses.iter().filter(|status| **status == 200).count();
    let peak = door.service.peak_memory();
    eprintln!("{taken} of {BODIES} taken, {peak} KiB at the peak");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    assert!(taken > BODIES / 2, "{taken} of {BODIES} taken: {statuses:?}");
    assert!(peak < MEMORY, "{peak} KiB at the peak");
    door.service.is_well();
}

/// A report with a transcript of ten megabytes.
fn large() -> String {
    json!({"message": {"type": "end-of-call-report", "call": {"id": new_call()}, "transcript": "word ".repeat(BYTES / 5)}}).to_string()
}
