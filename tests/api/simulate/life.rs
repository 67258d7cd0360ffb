//! What a call looks like from outside, from its first ring to its end.

use std::collections::BTreeSet;

use ringback::{
    call::time::Millis,
    simulate::{FakeVapi, Options, Scenario},
    vapi::client::plain_http,
};
use serde_json::{Value, json};

use super::{ask, keys, played};
use crate::support::{
    receiver::{Receiver, Taken},
    vapi::{fake_vapi, quick},
};

#[tokio::test]
async fn a_placed_call_is_told_from_its_first_ring_to_its_report() {
    let receiver = Receiver::start().await;
    let vapi = fake_vapi().await;
    let request = json!({
        "assistant": {"server": {"url": receiver.url}},
        "customer": {"number": "+15550199777"},
        "metadata": {"providerName": "Springfield Plumbing"},
    });
    let (status, created) = ask(&vapi, "POST", "/call", Some(request)).await;
    assert_eq!(status, 201);
    assert_eq!(created["status"], "queued");
    assert_eq!(created["metadata"]["providerName"], "Springfield Plumbing");
    assert_eq!(created["subscriptionLimits"]["concurrencyBlocked"], false);
    vapi.played().await;

    let mut kinds = receiver.kinds();
    kinds.retain(|kind| !matches!(kind.as_str(), "speech-update" | "conversation-update"));
    assert_eq!(kinds, ["queued", "ringing", "in-progress", "assistant.started", "ended", "end-of-call-report"]);
    let id = created["id"].as_str().expect("an id");
    for taken in receiver.taken() {
        let call = &taken.message()["call"];
        assert_eq!((call["id"].as_str(), call["status"].as_str()), (Some(id), Some("queued")), "{}", taken.kind());
        assert_eq!(call["updatedAt"], created["createdAt"], "the call in a webhook is a stale snapshot");
        assert_eq!(taken.header("x-call-id"), id);
    }
    let (status, call) = ask(&vapi, "GET", &format!("/call/{id}"), None).await;
    assert_eq!((status, call["status"].as_str(), call["endedReason"].as_str()), (200, Some("ended"), Some("customer-ended-call")));
    assert_eq!(call["customer"]["number"], "+15550199777");
    assert!(call["transcript"].as_str().expect("text").starts_with("AI: Hi, this is Nora"));
}

#[tokio::test]
async fn a_report_has_what_a_real_one_has_where_it_has_it() {
    let (_vapi, receiver, _) = played(quick(), json!({})).await;
    let report = receiver.first("end-of-call-report");
    let captured = "analysis artifact assistant call cost costBreakdown costs durationMinutes durationMs durationSeconds endedAt endedReason \
        messages recordingUrl startedAt stereoRecordingUrl summary timestamp transcript type";
    let missing: Vec<&str> = captured.split_whitespace().filter(|key| !keys(&report).contains(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let captured = "logUrl messages messagesOpenAIFormatted nodes performanceMetrics recording recordingUrl scorecards stereoRecordingUrl \
        transcript transfers variableValues variables structuredOutputs pcapUrl";
    assert_eq!(keys(&report["artifact"]), captured.split_whitespace().collect());
    assert_eq!(report["messages"], report["artifact"]["messages"]);
    assert_eq!(report["transcript"], report["artifact"]["transcript"]);
    assert_eq!(report["summary"], report["analysis"]["summary"]);
    let system = &report["artifact"]["messages"][0];
    assert_eq!(system["role"], "system");
    assert_eq!(system["message"], report["assistant"]["model"]["messages"][0]["content"]);
    assert!(report["timestamp"].is_i64() && report["cost"].as_f64() > Some(0.0));
}

#[tokio::test]
async fn rest_tells_the_same_call_in_its_own_way() {
    let (vapi, receiver, id) = played(quick(), json!({})).await;
    let (report, call) = (receiver.first("end-of-call-report"), vapi.call(&id).expect("the call"));
    let captured = "analysis artifact assistantId cost costBreakdown costs createdAt customer endedAt endedReason id messages monitor orgId \
        phoneCallProvider phoneCallProviderId phoneCallTransport phoneNumberId recordingUrl startedAt status stereoRecordingUrl summary \
        transcript transport type updatedAt";
    assert_eq!(keys(&call), captured.split_whitespace().collect());
    for same in ["analysis", "cost", "costs", "endedAt", "endedReason", "messages", "startedAt", "summary", "transcript"] {
        assert_eq!(call[same], report[same], "{same}");
    }
    let at = |field: &str| Millis::parse_rfc3339(call[field].as_str().expect("a time")).expect("RFC 3339");
    assert!(at("createdAt") < at("startedAt") && at("startedAt") < at("endedAt") && at("endedAt") < at("updatedAt"), "{call}");
}

#[tokio::test]
async fn links_have_another_signature_each_time_and_lead_to_a_recording() {
    let (vapi, receiver, id) = played(quick(), json!({})).await;
    let link = |object: &Value| object["artifact"]["recordingUrl"].as_str().expect("a link").to_owned();
    let links =
        [link(&receiver.first("end-of-call-report")), link(&vapi.call(&id).expect("a call")), link(&vapi.call(&id).expect("a call"))];
    assert_eq!(BTreeSet::from(links.clone()).len(), 3, "{links:?}");
    let paths: BTreeSet<&str> = links.iter().filter_map(|link| link.split('?').next()).collect();
    assert_eq!(paths.len(), 1, "only the signature differs");
    let file = plain_http().expect("a client").get(&links[2]).send().await.expect("an answer");
    assert_eq!(file.headers()["content-type"], "audio/wav");
}

#[tokio::test]
async fn calls_that_nobody_picks_up_have_no_start_no_words_and_no_bill() {
    for (scenario, reason) in [
        (Scenario::NoAnswer, "customer-did-not-answer"),
        (Scenario::Busy, "customer-busy"),
        (Scenario::Error, "call.in-progress.error-providerfault-outbound-sip-503-service-unavailable"),
    ] {
        let (vapi, receiver, id) = played(Options { scenario, ..quick() }, json!({})).await;
        assert_eq!(receiver.kinds(), ["queued", "ringing", "ended", "end-of-call-report"], "{scenario:?}");
        let (report, call) = (receiver.first("end-of-call-report"), vapi.call(&id).expect("the call"));
        for told in [&receiver.first("ended"), &report, &call] {
            assert_eq!(told["endedReason"], reason);
            for absent in ["startedAt", "endedAt", "transcript", "messages", "costs", "recordingUrl"] {
                assert!(told.get(absent).is_none(), "{scenario:?} has {absent}");
            }
        }
        assert_eq!(report["artifact"]["messages"], json!([]));
        assert!(call.get("artifact").is_none() && call.get("analysis").is_none());
        let sip = call["phoneCallProviderDetails"]["sipStatus"].as_i64();
        assert_eq!(sip, (scenario == Scenario::Error).then_some(503));
    }
}

#[tokio::test]
async fn a_mailbox_speaks_first_and_the_call_ends_as_voicemail() {
    let (_vapi, receiver, _) = played(Options { scenario: Scenario::Voicemail, ..quick() }, json!({})).await;
    let report = receiver.first("end-of-call-report");
    assert_eq!(report["endedReason"], "voicemail");
    assert!(report["transcript"].as_str().expect("text").starts_with("User: You have reached the mailbox"));
}

#[tokio::test]
async fn a_whole_talk_can_be_followed_live() {
    let (_vapi, receiver, _) = played(quick(), json!({})).await;
    let lines: Vec<Value> = receiver.taken().iter().map(Taken::message).filter(|message| message["type"] == "transcript").collect();
    let (finals, partials): (Vec<&Value>, Vec<&Value>) = lines.iter().partition(|line| line["transcriptType"] == "final");
    assert_eq!((finals.len(), partials.len()), (8, 8));
    let speaker = |line: &Value| if line["role"] == "assistant" { "AI" } else { "User" };
    let rendered: Vec<String> =
        finals.iter().map(|line| format!("{}: {}\n", speaker(line), line["transcript"].as_str().expect("text"))).collect();
    let report = receiver.first("end-of-call-report");
    assert_eq!(report["transcript"], rendered.concat());
    let longest = receiver.taken().iter().map(Taken::message).filter(|message| message["type"] == "conversation-update").last();
    let longest = longest.expect("a conversation-update");
    assert_eq!(longest["messages"], report["messages"]);
    assert_eq!(longest["conversation"].as_array().map(Vec::len), Some(9), "the prompt and eight lines");
}

#[tokio::test]
async fn what_a_tool_answers_is_told_to_the_assistant() {
    let receiver = Receiver::start().await;
    let vapi = FakeVapi::start(Options { scenario: Scenario::ToolCalls, ..quick() }).await.expect("a free port");
    let tools = json!([{"type": "function", "function": {"name": "book"}}]);
    let server = json!({"url": receiver.url});
    let request =
        json!({"assistant": {"serverMessages": ["tool-calls", "end-of-call-report"], "server": server, "model": {"tools": tools}}});
    receiver.answer([(200, json!({"results": [{"toolCallId": "placeholder", "result": "Thursday is free."}]}))]);
    let id = vapi.place(request);
    vapi.played().await;
    // That answer was to another question.
    let asked = receiver.first("tool-calls");
    let question = &asked["toolCallList"][0];
    assert_eq!((question["function"]["name"].as_str(), &question["function"]["arguments"]), (Some("book"), &json!({"day": "Thursday"})));
    assert_eq!(asked["toolCalls"], asked["toolCallList"]);
    assert_eq!(&asked["toolWithToolCallList"][0]["toolCall"], question);
    assert_eq!(result_in(&vapi.call(&id).expect("the call")), "No result returned.");
    assert_eq!(result_in(&receiver.first("end-of-call-report")), "No result returned.");
}

#[tokio::test]
async fn only_a_200_with_the_right_id_counts_as_a_tools_answer() {
    for (status, key, expected) in [(200, "result", "free"), (200, "error", "free"), (201, "result", "No result returned.")] {
        let receiver = Receiver::start().await;
        let vapi = FakeVapi::start(Options { scenario: Scenario::ToolCalls, seed: 5, ..quick() }).await.expect("a free port");
        let request = json!({"assistant": {"server": {"url": receiver.url}, "serverMessages": ["tool-calls"]}});
        // The same seed makes the same call, so the id of the question is known beforehand.
        let id = id_of_the_first_call(5).await;
        let answer = json!({"results": [{"toolCallId": format!("call_{}", id.replace('-', "")), key: "free"}]});
        receiver.answer([(status, answer)]);
        assert_eq!(vapi.place(request), id);
        vapi.played().await;
        assert_eq!(result_in(&vapi.call(&id).expect("the call")), expected, "{status} {key}");
    }
}

async fn id_of_the_first_call(seed: u64) -> String {
    FakeVapi::start(Options { seed, ..quick() }).await.expect("a free port").place(json!({}))
}

fn result_in(object: &Value) -> String {
    let messages = object["messages"].as_array().expect("messages");
    let answered = messages.iter().find(|message| message["role"] == "tool_call_result").expect("a tool's answer");
    answered["result"].as_str().expect("text").to_owned()
}
