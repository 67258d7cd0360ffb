//! What a search looks at.

use super::{
    id::CallId,
    record::CallRecord,
    view::{correlation_id, metadata_text},
};

/// Names, numbers, ids, summary and transcript, in lower case.
#[must_use]
pub fn of(id: &CallId, record: &CallRecord) -> String {
    let fields = [&record.customer_number, &record.customer_name, &record.assistant_id, &record.phone_number_id, &record.summary];
    let named = ["providerName", "providerPhone", "providerId", "serviceRequestId"];
    let mut text = id.as_str().to_owned();
    let metadata = named.iter().filter_map(|key| metadata_text(record, key));
    let values = fields.into_iter().flatten().map(|it| it.value.clone());
    for part in values.chain(metadata).chain(correlation_id(record)) {
        text.push('\n');
        text.push_str(&part);
    }
    text.push('\n');
    text.push_str(record.transcript_text());
    if record.transcript_text().is_empty() {
        record.lines.iter().for_each(|line| {
            text.push('\n');
            text.push_str(&line.text);
        });
    }
    text.to_lowercase()
}
