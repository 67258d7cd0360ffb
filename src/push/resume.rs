//! Wakes a paused execution of Kestra, whichever generation it is of.
//!
//! The first generation takes `POST …/executions/{id}/resume` and answers 204, the second one `POST …/executions/{id}/actions/resume` and answers
//! 200. 404 may mean the other generation's path, an execution that is not indexed yet, or one that is gone; 409 that it has not paused yet, or
//! has gone on. So both paths are tried, and before each further try the execution is looked at: one that is over is left alone.

use std::sync::atomic::Ordering;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use reqwest::{
    Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Push,
    attempt::{Outcome, WITHIN},
    schedule::Heard,
};
use crate::{
    config::{KestraConfig, KestraLogin},
    outbound::{Failure, Post, Reply, Trust},
    registry::Letter,
};

/// States in which nothing can be resumed any more.
const OVER: [&str; 5] = ["SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED"];
/// Bytes of an answer that are read: the second generation answers with the whole execution, its inputs and outputs.
const MOST_EXECUTION_BYTES: usize = 4 * 1_048_576;

/// One execution, and until when all requests about it have to be done.
struct Paused<'a> {
    config: &'a KestraConfig,
    /// Its address, without a slash at its end.
    address: String,
    deadline: Instant,
}

impl Push {
    pub(super) async fn resume_kestra(
        &self,
        execution: &str,
        tenant: Option<&str>,
        (subject, letter): (&str, &Letter),
        again: bool,
    ) -> Outcome {
        let Some(config) = &self.0.parts.kestra else { return Outcome::failed("KESTRA_URL is not set".to_owned()) };
        let address = format!("{}/api/v1/{}/executions/{execution}", config.url, tenant.unwrap_or(&config.tenant));
        let paused = Paused { config, address, deadline: Instant::now() + WITHIN };
        if again && let Some(state) = self.state_of(&paused).await {
            let error = Some(format!("the execution is over ({state})"));
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
        let path = if second { "/actions/resume" } else { "/resume" };
        let boundary = format!("ringback-{}", uuid::Uuid::new_v4().simple());
        let parts =
            [("callId", subject), ("status", letter.status.unwrap_or_default()), ("dataStatus", letter.data_status.unwrap_or_default())];
        let mut headers = HeaderMap::new();
        headers.extend(HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}")).ok().map(|kind| (CONTENT_TYPE, kind)));
        let body = Bytes::from(form(&boundary, &parts));
        let reply = self.asked(paused, path, Some((headers, body))).await;
        Outcome::of(reply, self.0.parts.clock.now())
    }

    /// The state of an execution that is over; `None` when it is not, or can't be known.
    async fn state_of(&self, paused: &Paused<'_>) -> Option<&'static str> {
        let reply = self.asked(paused, "", None).await.ok().filter(|reply| reply.status.is_success())?;
        let execution: Value = serde_json::from_slice(&reply.body).ok()?;
        let state = execution.pointer("/state/current")?.as_str()?;
        OVER.into_iter().find(|over| *over == state)
    }

    async fn asked(&self, paused: &Paused<'_>, path: &str, form: Option<(HeaderMap, Bytes)>) -> Result<Reply, Failure> {
        let Ok(url) = Url::parse(&format!("{}{path}", paused.address)) else { return Err(Failure::Unreachable) };
        let within = paused.deadline.saturating_duration_since(Instant::now());
        let posts = form.is_some();
        let (mut headers, body) = form.unwrap_or_default();
        let most_bytes = MOST_EXECUTION_BYTES;
        headers.extend(credentials(&paused.config.login).map(|value| (AUTHORIZATION, value)));
        let post = Post { url: &url, trust: Trust::Configured, headers, body, within, most_bytes };
        if posts { self.0.parts.outbound.post(post).await } else { self.0.parts.outbound.get(post).await }
    }
}

fn credentials(login: &KestraLogin) -> Option<HeaderValue> {
    let text = match login {
        KestraLogin::Open => return None,
        KestraLogin::Basic(user, password) => format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose_secret()))),
        KestraLogin::Token(token) => format!("Bearer {}", token.expose_secret()),
    };
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A form of texts. No part has a file name: Kestra would take it for a file.
fn form(boundary: &str, parts: &[(&str, &str)]) -> String {
    let part = |(name, text): &(&str, &str)| format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
    parts.iter().map(part).collect::<String>() + &format!("--{boundary}--\r\n")
}
