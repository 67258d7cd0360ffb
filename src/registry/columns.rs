//! What lists filter and search by, taken from a record.

use crate::{
    call::{
        record::CallRecord,
        view::{correlation_id, data_status, ended_at, metadata_text, status},
    },
    store::Columns,
};

/// The columns of a record.
pub(super) fn of(record: &CallRecord) -> Columns {
    let value = |field: &crate::call::field::Field<String>| field.as_ref().map(|it| it.value.clone());
    let customer = value(&record.customer_number);
    let provider = metadata_text(record, "providerPhone");
    Columns {
        status: status(record),
        call_status: record.state.as_str(),
        data_status: data_status(record),
        ended_at: ended_at(record).filter(|_| record.has_result()),
        assistant_id: value(&record.assistant_id),
        provider_id: metadata_text(record, "providerId"),
        service_request_id: metadata_text(record, "serviceRequestId"),
        correlation_id: correlation_id(record),
        customer_digits: customer.as_deref().and_then(digits),
        provider_digits: provider.as_deref().and_then(digits),
        metadata: metadata(record),
        search: None,
    }
}

/// The digits of a number; `None` when it has none.
#[must_use]
pub(crate) fn digits(number: &str) -> Option<String> {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

fn metadata(record: &CallRecord) -> String {
    let texts: std::collections::BTreeMap<&String, String> =
        record.metadata.keys().filter_map(|key| Some((key, metadata_text(record, key)?))).collect();
    serde_json::to_string(&texts).unwrap_or_default()
}
