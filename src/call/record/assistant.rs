//! What the assistant was to deliver, what it delivered, and which tools it asked.

use std::{borrow::Cow, collections::BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::call::{
    field::{Evidence, Field, best, earliest},
    json::Json,
    time::Millis,
};

/// What a part of the analysis plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Promise {
    /// `enabled: false`.
    Off,
    /// The plan is there and not switched off.
    On,
}

impl Evidence for Promise {
    fn fill(&self) -> u8 {
        1
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(match self {
            Self::Off => b"off",
            Self::On => b"on",
        })
    }
}

impl Evidence for BTreeSet<String> {
    fn fill(&self) -> u8 {
        u8::from(!self.is_empty())
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        Cow::Owned(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// What the assistants seen promise to deliver after the call. Each part is joined by itself: an answer that shows only overrides does not
/// make forgotten what the assistant beneath them promised.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Promises {
    /// `analysisPlan.summaryPlan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Field<Promise>,
    /// `analysisPlan.structuredDataPlan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structured_data: Field<Promise>,
    /// `artifactPlan.structuredOutputIds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Field<BTreeSet<String>>,
    /// The report itself: is `end-of-call-report` among the `serverMessages`?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Field<Promise>,
}

impl Promises {
    /// Joins what two sets of events say of promises.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            summary: best(self.summary, other.summary),
            structured_data: best(self.structured_data, other.structured_data),
            outputs: best(self.outputs, other.outputs),
            report: best(self.report, other.report),
        }
    }

    /// Is a summary promised?
    #[must_use]
    pub fn summary_is(&self, promise: Promise) -> bool {
        self.summary.as_ref().is_some_and(|it| it.value == promise)
    }

    /// Is structured data promised?
    #[must_use]
    pub fn structured_data_is(&self, promise: Promise) -> bool {
        self.structured_data.as_ref().is_some_and(|it| it.value == promise)
    }

    /// Is the report to be sent?
    #[must_use]
    pub fn report_is(&self, promise: Promise) -> bool {
        self.report.as_ref().is_some_and(|it| it.value == promise)
    }

    /// The ids of the structured outputs that are promised.
    pub fn output_ids(&self) -> impl Iterator<Item = &String> {
        self.outputs.iter().flat_map(|it| &it.value)
    }

    /// Is anything promised?
    #[must_use]
    pub fn any(&self) -> bool {
        self.summary_is(Promise::On) || self.structured_data_is(Promise::On) || self.output_ids().next().is_some()
    }

    /// Is everything explicitly off? A summary is what an assistant makes unless told otherwise, so its plan decides.
    #[must_use]
    pub fn explicitly_none(&self) -> bool {
        !self.any() && self.summary_is(Promise::Off)
    }
}

/// One structured output: `{name, result, …}`. One that has a result outweighs one that still has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Output(pub Json);

impl Output {
    /// Did the model come to a result? `false` and 0 are results.
    #[must_use]
    pub fn has_result(&self) -> bool {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow, default)]
            result: Option<&'a RawValue>,
        }
        match serde_json::from_str::<Named<'_>>(self.0.as_str()) {
            Ok(named) => named.result.is_some_and(|result| !matches!(result.get(), "null" | "\"\"" | "[]" | "{}")),
            // No object: then the value itself is the result.
            Err(_) => !self.0.is_empty(),
        }
    }
}

impl Evidence for Output {
    fn fill(&self) -> u8 {
        u8::from(!self.0.is_empty()) + u8::from(self.has_result())
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        self.0.canonical()
    }
}

/// What a tool answered, or why it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolAnswer {
    /// What it answered.
    Result(String),
    /// Why it did not.
    Error(String),
}

impl Evidence for ToolAnswer {
    fn fill(&self) -> u8 {
        let (Self::Result(text) | Self::Error(text)) = self;
        u8::from(!text.is_empty())
    }
    fn canonical(&self) -> Cow<'_, [u8]> {
        Cow::Owned(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// One question the assistant put to a tool, and what came back. Question and answer are joined apart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolCall {
    /// The tool's name at Vapi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Field<String>,
    /// Its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Field<Json>,
    /// What came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Field<ToolAnswer>,
    /// Why the answer is only what is said in place of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Field<String>,
    /// When it was asked, earliest heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Millis>,
}

impl ToolCall {
    /// Joins what two sets of events say of one tool call.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            name: best(self.name, other.name),
            arguments: best(self.arguments, other.arguments),
            answer: best(self.answer, other.answer),
            fallback: best(self.fallback, other.fallback),
            at: earliest(self.at, other.at),
        }
    }
}
