//! Calls that a flow of Kestra's places: once each, found whatever was lost, and never placed by somebody else instead.

use ringback::{
    doctor::{Doctor, Finding, Severity, house::Named},
    simulate::Stage,
};
use serde_json::{Value, json};

use super::{asking, id, place, request, sent};
use crate::support::{
    app::{Engine, KEY, SECRET, Story, TestApp, on_every_engine},
    calls::{path, result, talk},
    kestra::{Fate, Generation, Kestra, flow},
};

on_every_engine! {
    a_flow_places_a_call_and_names_it
    the_same_key_starts_the_flow_once
    an_execution_whose_answer_was_lost_is_found_by_its_label
    a_placing_that_never_reached_kestra_ends_as_lost
    an_execution_that_fails_ends_the_wait_unless_the_call_is_heard_of
}

const CALL: &str = "placed-by-kestra";

fn story(engine: Engine, kestra: &Kestra) -> Story {
    let story = Story::on(engine).placing().with("KESTRA_URL", &kestra.url);
    story.with("KESTRA_USERNAME", "a@b.co").with("KESTRA_PASSWORD", "Kestra2026")
}

async fn kestra() -> Kestra {
    Kestra::start(Generation::First, "PAUSED").await
}

fn by_kestra() -> Value {
    let mut body = request();
    body["callMethod"] = "kestra".into();
    body
}

/// Kestra is asked for the call; the placing's id.
async fn begun(app: &TestApp) -> String {
    let answer = asking(app, &by_kestra()).send().await;
    let placement = id(&answer);
    assert_eq!((answer.status, placement.starts_with("pl_")), (202, true), "{}", answer.text());
    assert_eq!(answer.header("location"), format!("{}/result", path(&placement)));
    placement
}

/// What the flow made of it: the call that it asked Vapi for.
fn placed_at_vapi(app: &TestApp, kestra: &Kestra, call: &str) {
    let body: Value = serde_json::from_str(&kestra.input("call").expect("the body for Vapi")).expect("JSON");
    let mut call = ringback::simulate::bodies::rest_call(&talk(call), Stage::Queued, app.clock().now());
    call["assistant"] = body["assistant"].clone();
    call["createdAt"] = app.clock().now().to_string().into();
    app.vapi.put_call(call);
}

async fn a_flow_places_a_call_and_names_it(engine: Engine) {
    for generation in [Generation::First, Generation::Second] {
        let kestra = Kestra::start(generation, "PAUSED").await;
        let app = story(engine, &kestra).begin().await;
        let placement = begun(&app).await;
        assert_eq!(kestra.input("placement_id"), Some(placement.clone()));
        assert_eq!(kestra.input("provider_phone").as_deref(), Some("+15551234567"));
        let text = kestra.input("call").expect("the body for Vapi");
        assert!(!text.contains(SECRET) && !text.contains(KEY), "Kestra shows its inputs: {text}");
        let body: Value = serde_json::from_str(&text).unwrap();
        let metadata = &body["assistant"]["metadata"];
        assert_eq!((&metadata["placementId"], &metadata["callMethod"]), (&json!(placement), &json!("kestra")));
        assert_eq!(body["customer"]["number"], "+15551234567");
        app.poll(&placement).await.refused(404, "CALL_NOT_READY");

        kestra.runs("RUNNING", Value::Null);
        app.advance(1.0).await;
        assert_eq!(app.get(&result(&placement, "")).await.status, 202);
        placed_at_vapi(&app, &kestra, CALL);
        kestra.runs("SUCCESS", json!({"call_id": CALL}));
        app.advance(1.0).await;
        let data = app.call(&placement).await;
        assert_eq!(
            (&data["callId"], &data["callMethod"], &data["provider"]["name"]),
            (&json!(CALL), &json!("kestra"), &json!("Hill Plumbing"))
        );
        app.hears_report(&talk(CALL)).await;
        let done = app.get(&result(&placement, "")).await;
        assert_eq!((&done.data(200)["callMethod"], sent(&app), kestra.started()), (&json!("kestra"), 0, 1), "{generation:?}");
        app.advance(61.0).await;
        app.finish().await;
    }
}

async fn the_same_key_starts_the_flow_once(engine: Engine) {
    let kestra = kestra().await;
    let app = story(engine, &kestra).begin().await;
    let ask = async || asking(&app, &by_kestra()).header("idempotency-key", "k").send().await;
    let (first, second) = tokio::join!(ask(), ask());
    assert_eq!((first.status, second.status, id(&first)), (202, 202, id(&second)));
    placed_at_vapi(&app, &kestra, CALL);
    kestra.runs("SUCCESS", json!({"call_id": CALL}));
    app.advance(1.0).await;
    let third = ask().await;
    assert_eq!((third.status, id(&third), third.header("idempotent-replayed")), (201, CALL.to_owned(), "true"));
    asking(&app, &request()).header("idempotency-key", "k").send().await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!((kestra.started(), sent(&app)), (1, 0));
    app.advance(61.0).await;
    app.finish().await;
}

async fn an_execution_whose_answer_was_lost_is_found_by_its_label(engine: Engine) {
    let kestra = kestra().await;
    let app = story(engine, &kestra).begin().await;
    for (number, status) in [500, 502, 504, 204].into_iter().enumerate() {
        kestra.next_fares(Fate::Spoilt(status));
        let placement = begun(&app).await;
        // Kestra can't be asked for a while.
        kestra.breaks(Some(503));
        app.live_through(2).await;
        kestra.breaks(None);
        let call = format!("call-{number}");
        placed_at_vapi(&app, &kestra, &call);
        kestra.runs("SUCCESS", json!({"call_id": call}));
        app.live_through(6).await;
        assert_eq!(app.call(&placement).await["callId"], call, "{status}");
        assert_eq!((kestra.started(), sent(&app)), (number + 1, 0));
    }
    app.advance(61.0).await;
    app.finish().await;
}

async fn a_placing_that_never_reached_kestra_ends_as_lost(engine: Engine) {
    let kestra = kestra().await;
    let app = story(engine, &kestra).begin().await;
    kestra.next_fares(Fate::Dropped(502));
    let placement = begun(&app).await;
    kestra.breaks(Some(500));
    for _ in 0..20 {
        app.advance(60.0).await;
    }
    assert_eq!(app.get(&result(&placement, "")).await.status, 202, "Kestra can't be asked, so nothing speaks against the call");
    kestra.breaks(None);
    app.advance(60.0).await;
    let lost = app.get(&result(&placement, "")).await;
    let data = lost.data(200);
    assert_eq!((&data["status"], &data["callMethod"]), (&json!("error"), &json!("kestra")));
    assert!(data["error"].as_str().unwrap().contains("it has no execution of it"), "{}", data["error"]);
    assert_eq!((kestra.started(), sent(&app)), (1, 0), "never again");
    app.finish().await;
}

async fn an_execution_that_fails_ends_the_wait_unless_the_call_is_heard_of(engine: Engine) {
    let kestra = kestra().await;
    let app = story(engine, &kestra).begin().await;
    let lost = begun(&app).await;
    kestra.runs("QUEUED", Value::Null);
    for _ in 0..60 {
        app.advance(60.0).await;
    }
    assert_eq!(app.get(&result(&lost, "")).await.status, 202, "its turn may still come");
    kestra.runs("FAILED", Value::Null);
    app.advance(60.0).await;
    assert_eq!(app.get(&result(&lost, "")).await.status, 202);
    app.advance(60.0).await;
    let data = app.get(&result(&lost, "")).await.data(200).clone();
    assert!(data["error"].as_str().unwrap().contains("execution run0 ended as FAILED without naming a call"), "{}", data["error"]);

    let heard = begun(&app).await;
    placed_at_vapi(&app, &kestra, CALL);
    kestra.runs("FAILED", Value::Null);
    app.live_through(3).await;
    let snapshot = json!({"id": CALL, "assistant": {"metadata": {"placementId": heard, "callMethod": "kestra"}}});
    app.hears(&json!({"message": {"type": "status-update", "status": "ringing", "call": snapshot}})).await;
    app.live_through(10).await;
    assert_eq!((&app.call(&heard).await["callId"], kestra.started(), sent(&app)), (&json!(CALL), 2, 0));
    let listed = begun(&app).await;
    kestra.runs("KILLED", Value::Null);
    app.live_through(20).await;
    placed_at_vapi(&app, &kestra, "another");
    app.live_through(42).await;
    assert_eq!(app.call(&listed).await["callId"], "another", "Vapi's list has it");
    app.advance(61.0).await;
    app.finish().await;
}

#[tokio::test]
async fn a_kestra_that_is_not_well_places_nothing_and_nobody_else_does() {
    let kestra = kestra().await;
    let app = story(Engine::Memory, &kestra).with("KESTRA_ENABLED", "true").begin().await;
    for status in [500, 503, 404, 401] {
        kestra.breaks(Some(status));
        let refused = place(&app).await.refused(502, "KESTRA_UNAVAILABLE").json();
        assert_eq!(refused["details"]["message"], format!("Kestra answered {status}"));
    }
    kestra.breaks(None);
    for status in [400, 401, 403, 404, 409, 422, 429] {
        kestra.next_fares(Fate::Refused(status));
        let refused = asking(&app, &request()).header("idempotency-key", "k").send().await.refused(502, "KESTRA_UNAVAILABLE").json();
        assert_eq!(refused["details"], json!({"status": status, "message": "in Kestra's words"}));
    }
    assert_eq!(sent(&app), 0);
    let again = asking(&app, &request()).header("idempotency-key", "k").send().await;
    assert_eq!((again.status, kestra.started()), (202, 8), "a refusal is not remembered");
    let mut direct = request();
    direct["callMethod"] = "direct_vapi".into();
    kestra.breaks(Some(503));
    let answer = asking(&app, &direct).send().await;
    assert_eq!((&answer.data(201)["callMethod"], sent(&app)), (&json!("direct_vapi"), 1), "whoever says so");
    app.finish().await;
}

#[tokio::test]
async fn kestra_needs_no_key_of_ours_and_obeys_the_dial_rules() {
    let kestra = kestra().await;
    let app = story(Engine::Memory, &kestra).without("VAPI_API_KEY").with("DIAL_ALLOW", "+1555").begin().await;
    place(&app).await.refused(502, "VAPI_ACCOUNT");
    let placement = begun(&app).await;
    let mut elsewhere = by_kestra();
    elsewhere["providerPhone"] = "+44201234567".into();
    asking(&app, &elsewhere).send().await.refused(403, "NUMBER_NOT_ALLOWED");
    kestra.runs("SUCCESS", json!({"call_id": CALL}));
    app.live_through(2).await;
    assert_eq!(app.call(&placement).await["callId"], CALL);
    app.hears_report(&talk(CALL)).await;
    assert_eq!(app.get(&result(&placement, "")).await.data(200)["callMethod"], "kestra");
    let nameless = begun(&app).await;
    kestra.runs("SUCCESS", json!({"other": 1}));
    app.live_through(80).await;
    let data = app.get(&result(&nameless, "")).await.data(200).clone();
    assert!(data["error"].as_str().unwrap().contains("ended as SUCCESS without naming a call"), "{}", data["error"]);
    app.finish().await;
}

#[tokio::test]
async fn who_places_is_said_in_words_that_there_are() {
    let app = Story::new().begin().await;
    for method in [json!("kestra"), json!("pigeon"), json!(7)] {
        let mut body = request();
        body["callMethod"] = method.clone();
        let refused = asking(&app, &body).send().await.refused(422, "VALIDATION_FAILED").json();
        assert_eq!(refused["details"][0]["field"], "callMethod", "{method}");
    }
    app.finish().await;
}

#[tokio::test]
async fn whoever_watches_is_told_how_kestra_is() {
    let kestra = kestra().await;
    let app = story(Engine::Memory, &kestra).with("KESTRA_ENABLED", "true").begin().await;
    let checks = app.get("/readyz?verbose").await.json()["checks"].take();
    assert_eq!(checks["kestra"], json!({"ok": true, "places": true, "error": null}));
    app.finish().await;
    kestra.breaks(Some(503));
    let app = story(Engine::Memory, &kestra).with("KESTRA_ENABLED", "true").begin().await;
    let verbose = app.get("/readyz?verbose").await.json();
    assert_eq!(verbose["checks"]["kestra"], json!({"ok": false, "places": true, "error": "Kestra answered 503"}));
    assert_eq!(verbose["status"], "ok", "results are still taken and told");
    app.finish().await;
    let app = Story::on(Engine::Memory).begin().await;
    assert_eq!(app.get("/readyz?verbose").await.json()["checks"]["kestra"], Value::Null, "there is none");
    app.finish().await;
}

#[tokio::test]
async fn the_doctor_is_let_in_or_says_that_it_is_not() {
    let kestra = kestra().await;
    for (password, severity, found) in [("Kestra2026", Severity::Ok, "lets us in"), ("wrong", Severity::Error, "does not tell us")] {
        let app = story(Engine::Memory, &kestra).with("KESTRA_ENABLED", "true").with("KESTRA_PASSWORD", password).begin().await;
        let findings = examined(&app).await;
        let told = findings.iter().find(|finding| finding.check == "kestra").expect("it is looked at");
        assert!(told.severity == severity && told.found.contains(found), "{told:?}");
        let looked = findings.iter().any(|finding| finding.check == "kestra_flow");
        assert_eq!(looked, severity == Severity::Ok, "who is not let in can't see the flow");
        app.finish().await;
    }
}

#[tokio::test]
async fn the_doctor_looks_whether_the_flow_is_there_and_fits() {
    let kestra = kestra().await;
    let mut strict = flow();
    strict["inputs"].as_array_mut().unwrap().push(json!({"id": "budget", "type": "FLOAT", "required": true}));
    for (flow, places, severity, found) in [
        (flow(), "true", Severity::Ok, "the flow ai_concierge.place_call takes what it is started with"),
        (Value::Null, "true", Severity::Error, "there is no flow ai_concierge.place_call; with KESTRA_ENABLED no call is placed"),
        (Value::Null, "false", Severity::Ok, "only calls with `callMethod: kestra` would need it"),
        (strict.clone(), "true", Severity::Error, "requires the input budget, which it does not get"),
        (strict, "false", Severity::Warning, "calls with `callMethod: kestra` are refused"),
        (json!({"message": "odd"}), "true", Severity::Warning, "does not show us the flow"),
    ] {
        kestra.has_flow(flow);
        let app = story(Engine::Memory, &kestra).with("KESTRA_ENABLED", places).begin().await;
        let findings = examined(&app).await;
        let told: Vec<_> = findings.iter().filter(|finding| finding.check == "kestra_flow").collect();
        assert!(told.len() == 1 && told[0].severity == severity && told[0].found.contains(found), "{told:?}");
        app.finish().await;
    }
    assert!(kestra.posts().is_empty(), "a look changes nothing");
}

async fn examined(app: &TestApp) -> Vec<Finding> {
    let api = app.api();
    let doctor = Doctor::new(&api.config, None, api.dialer.kestra().cloned(), api.clock.clone());
    doctor.examine(&Named::default()).await.findings
}
