//! Inputs on their way to an execution: a form of texts.

/// A form of texts, written as `multipart/form-data`. No part has a file name: Kestra would take it for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// The header, with the boundary.
    pub(super) content_type: String,
    /// The body.
    pub(super) body: String,
}

impl Form {
    /// Writes inputs by name.
    pub(super) fn of(inputs: &[(&str, &str)]) -> Self {
        // Random, so that no text can hold it.
        let boundary = format!("ringback-{}", uuid::Uuid::new_v4().simple());
        let part =
            |(name, text): &(&str, &str)| format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
        let body = inputs.iter().map(part).collect::<String>() + &format!("--{boundary}--\r\n");
        Self { content_type: format!("multipart/form-data; boundary={boundary}"), body }
    }
}
