//! Scripts, and the bodies that follow from them.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use ringback::{
    call::time::Millis,
    simulate::{CallScript, Scenario, Stage, bodies, script::Entry},
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

/// Every builder of a message about this call at this moment.
fn every_message(script: &CallScript, at: Millis) -> Vec<(&'static str, Value)> {
    vec![
        ("status-update", bodies::status_update(script, Stage::InProgress, at)),
        ("assistant.started", bodies::assistant_started(script, at)),
        ("speech-update", bodies::speech_update(script, 0, true, at)),
        ("transcript", bodies::transcript(script, 0, false, at)),
        ("conversation-update", bodies::conversation_update(script, at)),
        ("tool-calls", bodies::tool_calls(script, 0, at)),
        ("hang", bodies::hang(script, at)),
        ("call.artifact.upload", bodies::artifact_upload(script, at)),
        ("end-of-call-report", bodies::end_of_call_report(script, at)),
        ("anything", bodies::message(script, "anything", at, json!({"extra": 1}))),
    ]
}

#[test]
fn every_message_says_what_it_is_when_and_about_which_call() {
    for scenario in Scenario::STORIES {
        let script = scenario.script(CALL, START, serde_json::Map::new());
        for (kind, body) in every_message(&script, START.plus(7)) {
            let message = &body["message"];
            assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "nothing stands beside the message");
            assert_eq!((&message["type"], &message["timestamp"]), (&json!(kind), &json!(START.0 + 7)));
            assert_eq!((&message["call"]["id"], &message["call"]["status"]), (&json!(CALL), &json!("queued")), "{kind}");
            assert_eq!(message["customer"], message["call"]["customer"], "{kind}");
            assert_eq!(message["assistant"]["id"], message["call"]["assistantId"], "{kind}");
        }
    }
}

#[test]
fn live_messages_know_only_what_was_said_before() {
    let script = CallScript::talk(CALL, START);
    for (turn, entry) in script.entries.iter().enumerate() {
        let message = bodies::conversation_update(&script, entry.at())["message"].take();
        assert_eq!(message["artifact"]["messages"].as_array().map(Vec::len), Some(turn + 2), "the prompt and what was said");
        assert_eq!(message["artifact"]["messagesOpenAIFormatted"], message["conversation"]);
    }
}

#[test]
fn a_partial_line_is_the_beginning_of_its_final_one() {
    let script = CallScript::talk(CALL, START).with_lines(["Grüße, ça va?", "はい、元気です。"]);
    for (entry, role) in [(0, "assistant"), (1, "user")] {
        let line = |is_final| bodies::transcript(&script, entry, is_final, START)["message"].take();
        let (partial, complete) = (line(false), line(true));
        assert_eq!((&partial["transcriptType"], &complete["transcriptType"]), (&json!("partial"), &json!("final")));
        assert_eq!((&partial["role"], &complete["role"]), (&json!(role), &json!(role)));
        let text = |line: &Value| line["transcript"].as_str().expect("text").to_owned();
        assert!(text(&complete).starts_with(&text(&partial)) && text(&partial).len() < text(&complete).len());
    }
    assert_eq!(bodies::transcript(&script, 99, true, START)["message"]["transcript"], "");
}

#[test]
fn rest_tells_more_with_each_stage_and_takes_nothing_back() {
    let script = CallScript::talk(CALL, START);
    let stages = [Stage::Queued, Stage::Ringing, Stage::InProgress, Stage::Dropped, Stage::Reported, Stage::Analysed];
    let told: Vec<Value> = stages.iter().map(|stage| bodies::rest_call(&script, *stage, START)).collect();
    let statuses: Vec<&str> = told.iter().filter_map(|call| call["status"].as_str()).collect();
    assert_eq!(statuses, ["queued", "ringing", "in-progress", "ended", "ended", "ended"]);
    for pair in told.windows(2) {
        let [before, after] = pair else { panic!("windows of two") };
        let lost: Vec<&String> = before.as_object().expect("a call").keys().filter(|key| after.get(key.as_str()).is_none()).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
    assert!(told[1].get("startedAt").is_none() && told[2].get("startedAt").is_some());
    assert!(told[2].get("endedReason").is_none() && told[3].get("endedReason").is_some() && told[3].get("transcript").is_none());
    assert_eq!((&told[4]["analysis"], &told[4]["summary"]), (&json!({}), &json!("")));
    assert_eq!(told[5]["summary"], told[5]["analysis"]["summary"]);
    assert_eq!(told[4]["transcript"], told[5]["transcript"]);
}

#[test]
fn a_call_that_never_began_keeps_its_human_reason() {
    let script = CallScript {
        ended_message: Some("Vapi Numbers Can't Dial Outbound Yet.".to_owned()),
        ..CallScript::unanswered(CALL, START, "call.start.error-get-transport")
    };
    for told in [bodies::rest_call(&script, Stage::Analysed, START), bodies::end_of_call_report(&script, START)["message"].take()] {
        assert_eq!((&told["endedMessage"], &told["cost"]), (&json!("Vapi Numbers Can't Dial Outbound Yet."), &json!(0)));
    }
}

#[test]
fn only_an_asked_tool_is_asked() {
    let script = CallScript::talk(CALL, START).with_tool_asked(2, "book", json!({"day": "Monday"}));
    let list = |entry| bodies::tool_calls(&script, entry, START)["message"]["toolCallList"].take();
    assert_eq!(list(2)[0]["function"], json!({"name": "book", "arguments": {"day": "Monday"}}));
    for not_asked in [0, 3, 99] {
        assert_eq!(list(not_asked), json!([]));
    }
    let messages = bodies::end_of_call_report(&script, START)["message"]["messages"].take();
    let roles: Vec<&str> = messages.as_array().expect("messages").iter().filter_map(|message| message["role"].as_str()).take(6).collect();
    assert_eq!(roles, ["system", "bot", "user", "tool_calls", "tool_call_result", "bot"]);
    let at_the_end = CallScript::talk(CALL, START).with_tool_asked(99, "book", json!({}));
    assert!(at_the_end.entries.is_sorted_by_key(Entry::at));
}

#[test]
fn overrides_reach_assistant_and_variables() {
    let overrides = json!({"name": "Ada", "variableValues": {"call_id": "ours-7"}, "metadata": {"a": 1}});
    let script = CallScript::talk(CALL, START).with_requested("assistantOverrides", overrides.clone());
    let message = bodies::end_of_call_report(&script, START)["message"].take();
    assert_eq!((&message["assistant"]["name"], &message["call"]["assistantOverrides"]), (&json!("Ada"), &overrides));
    assert_eq!(message["artifact"]["variableValues"]["call_id"], "ours-7");
    assert_eq!(message["artifact"]["variables"], message["artifact"]["variableValues"]);
}

#[test]
fn a_long_prompt_stands_wherever_a_real_one_does() {
    let prompt = 11_591;
    let size = |script: &CallScript| bodies::end_of_call_report(script, START).to_string().len();
    let (short, long) = (CallScript::talk(CALL, START).with_prompt_of(0), CallScript::talk(CALL, START).with_prompt_of(prompt));
    assert_eq!(size(&long) - size(&short), 4 * prompt, "in the assistant, twice in messages, once as OpenAI has it");
}

proptest! {
    #[test]
    fn the_size_of_a_report_is_kept_whatever_else_is_in_it(bytes in 20_000_usize..100_000, prompt in 0_usize..2_000, words in "[a-z \"é]{0,200}") {
        let script = CallScript::talk(CALL, START).with_prompt_of(prompt).with_metadata(json!({"note": words})).with_report_of(bytes);
        let size = bodies::end_of_call_report(&script, script.ended_at).to_string().len();
        prop_assert!(size <= bytes && bytes - size < 20, "{} for {}", size, bytes);
    }

    #[test]
    fn every_line_stands_in_the_transcript_under_its_speaker(lines in proptest::collection::vec("[a-zA-Z ,.?]{1,30}", 0..12)) {
        let script = CallScript::talk(CALL, START).with_lines(lines.iter().map(String::as_str));
        let report = bodies::end_of_call_report(&script, START)["message"].take();
        let expected: Vec<String> = lines.iter().zip(["AI", "User"].into_iter().cycle()).map(|(line, who)| format!("{who}: {line}\n")).collect();
        prop_assert_eq!(&report["transcript"], &json!(expected.concat()));
        prop_assert_eq!(report["messages"].as_array().map(Vec::len), Some(lines.len() + 1));
    }
}
