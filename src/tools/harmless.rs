//! What is answered where nobody is configured, or nobody answers: it harms no call.

use serde_json::{Value, json};

use crate::vapi::message::Question;

/// Says that nobody was asked.
pub(super) const NO_TOOL: &str = "No tool is configured.";

pub(super) fn harmless(question: &Question) -> Value {
    match question {
        Question::ToolCalls(tools) => {
            let results = tools.iter().map(|(id, name)| json!({"toolCallId": id, "name": name, "error": NO_TOOL}));
            json!({"results": results.collect::<Vec<_>>()})
        }
        Question::FunctionCall(..) => json!({"result": NO_TOOL}),
        Question::Assistant => json!({"error": "No assistant is configured to take this call."}),
        Question::Destination => json!({"error": "No destination is configured."}),
        Question::Documents => json!({"documents": []}),
        Question::Endpointing => json!({"timeoutSeconds": 0.6}),
        Question::Predial => json!({"eligible": false}),
        Question::Voice => json!({"error": "No voice is configured."}),
    }
}
