//! How the call turned out.

use ringback::call::{
    record::{CallRecord, Line, Speaker},
    view::View,
};
use serde_json::{Value, json};

use super::{full, picked_up, report, seen, stamped};
use crate::support::bodies::{facts, rest_facts};

fn user_speaks() -> CallRecord {
    let line = Line { sent_at: None, role: Speaker::User, text: "Yes?".to_owned() };
    CallRecord { lines: std::iter::once(line).collect(), ..CallRecord::default() }
}

fn sip(status: i64) -> CallRecord {
    CallRecord { sip_status: stamped(status), ..CallRecord::default() }
}

/// Status, kind, fault.
fn outcome(parts: Vec<CallRecord>) -> (String, Value, Value) {
    let shown = full(parts);
    (shown["status"].as_str().unwrap().to_owned(), shown["outcome"]["kind"].clone(), shown["outcome"]["fault"].clone())
}

fn is(status: &str, kind: &str, fault: &str) -> (String, Value, Value) {
    (status.to_owned(), json!(kind), json!(fault))
}

#[test]
fn before_a_result_nothing_is_known() {
    let reason = CallRecord { reported: false, ..report("customer-busy") };
    assert_eq!(outcome(vec![reason, picked_up(), sip(486)]), ("pending".to_owned(), Value::Null, Value::Null));
}

#[test]
fn the_status_folds_eight_kinds_into_five() {
    for (reason, expected) in [
        ("customer-ended-call", is("completed", "completed", "customer")),
        ("customer-did-not-answer", is("no_answer", "no_answer", "customer")),
        ("customer-busy", is("no_answer", "busy", "customer")),
        ("voicemail", is("voicemail", "voicemail", "customer")),
        ("silence-timed-out", is("timeout", "timeout", "customer")),
        ("manually-canceled", is("error", "canceled", "config")),
        ("call.start.error-get-transport", is("error", "error", "transport")),
    ] {
        assert_eq!(outcome(vec![report(reason)]), expected, "{reason}");
    }
}

#[test]
fn an_unknown_end_is_completed_if_the_user_spoke() {
    for reason in ["", "entirely-unheard-of"] {
        assert_eq!(outcome(vec![report(reason)]), is("error", "unknown", "unknown"), "{reason}");
        assert_eq!(outcome(vec![report(reason), user_speaks()]), is("completed", "unknown", "unknown"), "{reason}");
    }
    assert_eq!(outcome(vec![report("customer-busy"), user_speaks()]).0, "no_answer", "a known reason is not refined by words");
}

#[test]
fn a_sip_status_refines_what_the_reason_leaves_open() {
    let failed = || report("call.in-progress.error-sip-outbound-call-failed-to-connect");
    for (status, expected) in [
        (486, is("no_answer", "busy", "customer")),
        (600, is("no_answer", "busy", "customer")),
        (480, is("no_answer", "no_answer", "customer")),
        (603, is("no_answer", "no_answer", "customer")),
        (404, is("error", "error", "config")),
        (503, is("error", "error", "transport")),
        (200, is("error", "error", "transport")),
    ] {
        assert_eq!(outcome(vec![failed(), sip(status)]), expected, "{status}");
        assert_eq!(full([failed(), sip(status)])["outcome"]["sipStatus"], status);
    }
    assert_eq!(outcome(vec![report("customer-ended-call"), sip(486)]), is("completed", "completed", "customer"), "the reason was clear");
    let rest = full([facts("end-of-call-report-never-connected"), rest_facts("never-connected")]);
    assert_eq!((rest["status"].as_str(), rest["outcome"]["rule"].as_str()), (Some("no_answer"), Some("SIP-480")), "the report knew less");
}

#[test]
fn connected_and_spoken_to_are_told_apart() {
    let of = |parts: Vec<CallRecord>| {
        let shown = full(parts);
        (shown["outcome"]["connected"] == true, shown["outcome"]["userSpoke"] == true)
    };
    assert_eq!(of(vec![report("")]), (false, false));
    assert_eq!(of(vec![report(""), picked_up()]), (true, false));
    assert_eq!(of(vec![report(""), user_speaks()]), (true, true));
    assert_eq!(of(vec![facts("status-update-in-progress")]), (true, false));
    assert_eq!(of(vec![facts("status-update-ringing")]), (false, false));
    assert_eq!(of(vec![facts("transcript-final-by-type")]), (true, false), "the assistant spoke to somebody");
    assert_eq!(of(vec![rest_facts("never-connected")]), (false, false));
    assert_eq!(of(vec![facts("end-of-call-report-2024-03")]), (true, true));
    assert_eq!(of(vec![CallRecord { duration_seconds: stamped(0.0), ..report("") }]), (false, false));
    assert_eq!(of(vec![CallRecord { duration_seconds: stamped(0.1), ..report("") }]), (true, false));
}

#[test]
fn the_recording_is_ours_to_serve() {
    let shown = full([facts("end-of-call-report")]);
    let url = "https://ringback.example.com/api/v1/vapi/calls/019e2609-4c00-7a1b-8c3d-2e4f60718293/recording";
    assert_eq!(shown["recording"], json!({"available": true, "url": url}));
    assert_eq!(seen(&report(""), View::Full)["recording"], json!({"available": false, "url": null}));
}

#[test]
fn state_words_are_vapis() {
    let of = |file: &str| full([facts(file)])["callStatus"].as_str().unwrap().to_owned();
    for word in ["scheduled", "queued", "ringing", "in-progress", "forwarding", "ended"] {
        assert_eq!(of(&format!("status-update-{word}")), word);
    }
    assert_eq!(of("status-update-not-found"), "unknown");
    assert_eq!(of("hang"), "unknown");
}
