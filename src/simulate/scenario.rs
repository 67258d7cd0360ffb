//! The stories that the fake Vapi can play.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::{
    bodies::Stage,
    script::{CallScript, Entry, PICKED_UP_AFTER, RINGS_AFTER, Voice, scaled},
};
use crate::call::time::Millis;

/// From the end of a call to its report, in milliseconds at a pace of 1. Real ones take 2 to 25 s.
pub(super) const REPORT_AFTER: i64 = 3_300;
/// From the end of a call to a late analysis.
pub(super) const ANALYSIS_AFTER: i64 = 5_000;
/// From the placing to a busy signal.
const BUSY_AFTER: i64 = 8_000;
/// From the placing to a refusal of the carrier.
const REFUSED_AFTER: i64 = 4_000;
/// The tool that is asked when the assistant of the call has none.
const TOOL: &str = "check_availability";

/// How a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Two people talk; the customer hangs up.
    Talk,
    /// Nobody picks up.
    NoAnswer,
    /// A mailbox picks up and gets a message.
    Voicemail,
    /// The line is busy.
    Busy,
    /// The carrier refuses the call.
    Error,
    /// A talk in which the assistant asks a tool.
    ToolCalls,
    /// One after the other, call by call.
    All,
}

/// One thing that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Status(Stage),
    AssistantStarted,
    Speech { entry: usize, started: bool },
    Transcript { entry: usize, is_final: bool },
    Conversation,
    ToolCalls { entry: usize },
    Report,
}

/// What happens when: the call changes as REST tells it, or a message is sent that says it is of `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Change(Stage),
    Send { message: Message, at: Millis },
}

/// What changes the plot besides the scenario.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plot {
    pub(super) pace: f64,
    pub(super) drop_report: bool,
    pub(super) late_analysis: bool,
}

impl Scenario {
    /// Every single story.
    pub const STORIES: [Self; 6] = [Self::Talk, Self::NoAnswer, Self::Voicemail, Self::Busy, Self::Error, Self::ToolCalls];

    /// The story of call number `index`.
    #[must_use]
    pub fn story(self, index: u64) -> Self {
        match self {
            Self::All => usize::try_from(index % 6).ok().and_then(|index| Self::STORIES.get(index).copied()).unwrap_or(Self::Talk),
            one => one,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Talk => "talk",
            Self::NoAnswer => "no-answer",
            Self::Voicemail => "voicemail",
            Self::Busy => "busy",
            Self::Error => "error",
            Self::ToolCalls => "tool-calls",
            Self::All => "all",
        }
    }

    /// The script of a call placed with `request` at `created_at`, at a pace of 1.
    #[must_use]
    pub fn script(self, id: &str, created_at: Millis, request: Map<String, Value>) -> CallScript {
        let mut script = match self {
            Self::Talk | Self::All => CallScript::talk(id, created_at),
            Self::NoAnswer => CallScript::unanswered(id, created_at, "customer-did-not-answer"),
            Self::Voicemail => CallScript::talk(id, created_at)
                .with_talk([
                    (Voice::User, "You have reached the mailbox of Springfield Plumbing. Please leave a message after the tone."),
                    (Voice::Bot, "Hi, this is Nora from the front desk. Please call us back about your availability this week."),
                ])
                .ended_for("voicemail")
                .with_analysis(json!({"summary": "The assistant left a message on the mailbox.", "successEvaluation": "false"})),
            Self::Busy => CallScript { ended_at: created_at.plus(BUSY_AFTER), ..CallScript::unanswered(id, created_at, "customer-busy") },
            Self::Error => CallScript {
                ended_at: created_at.plus(REFUSED_AFTER),
                sip: Some((503, "Service Unavailable")),
                ..CallScript::unanswered(id, created_at, "call.in-progress.error-providerfault-outbound-sip-503-service-unavailable")
            },
            Self::ToolCalls => {
                let name = tool_of(&request).unwrap_or(TOOL).to_owned();
                CallScript::talk(id, created_at).with_tool_asked(2, &name, json!({"day": "Thursday"}))
            }
        };
        if !request.is_empty() {
            script.request = request;
        }
        script
    }
}

/// Everything that happens in the call, in order of time.
pub(super) fn acts(script: &CallScript, plot: Plot) -> Vec<(Millis, Act)> {
    let mut acts = Vec::new();
    let mut send = |at: Millis, message: Message| acts.push((at, Act::Send { message, at }));
    let after = |moment: Millis, milliseconds: i64| moment.plus(scaled(milliseconds, plot.pace));
    send(script.created_at, Message::Status(Stage::Queued));
    send(after(script.created_at, RINGS_AFTER), Message::Status(Stage::Ringing));
    if let Some(started) = script.started_at {
        send(started, Message::Status(Stage::InProgress));
        send(after(started, 100), Message::AssistantStarted);
    }
    for (entry, what) in script.entries.iter().enumerate() {
        match what {
            Entry::Said { at, until, .. } => {
                send(*at, Message::Speech { entry, started: true });
                send(Millis(i64::midpoint(at.0, until.0)), Message::Transcript { entry, is_final: false });
                send(*until, Message::Transcript { entry, is_final: true });
                send(*until, Message::Speech { entry, started: false });
                send(*until, Message::Conversation);
            }
            Entry::Asked { at, .. } => send(*at, Message::ToolCalls { entry }),
            Entry::Answered { .. } => {}
        }
    }
    send(script.ended_at, Message::Status(Stage::Dropped));
    let reported = after(script.ended_at, REPORT_AFTER);
    if !plot.drop_report {
        send(reported, Message::Report);
    }
    let known = if plot.late_analysis { Stage::Reported } else { Stage::Analysed };
    acts.push((after(script.created_at, RINGS_AFTER), Act::Change(Stage::Ringing)));
    acts.extend(script.started_at.map(|started| (started, Act::Change(Stage::InProgress))));
    acts.push((script.ended_at, Act::Change(Stage::Dropped)));
    acts.push((reported, Act::Change(known)));
    if plot.late_analysis {
        acts.push((after(script.ended_at, ANALYSIS_AFTER), Act::Change(Stage::Analysed)));
    }
    // The call changes before it is told.
    acts.sort_by_key(|(due, act)| (*due, matches!(act, Act::Send { .. })));
    acts
}

/// The first tool of the assistant that came with the request.
fn tool_of(request: &Map<String, Value>) -> Option<&str> {
    let tools = request.get("assistant")?.get("model")?.get("tools")?.as_array()?;
    tools.iter().find_map(|tool| tool["function"]["name"].as_str())
}

const _: () = assert!(RINGS_AFTER < PICKED_UP_AFTER && RINGS_AFTER < REFUSED_AFTER, "it rings before anything else happens");
