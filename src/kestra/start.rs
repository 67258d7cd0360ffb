//! An execution was asked for: there is one, or it is certain that there is none, or nobody knows. Pure.

use serde_json::Value;

use super::execution::Execution;
use crate::outbound::{Failure, Reply};

/// Letters of Kestra's words that are passed on.
const MOST_WORDS: usize = 500;

/// What came of asking for an execution.
#[derive(Debug, Clone, PartialEq)]
pub enum Started {
    /// There is one.
    Execution(Execution),
    /// There is none.
    Refused(Told),
    /// There may be one. The text says why nobody knows.
    Unknown(String),
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Kestra's status; `None` when it did not answer.
    pub status: Option<u16>,
    /// Its words, or ours.
    pub words: String,
}

impl Started {
    /// What an answer means. Only what is certain is a refusal: words of Kestra that say so, or a connection that never came about.
    #[must_use]
    pub fn of(reply: Result<Reply, Failure>) -> Self {
        let reply = match reply {
            Ok(reply) => reply,
            Err(Failure::Refused | Failure::Unreachable) => {
                return Self::Refused(Told { status: None, words: "Kestra can't be reached.".to_owned() });
            }
            Err(failure) => return Self::Unknown(format!("Kestra was asked to start the flow: {failure}")),
        };
        let status = reply.status.as_u16();
        if reply.status.is_success() {
            return Execution::read(&reply.body)
                .map_or_else(|| Self::Unknown(format!("Kestra answered {status} with something that is no execution")), Self::Execution);
        }
        match status {
            // Whoever gave up waiting stands before Kestra, and may have passed on what it had.
            408 | 500.. => Self::Unknown(format!("Kestra, or what stands before it, answered {status}")),
            _ => Self::Refused(Told { status: Some(status), words: words(&reply.body) }),
        }
    }
}

fn words(body: &[u8]) -> String {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or("Kestra does not say why.");
    message.chars().take(MOST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::{StatusCode, header::HeaderMap};

    use super::{Failure, Reply, Started};

    fn started(status: u16, body: &str) -> Started {
        let status = StatusCode::from_u16(status).expect("a status");
        Started::of(Ok(Reply { status, headers: HeaderMap::new(), body: body.to_owned().into() }))
    }

    #[test]
    fn only_what_is_certain_is_a_refusal() {
        assert!(matches!(started(200, r#"{"id":"a1","state":{"current":"CREATED"}}"#), Started::Execution(it) if it.id == "a1"));
        for status in [400, 401, 403, 404, 409, 422, 429] {
            let Started::Refused(told) = started(status, r#"{"message":"Not Found: Requested Flow is not found."}"#) else {
                panic!("{status}")
            };
            assert_eq!((told.status, told.words.as_str()), (Some(status), "Not Found: Requested Flow is not found."));
        }
        for (status, body) in [(200, "<html>"), (200, "{}"), (204, ""), (408, ""), (500, r#"{"message":"x"}"#), (502, ""), (504, "")] {
            assert!(matches!(started(status, body), Started::Unknown(_)), "{status} {body}");
        }
        for failure in [Failure::Unreachable, Failure::Refused] {
            assert!(matches!(Started::of(Err(failure)), Started::Refused(told) if told.status.is_none()), "{failure}");
        }
        for failure in [Failure::TimedOut, Failure::Cut, Failure::TooLarge, Failure::Redirected] {
            assert!(matches!(Started::of(Err(failure)), Started::Unknown(_)), "{failure}");
        }
    }

    #[test]
    fn kestras_words_do_not_go_on_without_end() {
        let long = format!(r#"{{"message":"{}"}}"#, "ä".repeat(10_000));
        let (Started::Refused(long), Started::Refused(none)) = (started(422, &long), started(401, "")) else { panic!("refusals") };
        assert_eq!((long.words.chars().count(), none.words.as_str()), (500, "Kestra does not say why."));
    }
}
