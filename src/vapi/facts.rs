//! What one message, or one REST answer, states about its call: tolerant reading of every place where Vapi has put a thing since 2024.
//!
//! Messages and REST answers carry the same things at nearly the same places, so one reader serves both: [`Subject`] says where they differ.

use std::collections::BTreeMap;

use super::json::Node;
use crate::call::{
    field::{Cost, Evidence, Field, Longest, Rank, Stamped},
    json::Json,
    record::{CallRecord, Message, Promise, Promises, Speaker, ToolCall},
    time::Millis,
};

/// What is read, and how much it is to be believed.
#[derive(Clone, Copy)]
pub struct Subject<'n, 'a> {
    /// The message, or the REST object itself.
    pub body: &'n Node<'a>,
    /// `message.call`, or the REST object itself.
    pub call: &'n Node<'a>,
    /// The rank of its facts.
    pub rank: Rank,
    /// When it was said.
    pub sent_at: Option<Millis>,
}

impl<'n, 'a> Subject<'n, 'a> {
    fn stamp<T: Evidence>(&self, value: Option<T>) -> Field<T> {
        let (rank, sent_at) = (self.rank, self.sent_at);
        value.filter(|value| value.fill() > 0).map(|value| Stamped { value, rank, sent_at })
    }

    fn artifact(&self) -> &'n Node<'a> {
        self.body.at("artifact")
    }

    /// Is this a report or an ended REST answer?
    #[must_use]
    pub fn is_authoritative(&self) -> bool {
        self.rank >= Rank::REPORT
    }

    /// Everything that a message of any kind may state. States and times are the caller's: `message.call` is a stale snapshot of the moment the
    /// call was made and proves nothing about them.
    #[must_use]
    pub fn facts(&self) -> CallRecord {
        CallRecord {
            cost: self.stamp(self.body.at("cost").number().map(Cost)),
            cost_breakdown: self.stamp(self.body.at("costBreakdown").json()),
            ended_reason: self.stamp(self.body.at("endedReason").words().map(str::to_owned)),
            ended_message: self.stamp(self.body.at("endedMessage").words().map(str::to_owned)),
            structured_outputs: self.structured_outputs(),
            transcript: self.transcript(),
            messages: self.messages(),
            recorded: self.mentions_recording(),
            tool_calls: self.tool_calls_in_artifact(),
            metadata: self.metadata(),
            variable_call_id: self.stamp(self.variable_call_id()),
            promises: self.stamp(Some(self.promises())),
            ..self.analysis().named(self)
        }
    }

    fn analysis(&self) -> CallRecord {
        let analysis = self.body.at("analysis");
        let summary = analysis.at("summary").words().or_else(|| self.body.at("summary").words());
        let evaluation = analysis.at("successEvaluation");
        CallRecord {
            summary: self.stamp(summary.map(str::to_owned)),
            success_evaluation: self.stamp(evaluation.as_words().or_else(|| evaluation.json().map(|json| json.as_str().to_owned()))),
            structured_data: self.stamp(analysis.at("structuredData").json()),
            structured_data_multi: self.stamp(analysis.at("structuredDataMulti").json()),
            ..CallRecord::default()
        }
    }

    fn structured_outputs(&self) -> BTreeMap<String, Stamped<Json>> {
        let outputs = self.artifact().at("structuredOutputs").members().iter();
        outputs.filter_map(|(id, output)| Some((id.to_string(), self.stamp(output.json())?))).collect()
    }

    fn transcript(&self) -> Option<Longest<String>> {
        let places = [self.artifact().at("transcript"), self.body.at("transcript")];
        let value = places.into_iter().filter_map(Node::words).max_by_key(|text| text.chars().count())?.to_owned();
        Some(self.longest(value))
    }

    fn messages(&self) -> Option<Longest<Vec<Message>>> {
        let places = [
            self.artifact().at("messages"),
            self.body.at("messages"),
            self.artifact().at("messagesOpenAIFormatted"),
            self.body.at("messagesOpenAIFormatted"),
            self.body.at("conversation"),
        ];
        // Of equally long copies the first has the most details, and `max_by_key` would take the last.
        let value = places.into_iter().rev().map(spoken_messages).max_by_key(Vec::len).filter(|messages| !messages.is_empty())?;
        Some(self.longest(value))
    }

    fn longest<T>(&self, value: T) -> Longest<T> {
        Longest { value, authoritative: self.is_authoritative(), sent_at: self.sent_at }
    }

    fn mentions_recording(&self) -> bool {
        let said = |node: &Node<'_>| node.words().is_some();
        let in_place = |place: &Node<'_>| {
            const LINKS: [&str; 7] = [
                "recordingUrl",
                "stereoRecordingUrl",
                "presignedMonoUrl",
                "presignedStereoUrl",
                "presignedAssistantUrl",
                "presignedCustomerUrl",
                "presignedVideoUrl",
            ];
            let recording = place.at("recording");
            LINKS.iter().any(|link| said(place.at(link)))
                || said(recording.at("stereoUrl"))
                || said(recording.at("videoUrl"))
                || recording.at("mono").members().iter().any(|(_, link)| said(link))
        };
        in_place(self.artifact()) || in_place(self.body)
    }

    fn tool_calls_in_artifact(&self) -> BTreeMap<String, ToolCall> {
        let mut calls = BTreeMap::new();
        let entries = self.artifact().at("messages").items().iter().chain(self.body.at("messages").items());
        for entry in entries {
            for question in entry.at("toolCalls").items() {
                if let Some((id, asked)) = self.tool_question(question, moment(entry.at("time"))) {
                    let known: &mut ToolCall = calls.entry(id).or_default();
                    *known = ToolCall { result: known.result.take(), ..asked };
                }
            }
            if let (Some(id), Some(result)) = (entry.at("toolCallId").words(), text_of(entry.at("result"))) {
                calls.entry(id.to_owned()).or_default().result = self.stamp(Some(result));
            }
        }
        calls
    }

    /// The questions of a `tool-calls` message.
    #[must_use]
    pub fn tool_questions(&self) -> BTreeMap<String, ToolCall> {
        let list = ["toolCallList", "toolCalls"].into_iter().map(|key| self.body.at(key)).find(|list| !list.items().is_empty());
        let questions = list.map_or_else(Vec::new, |list| list.items().iter().collect());
        let nested = self.body.at("toolWithToolCallList").items().iter().map(|item| item.at("toolCall"));
        questions.into_iter().chain(nested).filter_map(|question| self.tool_question(question, self.sent_at)).collect()
    }

    /// The question of a `function-call` message. Older ones have no id of their own; `event_id` stands in.
    #[must_use]
    pub fn function_question(&self, event_id: &str) -> Option<(String, ToolCall)> {
        let question = self.body.at("functionCall");
        let (id, asked) = self.tool_question(question, self.sent_at).or_else(|| {
            let named = Node::Object(vec![("id".into(), Node::Text(format!("function-call-{event_id:.16}").into()))]);
            let (id, _) = self.tool_question(&named, self.sent_at)?;
            Some((id, self.tool_call(question, self.sent_at)))
        })?;
        question.is_object().then_some((id, asked))
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

    fn metadata(&self) -> BTreeMap<String, Stamped<Json>> {
        let places = [
            (Rank::ASSISTANT_METADATA, self.body.path(&["assistant", "metadata"])),
            (Rank::ASSISTANT_METADATA, self.call.path(&["assistant", "metadata"])),
            (Rank::OVERRIDES_METADATA, self.body.path(&["assistantOverrides", "metadata"])),
            (Rank::OVERRIDES_METADATA, self.call.path(&["assistantOverrides", "metadata"])),
            (Rank::CALL_METADATA, self.call.at("metadata")),
        ];
        let mut metadata = BTreeMap::new();
        for (rank, place) in places {
            for (key, value) in place.members() {
                if let Some(value) = value.json() {
                    metadata.insert(key.to_string(), Stamped { value, rank, sent_at: self.sent_at });
                }
            }
        }
        metadata
    }

    fn variable_call_id(&self) -> Option<String> {
        let places = [
            self.body.path(&["assistantOverrides", "variableValues", "call_id"]),
            self.call.path(&["assistantOverrides", "variableValues", "call_id"]),
            self.artifact().path(&["variableValues", "call_id"]),
        ];
        places.into_iter().find_map(Node::as_words)
    }

    fn promises(&self) -> Promises {
        let mut promises = Promises::default();
        let assistants =
            [self.call.at("assistant"), self.body.at("assistant"), self.call.at("assistantOverrides"), self.body.at("assistantOverrides")];
        for assistant in assistants {
            let plan = assistant.at("analysisPlan");
            overlay(&mut promises.summary, plan.at("summaryPlan"));
            overlay(&mut promises.structured_data, plan.at("structuredDataPlan"));
            let ids = assistant.path(&["artifactPlan", "structuredOutputIds"]).items();
            if !ids.is_empty() {
                promises.outputs = ids.iter().filter_map(Node::words).map(str::to_owned).collect();
            }
        }
        promises
    }
}

impl CallRecord {
    /// Adds who took part.
    fn named(self, subject: &Subject<'_, '_>) -> Self {
        let (body, call) = (subject.body, subject.call);
        let words = |places: &[&Node<'_>]| subject.stamp(places.iter().find_map(|place| place.words()).map(str::to_owned));
        let (customer, snapshot) = (body.at("customer"), call.at("customer"));
        Self {
            assistant_id: words(&[call.at("assistantId"), body.path(&["assistant", "id"])]),
            phone_number_id: words(&[call.at("phoneNumberId"), body.path(&["phoneNumber", "id"])]),
            customer_number: words(&[customer.at("number"), snapshot.at("number"), customer.at("sipUri"), snapshot.at("sipUri")]),
            customer_name: words(&[customer.at("name"), snapshot.at("name")]),
            ..self
        }
    }
}

/// A later assistant's plan decides, when it has one.
fn overlay(promise: &mut Promise, plan: &Node<'_>) {
    if plan.is_object() {
        *promise = if plan.at("enabled").bool() == Some(false) { Promise::Off } else { Promise::On };
    }
}

/// Arguments come as an object, or as JSON text.
fn arguments_of(node: &Node<'_>) -> Option<Json> {
    match node.text().map(|text| serde_json::from_str::<Node<'_>>(text)) {
        Some(Ok(parsed)) => parsed.json(),
        _ => node.json(),
    }
}

/// A text as it is, anything else as JSON.
fn text_of(node: &Node<'_>) -> Option<String> {
    node.text().map(str::to_owned).or_else(|| node.json().map(|json| json.as_str().to_owned()))
}

/// What was said, of a list of messages in any of Vapi's forms.
fn spoken_messages(list: &Node<'_>) -> Vec<Message> {
    list.items().iter().filter_map(spoken_message).collect()
}

fn spoken_message(entry: &Node<'_>) -> Option<Message> {
    let role = speaker(entry.at("role"))?;
    let message = [entry.at("message"), entry.at("content")].into_iter().find_map(Node::words)?.to_owned();
    let (time, end_time) = (moment(entry.at("time")), moment(entry.at("endTime")));
    // Stated durations were seconds until mid 2024 and are milliseconds since; the difference of the times always was milliseconds.
    let stated = entry.at("duration").number().map(whole);
    let duration = time.zip(end_time).map(|(time, end)| end.since(time)).filter(|length| *length >= 0).or(stated);
    let seconds_from_start = entry.at("secondsFromStart").number();
    Some(Message { role, message, time, end_time, duration, seconds_from_start })
}

/// Who speaks under a role; `None` for system prompts and tools.
#[must_use]
pub fn speaker(role: &Node<'_>) -> Option<Speaker> {
    match role.text()? {
        "bot" | "assistant" => Some(Speaker::Bot),
        "user" | "customer" => Some(Speaker::User),
        _ => None,
    }
}

/// Epoch milliseconds, which Vapi writes as whole numbers, decimals or in E notation; or RFC 3339.
fn moment(node: &Node<'_>) -> Option<Millis> {
    match node {
        Node::Text(text) => Millis::parse_rfc3339(text).or_else(|| node.number().map(|number| Millis(whole(number)))),
        node => node.number().map(|number| Millis(whole(number))),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and no real time comes near the bounds")]
fn whole(number: f64) -> i64 {
    number.round() as i64
}

/// A stated moment such as `startedAt`: RFC 3339, or epoch milliseconds.
#[must_use]
pub fn stated_moment(node: &Node<'_>) -> Option<Millis> {
    moment(node).filter(|at| at.0 > 0)
}

/// The `timestamp` of a message: seconds, milliseconds, microseconds, numeric text or RFC 3339. Before 2020 or over a day ahead of `now` it is
/// no evidence of anything, and counts as absent.
#[must_use]
pub fn sent_at(node: &Node<'_>, now: Millis) -> Option<Millis> {
    const YEAR_2020: Millis = Millis(1_577_836_800_000);
    let at = match node.number() {
        Some(number) if number.abs() < 1e11 => Millis(whole(number * 1e3)),
        Some(number) if number.abs() < 1e14 => Millis(whole(number)),
        Some(number) => Millis(whole(number / 1e3)),
        None => Millis::parse_rfc3339(node.text()?)?,
    };
    (at >= YEAR_2020 && at.since(now) <= crate::call::time::DAY).then_some(at)
}
