//! Scripts, and the bodies that follow from them.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use ringback::{
    call::time::Millis,
    simulate::{CallScript, bodies, script::Entry},
};
use serde_json::{Value, json};

use crate::support::vapi::{CALL, START};

#[test]
fn a_report_can_be_made_as_large_as_needed() {
    for bytes in [8_192, 61_440, 240_000] {
        let script = CallScript::talk(CALL, START).with_report_of(bytes);
        let size = bodies::end_of_call_report(&script, START).to_string().len();
        assert!(size <= bytes && bytes - size < 10, "{size} for {bytes}");
    }
    let smallest = CallScript::talk(CALL, START).with_report_of(0);
    assert!(smallest.entries.is_empty());
}

#[test]
fn bodies_follow_from_script_and_moment_alone() {
    let script =
        CallScript::talk(CALL, START).with_metadata(json!({"a": 1})).with_output("7", "nps", &json!(9)).ended_for("assistant-ended-call");
    let report = || bodies::end_of_call_report(&script, START);
    assert_eq!(report(), report());
    assert_ne!(report(), bodies::end_of_call_report(&script.clone().delivered_again(), START));
    let message = report()["message"].take();
    assert_eq!(message["call"]["metadata"]["a"], 1);
    assert_eq!(message["artifact"]["structuredOutputs"]["7"], json!({"name": "nps", "result": 9}));
    assert_eq!(message["endedReason"], "assistant-ended-call");
    let bare = bodies::end_of_call_report(&script.clone().without_analysis(), START)["message"].take();
    assert_eq!((&bare["analysis"], &bare["artifact"]["structuredOutputs"]), (&json!({}), &json!({})));
    let upload = bodies::artifact_upload(&script, START)["message"].take();
    let length = |message: &Value| message["artifact"]["messages"].as_array().map(Vec::len);
    assert!(length(&upload) < length(&message), "a late upload carries a shorter artifact");
    assert_eq!(bodies::hang(&script, START)["message"]["type"], "hang");
}

#[test]
fn an_assistant_that_is_sent_along_is_the_one_that_talks() {
    let assistant = json!({"name": "Nora", "model": {"messages": [{"role": "system", "content": "Be brief."}]}});
    let script = CallScript::talk(CALL, START).with_assistant(assistant);
    let message = bodies::end_of_call_report(&script, START)["message"].take();
    assert_eq!(message["assistant"]["name"], "Nora");
    assert_eq!(message["artifact"]["messages"][0]["message"], "Be brief.");
    assert!(message["call"].get("assistantId").is_none() && message["call"]["assistant"]["name"] == "Nora");
}

proptest! {
    #[test]
    fn at_any_pace_everything_happens_in_the_same_order(pace in 0.0_f64..10.0, turns in 0_usize..40) {
        let script = CallScript::talk(CALL, START).with_turns(turns);
        let paced = script.clone().paced(pace);
        prop_assert_eq!(paced.created_at, START);
        let moments: Vec<Millis> = paced.entries.iter().map(Entry::at).collect();
        prop_assert!(moments.is_sorted());
        prop_assert!(paced.started_at <= moments.first().copied().or(Some(paced.ended_at)));
        prop_assert!(moments.last().copied() <= Some(paced.ended_at));
        prop_assert_eq!(script.clone().paced(1.0), script);
    }
}
