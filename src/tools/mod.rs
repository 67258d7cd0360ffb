//! Has questions answered that the assistant asks while somebody waits at the phone.
//!
//! Wanted:
//! - An endpoint is asked at most once for each tool call, whatever is sent again, however many instances there are, and whoever is killed.
//!   The claim is durable before the endpoint hears anything; where that is not certain, nobody is asked.
//! - An answer goes out in time. An endpoint's time counts from the moment the question came in; then its fallback is the answer.
//! - Whoever asks again gets the answer that was given.
//!
//! Races, by name:
//! - *The same message twice at once in one process*: the second follows the first (`once`).
//! - *At two instances*: both claim, one claim is stored; the other instance looks into the record until the answer stands there.
//! - *Killed between claim and answer*: nobody asks again. Who repeats the question gets the fallback when its time is over.
//! - *Two instances give up and answer at once*: the answer too is an event whose id is stored once; the first one counts for both.
//!
//! | Module | What it does |
//! |---|---|
//! | `once` | who answers a tool call, and what was answered |
//! | `ask` | asks an endpoint in its own words |
//! | `answer` | claims, asks, records |
//! | `line` | makes one line of what came back |
//! | `relay` | passes messages on to the server URL from before |
//! | `harmless` | what is answered where nobody is asked |

mod answer;
mod ask;
mod harmless;
mod line;
mod once;
mod relay;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use moka::sync::Cache;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::Instant};

use self::{
    ask::Target,
    harmless::{NO_TOOL, harmless},
    once::{ENTRY_BYTES, Once},
};
use crate::{
    call::id::CallId,
    clock::Clock,
    config::{ToolsConfig, tools::Answerer},
    lifecycle::Lifecycle,
    outbound::Outbound,
    registry::Registry,
    telemetry::Metrics,
    vapi::message::Question,
};

/// Whole answers are remembered for this long, for messages that come again.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);
/// Memory that they may take, in bytes.
const REMEMBERED_BYTES: u64 = 16 * 1_048_576;

/// Has questions answered. A clone is cheap.
#[derive(Clone)]
pub struct Tools(Arc<Inner>);

struct Inner {
    config: ToolsConfig,
    parts: Parts,
    once: Once,
    /// Of endpoints that speak Vapi's words, by the message's event id.
    answers: Cache<String, Bytes>,
    /// Memory for messages on their way to the relay.
    relayed: Arc<Semaphore>,
}

/// What it takes to have questions answered.
pub struct Parts {
    /// Reaches endpoints.
    pub outbound: Outbound,
    /// Takes claims and answers.
    pub registry: Registry,
    /// What time it is.
    pub clock: Clock,
    /// Runs and tracks the work.
    pub lifecycle: Lifecycle,
    /// Counts it.
    pub metrics: Metrics,
}

/// A message as it came, and what was read of it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Vapi's name for it.
    pub kind: String,
    /// The event it became.
    pub event_id: String,
    /// The call it is about.
    pub call_id: Option<CallId>,
    /// Its bytes in Vapi's words of today.
    pub body: Bytes,
    /// Its bytes as they came.
    pub raw: Bytes,
    /// Its headers as they came.
    pub headers: HeaderMap,
    /// When it came.
    pub arrived: Instant,
}

/// What Vapi is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Made here.
    Ours(Value),
    /// JSON of an endpoint that speaks Vapi's words, as it is.
    Theirs(Bytes),
}

impl Tools {
    /// Puts the parts together.
    #[must_use]
    pub fn new(config: ToolsConfig, parts: Parts) -> Self {
        Self(Arc::new(Inner { config, parts, once: Once::new(), answers: remembered(), relayed: relay::room() }))
    }

    /// Is there anybody to ask? If not, messages need not be kept for it.
    #[must_use]
    pub fn are_configured(&self) -> bool {
        !self.0.config.is_empty()
    }

    /// The answer to a question, in time.
    pub async fn answer(&self, heard: &Arc<Heard>, question: &Question) -> Answer {
        if !self.are_configured() {
            return Answer::Ours(harmless(question));
        }
        if let Some(answer) = self.0.answers.get(&heard.event_id) {
            return Answer::Theirs(answer);
        }
        let answer = match question {
            Question::ToolCalls(calls) => self.tool_calls(heard, calls).await,
            Question::FunctionCall(id, name) => self.function_call(heard, id, name).await,
            _ => self.request(heard, question).await,
        };
        if let Answer::Theirs(answer) = &answer {
            self.0.answers.insert(heard.event_id.clone(), answer.clone());
        }
        answer
    }

    /// Who is asked for a tool: its endpoint, that of all others, or the relay.
    fn target(&self, name: &str) -> Option<Target> {
        let tool = self.0.config.tool(name).map(|(label, tool)| Target::tool(label, tool));
        tool.or_else(|| self.0.config.relay.as_ref().map(Target::relay))
    }

    async fn tool_calls(&self, heard: &Arc<Heard>, calls: &[(String, String)]) -> Answer {
        let mut groups: Vec<(Target, Vec<(String, String)>)> = Vec::new();
        for (id, name) in calls {
            let Some(target) = self.target(name) else { continue };
            match groups.iter_mut().find(|(other, _)| target.takes_several() && other.label == target.label) {
                Some((_, group)) => group.push((id.clone(), name.clone())),
                None => groups.push((target, vec![(id.clone(), name.clone())])),
            }
        }
        let alone = groups.len() == 1 && groups.iter().map(|(_, group)| group.len()).sum::<usize>() == calls.len();
        let asked = groups.into_iter().map(|(target, group)| self.answered(Arc::clone(heard), target, group));
        let mut answered = join_all(asked).await;
        if let (true, Some(whole)) = (alone, answered.first_mut().and_then(|group| group.whole.take())) {
            return Answer::Theirs(whole);
        }
        let mut entries: Vec<(String, Value)> = answered.into_iter().flat_map(|group| group.entries).collect();
        let results = calls.iter().map(|(id, name)| {
            let place = entries.iter().position(|(other, _)| other == id);
            place.map_or_else(|| json!({"toolCallId": id, "name": name, "error": NO_TOOL}), |place| entries.swap_remove(place).1)
        });
        Answer::Ours(json!({"results": results.collect::<Vec<_>>()}))
    }

    async fn function_call(&self, heard: &Arc<Heard>, id: &str, name: &str) -> Answer {
        let Some(target) = self.target(name) else { return Answer::Ours(json!({"result": NO_TOOL})) };
        let answered = self.answered(Arc::clone(heard), target, vec![(id.to_owned(), name.to_owned())]).await;
        if let Some(whole) = answered.whole {
            return Answer::Theirs(whole);
        }
        let entry = answered.entries.into_iter().next().map(|(_, entry)| entry).unwrap_or_default();
        let said = entry.get("result").or_else(|| entry.get("error")).cloned().unwrap_or_else(|| json!(NO_TOOL));
        Answer::Ours(json!({"result": said}))
    }

    /// Anything but tools: asking twice does no harm there, so nothing is claimed.
    async fn request(&self, heard: &Arc<Heard>, question: &Question) -> Answer {
        let target = match self.0.config.requests.get(&heard.kind) {
            Some(Answerer::Fixed(answer)) => return Answer::Ours(answer.clone()),
            Some(Answerer::Asked(endpoint)) => Some(Target::endpoint(endpoint)),
            None => self.0.config.relay.as_ref().map(Target::relay),
        };
        let Some(mut target) = target else { return Answer::Ours(harmless(question)) };
        if *question == Question::Assistant {
            target.endpoint.timeout = target.endpoint.timeout.min(ask::ASSISTANT_DEADLINE);
        }
        match self.request_answer(heard, &target).await {
            Ok(answer) => Answer::Theirs(answer),
            Err(why) => {
                tracing::warn!(event_type = heard.kind, why, "A question was answered harmlessly: its endpoint gave no answer");
                Answer::Ours(harmless(question))
            }
        }
    }
}

fn remembered() -> Cache<String, Bytes> {
    let weigh = |id: &String, answer: &Bytes| u32::try_from(ENTRY_BYTES + id.len() + answer.len()).unwrap_or(u32::MAX);
    Cache::builder().time_to_live(REMEMBERED_FOR).weigher(weigh).max_capacity(REMEMBERED_BYTES).build()
}

#[cfg(test)]
mod tests {
    use super::{REMEMBERED_BYTES, remembered};

    #[test]
    fn large_answers_are_remembered_as_long_as_there_is_room_for_them() {
        let answers = remembered();
        for n in 0..40 {
            answers.insert(n.to_string(), vec![b' '; 1_048_576].into());
            answers.run_pending_tasks();
        }
        assert!(answers.entry_count() > 10 && answers.weighted_size() <= REMEMBERED_BYTES, "{}", answers.weighted_size());
    }
}
