//! What the latest round found, for whoever asks.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Finding, Severity};
use crate::call::time::Millis;

/// What the latest round found; a cheap handle, shared with those who show it.
#[derive(Debug, Clone, Default)]
pub struct Latest(Arc<Mutex<Option<Round>>>);

/// One round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// When it ended.
    pub at: Millis,
    /// Its warnings and errors, the errors first.
    pub findings: Vec<Finding>,
}

impl Latest {
    /// The latest round; `None` before the first one of this process has ended.
    #[must_use]
    pub fn round(&self) -> Option<Round> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A round ended.
    pub fn note(&self, at: Millis, findings: &[Finding]) {
        let mut findings: Vec<Finding> = findings.iter().filter(|finding| finding.severity != Severity::Ok).cloned().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Round { at, findings });
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Latest, Millis, Severity};

    #[test]
    fn what_is_as_it_should_be_is_no_finding_and_errors_come_first() {
        let latest = Latest::default();
        assert_eq!(latest.round(), None);
        let seen = latest.clone();
        latest.note(Millis(7), &[Finding::ok("clock", "fine"), Finding::warning("config", "odd"), Finding::error("store", "gone")]);
        let round = seen.round().expect("a round");
        assert_eq!(round.at, Millis(7));
        assert_eq!(
            round.findings.iter().map(|it| (it.check, it.severity)).collect::<Vec<_>>(),
            [("store", Severity::Error), ("config", Severity::Warning)]
        );
        latest.note(Millis(8), &[]);
        assert!(seen.round().is_some_and(|round| round.findings.is_empty()), "what is mended goes");
    }
}
