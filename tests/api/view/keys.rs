//! Every key is always there, in both views, of any record.

use std::collections::BTreeSet;

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use ringback::call::{
    record::{CallRecord, Speaker},
    view::View,
};
use serde_json::{Value, json};

use super::{at, full, seen};
use crate::{
    join::events::record,
    support::bodies::{facts, rest_facts},
};

const KEYS: [&str; 40] = [
    "analysis",
    "assistantId",
    "callId",
    "callMethod",
    "callStatus",
    "correlationId",
    "cost",
    "costBreakdown",
    "createdAt",
    "customer",
    "dataStatus",
    "duration",
    "durationSeconds",
    "endedAt",
    "endedReason",
    "error",
    "feedback",
    "fetchAttempts",
    "fetchError",
    "fetchedAt",
    "id",
    "messages",
    "metadata",
    "nextFetchAt",
    "outcome",
    "phoneNumberId",
    "provider",
    "providerId",
    "recording",
    "request",
    "serviceRequestId",
    "session",
    "startedAt",
    "status",
    "structuredOutputs",
    "toolCalls",
    "transcript",
    "updatedAt",
    "version",
    "webhookReceivedAt",
];

const NESTED: [(&str, &[&str]); 8] = [
    ("analysis", &["structuredData", "structuredDataMulti", "successEvaluation", "summary"]),
    ("customer", &["name", "number"]),
    ("feedback", &["actionItems", "detractors", "npsScore", "overallFeedback", "positives"]),
    ("outcome", &["analysisMissing", "analysisMissingReason", "connected", "fault", "kind", "rule", "sipStatus", "userSpoke"]),
    ("provider", &["location", "name", "phone", "service"]),
    ("recording", &["available", "url"]),
    ("request", &["criteria", "urgency"]),
    ("session", &["keyInsights", "source", "summary"]),
];

const LISTED: [(&str, &[&str]); 2] = [
    ("messages", &["duration", "endTime", "message", "role", "secondsFromStart", "time"]),
    ("toolCalls", &["arguments", "at", "error", "id", "name", "result"]),
];

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().map(|members| members.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn set<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().copied().collect()
}

fn check(record: &CallRecord) {
    for view in [View::Full, View::Summary] {
        let shown = seen(record, view);
        assert_eq!(keys(&shown), set(&KEYS));
        for (part, names) in NESTED {
            assert_eq!(keys(&shown[part]), set(names), "{part}");
        }
        for (list, names) in LISTED {
            for entry in shown[list].as_array().unwrap() {
                assert_eq!(keys(entry), set(names), "{list}");
            }
        }
        for text in
            ["transcript", "error", "fetchError", "analysis.summary", "analysis.successEvaluation", "session.summary", "request.criteria"]
        {
            assert!(at(&shown, text).is_string(), "{text}");
        }
        for map in ["structuredOutputs", "metadata"] {
            assert!(shown[map].is_object(), "{map}");
        }
    }
}

#[test]
fn of_every_fixture() {
    for file in ["end-of-call-report", "end-of-call-report-2024-03", "tool-calls", "tool-calls-flat", "transcript-final", "hang"] {
        check(&facts(file));
    }
    for file in ["ended", "never-connected", "queued"] {
        check(&rest_facts(file));
    }
    check(&CallRecord::default());
}

#[test]
fn of_a_call_that_nobody_has_heard_of() {
    let nothing = json!({
        "id": crate::support::bodies::CALL, "callId": crate::support::bodies::CALL, "status": "pending", "callMethod": "direct_vapi", "callStatus": "unknown",
        "dataStatus": "pending", "duration": null, "durationSeconds": null, "endedReason": null, "transcript": "", "messages": [],
        "analysis": {"summary": "", "structuredData": {}, "structuredDataMulti": [], "successEvaluation": ""}, "structuredOutputs": {},
        "session": {"summary": "", "source": "", "keyInsights": []}, "provider": {"name": null, "phone": null, "service": null, "location": null},
        "request": {"criteria": "", "urgency": null}, "customer": {"number": null, "name": null}, "cost": null, "costBreakdown": {}, "startedAt": null, "endedAt": null,
        "createdAt": null, "updatedAt": null, "assistantId": null, "phoneNumberId": null, "metadata": {}, "serviceRequestId": null, "providerId": null, "correlationId": null,
        "feedback": {"npsScore": null, "overallFeedback": "", "positives": "", "detractors": "", "actionItems": ""}, "recording": {"available": false, "url": null},
        "toolCalls": [], "outcome": {"kind": null, "fault": null, "rule": null, "connected": false, "userSpoke": false, "sipStatus": null, "analysisMissing": false,
        "analysisMissingReason": ""}, "error": "", "webhookReceivedAt": null, "fetchedAt": null, "fetchAttempts": 0, "fetchError": "", "nextFetchAt": null, "version": 0,
    });
    assert_eq!(full([]), nothing);
}

#[test]
fn the_summary_leaves_five_things_empty_and_nothing_else() {
    let record = ringback::call::join::join(facts("end-of-call-report"), rest_facts("ended"));
    let (mut all, summary) = (seen(&record, View::Full), seen(&record, View::Summary));
    for (key, empty) in [
        ("transcript", json!("")),
        ("messages", json!([])),
        ("toolCalls", json!([])),
        ("costBreakdown", json!({})),
        ("metadata", json!({})),
    ] {
        assert_ne!(all[key], empty, "{key}");
        all[key] = empty;
    }
    assert_eq!(summary, all);
}

proptest! {
    #[test]
    fn of_any_record(record in record()) {
        check(&record);
    }

    #[test]
    fn words_agree_with_each_other(record in record()) {
        let shown = seen(&record, View::Full);
        prop_assert_eq!(&shown["id"], &shown["callId"]);
        prop_assert_eq!(shown["status"] == "pending", shown["dataStatus"] == "pending");
        prop_assert_eq!(shown["outcome"]["kind"].is_null(), shown["status"] == "pending");
        // Of a placing that was lost nobody knows where the line was.
        prop_assert!(shown["dataStatus"] == "pending" || shown["callStatus"] == "ended" || record.lost_at.is_some());
        prop_assert_eq!(matches!(shown["dataStatus"].as_str(), Some("complete" | "fetch_failed")), record.is_done());
        prop_assert_eq!(shown["outcome"]["analysisMissing"] == true, shown["outcome"]["analysisMissingReason"] != "");
        for message in shown["messages"].as_array().unwrap() {
            prop_assert!([Speaker::Bot.as_str(), Speaker::User.as_str()].contains(&message["role"].as_str().unwrap()));
            prop_assert!(!message["message"].as_str().unwrap().trim().is_empty());
        }
        let times: Vec<_> = shown["toolCalls"].as_array().unwrap().iter().map(|call| call["at"].as_str()).collect();
        prop_assert!(times.is_sorted());
    }
}
