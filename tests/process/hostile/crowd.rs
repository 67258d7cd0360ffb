//! Everybody comes at once.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{home::Home, program::Program, skipped};

/// Those who come back after a restart; more than most programs have room for.
const CROWD: usize = 600;
/// The kernel tries again after a second: who is let in before was let in at once.
const AT_ONCE: Duration = Duration::from_millis(900);

#[test]
fn a_crowd_that_comes_while_nobody_is_let_in_is_held_ready_and_answered() {
    if most_held() < CROWD {
        return skipped("the kernel holds fewer connections ready (net.core.somaxconn)");
    }
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let address = service.address();
    // As while the machine stands still.
    service.signal(Signal::STOP);
    let crowd: Vec<TcpStream> = thread::scope(|scope| {
        let come = || TcpStream::connect_timeout(&address, AT_ONCE).expect("there is room");
        let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(come)).collect();
        crowd.into_iter().map(|one| one.join().expect("let in")).collect()
    });
    service.signal(Signal::CONT);
    for mut one in crowd {
        one.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("it listens");
        let mut answer = String::new();
        one.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    service.stop();
}

fn most_held() -> usize {
    fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|most| most.trim().parse().ok()).unwrap_or_default()
}
