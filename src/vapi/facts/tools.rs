//! Tool calls: questions as they are asked, and as messages repeat them later with their answers.

use std::collections::BTreeMap;

use super::{Subject, moment};
use crate::{
    call::{
        json::Json,
        record::{ToolAnswer, ToolCall},
        time::Millis,
    },
    vapi::{
        json::{self, Arena, Node},
        redact::redact,
    },
};

impl Subject<'_, '_> {
    /// The tool calls among the messages so far.
    pub(super) fn tool_calls_in_messages(&self) -> BTreeMap<String, ToolCall> {
        let mut calls: BTreeMap<String, ToolCall> = BTreeMap::new();
        for entry in self.all_messages().items() {
            for question in entry.at("toolCalls").items() {
                if let Some((id, asked)) = self.tool_question(question, moment(entry.at("time"))) {
                    let known = calls.remove(&id).unwrap_or_default();
                    calls.insert(id, known.join(asked));
                }
            }
            if let (Some(id), Some(answer)) = (entry.at("toolCallId").words(), text_of(entry.at("result"))) {
                let call = calls.entry(id.to_owned()).or_default();
                call.name = call.name.take().or_else(|| self.stamp(entry.at("name").words().map(str::to_owned)));
                // The last counts: a placeholder such as "still pending" goes before the answer.
                call.answer = self.stamp(Some(ToolAnswer::Result(answer)));
            }
        }
        calls
    }

    /// Messages of every role. Of the two places, the longer.
    fn all_messages(&self) -> &Node<'_> {
        let (artifact, body) = (self.artifact().at("messages"), self.body.at("messages"));
        if body.items().len() > artifact.items().len() { body } else { artifact }
    }

    /// The questions of a `tool-calls` message, in the order asked. Up to three lists hold copies of them, which differ in what they leave out.
    #[must_use]
    pub fn tool_questions(&self) -> Vec<(String, ToolCall)> {
        let plain = ["toolCallList", "toolCalls"].into_iter().flat_map(|list| self.body.at(list).items());
        let nested = self.body.at("toolWithToolCallList").items().iter().filter_map(|tool| {
            let (id, mut asked) = self.tool_question(tool.at("toolCall"), self.sent_at)?;
            asked.name = asked.name.or_else(|| self.tool_call(tool, None).name);
            Some((id, asked))
        });
        let mut questions: Vec<(String, ToolCall)> = Vec::new();
        for (id, asked) in plain.filter_map(|question| self.tool_question(question, self.sent_at)).chain(nested) {
            match questions.iter_mut().find(|(known, _)| *known == id) {
                Some((_, known)) => *known = std::mem::take(known).join(asked),
                None => questions.push((id, asked)),
            }
        }
        questions
    }

    /// The question of a `function-call` message. Older ones have no id: then it is the open one of that name among the messages, else
    /// `event_id` stands in.
    #[must_use]
    pub fn function_question(&self, event_id: &str) -> Option<(String, ToolCall)> {
        let question = self.body.at("functionCall");
        let asked = question.is_object().then(|| self.tool_call(question, self.sent_at))?;
        let stated = question.at("id").words().map(str::to_owned);
        let name = asked.name.as_ref().map(|name| &name.value);
        let open = || {
            let calls = self.tool_calls_in_messages().into_iter();
            let open = calls.filter(|(_, call)| call.answer.is_none() && call.name.as_ref().map(|name| &name.value) == name);
            open.max_by_key(|(_, call)| call.at).map(|(id, _)| id)
        };
        let id = stated.or_else(open).unwrap_or_else(|| format!("function-call-{event_id:.16}"));
        Some((id, asked))
    }

    fn tool_question(&self, question: &Node<'_>, at: Option<Millis>) -> Option<(String, ToolCall)> {
        Some((question.at("id").words()?.to_owned(), self.tool_call(question, at)))
    }

    fn tool_call(&self, question: &Node<'_>, at: Option<Millis>) -> ToolCall {
        let function = question.at("function");
        let name = function.at("name").words().or_else(|| question.at("name").words());
        let arguments = [function.at("arguments"), question.at("arguments"), question.at("parameters"), function.at("parameters")];
        let arguments = arguments.into_iter().find(|arguments| !arguments.is_empty()).and_then(arguments_of);
        ToolCall { name: self.stamp(name.map(str::to_owned)), arguments: self.stamp(arguments), at, ..ToolCall::default() }
    }
}

/// Arguments come as an object, or as JSON text. Messages, where they stand a second time, are not redacted; so it is done here.
fn arguments_of(node: &Node<'_>) -> Option<Json> {
    let arena = Arena::default();
    let parsed = node.text().and_then(|text| json::parse(text.as_bytes(), &arena).ok());
    redact(&parsed.unwrap_or(*node), &arena).json()
}

/// A text as it is, anything else as JSON.
fn text_of(node: &Node<'_>) -> Option<String> {
    node.text().map(str::to_owned).or_else(|| node.json().map(|json| json.as_str().to_owned()))
}
