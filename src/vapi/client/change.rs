//! Changing and deleting a call at Vapi, for somebody who is to hear what Vapi says of it.

use hyper::body::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{
    NoAnswer, VapiClient, Whole, answer,
    create::{hide, words_of},
    stands_in_a_path,
};
use crate::call::id::CallId;

/// What came of changing a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Vapi did it; its answer is the call.
    Done(Bytes),
    /// Vapi knows no such call.
    Unknown,
    /// Vapi did not do it.
    Refused {
        /// Its status.
        status: u16,
        /// Its words.
        message: Value,
    },
    /// Nobody knows, or it never got there: in words for the caller.
    Failed(String),
}

impl VapiClient {
    /// Changes fields of a call: `PATCH /call/{id}`.
    pub async fn change(&self, id: &CallId, fields: &Value) -> Changed {
        if !stands_in_a_path(id) {
            return Changed::Unknown;
        }
        self.changed(self.ask("change", self.shared.request(Method::PATCH, &["call", id.as_str()], &[]).json(fields)).await)
    }

    /// Deletes a call and what Vapi keeps of it: `DELETE /call/{id}`.
    pub async fn remove(&self, id: &CallId) -> Changed {
        if !stands_in_a_path(id) {
            return Changed::Unknown;
        }
        self.changed(self.ask("delete", self.shared.request(Method::DELETE, &["call", id.as_str()], &[])).await)
    }

    fn changed(&self, outcome: Result<Whole, NoAnswer>) -> Changed {
        let whole = match outcome {
            Ok(whole) if answer::is_page(&whole) => return Changed::Failed(answer::page(whole.status)),
            Ok(whole) => whole,
            Err(why) => return Changed::Failed(why.to_string()),
        };
        let words = words_of(&whole.body);
        match (whole.status, words) {
            (status, _) if status.is_success() => Changed::Done(whole.body),
            (StatusCode::NOT_FOUND, Some(_)) => Changed::Unknown,
            (status, Some(mut words)) if status.is_client_error() || status.is_server_error() => {
                hide(&mut words, self.key());
                Changed::Refused { status: status.as_u16(), message: words["message"].take() }
            }
            (status, _) => Changed::Failed(answer::refusal(status, &whole.body)),
        }
    }

    /// The key, to take it out of Vapi's words.
    pub(super) fn key(&self) -> &str {
        self.shared.authorization.to_str().unwrap_or_default().trim_start_matches("Bearer ")
    }
}
