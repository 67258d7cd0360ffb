//! The labels of metrics. Words from outside become one of a list, so that nobody can make up series.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// What is outside a known list.
pub(super) const OTHER: &str = "other";
/// Methods that are told apart.
pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Message types that are told apart: those of Vapi's `OpenAPI` document, those seen besides, and older ones.
pub(super) const MESSAGE_TYPES: [&str; 38] = [
    "assistant-request",
    "assistant.speechStarted",
    "assistant.started",
    "call-connected",
    "call-end",
    "call-ended",
    "call-in-progress",
    "call-started",
    "call.artifact.upload",
    "call.delete.failed",
    "call.deleted",
    "call.endpointing.request",
    "campaign.predial",
    "chat.created",
    "chat.deleted",
    "conversation-update",
    "end-of-call-report",
    "function-call",
    "handoff-destination-request",
    "hang",
    "knowledge-base-request",
    "language-change-detected",
    "language-changed",
    "model-output",
    "phone-call-control",
    "ringback.doctor",
    "session.created",
    "session.deleted",
    "session.updated",
    "speech-update",
    "status-update",
    "tool-calls",
    "transcript",
    "transfer-destination-request",
    "transfer-update",
    "user-interrupted",
    "voice-input",
    "voice-request",
];

/// How a request to Vapi ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VapiStatus {
    /// An answer with this HTTP status.
    Code(u16),
    /// No answer; a fixed word such as `timeout`.
    Failed(&'static str),
}

impl EncodeLabelValue for VapiStatus {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => EncodeLabelValue::encode(code, encoder),
            Self::Failed(word) => EncodeLabelValue::encode(word, encoder),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DeliveryLabels {
    pub(super) r#type: &'static str,
    pub(super) result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabels {
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DoneLabels {
    pub(super) status: &'static str,
    pub(super) data_status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabels {
    pub(super) kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabels {
    pub(super) result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VapiLabels {
    pub(super) operation: &'static str,
    pub(super) status: VapiStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PushLabels {
    pub(super) kind: &'static str,
    pub(super) result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CheckLabels {
    pub(super) check: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OperationLabels {
    pub(super) operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TransportLabels {
    pub(super) transport: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ToolLabels {
    pub(super) tool: String,
    pub(super) result: &'static str,
}

/// The same text out of a list, or `other`.
pub(super) fn known(list: &[&'static str], text: &str) -> &'static str {
    list.iter().find(|entry| **entry == text).copied().unwrap_or(OTHER)
}

/// Vapi writes some types with a condition behind them, such as `transcript[transcriptType="final"]`.
#[must_use]
pub fn known_type(message_type: &str) -> &'static str {
    let word = message_type.split('[').next().unwrap_or_default();
    MESSAGE_TYPES.binary_search(&word).map_or(OTHER, |index| MESSAGE_TYPES[index])
}
