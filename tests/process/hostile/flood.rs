//! Many large bodies at once, and more connections than files may be open.

use std::{thread, time::Duration};

use super::Door;
use crate::support::{
    messages::{self, new_call},
    soon,
};

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
    let words = "word ".repeat(BYTES / 5);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let senders: Vec<_> = (0..BODIES).map(|_| scope.spawn(|| post(&door, &words))).collect();
        senders.into_iter().map(|sender| sender.join().expect("an answer")).collect()
    });
    let (taken, peak) = (statuses.iter().filter(|status| **status == 200).count(), door.service.peak_memory());
    // How many are taken before the others' patience ends depends on the machine.
    assert!(taken > 0 && statuses.iter().all(|status| matches!(status, 200 | 503)), "{taken} of {BODIES} taken: {statuses:?}");
    assert_eq!(post(&door, &words), 200, "afterwards there is room");
    assert!(peak < MEMORY, "{peak} KiB at the peak, with {taken} of {BODIES} taken");
    door.service.is_well();
}

#[test]
fn with_more_connections_than_files_may_be_open_those_that_got_in_are_served_and_the_others_wait() {
    let door = Door::guarded_with(|program| program.under(["sh", "-c", r#"ulimit -n 64; exec "$0" "$@""#]));
    let mut early = door.wire();
    assert_eq!(early.deliver(&messages::report(&new_call())).expect("an answer").status, 200);
    let crowd: Vec<_> = (0..100).map(|_| door.wire()).collect();
    assert!(door.service.says("Can't accept connections right now"), "{}", door.service.said());
    assert_eq!(early.deliver(&messages::report(&new_call())).expect("an answer").status, 200);
    drop(crowd);
    assert!(soon(Duration::from_secs(10), || door.service.post(&messages::report(&new_call())).status == 200));
    door.is_well();
    let complaints = door.service.said().matches("Can't accept").count();
    assert!(complaints < 100, "{complaints} lines about one thing");
}

/// Posts the report of a call with this transcript, of which there is one copy for all; returns the answer's status.
fn post(door: &Door, transcript: &str) -> u16 {
    let before = format!(r#"{{"message":{{"type":"end-of-call-report","call":{{"id":"{}"}},"transcript":""#, new_call());
    let after = "\"}}";
    let head = door.head(&format!("content-length: {}\r\n\r\n", before.len() + transcript.len() + after.len()));
    let mut wire = door.wire();
    // Whoever is refused is not read to the end.
    let _ = [&head, &before, transcript, after].into_iter().try_for_each(|part| wire.send(part));
    let answer = wire.answer().expect("an answer");
    assert_eq!(answer.status == 503, !answer.header("retry-after").is_empty(), "{answer:?}");
    answer.status
}
