//! Every place where Vapi has put a thing since 2024.

use ringback::call::{
    field::{Cost, Rank},
    record::{Promise, Speaker},
};
use serde_json::{Value, json};

use crate::support::bodies::{CALL, MADE, NOW, facts, read_value, rest_facts};

/// A report with these members.
fn report(members: &Value) -> ringback::call::record::CallRecord {
    let mut message = json!({"type": "end-of-call-report", "timestamp": NOW.0, "call": {"id": CALL}});
    message.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    *read_value(json!({"message": message})).event.facts
}

#[test]
fn a_full_report_states_everything() {
    let facts = facts("end-of-call-report");
    assert_eq!(facts.cost.as_ref().map(|it| (it.value, it.rank, it.sent_at)), Some((Cost(0.0411), Rank::REPORT, Some(MADE.plus(34_400)))));
    assert!(facts.cost_breakdown.unwrap().value.as_str().starts_with("{\"chat\":0,"));
    assert_eq!(facts.ended_reason.unwrap().value, "customer-ended-call");
    assert_eq!(facts.started_at.unwrap().value, MADE.plus(4_000));
    assert_eq!(facts.ended_at.unwrap().value, MADE.plus(29_725));
    assert!((facts.duration_seconds.unwrap().value - 25.725).abs() < 1e-9);
    assert_eq!(facts.summary.unwrap().value, "The seedlings of order HG-114 are ready; they cost 62 euros.");
    assert_eq!(facts.success_evaluation.unwrap().value, "true");
    assert_eq!(facts.structured_data.unwrap().value.as_str(), r#"{"price":"62","ready":true,"secret":"stays, a model said it"}"#);
    assert_eq!(facts.structured_data_multi.unwrap().value.as_str(), r#"[{"plan-a":{"result":{"call_id":"multi-1"}}}]"#);
    assert_eq!(facts.structured_outputs.len(), 2);
    assert_eq!(facts.transcript.as_ref().map(|it| (it.value.lines().count(), it.authoritative)), Some((4, true)));
    let said: Vec<_> = facts.messages.as_ref().unwrap().value.iter().map(|it| (it.role, it.duration)).collect();
    let expected = [(Speaker::Bot, 3_400), (Speaker::User, 1_700), (Speaker::Bot, 3_000), (Speaker::User, 4_000)];
    assert_eq!(said, expected.map(|(role, milliseconds)| (role, Some(milliseconds))), "durations as stated; no system, no tools");
    assert!(facts.recorded);
    assert_eq!(facts.variable_call_id.unwrap().value, "HG-114/3");
    assert_eq!(facts.assistant_id.unwrap().value, "2b4d6f80-1357-4924-8bdf-13579bdf2468");
    assert_eq!(facts.phone_number_id.unwrap().value, "9a7b5c3d-2468-4135-9ace-02468ace1357");
    assert_eq!(facts.customer_number.unwrap().value, "+15550142233");
    assert_eq!(facts.customer_name.unwrap().value, "Fern & Sons");
    assert!(facts.sip_status.is_none(), "that is for REST to say");
    assert!(facts.promises.summary_is(Promise::On) && facts.promises.structured_data_is(Promise::On));
    assert_eq!(facts.promises.output_ids().count(), 2);
}

#[test]
fn metadata_is_gathered_from_everywhere_by_rank() {
    let metadata = facts("end-of-call-report").metadata;
    let of = |key: &str| metadata.get(key).map(|it| (it.value.as_str().to_owned(), it.rank));
    assert_eq!(of("serviceRequestId"), Some(("\"req-77\"".to_owned(), Rank::CALL_METADATA)));
    assert_eq!(of("campaign"), Some(("\"may\"".to_owned(), Rank::OVERRIDES_METADATA)), "overrides before the assistant");
    assert_eq!(of("attempt"), Some(("2".to_owned(), Rank::CALL_METADATA)));
    assert_eq!(of("note"), Some(("\"from the assistant\"".to_owned(), Rank::ASSISTANT_METADATA)), "an empty one gives way");
    assert_eq!(of("jwt"), Some(("\"[redacted]\"".to_owned(), Rank::ASSISTANT_METADATA)));
    let alone = rest_facts("queued").metadata;
    assert_eq!(
        alone.get("note").map(|it| it.value.as_str().to_owned()),
        Some("\"\"".to_owned()),
        "but it is there where nothing better is"
    );
}

#[test]
fn a_report_of_march_2024_is_understood() {
    let facts = facts("end-of-call-report-2024-03");
    assert_eq!(facts.transcript_text(), "AI: Garden club, hello.\nUser: Wrong number, sorry.\n");
    assert_eq!(facts.summary.unwrap().value, "The caller had dialled a wrong number.");
    assert_eq!(facts.messages.unwrap().value.len(), 2);
    assert!(facts.recorded);
    assert_eq!(facts.customer_number.unwrap().value, "+15550142233");
    assert_eq!((facts.started_at, facts.ended_at, facts.resulted_at), (None, None, None), "it tells no time");
    assert_eq!((facts.cost, facts.duration_seconds), (None, None), "nor cost nor length");
    assert_eq!(facts.webhook_received_at, Some(NOW));
    assert!(!facts.promises.any() && !facts.promises.explicitly_none());
}

#[test]
fn a_report_of_july_2024_is_understood() {
    let facts = facts("end-of-call-report-2024-07");
    let said = facts.messages.unwrap().value;
    assert_eq!(said.iter().map(|it| it.time.unwrap().0).collect::<Vec<_>>(), [1_721_022_281_391, 1_721_022_285_271], "E notation");
    assert_eq!(said[0].duration, Some(3_225), "none stated: the time between");
    assert_eq!(said[1].duration, Some(2_340), "stated in seconds then");
    assert_eq!(said[1].end_time.unwrap().0, 1_721_022_285_771);
    assert_eq!(facts.success_evaluation.unwrap().value, "false", "a boolean then");
    assert_eq!(facts.summary.unwrap().value, "Rowan gave a name.", "of an empty and a filled place the filled one");
    assert_eq!(facts.customer_number.unwrap().value, "sip:rowan@example.net");
    let call = &facts.tool_calls["call_Name1"];
    assert_eq!(serde_json::to_value(&call.answer.as_ref().unwrap().value).unwrap(), json!({"result": "saved"}), "the last answer counts");
}

#[test]
fn of_two_places_in_one_event_the_longer_counts() {
    let said = |count: usize| json!(vec![json!({"role": "user", "message": "word"}); count]);
    let noise = json!([{"role": "system", "message": "x"}, {"role": "system", "message": "x"}, {"role": "tool", "content": "x"}, {"role": "bot", "message": " "}]);
    for (artifact, top) in [(said(1), said(3)), (said(3), said(1)), (noise.clone(), said(3)), (said(3), noise)] {
        let facts = report(&json!({"artifact": {"messages": artifact}, "messages": top}));
        assert_eq!(facts.messages.unwrap().value.len(), 3);
    }
    for (artifact, top) in
        [("AI: short", "AI: the longer one"), ("AI: the longer one", "AI: short"), ("", "AI: the longer one"), ("AI: the longer one", "")]
    {
        let facts = report(&json!({"artifact": {"transcript": artifact}, "transcript": top}));
        assert_eq!(facts.transcript_text(), "AI: the longer one");
    }
    let umlauts = report(&json!({"artifact": {"transcript": "AI: äöüäöü"}, "transcript": "AI: aouaoua"}));
    assert_eq!(umlauts.transcript_text(), "AI: aouaoua", "characters, not bytes");
}

#[test]
fn equally_long_copies_give_the_one_with_times() {
    let timed = json!([{"role": "bot", "message": "hello", "time": 1_778_751_005_200_u64}]);
    let bare = json!([{"role": "assistant", "content": "hello"}]);
    let facts = report(&json!({"artifact": {"messagesOpenAIFormatted": bare, "messages": timed}, "conversation": bare}));
    assert_eq!(facts.messages.unwrap().value[0].time, Some(MADE.plus(5_200)));
    let only_bare = report(&json!({"messagesOpenAIFormatted": bare}));
    assert_eq!(only_bare.messages.unwrap().value[0].role, Speaker::Bot);
}

#[test]
fn duration_is_stated_in_three_units() {
    let of = |members: Value| report(&members).duration_seconds.map(|it| it.value);
    assert_eq!(of(json!({"durationSeconds": 61.5, "durationMs": 1, "durationMinutes": 9})), Some(61.5));
    assert_eq!(of(json!({"durationMs": 61_500, "durationMinutes": 9})), Some(61.5));
    assert_eq!(of(json!({"durationMinutes": 1.5})), Some(90.0));
    assert_eq!(of(json!({"durationSeconds": "61.5"})), Some(61.5));
    assert_eq!(of(json!({"durationSeconds": 0})), Some(0.0), "0 is a length, not a gap");
    assert_eq!(of(json!({"durationSeconds": -1})), None);
    assert_eq!(of(json!({"durationSeconds": null, "durationMinutes": true})), None);
}

#[test]
fn a_recording_is_noticed_wherever_it_is_mentioned() {
    let mentions = [
        json!({"recordingUrl": "https://files.example.net/a.wav"}),
        json!({"stereoRecordingUrl": "https://files.example.net/a.wav"}),
        json!({"artifact": {"recordingUrl": "https://files.example.net/a.wav"}}),
        json!({"artifact": {"recording": {"stereoUrl": "https://files.example.net/a.wav"}}}),
        json!({"artifact": {"recording": {"mono": {"combinedUrl": "https://files.example.net/a.wav"}}}}),
        json!({"artifact": {"presignedMonoUrl": "https://files.example.net/a.wav?X-Amz-Signature=1"}}),
    ];
    for mention in mentions {
        assert!(report(&mention).recorded, "{mention}");
    }
    for nothing in [
        json!({}),
        json!({"recordingUrl": "", "artifact": {"recording": {}, "stereoRecordingUrl": null}}),
        json!({"artifact": {"logUrl": "https://x"}}),
    ] {
        assert!(!report(&nothing).recorded, "{nothing}");
    }
}

#[test]
fn what_the_analysis_says_is_taken_in_any_shape() {
    let of = |analysis: Value| report(&json!({"analysis": analysis}));
    for (stated, text) in
        [(json!("7"), "7"), (json!(7), "7"), (json!(false), "false"), (json!({"a": [1]}), r#"{"a":[1]}"#), (json!("**good**"), "**good**")]
    {
        assert_eq!(of(json!({"successEvaluation": stated})).success_evaluation.unwrap().value, text);
    }
    let empty = of(json!({"summary": " ", "successEvaluation": null, "structuredData": {}, "structuredDataMulti": []}));
    assert!(empty.analysis_is_empty() && empty.success_evaluation.is_none() && empty.summary.is_none());
    assert!(!of(json!({"structuredData": {"a": null}})).analysis_is_empty());
    assert!(!of(json!({"structuredDataMulti": [{}]})).analysis_is_empty());
}

#[test]
fn an_output_without_a_result_is_no_analysis() {
    let of = |output: Value| report(&json!({"artifact": {"structuredOutputs": {"o": output}}}));
    for result in [json!(false), json!(0), json!("x"), json!({"a": 1}), json!([0])] {
        assert!(!of(json!({"name": "n", "result": result})).analysis_is_empty(), "{result}");
    }
    for nothing in [json!({"name": "n", "result": null}), json!({"name": "n", "result": ""}), json!({"name": "n"}), json!({}), json!(null)]
    {
        assert!(of(nothing.clone()).analysis_is_empty(), "{nothing}");
    }
    assert!(!of(json!("bare")).analysis_is_empty());
    assert_eq!(of(json!({"name": "n", "result": null})).structured_outputs.len(), 1, "it is shown all the same");
}

#[test]
fn a_correlating_id_is_found_in_three_places() {
    let in_call = json!({"type": "hang", "call": {"id": CALL, "assistantOverrides": {"variableValues": {"call_id": "of the call"}}}, "artifact": {"variableValues": {"call_id": 7}}});
    let in_message = json!({"type": "hang", "call": {"id": CALL}, "assistantOverrides": {"variableValues": {"call_id": "of the message"}}, "artifact": {"variableValues": {"call_id": 7}}});
    let in_artifact = json!({"type": "hang", "call": {"id": CALL}, "artifact": {"variableValues": {"call_id": 7}}});
    for (message, id) in [(in_call, "of the call"), (in_message, "of the message"), (in_artifact, "7")] {
        assert_eq!(read_value(json!({"message": message})).event.facts.variable_call_id.unwrap().value, id);
    }
}

#[test]
fn promises_are_read_part_by_part_and_overrides_decide() {
    let of = |call: Value, assistant: Value| {
        let promises = report(&json!({"call": {"id": CALL, "assistantOverrides": call}, "assistant": assistant})).promises;
        let part = |is_on: bool, is_off: bool| if is_on { Some(true) } else { is_off.then_some(false) };
        let summary = part(promises.summary_is(Promise::On), promises.summary_is(Promise::Off));
        let data = part(promises.structured_data_is(Promise::On), promises.structured_data_is(Promise::Off));
        (summary, data, promises.output_ids().cloned().collect::<Vec<_>>(), promises.explicitly_none())
    };
    let summary = |plan: Value| json!({"analysisPlan": {"summaryPlan": plan}});
    let nothing = json!(null);
    assert_eq!(of(nothing.clone(), json!({"analysisPlan": {}})), (None, None, vec![], false), "silent");
    assert_eq!(of(nothing.clone(), summary(json!({}))), (Some(true), None, vec![], false), "there, and not switched off");
    assert_eq!(of(nothing.clone(), summary(json!({"enabled": true}))), (Some(true), None, vec![], false));
    assert_eq!(of(nothing.clone(), summary(json!({"enabled": false}))), (Some(false), None, vec![], true));
    assert_eq!(of(nothing.clone(), summary(json!(null))), (None, None, vec![], false));
    assert_eq!(of(summary(json!({"enabled": false})), summary(json!({}))).0, Some(false), "the override decides");
    assert_eq!(of(summary(json!({})), summary(json!({"enabled": false}))).0, Some(true));
    let data_off = json!({"analysisPlan": {"structuredDataPlan": {"enabled": false}}});
    assert_eq!(of(nothing.clone(), data_off), (None, Some(false), vec![], false), "a summary may still come");
    let off_with_outputs =
        json!({"analysisPlan": {"summaryPlan": {"enabled": false}}, "artifactPlan": {"structuredOutputIds": ["b", "a", 5]}});
    assert_eq!(of(nothing, off_with_outputs), (Some(false), None, vec!["a".to_owned(), "b".to_owned()], false));
}
