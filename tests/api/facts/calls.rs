//! REST objects.

use ringback::{
    call::{
        event::{EventKind, Keep},
        field::Rank,
        id::CallId,
        record::{CallRecord, CallState, FetchOutcome, Promise, ToolAnswer},
        time::Millis,
    },
    vapi::call::read,
};
use serde_json::json;

use crate::support::{
    bodies::{CALL, MADE, NOW, answered, rest_body, rest_facts},
    vapi::id,
};

#[test]
fn an_ended_call_is_a_result() {
    let answer = answered("ended", NOW);
    assert_eq!(answer.outcome, FetchOutcome::Ended { updated_at: "2026-05-14T09:30:35.000Z".to_owned() });
    let (event, facts) = (&answer.event, &answer.event.facts);
    assert_eq!((event.kind, event.source.as_str(), event.keep, event.sent_at), (EventKind::Fetch, "rest", Keep::Whole, Some(NOW)));
    assert_eq!((facts.state, facts.rest_ended, facts.reported, facts.resulted_at), (CallState::Ended, true, false, Some(NOW)));
    assert_eq!(facts.started_at.as_ref().map(|it| (it.value, it.rank)), Some((MADE.plus(4_000), Rank::REST_ENDED)));
    assert_eq!(facts.ended_at.as_ref().map(|it| it.value), Some(MADE.plus(29_725)));
    assert_eq!(facts.ended_reason.as_ref().unwrap().value, "customer-ended-call");
    assert_eq!(facts.summary.as_ref().unwrap().value, "Forty trays of seedlings wait for the club, for 62 euros.");
    assert!((facts.cost.as_ref().unwrap().value.0 - 0.0502).abs() < 1e-12);
    assert_eq!(facts.duration_seconds, None, "REST states none");
    assert!(facts.transcript.as_ref().unwrap().authoritative && facts.messages.as_ref().unwrap().authoritative);
    assert_eq!(facts.messages.as_ref().unwrap().value.len(), 4);
    assert!(facts.recorded);
    assert_eq!(facts.metadata["attempt"].value.as_str(), "3");
    let answer = &facts.tool_calls["call_Seed01"].answer.as_ref().unwrap().value;
    assert_eq!(*answer, ToolAnswer::Result("HG-114: 40 seedlings, paid".to_owned()));
    assert_eq!((facts.heard_at, facts.webhook_received_at), (None, None), "no webhook");
}

/// What a REST object with these members states.
fn stated(members: &serde_json::Value) -> CallRecord {
    let mut object = json!({"id": CALL, "status": "queued"});
    for (key, value) in members.as_object().unwrap() {
        object[key] = value.clone();
    }
    *read(object.to_string().as_bytes(), &id(CALL), NOW).unwrap().event.facts
}

#[test]
fn where_webhooks_go_is_told_as_a_hash_without_query() {
    let server = |members: serde_json::Value| stated(&members).server.map(|it| it.value);
    let plain = server(json!({"assistant": {"server": {"url": "https://hooks.example.com/vapi"}}})).unwrap();
    assert!(plain.len() == 64 && !plain.contains("hooks"), "{plain}");
    for same in [
        json!({"assistant": {"server": {"url": "https://hooks.example.com/vapi/?key=1"}}}),
        json!({"assistant": {"serverUrl": "https://hooks.example.com/vapi#x"}}),
        json!({"phoneNumber": {"server": {"url": "https://hooks.example.com/vapi"}}}),
        json!({"assistantOverrides": {"server": {"url": "https://hooks.example.com/vapi"}}, "assistant": {"server": {"url": "https://other"}}}),
    ] {
        assert_eq!(server(same.clone()).as_ref(), Some(&plain), "{same}");
    }
    assert_eq!((server(json!({"assistant": {"server": {"url": ""}}})), server(json!({"assistant": null}))), (None, None));
}

#[test]
fn a_report_is_to_be_sent_unless_the_list_of_messages_leaves_it_out() {
    let report = |members: serde_json::Value| stated(&members).promises.report.map(|it| it.value);
    let listing = |messages: serde_json::Value| json!({"assistant": {"serverMessages": messages}});
    assert_eq!(report(listing(json!(["status-update", "end-of-call-report"]))), Some(Promise::On));
    assert_eq!(report(listing(json!(["status-update"]))), Some(Promise::Off));
    assert_eq!((report(listing(json!([]))), report(json!({}))), (None, None));
    let both = json!({"assistant": {"serverMessages": ["hang"]}, "assistantOverrides": {"serverMessages": ["end-of-call-report"]}});
    assert_eq!(report(both), Some(Promise::On));
}

#[test]
fn numbers_are_passed_on_to_the_last_digit() {
    let breakdown = rest_facts("ended").cost_breakdown.unwrap().value;
    assert!(breakdown.as_str().contains("\"structuredOutput\":0.014204399999999999"), "{breakdown:?}");
}

#[test]
fn a_call_under_way_has_none() {
    for (file, state) in [("scheduled", CallState::Scheduled), ("queued", CallState::Queued), ("in-progress", CallState::InProgress)] {
        let answer = answered(file, NOW);
        assert_eq!(answer.outcome, FetchOutcome::Live, "{file}");
        let facts = answer.event.facts;
        assert_eq!((facts.state, facts.has_result(), facts.resulted_at), (state, false, None), "{file}");
        assert_eq!(facts.heard_live, state == CallState::InProgress, "{file}");
    }
    let live = rest_facts("in-progress");
    assert_eq!(live.started_at.map(|it| (it.value, it.rank)), Some((MADE.plus(4_000), Rank::OTHER)));
    assert!(!live.messages.unwrap().authoritative);
}

#[test]
fn a_call_that_never_connected_says_why() {
    let facts = rest_facts("never-connected");
    assert_eq!(facts.sip_status.as_ref().map(|it| it.value), Some(480));
    assert!(facts.never_connected());
    assert_eq!((facts.started_at, facts.ended_at, facts.resulted_at), (None, None, Some(NOW)));
    let refused = rest_facts("not-placed");
    assert_eq!(refused.ended_message.as_ref().unwrap().value, "This number is not allowed to dial out.");
    assert!(refused.never_connected());
}

#[test]
fn analysis_may_be_empty_and_outputs_without_result() {
    let facts = rest_facts("ended-without-analysis");
    assert!(facts.analysis_is_empty());
    assert_eq!(facts.structured_outputs.len(), 2);
    assert!(!facts.never_connected());
}

#[test]
fn a_mailbox_counts_as_somebody_who_speaks() {
    let facts = rest_facts("voicemail");
    assert_eq!(facts.ended_reason.as_ref().unwrap().value, "voicemail");
    assert!(facts.user_spoke() && facts.connected());
    assert_eq!(facts.customer_name, None);
    assert!(facts.metadata.is_empty());
}

#[test]
fn the_same_object_is_the_same_event_whenever_it_is_answered() {
    let (early, late) = (answered("ended", NOW), answered("ended", NOW.plus(60_000)));
    assert_eq!(early.event.id, late.event.id);
    assert_eq!(early.event.body, late.event.body);
    assert_ne!(early.event.facts, late.event.facts, "but each was true at its time");
}

#[test]
fn presigned_links_make_no_other_event() {
    let again = String::from_utf8(rest_body("ended")).unwrap().replace("X-Amz-Signature=4be1c0ffee", "X-Amz-Signature=other");
    let other = again.replace("09:30:35.000Z", "09:30:36.000Z");
    let id_of = |body: &str| read(body.as_bytes(), &id(CALL), NOW).unwrap().event.id;
    assert_eq!(id_of(&again), answered("ended", NOW).event.id);
    assert_ne!(id_of(&other), id_of(&again), "a new updatedAt is news");
}

#[test]
fn what_is_not_this_call_is_no_answer() {
    let none = |body: &str| read(body.as_bytes(), &id(CALL), NOW).is_none();
    assert!(none("") && none("<html>busy</html>") && none("[]") && none("null") && none("{}") && none("\"text\"") && none("{\"id\":5}"));
    assert!(none(&json!({"id": "another-call", "status": "ended"}).to_string()));
    assert!(none(&json!({"results": [{"id": CALL}], "errors": []}).to_string()));
    let other = CallId::parse("another-call").unwrap();
    assert!(read(&rest_body("ended"), &other, NOW).is_none());
}

#[test]
fn what_rest_says_of_the_end_counts_whatever_it_calls_the_state() {
    let object = json!({"id": CALL, "status": "deletion-failed", "startedAt": "2026-05-14T09:30:04Z", "endedAt": "2026-05-14T09:30:29Z"});
    let facts = *read(object.to_string().as_bytes(), &id(CALL), NOW).unwrap().event.facts;
    assert_eq!((facts.state, facts.has_result()), (CallState::Unknown, false), "no such state");
    assert_eq!(facts.ended_at.map(|it| (it.value, it.rank)), Some((MADE.plus(29_000), Rank::OTHER)));
}

#[test]
fn odd_types_are_no_obstacle() {
    let odd = json!({"id": CALL, "status": ["ended"], "updatedAt": 5, "customer": "nobody", "artifact": [], "analysis": "none", "messages": {"role": "user"},
        "cost": {"total": 1}, "phoneCallProviderDetails": {"sipStatus": "486"}, "startedAt": true, "metadata": ["x"], "assistantOverrides": null});
    let answer = read(odd.to_string().as_bytes(), &id(CALL), NOW).unwrap();
    assert_eq!(answer.outcome, FetchOutcome::Live);
    assert_eq!(answer.event.facts.sip_status.as_ref().unwrap().value, 486, "a number as text");
    let ended = json!({"id": CALL, "status": "ended", "updatedAt": 1_778_751_035_000_i64});
    let answer = read(ended.to_string().as_bytes(), &id(CALL), NOW).unwrap();
    assert_eq!(answer.outcome, FetchOutcome::Ended { updated_at: "1778751035000".to_owned() });
    assert_eq!(answer.event.received_at, Millis(NOW.0));
}
