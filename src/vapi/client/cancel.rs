//! Calling off: a call that goes on is hung up through its control address, one that has not begun is deleted at Vapi.
//!
//! Only such a one: to delete a call that goes on would take its record away at Vapi, and nobody says that it ends the call.
//!
//! The address stands in the call (`monitor.controlUrl`), opens without a key to whoever has it, and is therefore never stored: the call is fetched
//! for it each time. Our key is not sent there.

use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Changed, Fetched, VapiClient, in_words, traced};
use crate::call::id::CallId;

/// Why a call that goes on is not hung up.
const NO_CONTROL: &str = "The call goes on, and Vapi gives no address (monitor.controlUrl) by which it could be hung up.";

/// What came of calling off a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canceled {
    /// Vapi was told, and took it.
    Done,
    /// The call has ended already.
    Ended,
    /// Vapi knows no such call.
    Unknown,
    /// Vapi refuses the key.
    Denied,
    /// Vapi was not told, or did not take it.
    Failed(String),
}

impl VapiClient {
    /// Hangs up a call that goes on; unschedules one that has not begun.
    pub async fn cancel(&self, id: &CallId) -> Canceled {
        let body = match self.call(id).await {
            Fetched::Call(body) => body,
            Fetched::Unknown => return Canceled::Unknown,
            Fetched::Denied { .. } => return Canceled::Denied,
            Fetched::Failed { error, .. } => return Canceled::Failed(error),
        };
        let call: Value = serde_json::from_slice(&body).unwrap_or_default();
        let control = call["monitor"]["controlUrl"].as_str().and_then(|url| Url::parse(url).ok());
        let control = match (call["status"].as_str(), control) {
            (Some("ended"), _) => return Canceled::Ended,
            (Some("scheduled"), _) | (Some("queued"), None) => return unscheduled(self.remove(id).await),
            (_, Some(control)) => control,
            (_, None) => return Canceled::Failed(NO_CONTROL.to_owned()),
        };
        let outcome = self.hang_up(control).await;
        self.counted("control", outcome.as_ref().ok().copied());
        match outcome {
            Ok(200..300) => Canceled::Done,
            Ok(401 | 403) => Canceled::Denied,
            // It may have ended since it was fetched.
            Ok(400..500) if self.has_ended(id).await => Canceled::Ended,
            Ok(status) => not_taken(status),
            Err(why) => Canceled::Failed(why),
        }
    }

    async fn has_ended(&self, id: &CallId) -> bool {
        let Fetched::Call(body) = self.call(id).await else { return false };
        serde_json::from_slice::<Value>(&body).is_ok_and(|call| call["status"] == "ended")
    }

    async fn hang_up(&self, url: Url) -> Result<u16, String> {
        let shared = &*self.shared;
        // An address that Vapi itself could not have is no address of Vapi's.
        if url.scheme() != "https" && url.origin() != shared.url.origin() {
            return Err("Vapi gave an address for hanging up that can't be trusted".to_owned());
        }
        shared.limiter.urgent().await;
        let request = traced(shared.http.post(url).json(&json!({"type": "end-call"})));
        let sent = timeout(shared.timeout, request.send()).await.map_err(|_late| "Vapi did not answer in time".to_owned())?;
        sent.map(|answer| answer.status().as_u16()).map_err(|error| in_words(&error))
    }
}

fn unscheduled(removed: Changed) -> Canceled {
    match removed {
        Changed::Done(_) => Canceled::Done,
        Changed::Unknown => Canceled::Unknown,
        Changed::Refused { status: 401 | 403, .. } => Canceled::Denied,
        Changed::Refused { status, .. } => not_taken(status),
        Changed::Failed(why) => Canceled::Failed(why),
    }
}

fn not_taken(status: u16) -> Canceled {
    Canceled::Failed(format!("Vapi answered {status} when the call was called off"))
}
