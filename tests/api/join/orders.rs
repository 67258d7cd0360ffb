//! Orders: every one of up to six events, and random ones with repeats of whole sequences.

use proptest::prelude::{ProptestConfig, Strategy, prop, prop_assert_eq, proptest};
use ringback::call::{
    join::join,
    record::{CallRecord, Settled},
};
use serde_json::{Value, json};

use super::{
    events::{at, event, join_all},
    stories::{fetch, rerun_output},
};
use crate::support::bodies::{CALL, NOW, answered, body, facts, read_value, rest_facts};

/// Calls `seen` with every order of `events`.
fn every_order(events: &mut [CallRecord], fixed: usize, seen: &mut impl FnMut(&[CallRecord])) {
    if fixed == events.len() {
        return seen(events);
    }
    for next in fixed..events.len() {
        events.swap(fixed, next);
        every_order(events, fixed + 1, seen);
        events.swap(fixed, next);
    }
}

/// Joins as two instances would that each heard a part, and told each other in the end.
fn by_two_instances(events: &[CallRecord]) -> CallRecord {
    let (one, other) = events.split_at(events.len() / 2);
    join(join_all(other), join_all(one))
}

fn check(mut events: Vec<CallRecord>) {
    assert!(events.len() <= 6, "more than six have too many orders");
    let expected = join_all(&events);
    let mut orders = 0;
    every_order(&mut events, 0, &mut |order| {
        orders += 1;
        assert_eq!(join_all(order), expected);
        assert_eq!(by_two_instances(order), expected);
    });
    assert_eq!(orders, (1..=events.len()).product::<usize>());
}

fn settled(how: Settled) -> CallRecord {
    CallRecord { settled: Some(how), ..CallRecord::default() }
}

/// A fixture without its timestamp.
fn untimed(file: &str) -> CallRecord {
    let mut tree: Value = serde_json::from_slice(&body(file)).unwrap();
    tree["message"].as_object_mut().unwrap().remove("timestamp");
    *read_value(tree).event.facts
}

#[test]
fn the_life_of_a_call_comes_in_any_order() {
    check(
        [
            "status-update-ringing",
            "status-update-in-progress",
            "transcript-final",
            "tool-calls",
            "status-update-ended",
            "end-of-call-report",
        ]
        .map(facts)
        .into(),
    );
}

#[test]
fn a_late_upload_with_a_shorter_artifact_comes_in_any_order() {
    let rest = *answered("ended", at(5_000)).event.facts;
    check(vec![
        facts("end-of-call-report"),
        facts("call.artifact.upload"),
        rest,
        facts("conversation-update"),
        facts("transcript-final"),
        facts("transcript-final-by-type"),
    ]);
}

#[test]
fn rest_before_and_after_the_report_comes_in_any_order() {
    check(vec![
        *answered("in-progress", at(-30_000)).event.facts,
        *answered("ended-without-analysis", at(-1_000)).event.facts,
        *answered("ended", at(5_000)).event.facts,
        facts("end-of-call-report"),
        fetch("f1", at(-1_000)),
        fetch("f2", at(5_000)),
    ]);
}

#[test]
fn two_reports_and_a_re_run_output_come_in_any_order() {
    let mut again: Value = serde_json::from_slice(&body("end-of-call-report-sent-again")).unwrap();
    again["message"]["timestamp"] = json!(NOW.0 - 1_000);
    again["message"]["analysis"]["summary"] = json!("Said again, otherwise.");
    check(vec![
        facts("end-of-call-report"),
        *read_value(again).event.facts,
        rerun_output(at(60_000), &json!("first")),
        rerun_output(at(90_000), &json!("second")),
        facts("status-update-ended"),
        settled(Settled::Complete),
    ]);
}

#[test]
fn equal_and_absent_timestamps_come_in_any_order() {
    check(vec![
        untimed("end-of-call-report"),
        facts("end-of-call-report"),
        facts("end-of-call-report-sent-again"),
        untimed("conversation-update"),
        untimed("transcript-final"),
        untimed("status-update-ended"),
    ]);
}

#[test]
fn settled_both_ways_with_two_notes_comes_in_any_order() {
    check(vec![
        settled(Settled::FetchFailed),
        settled(Settled::Complete),
        fetch("f1", at(1_000)),
        fetch("f2", at(1_000)),
        facts("end-of-call-report-nothing-promised"),
        rest_facts("ended"),
    ]);
}

#[test]
fn a_deletion_in_the_middle_comes_in_any_order() {
    let deleted = |after| CallRecord { deleted_at: Some(at(after)), ..CallRecord::default() };
    let events = vec![
        facts("end-of-call-report"),
        rest_facts("ended"),
        deleted(5),
        deleted(3),
        facts("transcript-final"),
        settled(Settled::Complete),
    ];
    assert_eq!(join_all(&events), deleted(3), "nothing is left but the earliest time");
    check(events);
}

#[test]
fn bodies_of_2024_come_in_any_order() {
    check(
        ["end-of-call-report-2024-03", "end-of-call-report-2024-07", "function-call", "function-call-alone", "conversation-update-2024"]
            .map(facts)
            .into(),
    );
}

#[test]
fn every_pair_and_triple_of_fixtures_comes_in_any_order() {
    let files = [
        "assistant-request",
        "assistant.started",
        "call.artifact.upload",
        "call-ended",
        "conversation-update",
        "end-of-call-report",
        "end-of-call-report-never-connected",
        "end-of-call-report-no-time-passed",
        "hang",
        "knowledge-base-request",
        "recording-ready",
        "status-update-forwarding",
        "tool-calls",
        "tool-calls-text-arguments",
        "transcript-final",
    ];
    let mut records: Vec<CallRecord> = files.map(facts).into();
    records.extend(["ended", "ended-without-analysis", "in-progress", "queued", "never-connected", "voicemail"].map(rest_facts));
    for (a, one) in records.iter().enumerate() {
        for (b, two) in records.iter().enumerate().skip(a) {
            for three in &records[b..] {
                check(vec![one.clone(), two.clone(), three.clone()]);
            }
        }
    }
}

/// Events, and how they come: in what order, and which stretches of them once more.
fn deliveries() -> impl Strategy<Value = (Vec<CallRecord>, Vec<usize>, Vec<(usize, usize)>)> {
    prop::collection::vec(event(), 1..9).prop_flat_map(|events| {
        let count = events.len();
        let order = proptest::strategy::Just((0..count).collect::<Vec<_>>()).prop_shuffle();
        let repeats = prop::collection::vec((0..count, 1..=count), 0..4);
        (proptest::strategy::Just(events), order, repeats)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn random_orders_with_repeats_of_whole_sequences_give_the_same_record((events, order, repeats) in deliveries()) {
        let expected = join_all(&events);
        let mut sequence = order;
        for (from, length) in repeats {
            let stretch: Vec<usize> = sequence.iter().copied().skip(from).take(length).collect();
            sequence.extend(stretch);
        }
        let delivered: Vec<CallRecord> = sequence.iter().map(|at| events[*at].clone()).collect();
        prop_assert_eq!(join_all(&delivered), expected.clone());
        prop_assert_eq!(by_two_instances(&delivered), expected);
    }

    #[test]
    fn up_to_five_random_events_give_the_same_record_in_every_order(events in prop::collection::vec(event(), 0..6)) {
        check(events);
    }
}

#[test]
fn the_call_of_these_stories_is_one() {
    for file in ["end-of-call-report", "transcript-final", "tool-calls", "call.artifact.upload"] {
        assert_eq!(crate::support::bodies::heard(file).call_id.unwrap().as_str(), CALL, "{file}");
    }
}
