//! The `ringback` program: see the crate's documentation for how it works, and `ringback --help` for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringback::cli::main()
}
