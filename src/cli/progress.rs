//! A bar for work that takes its time; on a terminal only.

use std::io::{IsTerminal as _, Write as _};

use tokio_util::sync::CancellationToken;

use crate::transfer::Watcher;

/// Marks of a full bar.
const WIDTH: u64 = 30;

/// The bar, and what Ctrl-C does.
pub(super) struct Bar {
    unit: &'static str,
    is_shown: bool,
    shown: String,
    stop: CancellationToken,
}

impl Bar {
    /// A bar that counts these.
    pub(super) fn of(unit: &'static str, stop: CancellationToken) -> Self {
        Self { unit, is_shown: std::io::stderr().is_terminal(), shown: String::new(), stop }
    }

    /// Ends its line.
    pub(super) fn end(&mut self) {
        if !self.shown.is_empty() {
            eprintln!();
            self.shown.clear();
        }
    }
}

fn line(done: u64, all: u64, unit: &str) -> String {
    let all = all.max(done);
    let part = |whole: u64| (done * whole).checked_div(all).unwrap_or(whole);
    let full = usize::try_from(part(WIDTH)).unwrap_or_default();
    let width = usize::try_from(WIDTH).unwrap_or_default();
    format!("[{:<width$}] {:>3} % {done} of {all} {unit}", "#".repeat(full), part(100))
}

impl Watcher for Bar {
    fn told(&mut self, done: u64, all: u64) {
        if !self.is_shown {
            return;
        }
        let line = line(done, all, self.unit);
        if line != self.shown {
            // A terminal that is gone is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
            self.shown = line;
        }
    }

    fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_bar_grows_with_what_is_done() {
        assert_eq!(line(0, 200, "calls"), "[                              ]   0 % 0 of 200 calls");
        assert_eq!(line(100, 200, "calls"), "[###############               ]  50 % 100 of 200 calls");
        assert_eq!(line(201, 200, "calls"), "[##############################] 100 % 201 of 201 calls");
        assert_eq!(line(0, 0, "calls"), "[##############################] 100 % 0 of 0 calls");
    }
}
