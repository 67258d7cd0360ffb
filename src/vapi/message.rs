//! A webhook's body becomes our own event at the door; nothing inward knows Vapi's messages.
//!
//! Only three things make a body unusable: it is no JSON, it has no `message` object, or that has no text `type`. From there on everything
//! is optional: unknown types and fields, nulls, odd types, no call object. Each type belongs to one class, which decides what is kept of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sha2::{Digest, Sha256};

use super::{
    facts::{self, Subject, stated_moment},
    json::{self, Arena, Node, Text},
    redact::redact,
};
use crate::call::{
    event::{CallEvent, EventKind, Keep},
    field::Rank,
    id::CallId,
    join::normal,
    record::{CallRecord, CallState, Line},
    time::Millis,
};

/// How a delivery came in; what the body alone does not tell.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// The proof that let it in.
    pub proof: Option<&'static str>,
    /// `webhook-id`, where a verified Standard Webhooks proof covers it.
    pub webhook_id: Option<String>,
    /// `x-call-id`, for messages without a call object.
    pub call_id: Option<CallId>,
    /// `KEEP_EVENTS=all`.
    pub keep_all: bool,
}

/// A delivery, understood.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The event to fold.
    pub event: CallEvent,
    /// What the sender waits for, if it asks something.
    pub question: Option<Question>,
    /// A line that is still being said.
    pub partial: Option<Line>,
    /// The message names a call by an id that is none of ours to serve.
    pub odd_call_id: bool,
}

/// A message that asks something; the caller at the phone waits for the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// `tool-calls`: id and name of each.
    ToolCalls(Vec<(String, String)>),
    /// `function-call`, the older form: its id, or what stands in for it, and its name.
    FunctionCall(String, String),
    /// `assistant-request`.
    Assistant,
    /// `transfer-destination-request`, `handoff-destination-request`.
    Destination,
    /// `knowledge-base-request`.
    Documents,
    /// `call.endpointing.request`.
    Endpointing,
    /// `campaign.predial`.
    Predial,
    /// `voice-request`.
    Voice,
}

/// Why a body can't be used. The text is for the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPayload {
    /// No bytes at all.
    #[error("the body is empty; expected {{\"message\":{{\"type\":…}}}}")]
    Empty,
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON without the envelope.
    #[error("the body has no \"message\" object")]
    NoMessage,
    /// A message that does not say what it is.
    #[error("\"message.type\" must be a non-empty text")]
    NoType,
}

/// What is kept of a type of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// The redacted body.
    Whole,
    /// A final transcript line.
    Line,
    /// The conversation so far.
    Conversation,
    /// Nothing: it is only streamed and counted.
    Passing,
}

fn class_of(kind: &str, message: &Node<'_>) -> Class {
    match kind {
        "conversation-update" => Class::Conversation,
        "speech-update" | "assistant.speechStarted" | "model-output" | "voice-input" | "user-interrupted" => Class::Passing,
        _ if kind == "transcript" || kind.starts_with("transcript[") => {
            let is_final = message.at("transcriptType").text() == Some("final") || kind.contains("\"final\"");
            if is_final { Class::Line } else { Class::Passing }
        }
        _ => Class::Whole,
    }
}

/// Reads a verified body.
///
/// # Errors
/// [`InvalidPayload`] when it is no JSON or lacks the envelope.
pub fn read(body: &[u8], delivery: Delivery, now: Millis) -> Result<Inbound, InvalidPayload> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(InvalidPayload::Empty);
    }
    let arena = Arena::default();
    let root = json::parse(body, &arena).map_err(|error| InvalidPayload::NotJson(error.to_string()))?;
    if !root.at("message").is_object() {
        return Err(InvalidPayload::NoMessage);
    }
    if root.path(&["message", "type"]).words().is_none() {
        return Err(InvalidPayload::NoType);
    }
    let root = redact(&root, &arena);
    Ok(Reader { length: body.len(), ..Reader::new(root.at("message"), delivery, now) }.inbound())
}

/// Reads a stored body again, whose facts an earlier version could not read.
#[must_use]
pub fn reread(body: &[u8], received_at: Millis) -> Option<Inbound> {
    read(body, Delivery::default(), received_at).ok()
}

struct Reader<'n, 'a> {
    message: &'n Node<'a>,
    kind: &'n str,
    class: Class,
    delivery: Delivery,
    now: Millis,
    sent_at: Option<Millis>,
    /// Bytes of the body: canonical, it seldom has more.
    length: usize,
}

impl<'n, 'a> Reader<'n, 'a> {
    fn new(message: &'n Node<'a>, delivery: Delivery, now: Millis) -> Self {
        let kind = message.at("type").words().unwrap_or_default();
        let class = class_of(kind, message);
        let sent_at = facts::sent_at(message.at("timestamp"), now);
        Self { message, kind, class, delivery, now, sent_at, length: 0 }
    }

    fn inbound(self) -> Inbound {
        let whole = enveloped(self.message, self.length);
        let id = self.delivery.webhook_id.clone().unwrap_or_else(|| sha256(message_of(&whole)));
        let stated = self.message.path(&["call", "id"]).words();
        let call_id = stated.map_or_else(|| self.delivery.call_id.clone(), |id| CallId::parse(id).ok());
        let folded = self.fold(&id);
        // What this version can't read is kept as it came, for one that can.
        let keep = if folded.is_some() { self.keep() } else { Keep::Whole };
        let body = match (self.class, keep) {
            (_, Keep::Nothing) => Vec::new(),
            (Class::Line | Class::Conversation, _) if !self.delivery.keep_all && folded.is_some() => self.words_only(call_id.as_ref()),
            _ => whole,
        };
        let event = CallEvent {
            id,
            kind: EventKind::Delivery,
            source: self.kind.to_owned(),
            call_id,
            sent_at: self.sent_at,
            received_at: self.now,
            proof: self.delivery.proof,
            keep,
            folded: folded.is_some(),
            facts: Box::new(folded.unwrap_or_default()),
            body: body.into(),
            details: None,
        };
        let odd_call_id = event.call_id.is_none() && !self.message.path(&["call", "id"]).is_empty();
        Inbound { question: self.question(&event.id), partial: self.partial(), odd_call_id, event }
    }

    fn keep(&self) -> Keep {
        match self.class {
            Class::Passing if !self.delivery.keep_all => Keep::Nothing,
            Class::Conversation if !self.delivery.keep_all => Keep::Replacing,
            _ => Keep::Whole,
        }
    }

    /// The facts, or `None` when reading them fails: then the event is kept raw for a version that can.
    fn fold(&self, id: &str) -> Option<CallRecord> {
        catch_unwind(AssertUnwindSafe(|| normal(self.facts(id)))).ok()
    }

    fn subject(&self, rank: Rank) -> Subject<'n, 'a> {
        Subject { body: self.message, call: self.message.at("call"), rank, sent_at: self.sent_at }
    }

    fn facts(&self, id: &str) -> CallRecord {
        let heard = CallRecord { heard_at: Some(self.now), ..CallRecord::default() };
        let subject = self.subject(self.rank());
        match self.class {
            // What is not kept makes no facts, whatever KEEP_EVENTS says.
            Class::Passing => CallRecord::default(),
            Class::Line => CallRecord { lines: self.line().into_iter().collect(), ..heard },
            Class::Conversation => {
                let CallRecord { transcript, messages, .. } = subject.facts();
                CallRecord { transcript, messages, ..heard }
            }
            Class::Whole => self.with_state(self.with_questions(CallRecord { heard_at: Some(self.now), ..subject.facts() }, &subject, id)),
        }
    }

    fn rank(&self) -> Rank {
        match (self.kind, self.state()) {
            ("end-of-call-report", _) => Rank::REPORT,
            (_, Some(CallState::Ended)) => Rank::STATUS_ENDED,
            _ => Rank::OTHER,
        }
    }

    /// The state a message states: only status-updates, reports, and the older words.
    fn state(&self) -> Option<CallState> {
        match self.kind {
            "end-of-call-report" => Some(CallState::Ended),
            "status-update" => self.message.at("status").words().and_then(state_word),
            "call-started" | "call-connected" | "call-in-progress" | "call-ended" | "completed" => state_word(self.kind),
            _ => None,
        }
    }

    fn with_state(&self, facts: CallRecord) -> CallRecord {
        let Some(state) = self.state() else { return facts };
        let said = |is: bool| self.sent_at.filter(|_| is);
        let report = self.kind == "end-of-call-report";
        let dropped = state == CallState::Ended && !report;
        let facts = CallRecord {
            state,
            heard_live: state.is_live(),
            live_at: said(state == CallState::InProgress),
            dropped_at: said(dropped),
            ..facts
        };
        if report { self.with_report(facts) } else { facts }
    }

    fn with_report(&self, facts: CallRecord) -> CallRecord {
        let stamp = |value| crate::call::field::Stamped { value, rank: Rank::REPORT, sent_at: self.sent_at };
        let seconds = |key: &str, factor: f64| self.message.at(key).number().map(|number| number * factor);
        let duration = seconds("durationSeconds", 1.0).or_else(|| seconds("durationMs", 1e-3)).or_else(|| seconds("durationMinutes", 60.0));
        CallRecord {
            reported: true,
            webhook_received_at: Some(self.now),
            resulted_at: self.sent_at,
            started_at: stated_moment(self.message.at("startedAt")).map(stamp),
            ended_at: stated_moment(self.message.at("endedAt")).map(stamp),
            duration_seconds: duration.filter(|seconds| seconds.is_finite() && *seconds >= 0.0).map(|value| crate::call::field::Stamped {
                value,
                rank: Rank::REPORT,
                sent_at: self.sent_at,
            }),
            ..facts
        }
    }

    fn with_questions(&self, mut facts: CallRecord, subject: &Subject<'_, '_>, id: &str) -> CallRecord {
        let asked = match self.kind {
            "tool-calls" => subject.tool_questions(),
            "function-call" => subject.function_question(id).into_iter().collect(),
            _ => Vec::new(),
        };
        for (id, asked) in asked {
            let known = facts.tool_calls.remove(&id).unwrap_or_default();
            facts.tool_calls.insert(id, known.join(asked));
        }
        facts
    }

    /// The words of a transcript message that is not final.
    fn partial(&self) -> Option<Line> {
        (self.class == Class::Passing && self.kind.starts_with("transcript")).then(|| self.line())?
    }

    fn line(&self) -> Option<Line> {
        let role = facts::speaker(self.message.at("role"))?;
        let text = self.message.at("transcript").words()?.to_owned();
        Some(Line { sent_at: self.sent_at, role, text })
    }

    fn question(&self, id: &str) -> Option<Question> {
        Some(match self.kind {
            "tool-calls" => Question::ToolCalls(self.asked_tools()),
            "function-call" => self.asked_function(id),
            "assistant-request" => Question::Assistant,
            "transfer-destination-request" | "handoff-destination-request" => Question::Destination,
            "knowledge-base-request" => Question::Documents,
            "call.endpointing.request" => Question::Endpointing,
            "campaign.predial" => Question::Predial,
            "voice-request" => Question::Voice,
            _ => return None,
        })
    }

    fn asked_function(&self, event_id: &str) -> Question {
        let subject = self.subject(Rank::OTHER);
        let (id, tool) = subject.function_question(event_id).unwrap_or_default();
        Question::FunctionCall(id, tool.name.map(|name| name.value).unwrap_or_default())
    }

    fn asked_tools(&self) -> Vec<(String, String)> {
        let subject = self.subject(Rank::OTHER);
        let named = |(id, tool): (String, crate::call::record::ToolCall)| (id, tool.name.map(|name| name.value).unwrap_or_default());
        subject.tool_questions().into_iter().map(named).collect()
    }

    /// The body of a kept line or conversation: the words, without the whole assistant that Vapi sends along each time.
    fn words_only(&self, call_id: Option<&CallId>) -> Vec<u8> {
        const WORDS: [&str; 9] = [
            "conversation",
            "messages",
            "messagesOpenAIFormatted",
            "role",
            "timestamp",
            "transcript",
            "transcriptType",
            "type",
            "originalTranscript",
        ];
        let mut members: Vec<_> = self.message.members().iter().filter(|(key, _)| WORDS.contains(&key.as_str())).copied().collect();
        if self.class == Class::Conversation && !members.iter().any(|(key, _)| matches!(key.as_str(), "messages" | "conversation")) {
            members.extend(self.message.at("artifact").is_object().then(|| (Text::new("artifact"), *self.message.at("artifact"))));
        }
        let id = call_id.map(|id| [(Text::new("id"), Node::Text(Text::new(id.as_str())))]);
        members.extend(id.as_ref().map(|id| (Text::new("call"), Node::Object(id))));
        members.sort_by_key(|(key, _)| key.as_str());
        enveloped(&Node::Object(&members), 0)
    }
}

fn state_word(word: &str) -> Option<CallState> {
    Some(match word {
        "scheduled" => CallState::Scheduled,
        "queued" => CallState::Queued,
        "ringing" => CallState::Ringing,
        "in-progress" | "call-started" | "call-connected" | "call-in-progress" => CallState::InProgress,
        "forwarding" => CallState::Forwarding,
        "ended" | "call-ended" | "completed" => CallState::Ended,
        _ => return None,
    })
}

/// The state that Vapi's REST states.
#[must_use]
pub fn rest_state(word: &Node<'_>) -> Option<CallState> {
    word.words().and_then(state_word)
}

const ENVELOPE: &[u8] = b"{\"message\":";

/// Canonical JSON of `{"message": …}`, with room for so many bytes to begin with.
fn enveloped(message: &Node<'_>, room: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(room);
    body.extend_from_slice(ENVELOPE);
    message.write(&mut body);
    body.push(b'}');
    body
}

fn message_of(body: &[u8]) -> &[u8] {
    body.get(ENVELOPE.len()..body.len() - 1).unwrap_or_default()
}

/// Lower-case hex of the SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
