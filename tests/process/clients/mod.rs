//! Clients that people really use, each as it is installed. With `RINGBACK_SKIP_CLIENTS=1` the story says that it was left out. Without, what a story
//! of `--ignored` needs has to be there, and the others say what is not.

mod sdk;
mod streams;
mod types;

use std::process::{Command, Stdio};

use crate::support::skipped;

/// Does `RINGBACK_SKIP_CLIENTS` leave this out? Then that is said.
fn left_out(what: &str) -> bool {
    let is_skipped = skips_clients();
    if is_skipped {
        skipped(&format!("{what}: left out, as RINGBACK_SKIP_CLIENTS says"));
    }
    is_skipped
}

/// The story ends here, as a failure.
fn unavailable(what: &str, why: &str) -> ! {
    panic!("{what}: {why}\nInstall it, or set RINGBACK_SKIP_CLIENTS=1 to leave such clients out.")
}

fn skips_clients() -> bool {
    std::env::var_os("RINGBACK_SKIP_CLIENTS").is_some_and(|value| value == "1")
}

/// Is there such a program, and may it be used?
fn is_there(program: &str) -> bool {
    if skips_clients() {
        return false;
    }
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
