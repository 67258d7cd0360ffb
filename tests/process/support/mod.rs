//! What the stories share.

pub(crate) mod home;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod messages;
pub(crate) mod program;
pub(crate) mod road;
pub(crate) mod service;
pub(crate) mod subscriber;
pub(crate) mod target;
pub(crate) mod terminal;
pub(crate) mod wire;

use std::{
    io::Write as _,
    thread::sleep,
    time::{Duration, Instant},
};

/// The secret that webhooks are proven with.
pub(crate) const SECRET: &str = "a-secret-of-the-tests-9f2c";

/// A number below `bound`, another one each time.
pub(crate) fn random_below(bound: u64) -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0 % bound
}

/// Says that something could not be shown here, past the test harness, which keeps what passing tests print to itself.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {why} ***\n");
}

/// Waits until it is so; false when it is not within `patience`.
pub(crate) fn soon(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if done() {
            return true;
        }
        if begun.elapsed() > patience {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
}
