//! Moments in all the ways in which they are written.

use ringback::call::time::Millis;
use serde_json::{Value, json};

use crate::support::bodies::{CALL, NOW, facts, read, read_value};

fn sent_at(timestamp: &Value) -> Option<Millis> {
    read_value(json!({"message": {"type": "hang", "timestamp": timestamp, "call": {"id": CALL}}})).event.sent_at
}

#[test]
fn a_timestamp_is_read_in_every_unit() {
    let at = Some(Millis(1_778_751_012_345));
    for written in [
        json!(1_778_751_012_345_i64),
        json!(1_778_751_012_345.0),
        json!(1_778_751_012.345),
        json!(1_778_751_012_345_000_i64),
        json!("1778751012345"),
        json!(" 1778751012.345 "),
        json!("2026-05-14T09:30:12.345Z"),
        json!("2026-05-14T11:30:12.345+02:00"),
    ] {
        assert_eq!(sent_at(&written), at, "{written}");
    }
    let scientific = format!("{{\"message\":{{\"type\":\"hang\",\"timestamp\":1.778751012345E12,\"call\":{{\"id\":\"{CALL}\"}}}}}}");
    assert_eq!(read(scientific.as_bytes()).event.sent_at, at);
}

#[test]
fn a_timestamp_that_proves_nothing_counts_as_absent() {
    let (year_2020, day) = (1_577_836_800_000_i64, 86_400_000);
    let believed = [json!(year_2020), json!(NOW.0 + day), json!("2020-01-01T00:00:00Z")];
    for written in believed {
        assert!(sent_at(&written).is_some(), "{written}");
    }
    let odd = [
        json!(null),
        json!(""),
        json!("soon"),
        json!(true),
        json!([NOW.0]),
        json!({"at": NOW.0}),
        json!("2026-05-14"),
        json!("2026-05-14T09:30:00"),
    ];
    let out_of_bounds = [
        json!(0),
        json!(-5),
        json!(year_2020 - 1),
        json!(NOW.0 + day + 1),
        json!("2019-12-31T23:59:59.999Z"),
        json!(1e300),
        json!(i64::MIN),
    ];
    for written in odd.iter().chain(&out_of_bounds) {
        assert_eq!(sent_at(written), None, "{written}");
    }
}

#[test]
fn stated_times_are_read_or_left_out() {
    let of = |at: Value| {
        let message =
            json!({"message": {"type": "end-of-call-report", "timestamp": NOW.0, "call": {"id": CALL}, "startedAt": at, "endedAt": at}});
        let facts = *read_value(message).event.facts;
        assert_eq!(facts.started_at.as_ref().map(|it| it.value), facts.ended_at.as_ref().map(|it| it.value));
        facts.started_at.map(|it| it.value)
    };
    for written in [json!("2026-05-14T09:30:12.345Z"), json!(1_778_751_012_345_i64), json!(1_778_751_012.345), json!("1778751012345")] {
        assert_eq!(of(written.clone()), Some(Millis(1_778_751_012_345)), "{written}");
    }
    for written in [json!(null), json!(""), json!("yesterday"), json!(-1), json!(1e300), json!(false), json!({})] {
        assert_eq!(of(written.clone()), None, "{written}");
    }
}

#[test]
fn a_message_tells_its_own_time_whatever_the_clock_says() {
    let old = facts("end-of-call-report-2024-07");
    assert_eq!(old.resulted_at, Some(Millis(1_721_022_340_814)));
}
