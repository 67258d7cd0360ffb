//! A call with a result as other programs read it: a row of the documents' table `vapi_call_results`.

use serde::{Deserialize, Serialize};

/// One row. Its fields are the table's columns; the table adds an `id` of its own. `None` is null.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishedRow {
    /// The call.
    pub call_id: Option<String>,
    /// The assistant that talked.
    pub assistant_id: Option<String>,
    /// The number that was used, by its id at Vapi.
    pub phone_number_id: Option<String>,
    /// Who was called.
    pub customer_phone: Option<String>,
    /// How the call turned out.
    pub status: Option<String>,
    /// Vapi's reason, verbatim.
    pub ended_reason: Option<String>,
    /// When the conversation began, in epoch milliseconds.
    pub started_at: Option<i64>,
    /// When the line dropped, in epoch milliseconds.
    pub ended_at: Option<i64>,
    /// Minutes, with 4 decimals.
    pub duration_minutes: Option<f64>,
    /// Seconds.
    pub duration_sec: Option<f64>,
    /// The conversation as one text.
    pub transcript: Option<String>,
    /// The conversation as messages, a JSON array.
    pub messages: Option<String>,
    /// Our address of the recording.
    pub recording_url: Option<String>,
    /// The summary.
    pub analysis_summary: Option<String>,
    /// The structured data, JSON.
    pub analysis_structured_data: Option<String>,
    /// The evaluation.
    pub analysis_success_evaluation: Option<String>,
    /// Vapi's structured outputs by id, a JSON object.
    pub structured_outputs: Option<String>,
    /// From metadata.
    pub provider_name: Option<String>,
    /// From metadata, else the customer's.
    pub provider_phone: Option<String>,
    /// From metadata.
    pub service_type: Option<String>,
    /// From metadata.
    pub location: Option<String>,
    /// From metadata.
    pub user_criteria: Option<String>,
    /// From metadata.
    pub urgency: Option<String>,
    /// From metadata.
    pub service_request_id: Option<String>,
    /// Somebody's own id of the call.
    pub correlation_id: Option<String>,
    /// US dollars.
    pub cost: Option<f64>,
    /// Net promoter score.
    pub nps_score: Option<f64>,
    /// What the customer thought of it.
    pub overall_feedback: Option<String>,
    /// Metadata, a JSON object.
    pub metadata: Option<String>,
    /// How complete this is.
    pub data_status: Option<String>,
    /// Counts what pollers see change.
    pub version: Option<i64>,
    /// The report as it came, redacted, JSON; `None` leaves the one that is there.
    pub raw_webhook_payload: Option<String>,
    /// First heard of, in epoch milliseconds.
    pub created_at: Option<i64>,
    /// Last changed, in epoch milliseconds.
    pub updated_at: Option<i64>,
}

impl PublishedRow {
    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        let texts = [&self.transcript, &self.messages, &self.analysis_structured_data, &self.structured_outputs, &self.metadata];
        let texts = texts.into_iter().chain([&self.raw_webhook_payload, &self.analysis_summary]);
        texts.flatten().map(String::len).sum()
    }
}
