//! Clients that dawdle: they cost a bounded amount, and others are served meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::Door;
use crate::support::{messages, soon, wire::Wire};

/// Dawdlers at once.
const DAWDLERS: usize = 200;
/// How long they are watched.
const WATCHED: Duration = Duration::from_secs(2);
/// Between two of their bytes.
const PAUSE: Duration = Duration::from_millis(100);
/// Others are answered within this time; long, because debug builds share their cores.
const PROMPT: Duration = Duration::from_secs(2);
/// A head and a body each have 30 s to arrive; this is when they are cut, give or take …
const EARLIEST: Duration = Duration::from_secs(28);
/// … what a busy machine takes.
const LATEST: Duration = Duration::from_secs(36);

#[test]
fn while_hundreds_dawdle_over_heads_and_bodies_others_are_served() {
    let door = Door::guarded();
    let head = door.head("x-slow: ");
    let body = door.head("content-length: 1000000\r\n\r\n{\"message\":{\"type\":\"hang\",\"slow\":\"");
    let chunks = door.head("transfer-encoding: chunked\r\n\r\n");
    let begin = |index: usize| {
        let mut wire = door.wire();
        let (beginning, piece) = [(&head, "x"), (&body, "x"), (&chunks, "1\r\nx\r\n")][index % 3];
        wire.send(beginning).expect("the beginning is sent");
        (wire, piece)
    };
    let mut dawdlers: Vec<(Wire, &str)> = (0..DAWDLERS).map(begin).collect();
    let from = Instant::now();
    while from.elapsed() < WATCHED {
        for (wire, piece) in &mut dawdlers {
            wire.send(piece).expect("it still listens");
        }
        let asked = Instant::now();
        assert_eq!(door.service.post(&messages::report(&messages::new_call())).status, 200);
        assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
        thread::sleep(PAUSE);
    }
    door.is_well();
}

#[test]
fn heads_and_bodies_that_never_end_are_cut_after_half_a_minute() {
    let door = Door::guarded();
    let mut head = door.wire();
    let mut body = door.wire();
    let mut silent = door.wire();
    let mut idle = door.wire();
    assert_eq!(idle.ask("GET", "/livez", &[], b"").expect("an answer").status, 200);
    head.send(door.head("x-slow: ")).expect("the beginning is sent");
    body.send(door.head("content-length: 1000000\r\n\r\n{")).expect("the beginning is sent");
    let begun = Instant::now();
    // One byte a second starts no clock anew.
    let cut = soon(LATEST, || {
        thread::sleep(Duration::from_secs(1));
        let open = [head.send("x").is_ok(), body.send("x").is_ok()];
        open == [false, false]
    });
    assert!(cut, "still open after {:?}", begun.elapsed());
    assert!(begun.elapsed() > EARLIEST, "cut after {:?}, which is early", begun.elapsed());
    if let Ok(answer) = body.answer() {
        assert_eq!(answer.verdict(), (400, "INVALID_PAYLOAD".to_owned()), "it says why");
    }
    assert!(silent.is_closed_within(Duration::from_secs(5)), "a connection that never said anything");
    assert!(idle.is_closed_within(Duration::from_secs(5)), "a connection that said nothing more");
    door.is_well();
}
