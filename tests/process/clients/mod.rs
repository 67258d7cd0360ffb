//! Clients that people really use, each as it is installed; where one is not, or `RINGBACK_SKIP_CLIENTS=1`, the story says so.

mod sdk;
mod streams;
mod types;

use std::process::{Command, Stdio};

/// Is there such a program, and may it be used?
fn is_there(program: &str) -> bool {
    if std::env::var_os("RINGBACK_SKIP_CLIENTS").is_some_and(|value| value == "1") {
        return false;
    }
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
