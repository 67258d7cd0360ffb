//! What Vapi sends, and how it proves it.

use std::fmt;

use ringback::{
    call::time::Millis,
    clock::Clock,
    simulate::{Auth, CallScript, Stage, bodies, sign},
};
use secrecy::SecretString;
use serde_json::Value;

use super::SECRET;

/// Where webhooks go.
pub(crate) const WEBHOOK: &str = "/api/v1/vapi/webhook";

/// A webhook that can be sent.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) call: String,
    /// Its type, as a timeline names it.
    pub(crate) kind: &'static str,
    /// Its `timestamp`; within a call no two messages have the same.
    pub(crate) sent_at: Millis,
    pub(crate) body: Vec<u8>,
    /// How it is proven; `None`: not at all.
    pub(crate) auth: Option<Auth>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} ({} bytes)", self.kind, self.call, self.body.len())
    }
}

impl Message {
    fn new(call: &str, kind: &'static str, sent_at: Millis, body: &Value) -> Self {
        Self { call: call.to_owned(), kind, sent_at, body: body.to_string().into_bytes(), auth: Some(Auth::Secret) }
    }

    /// The same, proven otherwise.
    pub(crate) fn proven_by(self, auth: Auth) -> Self {
        Self { auth: Some(auth), ..self }
    }

    /// The headers that prove it now.
    pub(crate) fn proof(&self) -> Vec<(&'static str, String)> {
        let secret = SecretString::from(SECRET);
        self.auth.map(|auth| sign::headers(auth, &secret, &self.body, now())).unwrap_or_default()
    }
}

/// The time of day.
pub(crate) fn now() -> Millis {
    Clock::System.now()
}

/// A call id that nobody has used.
pub(crate) fn new_call() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The report of a talk.
pub(crate) fn report(call: &str) -> Message {
    report_of(&CallScript::talk(call, now().plus(-60_000)))
}

/// The report of a talk in which this was said.
pub(crate) fn report_saying(call: &str, words: &str) -> Message {
    report_of(&CallScript::talk(call, now().plus(-60_000)).with_lines([words]))
}

/// The report of a call that went like this.
pub(crate) fn report_of(script: &CallScript) -> Message {
    let at = script.ended_at.plus(3_000);
    Message::new(&script.id, "end-of-call-report", at, &bodies::end_of_call_report(script, at))
}

/// What is heard of a call that is being made.
pub(crate) fn ringing(call: &str) -> Message {
    let placed = now().plus(-60_000);
    status(&CallScript::talk(call, placed), Stage::Ringing, placed.plus(900))
}

fn status(script: &CallScript, stage: Stage, at: Millis) -> Message {
    Message::new(&script.id, "status-update", at, &bodies::status_update(script, stage, at))
}

/// A question that the assistant has for a tool.
pub(crate) fn tool_question(call: &str) -> Message {
    let placed = now().plus(-60_000);
    let script = CallScript::talk(call, placed).with_tool_asked(2, "lookup_order", serde_json::json!({"order": 7}));
    let at = script.entries[2].at();
    Message::new(call, "tool-calls", at, &bodies::tool_calls(&script, 2, at))
}

/// Everything Vapi says about one talk, in order: five messages that are kept whole, two lines, the report.
pub(crate) fn life_of(call: &str) -> Vec<Message> {
    let placed = now().plus(-60_000);
    let script = CallScript::talk(call, placed);
    let line = |entry: usize| {
        let at = script.entries[entry].at().plus(2_500);
        Message::new(call, "transcript", at, &bodies::transcript(&script, entry, true, at))
    };
    let picked_up = script.started_at.expect("a talk begins").plus(40);
    let ended = script.ended_at.plus(10);
    vec![
        status(&script, Stage::Queued, placed.plus(5)),
        status(&script, Stage::Ringing, placed.plus(900)),
        status(&script, Stage::InProgress, picked_up),
        line(0),
        line(1),
        Message::new(call, "hang", ended.plus(-1_000), &bodies::hang(&script, ended.plus(-1_000))),
        status(&script, Stage::Dropped, ended),
        report_of(&script),
    ]
}
