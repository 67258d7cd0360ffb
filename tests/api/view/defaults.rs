//! Providers, requests, and what is put in for them when an answer is written.

use ringback::call::record::CallRecord;
use serde_json::{Value, json};

use super::{data, full, metadata, words};
use crate::support::bodies::facts;

#[test]
fn provider_and_request_come_from_metadata() {
    let shown = full([facts("end-of-call-report")]);
    assert_eq!(
        shown["provider"],
        json!({"name": "Fern & Sons", "phone": "+15550142233", "service": "seedlings", "location": "Harbour Street 4"})
    );
    assert_eq!(shown["request"], json!({"criteria": "forty trays", "urgency": "within_2_days"}));
    assert_eq!((shown["serviceRequestId"].as_str(), shown["providerId"].as_str()), (Some("req-77"), Some("prov-9")));
    assert_eq!(shown["customer"], json!({"number": "+15550142233", "name": "Fern & Sons"}));
    assert_eq!(shown["metadata"]["attempt"], 2, "as it came, numbers too");
}

#[test]
fn numbers_and_booleans_read_as_text_and_nothing_reads_as_nothing() {
    let shown =
        full([metadata(&json!({"serviceRequestId": 17, "providerId": true, "urgency": "", "userCriteria": null, "location": ["x"]}))]);
    assert_eq!((shown["serviceRequestId"].as_str(), shown["providerId"].as_str()), (Some("17"), Some("true")));
    assert_eq!(shown["request"], json!({"criteria": "", "urgency": null}));
    assert_eq!(shown["provider"]["location"], Value::Null);
}

#[test]
fn the_providers_phone_is_metadatas_else_the_customers() {
    let customer = CallRecord { customer_number: words("+1555"), ..CallRecord::default() };
    assert_eq!(full([customer.clone(), metadata(&json!({"providerPhone": "+1777"}))])["provider"]["phone"], "+1777");
    assert_eq!(full([customer])["provider"]["phone"], "+1555");
}

#[test]
fn provider_calls_show_defaults_under_the_analysis() {
    let defaults = json!({"availability": "unclear", "estimated_rate": "unknown", "single_person_found": false, "all_criteria_met": false, "recommended": false});
    let provider = || metadata(&json!({"providerName": "Fern & Sons"}));
    let shown = |parts: Vec<CallRecord>| full(parts)["analysis"]["structuredData"].clone();
    assert_eq!(shown(vec![provider()]), defaults);
    let mut stated = defaults.clone();
    stated["availability"] = json!("available");
    stated["call_outcome"] = json!("positive");
    assert_eq!(
        shown(vec![provider(), data(&json!({"availability": "available", "call_outcome": "positive"}))]),
        stated,
        "what was stated goes over them"
    );
    assert_eq!(shown(vec![provider(), data(&json!(["odd"]))]), json!(["odd"]), "no object to put them under");
    assert_eq!(shown(vec![metadata(&json!({"providerId": "p"}))]), json!({}), "other calls have none");
    assert_eq!(shown(vec![metadata(&json!({"providerName": ""}))]), json!({}));
}

#[test]
fn the_defaults_are_no_evidence() {
    let shown = full([super::report("customer-ended-call"), super::picked_up(), metadata(&json!({"providerName": "Fern & Sons"}))]);
    assert_eq!((&shown["outcome"]["analysisMissing"], &shown["correlationId"]), (&json!(true), &Value::Null));
}
