//! One group of tool calls: claimed, asked for, recorded.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::warn;

use super::{
    Heard, Tools,
    ask::{Target, entry},
    once::{Key, Lead, Turn},
};
use crate::{
    call::{
        event::{CallEvent, EventKind},
        record::{CallRecord, ToolAnswer},
    },
    registry::Applied,
    store::StoreError,
    vapi::tool::{answered, own_answer},
};

/// A claim that is not certain by then is none, and the fallback goes out.
const CLAIM_DEADLINE: Duration = Duration::from_secs(2);
/// The answer waits so long for its own record; then it goes out without. Somebody waits at a phone.
const RECORD_PATIENCE: Duration = Duration::from_millis(500);
/// How often the record is looked at while another instance asks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Characters of a tool's name and id that the timeline shows.
const LONGEST_NAME: usize = 64;

/// Why there is a fallback, where the endpoint did answer.
const NO_RESULT: &str = "its answer has no result for this tool call";
/// The same, where somebody else had claimed the tool call.
const NOT_TOLD: &str = "it was asked before, and what it answered was not stored";

/// An entry of `results`, and what it says.
type Said = (Value, ToolAnswer);

/// The entries of `results` for a group, and the whole answer where it can go out as it is.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) entries: Vec<(String, Value)>,
    pub(super) whole: Option<Bytes>,
}

/// How a claim ended.
enum Claim {
    /// It is ours to ask.
    Ours(Lead, String),
    /// Somebody else asks, or did.
    Taken(Lead, String),
    /// Nobody may ask.
    None(Lead, String),
}

impl Tools {
    /// Answers a group on a task of its own: a client that hangs up must not leave a claim without its answer.
    pub(super) async fn answered(&self, heard: Arc<Heard>, target: Target, calls: Vec<(String, String)>) -> Answered {
        let tools = self.clone();
        let group = crate::trace::carried(async move { tools.group(&heard, &target, calls).await });
        self.0.parts.lifecycle.spawn_quiet(group).await.unwrap_or_default()
    }

    async fn group(&self, heard: &Heard, target: &Target, calls: Vec<(String, String)>) -> Answered {
        let (mut leads, mut follows, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for (id, name) in calls {
            match self.0.once.turn(Key { call: heard.call_id.clone(), id: id.clone() }) {
                Turn::First(lead) => leads.push((lead, name)),
                Turn::Follow(told) => follows.push((id, name, told)),
                Turn::Answered(entry) => entries.push((id, entry)),
            }
        }
        let claims = join_all(leads.into_iter().map(|(lead, name)| self.claim(lead, name))).await;
        let (mut ours, mut rest) = (Vec::new(), Vec::new());
        for claim in claims {
            match claim {
                Claim::Ours(lead, name) => ours.push((lead, name)),
                other => rest.push(other),
            }
        }
        let known: Vec<String> = entries.iter().map(|(id, _)| id).chain(follows.iter().map(|(id, ..)| id)).cloned().collect();
        let others: Vec<String> = known.into_iter().chain(rest.iter().map(|claim| claim.id().to_owned())).collect();
        let asked = self.ask(heard, target, ours, &others);
        let rest = join_all(rest.into_iter().map(|claim| self.not_asked(heard, target, claim)));
        let follows = join_all(follows.into_iter().map(|follow| self.follow(heard, target, follow)));
        let (mut answered, rest, follows) = tokio::join!(asked, rest, follows);
        answered.entries.extend(entries.into_iter().chain(rest).chain(follows));
        answered
    }

    async fn claim(&self, lead: Lead, name: String) -> Claim {
        let event = self.event(&lead.key, "claim", &name, CallRecord::default());
        match timeout(CLAIM_DEADLINE, self.0.parts.registry.claim(event)).await {
            Ok(Ok(Applied::Stored)) => Claim::Ours(lead, name),
            Ok(Ok(Applied::Duplicate)) => Claim::Taken(lead, name),
            Ok(Ok(Applied::Deleted | Applied::NotKept)) => Claim::None(lead, name),
            Ok(Err(error)) => uncertain(lead, name, Some(&error)),
            Err(_late) => uncertain(lead, name, None),
        }
    }

    /// Asks for what was claimed, and records what came back, or the fallback.
    async fn ask(&self, heard: &Heard, target: &Target, ours: Vec<(Lead, String)>, others: &[String]) -> Answered {
        if ours.is_empty() {
            return Answered::default();
        }
        let calls: Vec<(String, String)> = ours.iter().map(|(lead, name)| (lead.key.id.clone(), name.clone())).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let (mut told, mut whole, mut lack) = (Vec::new(), None, NO_RESULT);
        match self.told(heard, target, &calls, &others).await {
            Ok(answer) => {
                (told, whole) = (answer.entries, answer.whole);
                if told.iter().any(|(_, said)| said.is_none()) {
                    warn!(tool = target.label, "A tool's answer has no result for what was asked; its fallback went out");
                }
            }
            Err(why) => {
                lack = why;
                warn!(tool = target.label, why, "A tool gave no answer; its fallback went out");
            }
        }
        let recorded = ours.into_iter().map(|(lead, name)| {
            let found = told.iter_mut().find(|(id, _)| *id == lead.key.id).and_then(|(_, said)| said.take());
            self.recorded(target, (lead, name), found.ok_or(lack))
        });
        let recorded = join_all(recorded).await;
        if recorded.iter().any(|(_, _, first)| !first) {
            whole = None;
        }
        Answered { entries: recorded.into_iter().map(|(id, entry, _)| (id, entry)).collect(), whole }
    }

    /// Records an answer, and tells everybody who asks for it. False if another one was recorded before: then that is the answer.
    ///
    /// Why there was no answer goes into the record with the fallback, and only there: Vapi would have the assistant say it.
    async fn recorded(&self, target: &Target, (lead, name): (Lead, String), said: Result<Said, &'static str>) -> (String, Value, bool) {
        let result = match &said {
            Ok((_, ToolAnswer::Result(_))) => "result",
            Ok((_, ToolAnswer::Error(_))) => "error",
            Err(_) => "fallback",
        };
        self.0.parts.metrics.tool_called(&target.label, result);
        let lack = said.as_ref().err().map(|why| format!("The fallback was said: {why}."));
        let fallback = || ToolAnswer::Result(target.fallback.clone());
        let (said, answer) = said.unwrap_or_else(|_| (entry(&lead.key.id, &name, &fallback()), fallback()));
        let facts = answered((&lead.key.id, &name), &answer, lack.as_deref(), self.0.parts.clock.now());
        let event = self.event(&lead.key, "answer", &name, facts);
        let before = match timeout(RECORD_PATIENCE, self.0.parts.registry.apply(event)).await {
            Ok(Ok(Applied::Duplicate)) => self.in_record(&lead.key).await.ok().flatten(),
            Ok(Err(error)) => {
                warn!(%error, tool = target.label, "A tool's answer went out without being stored");
                None
            }
            _ => None,
        };
        let first = before.is_none();
        let said = before.map_or(said, |before| entry(&lead.key.id, &name, &before));
        let id = lead.key.id.clone();
        lead.answered(&said);
        (id, said, first)
    }

    /// A tool call that is not ours to ask: the answer that stands in the record, or will, or else the fallback.
    async fn not_asked(&self, heard: &Heard, target: &Target, claim: Claim) -> (String, Value) {
        let (lead, name) = match claim {
            Claim::Taken(lead, name) => (lead, name),
            Claim::Ours(lead, name) | Claim::None(lead, name) => {
                self.0.parts.metrics.tool_called(&target.label, "not_asked");
                let said = entry(&lead.key.id, &name, &ToolAnswer::Result(target.fallback.clone()));
                let id = lead.key.id.clone();
                lead.answered(&said);
                return (id, said);
            }
        };
        let deadline = heard.arrived + target.endpoint.timeout;
        while Instant::now() < deadline {
            match timeout_at(deadline, self.in_record(&lead.key)).await {
                Ok(Ok(Some(answer))) => {
                    let said = entry(&lead.key.id, &name, &answer);
                    let id = lead.key.id.clone();
                    lead.answered(&said);
                    return (id, said);
                }
                Ok(Ok(None)) => sleep(LOOK_EVERY).await,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        let (id, said, _) = self.recorded(target, (lead, name), Err(NOT_TOLD)).await;
        (id, said)
    }

    async fn follow(&self, heard: &Heard, target: &Target, follow: (String, String, watch::Receiver<Option<Value>>)) -> (String, Value) {
        let (id, name, mut told) = follow;
        let said = timeout_at(heard.arrived + target.endpoint.timeout, told.wait_for(Option::is_some)).await;
        let said = said.ok().and_then(Result::ok).and_then(|said| said.clone());
        let said = said.unwrap_or_else(|| entry(&id, &name, &ToolAnswer::Result(target.fallback.clone())));
        (id, said)
    }

    async fn in_record(&self, key: &Key) -> Result<Option<ToolAnswer>, StoreError> {
        let Some(call) = &key.call else { return Ok(None) };
        let call = self.0.parts.registry.store().load(call).await?.found();
        Ok(call.and_then(|call| own_answer(&call.record, &key.id)))
    }

    fn event(&self, key: &Key, what: &'static str, name: &str, facts: CallRecord) -> CallEvent {
        let cut = |text: &str| text.chars().filter(|it| !it.is_control()).take(LONGEST_NAME).collect::<String>();
        let details = Some(format!("{} {}", cut(name), cut(&key.id)));
        let ours = CallEvent::ours(EventKind::Tool, key.call.clone(), self.0.parts.clock.now());
        CallEvent { id: key.event_id(what), source: what.to_owned(), facts: Box::new(facts), details, ..ours }
    }
}

impl Claim {
    fn id(&self) -> &str {
        let (Self::Ours(lead, _) | Self::Taken(lead, _) | Self::None(lead, _)) = self;
        &lead.key.id
    }
}

fn uncertain(lead: Lead, name: String, error: Option<&StoreError>) -> Claim {
    let why = error.map_or_else(|| "it was not stored in time".to_owned(), ToString::to_string);
    warn!(why, "A tool was not asked: its claim is not certain");
    Claim::None(lead, name)
}
