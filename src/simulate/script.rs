//! What happens in one simulated call, and when. Everything the fake Vapi says about a call is derived from its [`CallScript`].

use serde_json::{Map, Value, json};

use crate::call::time::Millis;

/// From the placing of a call to its first ring, in milliseconds. This and the following are for a pace of 1.
pub const RINGS_AFTER: i64 = 900;
/// From the placing of a call until somebody picks up.
pub const PICKED_UP_AFTER: i64 = 6_000;
/// From the placing until an unanswered call is given up.
pub const GIVEN_UP_AFTER: i64 = 43_000;
/// From one line of the conversation to the next.
const LINE_EVERY: i64 = 2_900;
/// How long a line takes to say.
const LINE_LASTS: i64 = 2_500;
/// What stands where a tool has not answered yet, in Vapi's words.
const PENDING: &str = "Tool Result Still Pending But Proceed Further If Possible.";
/// The saved assistant that talks when none is asked for.
pub(super) const ASSISTANT: &str = "ac096342-f2bb-4859-9e6b-32dfe706765e";
/// Its number.
pub(super) const PHONE_NUMBER: &str = "0f73516e-15a7-4305-8e1c-fa153431e12f";
/// What a saved assistant is told to do.
const PROMPT: &str = "You ask a local business for its availability and rate. You are polite, you ask one question at a time, \
    you never promise anything, and you say goodbye as soon as you know both or it is clear that you will not.";
/// Lines of an ordinary talk.
const TALK: [&str; 8] = [
    "Hi, this is Nora from the front desk. Do you have availability this week?",
    "Yes, we could come on Thursday morning.",
    "Thursday morning sounds good. What is your rate?",
    "It is eighty dollars an hour, two hours at least.",
    "And could one person do all of the work?",
    "Yes, that would be me.",
    "Wonderful. I will pass that on and get back to you. Have a good day.",
    "Thanks, you too. Bye.",
];

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The assistant.
    Bot,
    /// The person, or the mailbox, at the other end.
    User,
}

/// Something in a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Somebody says something.
    Said {
        /// Who.
        by: Voice,
        /// The words.
        text: String,
        /// When it begins.
        at: Millis,
        /// When it ends.
        until: Millis,
    },
    /// The assistant asks a tool.
    Asked {
        /// The tool call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// Its arguments, an object.
        arguments: Value,
        /// When.
        at: Millis,
    },
    /// The tool has answered, or has not.
    Answered {
        /// The tool call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// What the assistant is told.
        result: String,
        /// When.
        at: Millis,
    },
}

impl Entry {
    /// When it happens, or begins.
    #[must_use]
    pub fn at(&self) -> Millis {
        match self {
            Self::Said { at, .. } | Self::Asked { at, .. } | Self::Answered { at, .. } => *at,
        }
    }

    fn moved(self, moved: impl Fn(Millis) -> Millis) -> Self {
        match self {
            Self::Said { by, text, at, until } => Self::Said { by, text, at: moved(at), until: moved(until) },
            Self::Asked { id, name, arguments, at } => Self::Asked { id, name, arguments, at: moved(at) },
            Self::Answered { id, name, result, at } => Self::Answered { id, name, result, at: moved(at) },
        }
    }
}

/// One call: who called whom, what was said when, how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CallScript {
    /// The call's id.
    pub id: String,
    /// When it was placed.
    pub created_at: Millis,
    /// When somebody picked up; `None` if nobody did.
    pub started_at: Option<Millis>,
    /// When the line dropped.
    pub ended_at: Millis,
    /// Vapi's `endedReason`.
    pub ended_reason: String,
    /// Vapi's `endedMessage`, if it has one.
    pub ended_message: Option<String>,
    /// SIP status and reason of the phone leg, which only REST tells.
    pub sip: Option<(u16, &'static str)>,
    /// What was said, in order of time.
    pub entries: Vec<Entry>,
    /// `analysis`: an object, `{}` when there is none.
    pub analysis: Value,
    /// `artifact.structuredOutputs`: an object of `{name, result}` by id.
    pub structured_outputs: Value,
    /// What `POST /call` sent; all of it is echoed in the call.
    pub request: Map<String, Value>,
    /// The system prompt of a saved assistant.
    pub prompt: String,
    /// The address under which recordings and logs are kept.
    pub storage: String,
    /// Counts deliveries: links are signed afresh for each.
    pub delivery: u64,
    /// Its report is never sent.
    pub loses_report: bool,
}

impl CallScript {
    /// Somebody calls it off at this moment: what was to come does not happen.
    pub fn hang_up(&mut self, at: Millis) {
        self.ended_at = at;
        self.started_at = self.started_at.filter(|started| *started <= at);
        self.entries.retain(|entry| entry.at() <= at);
        "manually-canceled".clone_into(&mut self.ended_reason);
        (self.ended_message, self.sip) = (None, None);
    }

    /// A talk of eight lines, ended by the customer, with a complete analysis, of a saved assistant.
    #[must_use]
    pub fn talk(id: impl Into<String>, created_at: Millis) -> Self {
        let mut script = Self::unanswered(id, created_at, "customer-ended-call");
        script.started_at = Some(created_at.plus(PICKED_UP_AFTER));
        script.analysis = json!({
            "summary": "The assistant asked for availability and rate. The business can come on Thursday morning for eighty dollars an hour.",
            "structuredData": {"availability": "Thursday morning", "estimated_rate": "80 USD an hour", "single_person_found": true},
            "successEvaluation": "true",
        });
        script.with_lines(TALK)
    }

    /// A call that nobody ever picked up, ended for `reason` when the ringing was given up.
    #[must_use]
    pub fn unanswered(id: impl Into<String>, created_at: Millis, reason: &str) -> Self {
        let request = json!({
            "assistantId": ASSISTANT,
            "phoneNumberId": PHONE_NUMBER,
            "customer": {"number": "+15550199123"},
        });
        Self {
            id: id.into(),
            created_at,
            started_at: None,
            ended_at: created_at.plus(GIVEN_UP_AFTER),
            ended_reason: reason.to_owned(),
            ended_message: None,
            sip: None,
            entries: Vec::new(),
            analysis: json!({}),
            structured_outputs: json!({}),
            request: as_map(request),
            prompt: PROMPT.to_owned(),
            storage: "https://storage.vapi.ai".to_owned(),
            delivery: 0,
            loses_report: false,
        }
    }

    /// The same call with these lines, the assistant's first, then in turn; the line drops after the last.
    #[must_use]
    pub fn with_lines<'a>(self, lines: impl IntoIterator<Item = &'a str>) -> Self {
        self.with_talk([Voice::Bot, Voice::User].into_iter().cycle().zip(lines))
    }

    /// The same call in which this is said; the line drops after the last line.
    #[must_use]
    pub fn with_talk<'a>(mut self, lines: impl IntoIterator<Item = (Voice, &'a str)>) -> Self {
        let began = self.started_at.unwrap_or(self.created_at);
        let starts = (0..).map(|turn| began.plus(1_000 + turn * LINE_EVERY));
        let said = |(at, (by, text)): (Millis, (Voice, &str))| Entry::Said { by, text: text.to_owned(), at, until: at.plus(LINE_LASTS) };
        self.entries = starts.zip(lines).map(said).collect();
        self.ended_at = self.entries.last().map_or(began, Entry::at).plus(LINE_EVERY);
        self
    }

    /// The same call in which the assistant asks a tool before entry number `before`. The answer is pending until the call is played.
    #[must_use]
    pub fn with_tool_asked(mut self, before: usize, name: &str, arguments: Value) -> Self {
        let before = before.min(self.entries.len());
        let at = self.entries.get(before).map_or(self.ended_at, Entry::at).plus(LINE_LASTS - LINE_EVERY);
        let id = format!("call_{}", self.id.replace('-', ""));
        let answered = Entry::Answered { id: id.clone(), name: name.to_owned(), result: PENDING.to_owned(), at: at.plus(100) };
        let asked = Entry::Asked { id, name: name.to_owned(), arguments, at };
        self.entries.splice(before..before, [asked, answered]);
        self
    }

    /// What the tool answered, in place of what was there before.
    pub(crate) fn answer_tool(&mut self, tool_call: &str, answer: &str) {
        for entry in &mut self.entries {
            if let Entry::Answered { id, result, .. } = entry
                && id == tool_call
            {
                answer.clone_into(result);
            }
        }
    }

    /// The same call with `turns` lines of filler.
    #[must_use]
    pub fn with_turns(self, turns: usize) -> Self {
        self.with_lines(TALK.into_iter().cycle().take(turns))
    }

    /// The same call of a saved assistant whose system prompt has `bytes` bytes. Real ones have ten thousand and more.
    #[must_use]
    pub fn with_prompt_of(mut self, bytes: usize) -> Self {
        self.prompt = PROMPT.bytes().map(char::from).cycle().take(bytes).collect();
        self
    }

    /// The same call with this `analysis`, an object.
    #[must_use]
    pub fn with_analysis(mut self, analysis: Value) -> Self {
        self.analysis = analysis;
        self
    }

    /// The same call, of which nothing is analysed.
    #[must_use]
    pub fn without_analysis(mut self) -> Self {
        self.structured_outputs = json!({});
        self.with_analysis(json!({}))
    }

    /// The same call with one more structured output.
    #[must_use]
    pub fn with_output(mut self, id: &str, name: &str, result: &Value) -> Self {
        self.structured_outputs[id] = json!({"name": name, "result": result});
        self
    }

    /// The same call with this `metadata`, an object.
    #[must_use]
    pub fn with_metadata(self, metadata: Value) -> Self {
        self.with_requested("metadata", metadata)
    }

    /// The same call of a transient assistant, sent along with the request.
    #[must_use]
    pub fn with_assistant(mut self, assistant: Value) -> Self {
        self.request.remove("assistantId");
        self.with_requested("assistant", assistant)
    }

    /// The same call, placed with this field in the request: `customer`, `assistantOverrides`, ….
    #[must_use]
    pub fn with_requested(mut self, field: &str, value: Value) -> Self {
        self.request.insert(field.to_owned(), value);
        self
    }

    /// The same call, ended for `reason`.
    #[must_use]
    pub fn ended_for(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.ended_reason);
        self
    }

    /// The same call with filler lines so that its report, as compact JSON, has `bytes` bytes; with none when it is larger already.
    #[must_use]
    pub fn with_report_of(self, bytes: usize) -> Self {
        let size = |script: &Self| super::bodies::end_of_call_report(script, script.ended_at).to_string().len();
        let bare = self.clone().with_turns(0);
        let turn = (size(&bare.clone().with_turns(64)) - size(&bare)) / 64;
        let mut script = bare.clone().with_turns(bytes.saturating_sub(size(&bare)) / turn.max(1));
        while size(&script) > bytes && !script.entries.is_empty() {
            let fewer = script.entries.len() - 1;
            script = bare.clone().with_turns(fewer);
        }
        let missing = bytes.saturating_sub(size(&script));
        if let Some(Entry::Said { text, .. }) = script.entries.last_mut() {
            text.push_str(&"x".repeat(missing / super::bodies::COPIES_OF_A_LINE));
        }
        // More characters can cost a digit more.
        while size(&script) > bytes
            && let Some(Entry::Said { text, .. }) = script.entries.last_mut()
            && text.pop().is_some()
        {}
        script
    }

    /// The same call played at another pace: 0.01 makes a minute 0.6 seconds.
    #[must_use]
    pub fn paced(mut self, pace: f64) -> Self {
        let placed = self.created_at;
        let moved = |at: Millis| placed.plus(scaled(at.since(placed), pace));
        self.started_at = self.started_at.map(moved);
        self.ended_at = moved(self.ended_at);
        self.entries = self.entries.into_iter().map(|entry| entry.moved(moved)).collect();
        self
    }

    /// The same call in its next delivery, in which every link has a new signature.
    #[must_use]
    pub fn delivered_again(mut self) -> Self {
        self.delivery += 1;
        self
    }
}

/// `milliseconds` at a pace.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "minutes in milliseconds, times a small factor")]
pub(crate) fn scaled(milliseconds: i64, pace: f64) -> i64 {
    (milliseconds as f64 * pace) as i64
}

/// The fields of an object; none of anything else.
pub(crate) fn as_map(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}
