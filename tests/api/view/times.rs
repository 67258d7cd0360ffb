//! When it began, when it ended, how long it took.

use ringback::call::{
    record::CallRecord,
    time::Millis,
    view::{CallResult, Meta, View},
};
use serde_json::{Value, json};

use super::{full, report, stamped};
use crate::support::{
    bodies::{CALL, NOW, facts, rest_facts},
    vapi::id,
};

const BASE: i64 = 1_778_751_000_000;

fn part(set: impl FnOnce(&mut CallRecord)) -> CallRecord {
    let mut record = CallRecord::default();
    set(&mut record);
    record
}

fn started(after: i64) -> CallRecord {
    part(|it| it.started_at = stamped(Millis(BASE + after)))
}

fn ended(after: i64) -> CallRecord {
    part(|it| it.ended_at = stamped(Millis(BASE + after)))
}

fn live(after: i64) -> CallRecord {
    part(|it| it.live_at = Some(Millis(BASE + after)))
}

fn dropped(after: i64) -> CallRecord {
    part(|it| it.dropped_at = Some(Millis(BASE + after)))
}

fn resulted(after: i64) -> CallRecord {
    part(|it| it.resulted_at = Some(Millis(BASE + after)))
}

#[test]
fn the_beginning_is_as_stated_else_the_earliest_in_progress() {
    let of = |parts: Vec<CallRecord>| full(parts)["startedAt"].clone();
    assert_eq!(of(vec![live(5_000), started(9_000)]), "2026-05-14T09:30:09.000Z");
    assert_eq!(of(vec![live(5_000), live(3_500)]), "2026-05-14T09:30:03.500Z");
    assert_eq!(of(vec![ended(1)]), Value::Null);
}

#[test]
fn the_end_is_as_stated_else_the_earliest_ended_else_the_earliest_result() {
    let of = |parts: Vec<CallRecord>| full(parts)["endedAt"].clone();
    assert_eq!(of(vec![ended(9_000), dropped(5_000), resulted(1_000)]), "2026-05-14T09:30:09.000Z");
    assert_eq!(
        of(vec![dropped(5_000), dropped(6_000), resulted(1_000)]),
        "2026-05-14T09:30:05.000Z",
        "ended was said, though later than the result"
    );
    assert_eq!(of(vec![resulted(7_000), resulted(1_000)]), "2026-05-14T09:30:01.000Z");
    assert_eq!(of(vec![started(1)]), Value::Null);
}

#[test]
fn duration_is_as_stated_else_the_difference_and_never_below_nothing() {
    let of = |parts: Vec<CallRecord>| {
        let shown = full(parts);
        (shown["durationSeconds"].clone(), shown["duration"].clone())
    };
    let stated = |seconds| part(|it| it.duration_seconds = stamped(seconds));
    assert_eq!(of(vec![stated(58.434), started(0), ended(1_000)]), (json!(58.434), json!(0.9739)));
    assert_eq!(of(vec![started(4_000), ended(29_725)]), (json!(25.725), json!(0.4288)), "four decimals, rounded");
    assert_eq!(of(vec![live(4_000), dropped(4_500)]), (json!(0.5), json!(0.0083)));
    assert_eq!(of(vec![started(9_000), ended(4_000)]), (json!(0.0), json!(0.0)));
    assert_eq!(of(vec![started(4_000), ended(4_000)]), (json!(0.0), json!(0.0)), "0 is a length");
    assert_eq!(of(vec![ended(4_000)]), (Value::Null, Value::Null));
    assert_eq!(of(vec![stated(0.0)]), (json!(0.0), json!(0.0)));
}

#[test]
fn real_shaped_calls_have_the_times_they_tell() {
    let of = |record: CallRecord| {
        let shown = full([record]);
        [shown["startedAt"].clone(), shown["endedAt"].clone(), shown["durationSeconds"].clone()]
    };
    assert_eq!(of(facts("end-of-call-report")), [json!("2026-05-14T09:30:04.000Z"), json!("2026-05-14T09:30:29.725Z"), json!(25.725)]);
    assert_eq!(of(rest_facts("ended")), [json!("2026-05-14T09:30:04.000Z"), json!("2026-05-14T09:30:29.725Z"), json!(25.725)]);
    assert_eq!(
        of(facts("end-of-call-report-no-time-passed")),
        [json!("2026-05-14T09:30:04.000Z"), json!("2026-05-14T09:30:04.000Z"), json!(0.0)]
    );
    assert_eq!(of(facts("end-of-call-report-never-connected")), [json!(null), json!("2026-05-14T09:30:44.000Z"), json!(null)]);
    assert_eq!(of(rest_facts("never-connected")), [json!(null), json!(NOW.to_string()), json!(null)]);
    assert_eq!(of(facts("end-of-call-report-2024-03")), [json!(null), json!(null), json!(null)]);
    assert_eq!(of(facts("status-update-in-progress")), [json!("2026-05-14T09:30:04.000Z"), json!(null), json!(null)]);
}

#[test]
fn what_is_not_joined_is_shown_as_given() {
    let meta =
        Meta { version: 7, created_at: Some(Millis(BASE)), updated_at: Some(Millis(BASE + 1)), next_fetch_at: Some(Millis(BASE + 999)) };
    let id = id(CALL);
    let record = report("");
    let shown = serde_json::to_value(CallResult::of(&id, &record, meta, View::Full, "")).unwrap();
    assert_eq!(shown["version"], 7);
    assert_eq!(shown["createdAt"], "2026-05-14T09:30:00.000Z");
    assert_eq!(shown["updatedAt"], "2026-05-14T09:30:00.001Z");
    assert_eq!(shown["nextFetchAt"], "2026-05-14T09:30:00.999Z");
}
