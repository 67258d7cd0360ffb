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

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::{Act, Message, Plot, Scenario, acts};
    use crate::{
        call::time::Millis,
        simulate::{
            bodies::Stage,
            script::{CallScript, Entry, as_map},
        },
    };

    const PLACED: Millis = Millis(1_790_421_482_411);
    const PLAIN: Plot = Plot { pace: 1.0, drop_report: false, late_analysis: false };

    fn script(scenario: Scenario) -> CallScript {
        scenario.script("one", PLACED, Map::new())
    }

    fn changes(acts: &[(Millis, Act)]) -> Vec<Stage> {
        let stage = |(_, act): &(Millis, Act)| if let Act::Change(stage) = act { Some(*stage) } else { None };
        acts.iter().filter_map(stage).collect()
    }

    fn sends(acts: &[(Millis, Act)], wanted: Message) -> bool {
        acts.iter().any(|(due, act)| *act == Act::Send { message: wanted, at: *due })
    }

    #[test]
    fn every_story_runs_forward_and_ends_with_all_that_rest_will_ever_know() {
        for scenario in Scenario::STORIES {
            let acts = acts(&script(scenario), PLAIN);
            assert!(acts.is_sorted_by_key(|(due, _)| *due), "{scenario:?}");
            assert_eq!(changes(&acts).first(), Some(&Stage::Ringing), "{scenario:?}");
            assert_eq!(changes(&acts).last(), Some(&Stage::Analysed), "{scenario:?}");
            assert!(sends(&acts, Message::Status(Stage::Dropped)) && sends(&acts, Message::Report), "{scenario:?}");
        }
    }

    #[test]
    fn a_call_has_changed_before_anybody_is_told() {
        let acts = acts(&script(Scenario::Talk), PLAIN);
        let place = |wanted: &dyn Fn(&Act) -> bool| acts.iter().position(|(_, act)| wanted(act));
        let changed = place(&|act| *act == Act::Change(Stage::InProgress));
        let told = place(&|act| matches!(act, Act::Send { message: Message::Status(Stage::InProgress), .. }));
        assert!(changed.is_some() && changed < told, "{changed:?} {told:?}");
    }

    #[test]
    fn nobody_talks_unless_somebody_picked_up() {
        for scenario in [Scenario::NoAnswer, Scenario::Busy, Scenario::Error] {
            let acts = acts(&script(scenario), PLAIN);
            assert_eq!(changes(&acts), [Stage::Ringing, Stage::Dropped, Stage::Analysed], "{scenario:?}");
            assert!(!sends(&acts, Message::Status(Stage::InProgress)), "{scenario:?}");
        }
    }

    #[test]
    fn a_dropped_report_is_not_sent_and_a_late_analysis_comes_last() {
        let script = script(Scenario::Talk);
        let dropped = acts(&script, Plot { drop_report: true, ..PLAIN });
        assert!(!sends(&dropped, Message::Report));
        let late = acts(&script, Plot { late_analysis: true, ..PLAIN });
        assert_eq!(changes(&late)[2..], [Stage::Dropped, Stage::Reported, Stage::Analysed]);
        assert_eq!(late.last(), Some(&(script.ended_at.plus(5_000), Act::Change(Stage::Analysed))));
    }

    #[test]
    fn the_tool_of_the_assistant_is_the_one_that_is_asked() {
        let asked = |request| {
            let script = Scenario::ToolCalls.script("one", PLACED, as_map(request));
            script.entries.into_iter().find_map(|entry| if let Entry::Asked { name, .. } = entry { Some(name) } else { None })
        };
        let tools = json!([{"type": "endCall"}, {"type": "function", "function": {"name": "book"}}]);
        assert_eq!(asked(json!({"assistant": {"model": {"tools": tools}}})).as_deref(), Some("book"));
        assert_eq!(asked(json!({"assistantId": "saved"})).as_deref(), Some("check_availability"));
    }

    #[test]
    fn what_was_sent_with_the_request_is_what_the_call_is_about() {
        let request = as_map(json!({"assistantId": "saved", "metadata": {"a": 1}}));
        assert_eq!(Scenario::Talk.script("one", PLACED, request.clone()).request, request);
        assert!(script(Scenario::Talk).request.contains_key("customer"), "an empty request gets what a call needs");
    }

    #[test]
    fn all_takes_every_story_in_turn_and_one_takes_itself() {
        let stories: Vec<Scenario> = (0..12).map(|index| Scenario::All.story(index)).collect();
        assert_eq!(stories[..6], Scenario::STORIES);
        assert_eq!(stories[6..], Scenario::STORIES);
        assert_eq!(Scenario::Busy.story(3), Scenario::Busy);
    }
}
