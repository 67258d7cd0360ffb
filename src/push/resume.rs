//! Wakes a paused execution of Kestra, whichever generation it is of.
//!
//! The first generation answers 204, the second one, on another path, 200. 404 may mean the other generation's path, an execution that is not
//! indexed yet, or one that is gone; 409 that it has not paused yet, or has gone on. So both paths are tried, and before each further try the
//! execution is looked at: one that is over is left alone.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::{
    Push,
    attempt::{Outcome, WITHIN},
    schedule::Heard,
};
use crate::{
    kestra::{Kestra, Looked},
    registry::Letter,
};

/// One execution, and until when all requests about it have to be done.
struct Paused<'a> {
    kestra: &'a Kestra,
    /// Its id, and its tenant if one is named.
    execution: (&'a str, Option<&'a str>),
    deadline: Instant,
}

impl Paused<'_> {
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl Push {
    pub(super) async fn resume_kestra(&self, id: &str, tenant: Option<&str>, (subject, letter): (&str, &Letter), again: bool) -> Outcome {
        let Some(kestra) = &self.0.parts.kestra else { return Outcome::failed("KESTRA_URL is not set".to_owned()) };
        let paused = Paused { kestra, execution: (id, tenant), deadline: Instant::now() + WITHIN };
        if again
            && let Looked::Found(execution) = kestra.execution(id, tenant, paused.left()).await
            && execution.is_over()
        {
            let error = Some(format!("the execution is over ({})", execution.state));
            return Outcome { heard: Heard::Over, status: None, error, patience: None };
        }
        let second = self.0.kestra_is_second.load(Ordering::Relaxed);
        let first_try = self.resume(&paused, second, subject, letter).await;
        if first_try.heard != Heard::Status(404) {
            return first_try;
        }
        let other = self.resume(&paused, !second, subject, letter).await;
        match other.heard {
            Heard::Taken => self.0.kestra_is_second.store(!second, Ordering::Relaxed),
            // What the other path says counts, unless there is no such path.
            Heard::Status(404 | 405) => return first_try,
            _ => {}
        }
        other
    }

    async fn resume(&self, paused: &Paused<'_>, second: bool, subject: &str, letter: &Letter) -> Outcome {
        let inputs =
            [("callId", subject), ("status", letter.status.unwrap_or_default()), ("dataStatus", letter.data_status.unwrap_or_default())];
        let reply = paused.kestra.resume(paused.execution, second, &inputs, paused.left()).await;
        Outcome::of(reply, self.0.parts.clock.now())
    }
}
