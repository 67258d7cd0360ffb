//! The examination on a schedule, inside the service: a metric, and a log line when something appears or goes.

use std::{collections::BTreeMap, time::Duration};

use tracing::{error, info, warn};

use super::{CHECKS, Doctor, Finding, Severity, house::Named, latest::Latest, of_store};
use crate::{lifecycle::Lifecycle, store::Store, telemetry::Metrics};

/// The first round is made no later than this after the start, but not at once: the road here may still be opening.
const FIRST: Duration = Duration::from_secs(30);
/// A store that takes longer does not answer.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// What tells one finding from another.
type Key = (&'static str, Option<String>, String);

/// Examines again and again. It reads from Vapi what one list each of assistants and numbers tells, and sends itself two small events.
pub struct Rounds {
    doctor: Doctor,
    store: Store,
    metrics: Metrics,
    latest: Latest,
    known: BTreeMap<Key, Severity>,
}

impl Rounds {
    /// Nothing has been found yet; what will be is noted in `latest`.
    #[must_use]
    pub fn new(doctor: Doctor, store: Store, metrics: Metrics, latest: Latest) -> Self {
        Self { doctor, store, metrics, latest, known: BTreeMap::new() }
    }

    /// Works until `lifecycle` stops it.
    pub async fn run(mut self, every: Duration, lifecycle: Lifecycle) {
        let mut pause = every.min(FIRST);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = lifecycle.soft_stopped() => return,
            }
            tokio::select! {
                () = self.step() => {}
                () = lifecycle.soft_stopped() => return,
            }
            pause = every;
        }
    }

    /// One round.
    pub async fn step(&mut self) {
        let mut findings = self.doctor.examine(&Named::default()).await.findings;
        if let Ok(health) = tokio::time::timeout(STORE_DEADLINE, self.store.health()).await {
            findings.extend(of_store(&health));
        } else {
            findings.push(Finding::error("store", "the store does not answer"));
        }
        self.latest.note(self.doctor.clock.now(), &findings);
        self.tell(&findings);
    }

    fn tell(&mut self, findings: &[Finding]) {
        let bad = || findings.iter().filter(|finding| finding.severity != Severity::Ok);
        for check in CHECKS {
            self.metrics.set_doctor_findings(check, bad().filter(|finding| finding.check == check).count());
        }
        let key = |finding: &Finding| (finding.check, finding.subject.clone(), finding.found.clone());
        let now: BTreeMap<Key, Severity> = bad().map(|finding| (key(finding), finding.severity)).collect();
        for finding in bad().filter(|finding| !self.known.contains_key(&key(finding))) {
            let Finding { check, subject, found, advice, .. } = finding;
            if finding.severity == Severity::Error {
                error!(check, subject, advice, "Doctor: {found}");
            } else {
                warn!(check, subject, advice, "Doctor: {found}");
            }
        }
        for (check, subject, found) in self.known.keys().filter(|known| !now.contains_key(*known)) {
            info!(check, subject, "Doctor: no more: {found}");
        }
        self.known = now;
    }
}
