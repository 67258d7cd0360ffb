//! What one message, or one REST answer, states about its call: tolerant reading of every place where Vapi has put a thing since 2024.
//!
//! Messages and REST answers carry the same things at nearly the same places, so one reader serves both: [`Subject`] says where they differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{json::Node, message::sha256};
use crate::call::{
    field::{Cost, Evidence, Field, Longest, Rank, Stamped, best},
    json::Json,
    record::{CallRecord, Message, Output, Promise, Promises},
    time::Millis,
};

mod spoken;
mod tools;

pub use spoken::speaker;

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
            costs: self.stamp(self.body.at("costs").json()),
            ended_reason: self.stamp(self.body.at("endedReason").words().map(str::to_owned)),
            ended_message: self.stamp(self.body.at("endedMessage").words().map(str::to_owned)),
            structured_outputs: self.structured_outputs(),
            transcript: self.transcript(),
            messages: self.messages(),
            recorded: self.mentions_recording(),
            tool_calls: self.tool_calls_in_messages(),
            metadata: self.metadata(),
            variable_call_id: self.stamp(self.variable_call_id()),
            promises: self.promises(),
            server: self.stamp(self.server()),
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

    fn structured_outputs(&self) -> BTreeMap<String, Stamped<Output>> {
        let outputs = self.artifact().at("structuredOutputs").members().iter();
        outputs.filter_map(|(id, output)| Some((id.as_str().to_owned(), self.stamp(output.json().map(Output))?))).collect()
    }

    fn transcript(&self) -> Option<Longest<String>> {
        let places = [self.artifact().at("transcript"), self.body.at("transcript")];
        let value = places.into_iter().filter_map(Node::words).max_by_key(|text| text.chars().count())?.to_owned();
        Some(self.longest(value))
    }

    fn messages(&self) -> Option<Longest<Arc<[Message]>>> {
        let places = [
            self.artifact().at("messages"),
            self.body.at("messages"),
            self.artifact().at("messagesOpenAIFormatted"),
            self.body.at("messagesOpenAIFormatted"),
            self.body.at("conversation"),
        ];
        // Of equally long copies the first has the most details, and `max_by_key` would take the last.
        let most = places.into_iter().rev().max_by_key(|list| spoken::count(list))?;
        Some(spoken::messages(most)).filter(|messages| !messages.is_empty()).map(|messages| self.longest(messages))
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
                // An empty value is weak evidence, but it is there: whoever reads the key finds it.
                let said = Json::from_canonical(value.canonical()).map(|value| Stamped { value, rank, sent_at: self.sent_at });
                if let Some(kept) = best(metadata.remove(key.as_str()), said) {
                    metadata.insert(key.as_str().to_owned(), kept);
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

    /// Where several assistants are seen, the later one's plan decides, part by part.
    fn promises(&self) -> Promises {
        let assistants =
            [self.call.at("assistant"), self.body.at("assistant"), self.call.at("assistantOverrides"), self.body.at("assistantOverrides")];
        let last = |plan: &str| assistants.iter().rev().find_map(|assistant| promise(assistant.path(&["analysisPlan", plan])));
        let ids = |assistant: &&Node<'_>| -> BTreeSet<String> {
            assistant.path(&["artifactPlan", "structuredOutputIds"]).items().iter().filter_map(Node::words).map(str::to_owned).collect()
        };
        Promises {
            summary: self.stamp(last("summaryPlan")),
            structured_data: self.stamp(last("structuredDataPlan")),
            outputs: self.stamp(assistants.iter().rev().map(ids).find(|ids| !ids.is_empty())),
            report: self.stamp(assistants.iter().rev().find_map(|assistant| sends_report(assistant.at("serverMessages")))),
        }
    }

    /// Where the call's webhooks go; Vapi asks whoever talks first, then the number.
    fn server(&self) -> Option<String> {
        let owners = ["assistantOverrides", "squadOverrides", "assistant", "workflow", "phoneNumber"];
        let places = owners.into_iter().flat_map(|owner| [self.call.at(owner), self.body.at(owner)]);
        places.flat_map(|owner| [owner.path(&["server", "url"]), owner.at("serverUrl")]).find_map(Node::words).map(server_name)
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
            org_id: words(&[call.at("orgId")]),
            call_type: words(&[call.at("type")]),
            // Of a snapshot it would be the name of long ago.
            name: words(&[body.at("name")]),
            customer_number: words(&[customer.at("number"), snapshot.at("number"), customer.at("sipUri"), snapshot.at("sipUri")]),
            customer_name: words(&[customer.at("name"), snapshot.at("name")]),
            ..self
        }
    }
}

/// How a record names the address of a server: hashed, without its query, for the address may hold what is nobody's business.
#[must_use]
pub fn server_name(url: &str) -> String {
    sha256(url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').as_bytes())
}

/// A list that leaves the report out means that none is sent; no list means Vapi's own, which has it.
fn sends_report(messages: &Node<'_>) -> Option<Promise> {
    let listed = messages.items();
    let has_it = listed.iter().any(|message| message.text() == Some("end-of-call-report"));
    (!listed.is_empty()).then_some(if has_it { Promise::On } else { Promise::Off })
}

fn promise(plan: &Node<'_>) -> Option<Promise> {
    let off = plan.at("enabled").bool() == Some(false);
    plan.is_object().then_some(if off { Promise::Off } else { Promise::On })
}

/// The end of the year 9999, after which RFC 3339 can't tell the time.
const LAST_MOMENT: Millis = Millis(253_402_300_799_999);

/// Epoch milliseconds, which Vapi writes as whole numbers, decimals or in E notation; or RFC 3339.
fn moment(node: &Node<'_>) -> Option<Millis> {
    let at = node.number().map(|number| Millis(whole(number))).or_else(|| Millis::parse_rfc3339(node.text()?));
    at.filter(|at| at.0 > 0 && *at <= LAST_MOMENT)
}

#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and no real time comes near the bounds")]
fn whole(number: f64) -> i64 {
    number.round() as i64
}

/// A stated moment such as `startedAt`: RFC 3339, or epoch seconds, milliseconds or microseconds.
#[must_use]
pub fn stated_moment(node: &Node<'_>) -> Option<Millis> {
    let at = match node.number() {
        Some(number) if number.abs() < 1e11 => Millis(whole(number * 1e3)),
        Some(number) if number.abs() < 1e14 => Millis(whole(number)),
        Some(number) => Millis(whole(number / 1e3)),
        None => Millis::parse_rfc3339(node.text()?)?,
    };
    Some(at).filter(|at| at.0 > 0 && *at <= LAST_MOMENT)
}

/// The `timestamp` of a message, in the same forms. Before 2020 or over a day ahead of `now` it is no evidence of anything, and counts as
/// absent.
#[must_use]
pub fn sent_at(node: &Node<'_>, now: Millis) -> Option<Millis> {
    stated_moment(node).filter(|at| *at >= crate::call::time::YEAR_2020 && at.since(now) <= crate::call::time::DAY)
}
