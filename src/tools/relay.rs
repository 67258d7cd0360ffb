//! Passes messages on to the server URL that was there before: what asks nothing follows its commit, best effort.

use std::{sync::Arc, time::Duration};

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::{sync::Semaphore, time::sleep};
use tracing::warn;

use super::{
    Heard, Tools,
    ask::{RELAYED, passed_on},
};
use crate::{
    outbound::{Post, Trust},
    trace,
    vapi::message::Question,
};

/// Waits before each try. With [`TRY_TIMEOUT`] for each, all is over within 30 s.
const WAITS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5)];
/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(8);
/// Nobody reads what it answers; so much is taken to leave the connection usable.
const MOST_ANSWER_BYTES: usize = 65_536;
/// Messages on their way may take so much memory, in KiB; one that finds no room is not passed on.
const ROOM: usize = 65_536;

pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ROOM))
}

impl Tools {
    /// Passes on a message that was committed, unless the relay was asked to answer it already.
    pub fn pass_on(&self, heard: &Arc<Heard>, question: Option<&Question>) {
        let Some(relay) = &self.0.config.relay else { return };
        if heard.headers.contains_key(RELAYED) || question.is_some_and(|question| self.relay_answers(heard, question)) {
            return;
        }
        let units = u32::try_from(heard.raw.len().div_ceil(1_024)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.0.relayed).try_acquire_many_owned(units.max(1)) else {
            return warn!(event_type = heard.kind, "A message was not passed on: too many are on their way to the relay");
        };
        let (tools, heard, url) = (self.clone(), Arc::clone(heard), relay.url.clone());
        self.0.parts.lifecycle.spawn_quiet(trace::carried(async move {
            let _room = room;
            let mut headers = passed_on(&heard.headers);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            for wait in WAITS {
                sleep(wait).await;
                let (headers, body) = (headers.clone(), heard.raw.clone());
                let post = Post { url: &url, trust: Trust::Configured, headers, body, within: TRY_TIMEOUT, most_bytes: MOST_ANSWER_BYTES };
                match tools.0.parts.outbound.post(post).await {
                    Ok(reply) if !reply.status.is_server_error() => return,
                    Ok(_) | Err(_) => {}
                }
            }
            warn!(event_type = heard.kind, "A message was not passed on: the relay took none of three tries");
        }));
    }

    /// Does the relay answer this question, or a part of it?
    fn relay_answers(&self, heard: &Heard, question: &Question) -> bool {
        let config = &self.0.config;
        match question {
            Question::ToolCalls(calls) => calls.iter().any(|(_, name)| config.tool(name).is_none()),
            Question::FunctionCall(_, name) => config.tool(name).is_none(),
            _ => !config.requests.contains_key(&heard.kind),
        }
    }
}
