//! What there is to tell of a change of a call, and the little besides: the events of streams.
//!
//! The log of news keeps of each only that it happened; what it says is taken from the record when it is told.

use std::collections::BTreeMap;

use super::{
    id::CallId,
    record::{CallRecord, Line, Speaker, ToolCall},
    time::Millis,
};

/// What happened, as those who listen hear it: to a call, unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NewsKind {
    /// A final line was said.
    Transcript,
    /// A tool was asked, or answered.
    Tool,
    /// What pollers see changed.
    Updated,
    /// A result is known.
    Ended,
    /// Nothing more is to be waited for; once a call.
    Done,
    /// Its report was lost, and what Vapi's REST told stands in for it; once a call.
    Recovered,
    /// It was erased.
    Deleted,
    /// A subscription was switched off: about no call.
    Disabled,
}

impl NewsKind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Transcript, Self::Tool, Self::Updated, Self::Ended, Self::Done, Self::Recovered, Self::Deleted, Self::Disabled];

    /// Its `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transcript => "call.transcript",
            Self::Tool => "call.tool",
            Self::Updated => "call.updated",
            Self::Ended => "call.ended",
            Self::Done => "call.done",
            Self::Recovered => "call.recovered",
            Self::Deleted => "call.deleted",
            Self::Disabled => "subscription.disabled",
        }
    }

    /// The kind of this `type`, if there is one in this release.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Does it say how the call stands?
    #[must_use]
    pub fn is_state(self) -> bool {
        matches!(self, Self::Updated | Self::Ended | Self::Done | Self::Recovered)
    }
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewsItem {
    /// When it happened.
    pub at: Millis,
    /// Counts 1, 2, 3 … within the call; 0 of what is about none.
    pub sequence: u64,
    /// What happened.
    pub kind: NewsKind,
    /// Which tool call, which line (see [`LineName`]), which subscription; nothing that anybody said.
    pub about: Option<String>,
}

/// A line without its words: who said it, when it was sent, and the event that brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineName {
    /// Who said it.
    pub role: Speaker,
    /// When it was sent.
    pub sent_at: Option<Millis>,
    /// Id of the event.
    pub event_id: String,
}

impl LineName {
    fn of(line: &Line, event_id: &str) -> Self {
        Self { role: line.role, sent_at: line.sent_at, event_id: event_id.to_owned() }
    }

    fn text(&self) -> String {
        let sent_at = self.sent_at.map_or_else(|| "-".to_owned(), |at| at.0.to_string());
        format!("{} {sent_at} {}", self.role.as_str(), self.event_id)
    }

    /// Reads what stands in [`NewsItem::about`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let role = match parts.next()? {
            "bot" => Speaker::Bot,
            "user" => Speaker::User,
            _ => return None,
        };
        let sent_at = match parts.next()? {
            "-" => None,
            number => Some(Millis(number.parse().ok()?)),
        };
        Some(Self { role, sent_at, event_id: parts.next()?.to_owned() })
    }

    /// The line of this name, if the record has exactly one.
    #[must_use]
    pub fn find<'a>(&self, record: &'a CallRecord) -> Option<&'a Line> {
        let mut found = record.lines.iter().filter(|line| line.role == self.role && line.sent_at == self.sent_at);
        found.next().filter(|_| found.next().is_none())
    }
}

/// A change of a call.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    /// The record before; `None` when the call was not known.
    pub before: Option<&'a CallRecord>,
    /// The record now.
    pub after: &'a CallRecord,
    /// Something that pollers see is different, besides what was said and what tools were asked.
    pub shows: bool,
    /// Id of the event that caused it.
    pub event_id: &'a str,
}

/// What there is to tell of a change, in order: what it is, and about what.
#[must_use]
pub fn news(changed: Changed<'_>) -> Vec<(NewsKind, Option<String>)> {
    let Changed { before, after, shows, event_id } = changed;
    let nothing = CallRecord::default();
    let was = before.unwrap_or(&nothing);
    let lines = after.lines.difference(&was.lines).map(|line| (NewsKind::Transcript, Some(LineName::of(line, event_id).text())));
    let mut news: Vec<_> = lines.collect();
    news.extend(changed_tools(&was.tool_calls, &after.tool_calls).into_iter().map(|id| (NewsKind::Tool, Some(id))));
    let states = [
        (NewsKind::Updated, shows),
        (NewsKind::Ended, after.has_result() && !was.has_result()),
        (NewsKind::Done, after.is_done() && !was.is_done()),
        // A report that came while its loss was being stated was late, not lost.
        (NewsKind::Recovered, after.recovered_at.is_some() && was.recovered_at.is_none() && !after.reported),
    ];
    news.extend(states.into_iter().filter_map(|(kind, happened)| happened.then_some((kind, None))));
    news
}

/// Ids of tool calls of which something else is shown now, in order of time.
fn changed_tools(before: &BTreeMap<String, ToolCall>, after: &BTreeMap<String, ToolCall>) -> Vec<String> {
    let differs = |id: &String, call: &ToolCall| before.get(id).is_none_or(|was| !shows_the_same(was, call));
    let mut changed: Vec<_> = after.iter().filter(|(id, call)| differs(id, call)).collect();
    changed.sort_by_key(|(_, call)| call.at);
    changed.into_iter().map(|(id, _)| id.clone()).collect()
}

/// A newer stamp on the same value is no news.
fn shows_the_same(a: &ToolCall, b: &ToolCall) -> bool {
    a.name.as_ref().map(|it| &it.value) == b.name.as_ref().map(|it| &it.value)
        && a.arguments.as_ref().map(|it| &it.value) == b.arguments.as_ref().map(|it| &it.value)
        && a.answer.as_ref().map(|it| &it.value) == b.answer.as_ref().map(|it| &it.value)
        && a.at == b.at
}

/// One entry of the log of all news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewsEntry {
    /// Its place in the log: greater for whatever was committed later.
    pub position: u64,
    /// The call; `None` of what is about none.
    pub call_id: Option<CallId>,
    /// What happened.
    pub item: NewsItem,
}

#[cfg(test)]
mod tests {
    use super::{CallRecord, Changed, Line, LineName, Millis, NewsKind, Speaker, ToolCall, news};
    use crate::call::record::Settled;

    fn line(sent_at: i64, text: &str) -> Line {
        Line { sent_at: Some(Millis(sent_at)), role: Speaker::User, text: text.to_owned() }
    }

    fn told(before: Option<&CallRecord>, after: &CallRecord, shows: bool) -> Vec<NewsKind> {
        news(Changed { before, after, shows, event_id: "e" }).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn a_report_that_settles_a_call_tells_all_three_states_in_order() {
        let after = CallRecord { reported: true, settled: Some(Settled::Complete), ..CallRecord::default() };
        assert_eq!(told(None, &after, true), [NewsKind::Updated, NewsKind::Ended, NewsKind::Done]);
        assert_eq!(told(Some(&after), &after, true), [NewsKind::Updated], "it ends and is done once");
    }

    #[test]
    fn a_line_is_told_once_by_a_name_without_its_words() {
        let before = CallRecord { lines: [line(1, "Hello")].into(), ..CallRecord::default() };
        let after = CallRecord { lines: [line(1, "Hello"), line(2, "My number is 1234")].into(), ..CallRecord::default() };
        let told = news(Changed { before: Some(&before), after: &after, shows: false, event_id: "event 7" });
        let [(NewsKind::Transcript, Some(about))] = &told[..] else { panic!("{told:?}") };
        assert!(!about.contains("1234"));
        let name = LineName::parse(about).unwrap();
        assert_eq!((name.event_id.as_str(), name.find(&after)), ("event 7", Some(&line(2, "My number is 1234"))));
        assert_eq!(name.find(&before), None);
    }

    #[test]
    fn a_tool_is_told_when_it_is_asked_and_when_it_answers() {
        let asked = ToolCall { at: Some(Millis(1)), ..ToolCall::default() };
        let with = |call: &ToolCall| CallRecord { tool_calls: [("t".to_owned(), call.clone())].into(), ..CallRecord::default() };
        assert_eq!(told(None, &with(&asked), false), [NewsKind::Tool]);
        assert_eq!(told(Some(&with(&asked)), &with(&asked), false), []);
        assert_eq!(told(Some(&with(&asked)), &with(&ToolCall { at: Some(Millis(0)), ..asked.clone() }), false), [NewsKind::Tool]);
    }

    #[test]
    fn every_kind_is_read_as_it_is_written() {
        assert!(NewsKind::ALL.into_iter().all(|kind| NewsKind::parse(kind.as_str()) == Some(kind)));
        assert_eq!((NewsKind::parse("call.other"), LineName::parse("nobody 1 e"), LineName::parse("bot x e")), (None, None, None));
    }
}
