//! A call as the face tells it: all that the record knows, where Vapi has it.

use ringback::simulate::{Fault, Stage};
use serde_json::{Value, json};

use super::{asking, at, call, id, placed, saved, words};
use crate::{
    placing::vapis_call,
    support::{
        app::{Engine, Story, TestApp, on_every_engine},
        calls::{path, talk, unanswered},
        vapi::CALL,
    },
};

on_every_engine! {
    a_call_is_told_from_its_first_second_to_its_end
    a_call_that_is_not_known_here_is_asked_for_at_vapi
    a_deleted_call_is_not_found
}

async fn read(app: &TestApp, id: &str) -> Value {
    call(&app.get(&at(id)).await, 200)
}

async fn a_call_is_told_from_its_first_second_to_its_end(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    let id = placed(&app).await;
    let first = read(&app, &id).await;
    assert_eq!((&first["status"], &first["type"], &first["analysis"]), (&json!("queued"), &json!("outboundPhoneCall"), &json!({})));
    assert_eq!(first["customer"], saved()["customer"]);
    assert_eq!(first["metadata"]["team"], "north");
    assert!(
        ["endedReason", "endedAt", "cost", "transcript"].iter().all(|field| first[*field].is_null() || first[*field] == 0.0),
        "{first}"
    );
    app.vapi.played().await;
    app.hears_status(&talk(&id), Stage::InProgress).await;
    assert_eq!(read(&app, &id).await["status"], "in-progress");
    app.hears_report(&talk(&id)).await;
    let last = read(&app, &id).await;
    assert_eq!((&last["status"], &last["createdAt"]), (&json!("ended"), &first["createdAt"]));
    assert!(last["analysis"]["summary"].is_string() && last["artifact"]["transcript"].is_string(), "{last}");
    app.advance(61.0).await;
    app.finish().await;
}

#[tokio::test]
async fn everything_stands_where_vapi_has_it() {
    let app = Story::new().with("PUBLIC_URL", "https://ringback.example.com").begin().await;
    let script = talk(CALL)
        .with_tool_asked(2, "look_up", json!({"order": 7}))
        .with_output("output-1", "Mood", &json!({"good": true}))
        .with_metadata(json!({"team": "north"}));
    app.vapi_knows(&script, Stage::Analysed);
    app.hears_report(&script).await;
    app.ask("POST", &format!("{}/fetch", path(CALL))).send().await.data(202);
    app.work().await;
    let (told, vapis) = (read(&app, CALL).await, app.vapi.call(CALL).expect("it was put there"));
    let same = [
        "/id",
        "/orgId",
        "/type",
        "/status",
        "/endedReason",
        "/startedAt",
        "/endedAt",
        "/cost",
        "/costBreakdown",
        "/costs",
        "/analysis",
        "/artifact/transcript",
        "/artifact/structuredOutputs",
        "/transcript",
        "/assistantId",
        "/phoneNumberId",
        "/customer",
        "/summary",
    ];
    for place in same {
        assert!(vapis.pointer(place).is_some_and(|value| !value.is_null()), "{place} is in no answer of Vapi's: {vapis}");
        assert_eq!(told.pointer(place), vapis.pointer(place), "{place}");
    }
    assert_eq!(told["metadata"]["team"], "north");
    let roles = |call: &Value| -> Vec<String> {
        let messages = call["artifact"]["messages"].as_array().expect("messages");
        messages.iter().filter_map(|it| it["role"].as_str()).filter(|role| *role != "system").map(str::to_owned).collect()
    };
    assert_eq!(roles(&told), roles(&vapis), "tools stand between the lines");
    assert_eq!(told["messages"], told["artifact"]["messages"]);
    let messages = told["messages"].as_array().expect("messages");
    assert!(messages.iter().all(|message| message.as_object().is_some_and(|it| it.values().all(|value| !value.is_null()))));
    let asked = messages.iter().find(|message| message["role"] == "tool_calls").expect("a tool was asked");
    let vapis_messages = vapis["artifact"]["messages"].as_array().expect("messages");
    let theirs = vapis_messages.iter().find(|message| message["role"] == "tool_calls").expect("a tool was asked");
    assert_eq!((&asked["time"], &asked["secondsFromStart"]), (&theirs["time"], &theirs["secondsFromStart"]));
    let function = &asked["toolCalls"][0]["function"];
    assert_eq!((&function["name"], &function["arguments"]), (&json!("look_up"), &json!("{\"order\":7}")), "arguments are text");
    let link = format!("https://ringback.example.com/api/v1/vapi/calls/{CALL}/recording?kind=");
    assert_eq!(
        told["artifact"]["recording"],
        json!({"stereoUrl": format!("{link}stereo"), "mono": {"combinedUrl": format!("{link}mono")}})
    );
    assert_eq!((&told["recordingUrl"], &told["stereoRecordingUrl"]), (&json!(format!("{link}mono")), &json!(format!("{link}stereo"))));
    assert!(told["monitor"].is_null() && told["assistant"].is_null(), "what is never kept is never told");
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn a_call_that_nobody_picked_up_has_little_to_tell() {
    let app = Story::new().begin().await;
    app.hears_report(&unanswered(CALL)).await;
    let told = read(&app, CALL).await;
    assert_eq!((&told["status"], &told["endedReason"]), (&json!("ended"), &json!("customer-did-not-answer")));
    assert_eq!((&told["analysis"], &told["artifact"]), (&json!({}), &json!({})));
    assert!(told.as_object().expect("an object").values().all(|value| !value.is_null()), "what is not known is not there: {told}");
    app.work().await;
    app.finish().await;
}

async fn a_call_that_is_not_known_here_is_asked_for_at_vapi(engine: Engine) {
    let app = Story::on(engine).begin().await;
    words(&app.get(&at(CALL)).await, 404);
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    let told = read(&app, CALL).await;
    assert_eq!((&told["id"], &told["status"]), (&json!(CALL), &json!("ended")));
    assert!(told["transcript"].is_string());
    assert_eq!(app.fetches(CALL), 2);
    // From now on it is known.
    read(&app, CALL).await;
    app.poll(CALL).await.data(200);
    assert_eq!(app.fetches(CALL), 2);
    app.vapi.fail_next(Fault::Page(502));
    words(&app.get(&at("another")).await, 502);
    app.vapi.fail_next(Fault::Status(401));
    assert!(words(&app.get(&at("another")).await, 502).contains("VAPI_API_KEY"), "it is not the caller's key that is wrong");
    app.work().await;
    app.finish().await;
}

async fn a_deleted_call_is_not_found(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_report(&talk(CALL)).await;
    app.ask("DELETE", &path(CALL)).send().await.data(200);
    assert_eq!(words(&app.get(&at(CALL)).await, 404), "Call not found");
    assert_eq!(app.fetches(CALL), 0, "and Vapi is not asked for it");
    app.finish().await;
}

#[tokio::test]
async fn a_call_that_is_lost_has_ended_for_whoever_waits_for_that() {
    let app = Story::new().placing().begin().await;
    app.vapi.fail_next(Fault::Page(502));
    let placement = id(&call(&asking(&app, &saved()).send().await, 201));
    app.vapi.remove_call(&vapis_call(&app));
    for _ in 0..20 {
        app.advance(60.0).await;
    }
    let lost = read(&app, &placement).await;
    assert_eq!((&lost["id"], &lost["status"], &lost["endedReason"]), (&json!(placement), &json!("ended"), &json!("unknown-error")));
    assert!(lost["endedMessage"].as_str().is_some_and(|words| words.contains("was lost")) && lost["endedAt"].is_string(), "{lost}");
    app.finish().await;
}

#[tokio::test]
async fn a_call_of_whose_line_nothing_was_heard_is_queued() {
    let app = Story::new().begin().await;
    app.hears(
        &json!({"message": {"type": "transcript", "transcriptType": "final", "role": "user", "transcript": "hi", "call": {"id": CALL}}}),
    )
    .await;
    let told = read(&app, CALL).await;
    assert_eq!((&told["status"], &told["transcript"]), (&json!("queued"), &json!("User: hi\n")));
    app.finish().await;
}

#[tokio::test]
async fn without_a_key_only_what_is_here_is_told() {
    let app = Story::new().without("VAPI_API_KEY").begin().await;
    words(&app.get(&at(CALL)).await, 404);
    app.hears_report(&talk(CALL)).await;
    assert_eq!(read(&app, CALL).await["status"], "ended");
    for wrong in ["a%20b", "%00", &"x".repeat(129)] {
        words(&app.get(&at(wrong)).await, 400);
    }
    app.finish().await;
}
