//! What is told, in rows and in the log, while a batch can't go on as it should: calls that are not placed, calls that are not hung up.

use tracing::{info, warn};

use super::{
    shift::Shift,
    watch::{HangUp, MOST_HANG_UPS, hung_up},
};
use crate::{
    batch::{Ending, Trouble},
    dial::DialError,
    vapi::client::RefusalReason,
};

/// Stands behind a trouble that may pass.
const AGAIN: &str = "It is tried again.";

/// A trouble of this code, in these words.
pub(super) fn trouble(code: &str, error: String) -> Trouble {
    Trouble { code: code.to_owned(), error }
}

/// There is no call, and why.
pub(super) fn failed(code: &str, error: &str) -> Ending {
    Ending::Failed(trouble(code, error.to_owned()))
}

/// Why a call is not placed, for now or for good.
pub(super) fn not_placed(error: &DialError) -> Trouble {
    match error {
        DialError::Refused(refusal) => {
            let code = match refusal.reason {
                RefusalReason::Rejected => "VAPI_REJECTED",
                RefusalReason::Account => "VAPI_ACCOUNT",
                RefusalReason::RateLimited => "VAPI_RATE_LIMITED",
                RefusalReason::Unavailable => "VAPI_UNAVAILABLE",
                RefusalReason::Kestra => "KESTRA_UNAVAILABLE",
            };
            trouble(code, refusal.words())
        }
        DialError::NumberNotAllowed => trouble("NUMBER_NOT_ALLOWED", "The number is not in DIAL_ALLOW.".to_owned()),
        DialError::NoKey => trouble("VAPI_ACCOUNT", "There is no VAPI_API_KEY any more.".to_owned()),
        DialError::TooMany => trouble("RATE_LIMITED", "DIAL_MAX_PER_MINUTE calls were placed within a minute.".to_owned()),
        other => trouble("INTERNAL", format!("The call could not be placed: {other}.")),
    }
}

impl Shift {
    /// A call is not placed yet. The first of a row of failures is told in the log; each stands in its row until the call is placed.
    pub(super) fn tell_not_placed(&mut self, index: usize, error: &DialError) {
        let Trouble { code, error: why } = not_placed(error);
        let (batch_id, status) = (&self.batch.document.id, status(error));
        match (error, code.as_str()) {
            // That is as somebody wants it.
            (DialError::TooMany | DialError::Stopping, _) => {}
            _ if std::mem::replace(&mut self.failing, true) => {}
            (_, "VAPI_RATE_LIMITED") => info!(batch_id, code, status, "All lines are busy; a batch goes slower"),
            _ => warn!(batch_id, index, code, status, "A call of a batch is not placed; it is tried again"),
        }
        let error = format!("{}. {AGAIN}", why.trim_end_matches('.'));
        self.batch.says.entries[index].trouble = Some(Trouble { code, error });
    }

    /// Calls are placed again.
    pub(super) fn tell_placed(&mut self, index: usize) {
        self.batch.says.entries[index].trouble = None;
        if std::mem::take(&mut self.failing) {
            info!(batch_id = self.batch.document.id, "Calls of a batch are placed again");
        }
    }

    /// A call of a canceled batch was hung up, or is not yet: then Vapi is asked again, as long as that is of use.
    pub(super) fn take_hang_up(&mut self, HangUp { index, id, tries, result }: HangUp) {
        let entry = &mut self.batch.says.entries[index];
        if entry.ending.is_some() {
            return;
        }
        let Err(Trouble { code, error }) = result else {
            entry.trouble = None;
            return;
        };
        let goes_on = tries < MOST_HANG_UPS && code != "CALL_NOT_FOUND";
        let (batch_id, call_id) = (&self.batch.document.id, id.as_str());
        let next = if goes_on { AGAIN } else { "It comes to its own end." };
        if !goes_on {
            warn!(batch_id, call_id, tries, why = error, "A call of a canceled batch was not hung up; it comes to its own end");
        } else if tries == 1 {
            warn!(batch_id, call_id, why = error, "A call of a canceled batch is not hung up yet; that is tried again");
        }
        entry.trouble = Some(Trouble { code, error: format!("The call could not be hung up: {}. {next}", error.trim_end_matches('.')) });
        if goes_on {
            self.work.push(Box::pin(hung_up(self.batches.clone(), index, id, tries)));
        }
    }
}

/// The status of the answer that said so: the words may hold numbers, which the log never does.
fn status(error: &DialError) -> Option<u64> {
    match error {
        DialError::Refused(refusal) => refusal.details["status"].as_u64(),
        _ => None,
    }
}
