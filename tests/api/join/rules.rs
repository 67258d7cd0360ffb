//! How two pieces of evidence compare, rule by rule.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ringback::call::{
    field::{Cost, Evidence, Field, Longest, Rank, Stamped},
    join::join,
    json::Json,
    record::{CallRecord, Fetch, FetchOutcome, FetchReason, Message, Output, Settled, Speaker, ToolAnswer, ToolCall},
    time::Millis,
};
use serde_json::{Value, json};

#[expect(clippy::unnecessary_wraps, reason = "what a field is")]
fn said<T: Evidence>(value: T, rank: Rank, at: Option<i64>) -> Field<T> {
    Some(Stamped { value, rank, sent_at: at.map(Millis) })
}

fn json_of(value: &Value) -> Json {
    Json::from_value(value)
}

/// The greater of two wins, whichever comes first.
fn wins<T: Clone + PartialEq + std::fmt::Debug>(greater: &T, lesser: &T, into: impl Fn(T) -> CallRecord) {
    assert_ne!(greater, lesser, "a test of nothing");
    for (a, b) in [(greater, lesser), (lesser, greater)] {
        assert_eq!(join(into(a.clone()), into(b.clone())), into(greater.clone()), "{greater:?} over {lesser:?}");
    }
}

fn summary(field: Field<String>) -> CallRecord {
    CallRecord { summary: field, ..CallRecord::default() }
}

fn data(field: Field<Json>) -> CallRecord {
    CallRecord { structured_data: field, ..CallRecord::default() }
}

#[test]
fn something_wins_over_nothing_whoever_says_nothing() {
    wins(&said("x".to_owned(), Rank::OTHER, None), &said(String::new(), Rank::REST_ENDED, Some(9)), summary);
    wins(&said("x".to_owned(), Rank::OTHER, None), &None, summary);
    for empty in [Value::Null, json!(""), json!([]), json!({})] {
        wins(&said(json_of(&json!({"a": null})), Rank::OTHER, None), &said(json_of(&empty), Rank::REST_ENDED, Some(9)), data);
    }
    for filled in [json!(0), json!(false), json!([null]), json!(" ")] {
        wins(&said(json_of(&filled), Rank::OTHER, None), &said(json_of(&json!({})), Rank::REST_ENDED, Some(9)), data);
    }
}

#[test]
fn a_cost_of_nothing_is_less_than_any_cost_and_more_than_none() {
    let cost = |field| CallRecord { cost: field, ..CallRecord::default() };
    wins(&said(Cost(0.01), Rank::OTHER, None), &said(Cost(0.0), Rank::REST_ENDED, Some(9)), cost);
    wins(&said(Cost(-0.01), Rank::OTHER, None), &said(Cost(0.0), Rank::REST_ENDED, Some(9)), cost);
    wins(&said(Cost(0.0), Rank::OTHER, None), &None, cost);
    wins(&said(Cost(0.01), Rank::REPORT, Some(1)), &said(Cost(9.0), Rank::OTHER, Some(9)), cost);
}

#[test]
fn the_better_source_wins_over_the_later_word() {
    let ranks = [Rank::OTHER, Rank::STATUS_ENDED, Rank::REPORT, Rank::REST_ENDED];
    for pair in ranks.windows(2) {
        wins(&said("a".to_owned(), pair[1], None), &said("z".to_owned(), pair[0], Some(9)), summary);
    }
}

#[test]
fn of_one_source_the_later_word_wins_and_an_untimed_one_is_the_earliest() {
    wins(&said("a".to_owned(), Rank::REPORT, Some(2)), &said("z".to_owned(), Rank::REPORT, Some(1)), summary);
    wins(&said("a".to_owned(), Rank::REPORT, Some(i64::MIN)), &said("z".to_owned(), Rank::REPORT, None), summary);
}

#[test]
fn at_last_the_greater_bytes_win() {
    wins(&said("b".to_owned(), Rank::REPORT, Some(1)), &said("a".to_owned(), Rank::REPORT, Some(1)), summary);
    wins(&said("ab".to_owned(), Rank::REPORT, None), &said("a".to_owned(), Rank::REPORT, None), summary);
    wins(&said(json_of(&json!({"b": 1})), Rank::OTHER, None), &said(json_of(&json!({"a": 2, "c": 3})), Rank::OTHER, None), data);
    let at = |field| CallRecord { started_at: field, ..CallRecord::default() };
    wins(&said(Millis(9), Rank::REPORT, None), &said(Millis(10), Rank::REPORT, None), at);
}

#[test]
fn json_values_are_replaced_whole() {
    wins(&said(json_of(&json!({"b": 1})), Rank::REPORT, Some(2)), &said(json_of(&json!({"a": 2})), Rank::REPORT, Some(1)), data);
}

#[expect(clippy::unnecessary_wraps, reason = "what a field is")]
fn text(value: &str, authoritative: bool, at: Option<i64>) -> Option<Longest<String>> {
    Some(Longest { value: value.to_owned(), authoritative, sent_at: at.map(Millis) })
}

#[test]
fn of_transcripts_the_authoritative_then_the_longer_then_the_later_wins() {
    let record = |field| CallRecord { transcript: field, ..CallRecord::default() };
    wins(&text("x", false, None), &text("", true, Some(9)), record);
    wins(&text("x", true, None), &text("longer", false, Some(9)), record);
    wins(&text("longer", true, None), &text("short", true, Some(9)), record);
    wins(&text("longer", false, None), &text("short", false, Some(9)), record);
    wins(&text("same", true, Some(2)), &text("tame", true, Some(1)), record);
    wins(&text("same", true, Some(2)), &text("tame", true, None), record);
    wins(&text("tame", true, Some(2)), &text("same", true, Some(2)), record);
    wins(&text("aaaa", false, None), &text("äöü", false, None), record);
}

#[test]
fn of_messages_those_with_more_entries_win() {
    let entry = |words: &str| Message {
        role: Speaker::Bot,
        message: words.to_owned(),
        time: None,
        end_time: None,
        duration: None,
        seconds_from_start: None,
    };
    let list = |words: &[&str], authoritative, at: Option<i64>| {
        Some(Longest { value: words.iter().map(|words| entry(words)).collect::<Arc<[_]>>(), authoritative, sent_at: at.map(Millis) })
    };
    let record = |field| CallRecord { messages: field, ..CallRecord::default() };
    wins(&list(&["a", "b"], false, None), &list(&["a single but long one"], false, Some(9)), record);
    wins(&list(&["a"], true, None), &list(&["a", "b"], false, Some(9)), record);
    wins(&list(&["a"], false, Some(2)), &list(&["b"], false, Some(1)), record);
    wins(&list(&["b"], false, Some(1)), &list(&["a"], false, Some(1)), record);
}

#[test]
fn transcript_and_messages_are_each_joined_by_themselves() {
    let one = CallRecord { transcript: text("longer", true, None), ..CallRecord::default() };
    let other =
        CallRecord { transcript: text("short", true, Some(9)), summary: said("s".to_owned(), Rank::OTHER, None), ..CallRecord::default() };
    let both = join(one, other);
    assert_eq!((both.transcript_text(), both.summary.as_ref().unwrap().value.as_str()), ("longer", "s"));
}

#[test]
fn metadata_is_joined_by_key_and_by_place() {
    let of = |key: &str, value: Value, rank, at: Option<i64>| CallRecord {
        metadata: BTreeMap::from([(key.to_owned(), Stamped { value: json_of(&value), rank, sent_at: at.map(Millis) })]),
        ..CallRecord::default()
    };
    let ranks = [Rank::ASSISTANT_METADATA, Rank::OVERRIDES_METADATA, Rank::CALL_METADATA];
    for pair in ranks.windows(2) {
        for order in [[0, 1], [1, 0]] {
            let said = [of("k", json!("better"), pair[1], None), of("k", json!("zzz"), pair[0], Some(9))];
            let both = join(said[order[0]].clone(), said[order[1]].clone());
            assert_eq!(both.metadata["k"].value.as_str(), "\"better\"");
        }
    }
    let both = join(of("a", json!(1), ranks[0], None), of("b", json!(2), ranks[2], None));
    assert_eq!(both.metadata.len(), 2);
    let filled = join(of("k", json!(""), ranks[2], Some(9)), of("k", json!("x"), ranks[0], None));
    assert_eq!(filled.metadata["k"].value.as_str(), "\"x\"");
}

#[test]
fn an_output_with_a_result_wins_over_a_later_one_without() {
    let of = |field: Field<Output>| CallRecord {
        structured_outputs: field.into_iter().map(|it| ("o".to_owned(), it)).collect(),
        ..CallRecord::default()
    };
    let output = |result: Value| Output(json_of(&json!({"name": "n", "result": result})));
    wins(&said(output(json!(false)), Rank::OTHER, None), &said(output(Value::Null), Rank::REST_ENDED, Some(9)), of);
    wins(&said(output(json!(0)), Rank::REST_ENDED, Some(2)), &said(output(json!("longer")), Rank::REST_ENDED, Some(1)), of);
    wins(&said(output(Value::Null), Rank::OTHER, None), &said(Output(json_of(&json!({}))), Rank::REST_ENDED, Some(9)), of);
}

#[test]
fn question_and_answer_of_a_tool_are_joined_apart() {
    let call = |call: ToolCall| CallRecord { tool_calls: BTreeMap::from([("t".to_owned(), call)]), ..CallRecord::default() };
    let asked = ToolCall {
        name: said("n".to_owned(), Rank::OTHER, Some(1)),
        arguments: said(json_of(&json!({"a": 1})), Rank::OTHER, Some(1)),
        at: Some(Millis(5)),
        ..ToolCall::default()
    };
    let answered =
        ToolCall { answer: said(ToolAnswer::Result("r".to_owned()), Rank::REPORT, Some(9)), at: Some(Millis(3)), ..ToolCall::default() };
    let both = join(call(asked.clone()), call(answered.clone())).tool_calls.remove("t").unwrap();
    assert_eq!(both, ToolCall { answer: answered.answer, at: Some(Millis(3)), ..asked }, "asked earliest heard");
    let answer = |answer: Field<ToolAnswer>| call(ToolCall { answer, ..ToolCall::default() });
    let error = ToolAnswer::Error("e".to_owned());
    wins(&said(error, Rank::REPORT, None), &said(ToolAnswer::Result("r".to_owned()), Rank::OTHER, Some(9)), answer);
}

#[test]
fn fetches_are_a_set_and_the_latest_tells_the_error() {
    let note = |id: &str, at, outcome| CallRecord {
        fetches: BTreeMap::from([(id.to_owned(), Fetch { at: Millis(at), reason: FetchReason::Enrich, outcome })]),
        ..CallRecord::default()
    };
    let failed = |error: &str| FetchOutcome::Failed { error: error.to_owned() };
    let all =
        [note("a", 1, failed("first")), note("b", 2, FetchOutcome::Live), note("a", 1, failed("first")), note("c", 3, failed("third"))];
    let record = all.iter().cloned().reduce(join).unwrap();
    assert_eq!(record.fetches.len(), 3);
    assert_eq!(record.last_fetch().unwrap().outcome, failed("third"));
    let tied = join(note("x", 3, failed("aaa")), note("y", 3, failed("bbb")));
    assert_eq!(tied.last_fetch().unwrap().outcome, failed("bbb"), "at the same moment the greater");
}

#[test]
fn complete_wins_over_fetch_failed() {
    let settled = |how| CallRecord { settled: how, ..CallRecord::default() };
    wins(&Some(Settled::Complete), &Some(Settled::FetchFailed), settled);
    wins(&Some(Settled::FetchFailed), &None, settled);
}

#[test]
fn deletion_absorbs_everything() {
    let deleted = |at| CallRecord { deleted_at: at, ..CallRecord::default() };
    wins(&Some(Millis(1)), &Some(Millis(2)), deleted);
    let rich = CallRecord {
        summary: said("s".to_owned(), Rank::OTHER, None),
        settled: Some(Settled::Complete),
        lines: BTreeSet::new(),
        ..CallRecord::default()
    };
    assert_eq!(join(rich.clone(), deleted(Some(Millis(7)))), deleted(Some(Millis(7))));
    assert_eq!(join(deleted(Some(Millis(7))), rich), deleted(Some(Millis(7))));
}

#[test]
fn a_record_of_another_version_is_read() {
    let newer = r#"{"state":"ended","reported":true,"something_new":{"a":[1]},"promises":{"newer":1}}"#;
    let read: CallRecord = serde_json::from_str(newer).unwrap();
    assert!(read.reported && !read.promises.any());
    assert_eq!(serde_json::from_str::<CallRecord>("{}").unwrap(), CallRecord::default());
}
