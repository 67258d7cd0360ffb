//! The `ringback` program: see the crate's documentation for how it works, and `ringback --help` for what it does.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Webhooks come and go by the thousand, each with some large pieces of memory: this one takes 6 % less of the processor than glibc's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    ringback::cli::main()
}
