//! Placing as an SDK does it: Vapi's bodies in and out, and each call once although they send again.

use std::time::Duration;

use ringback::{
    dial::RESENT_WITHIN,
    simulate::{Fault, Stage},
};
use serde_json::{Value, json};

use super::{CALL, asking, at, call, id, saved, sent, words};
use crate::{
    placing::{asked, vapis_call},
    support::{
        app::{Engine, KEY, SECRET, Story, TestApp, on_every_engine},
        calls::talk,
    },
};

on_every_engine! {
    the_same_bytes_within_ten_seconds_are_one_call_with_one_answer
    what_was_erased_is_neither_there_nor_placed_anew
    the_same_bytes_at_once_are_one_call
    a_lost_answer_is_a_call_that_waits_and_is_found
    what_was_refused_may_be_asked_for_again
    an_instance_that_dies_while_placing_leaves_no_second_call
}

async fn the_same_bytes_within_ten_seconds_are_one_call_with_one_answer(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    let first = asking(&app, &saved()).send().await;
    let made = call(&first, 201);
    assert_eq!((first.header("idempotent-replayed"), first.header("x-call-id")), ("", id(&made).as_str()));
    app.vapi.played().await;
    app.hears_status(&talk(&id(&made)), Stage::InProgress).await;
    app.clock().advance(RESENT_WITHIN - 1);
    let again = asking(&app, &saved()).send().await;
    assert_eq!((again.status, again.header("idempotent-replayed"), again.text()), (201, "true", first.text()), "the same answer");
    // One byte more is another request, and so are the same ones later.
    let other = app.ask("POST", CALL).body(format!("{} ", saved())).send().await;
    assert_ne!(call(&other, 201)["id"], made["id"]);
    app.clock().advance(1);
    assert_ne!(call(&asking(&app, &saved()).send().await, 201)["id"], made["id"]);
    assert_eq!(sent(&app), 3);
    app.advance(61.0).await;
    app.finish().await;
}

async fn what_was_erased_is_neither_there_nor_placed_anew(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    for key in ["", "k"] {
        let ask = || asking(&app, &saved()).header(if key.is_empty() { "x-no-key" } else { "idempotency-key" }, key).send();
        let made = id(&call(&ask().await, 201));
        app.vapi.played().await;
        app.ask("DELETE", &format!("/api/v1/vapi/calls/{made}")).send().await.data(200);
        assert_eq!(words(&ask().await, 404), words(&app.get(&at(&made)).await, 404));
        app.clock().advance(RESENT_WITHIN);
    }
    assert_eq!(sent(&app), 2);
    app.finish().await;
}

async fn the_same_bytes_at_once_are_one_call(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(150)));
    let body = saved();
    let ask = || asking(&app, &body).send();
    let answers = tokio::join!(ask(), ask(), ask());
    let ids = [answers.0, answers.1, answers.2].map(|answer| id(&call(&answer, 201)));
    assert!(ids.iter().all(|one| *one == ids[0]), "{ids:?}");
    assert_eq!(sent(&app), 1);
    app.advance(61.0).await;
    app.finish().await;
}

async fn a_lost_answer_is_a_call_that_waits_and_is_found(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Cut);
    let open = asking(&app, &saved()).send().await;
    let placement = id(&call(&open, 201));
    assert!(placement.starts_with("pl_"), "{placement}");
    let said = call(&open, 201);
    assert_eq!((&said["status"], &said["metadata"]["placementId"]), (&json!("queued"), &json!(placement)));
    let waiting = call(&app.get(&at(&placement)).await, 200);
    assert_eq!(waiting, said, "until it is known");
    assert_eq!(call(&asking(&app, &saved()).send().await, 201), said, "and nothing is sent again");
    for method in ["PATCH", "DELETE"] {
        words(&app.ask(method, &at(&placement)).body("{}").send().await, 404);
    }
    app.advance(1.0).await;
    let found = call(&app.get(&at(&placement)).await, 200);
    assert_eq!((id(&found), &found["metadata"]["placementId"]), (vapis_call(&app), &json!(placement)));
    assert_eq!(sent(&app), 1);
    app.advance(61.0).await;
    app.finish().await;
}

async fn what_was_refused_may_be_asked_for_again(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Status(503));
    assert_eq!(words(&asking(&app, &saved()).send().await, 503), "Internal server error");
    call(&asking(&app, &saved()).send().await, 201);
    assert_eq!(sent(&app), 2);
    app.advance(61.0).await;
    app.finish().await;
}

/// Whoever was placing is gone before it could say what came of it: its request comes again, to whoever is there.
async fn an_instance_that_dies_while_placing_leaves_no_second_call(engine: Engine) {
    if engine == Engine::Memory {
        return;
    }
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(900)));
    let body = saved();
    let asking_first = asking(&app, &body).send();
    assert!(tokio::time::timeout(Duration::from_millis(300), asking_first).await.is_err(), "it is still on its way");
    assert_eq!(sent(&app), 1);
    let app = app.restart().await;
    let again = async { call(&asking(&app, &body).send().await, 201) };
    let searching = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.clock().advance(60_000);
        app.api().dialer.step().await.expect("the store answers");
    };
    let (again, ()) = tokio::join!(again, searching);
    assert_eq!(id(&again), vapis_call(&app));
    assert_eq!(sent(&app), 1);
    app.advance(61.0).await;
    app.finish().await;
}

#[tokio::test]
async fn every_token_has_calls_of_its_own() {
    let tokens = "place:one=token-of-one-0123456789,place:two=token-of-two-0123456789";
    let app = Story::new().placing().with("API_TOKENS", tokens).begin().await;
    let place = async |token: &str| id(&call(&asking(&app, &saved()).token(token).send().await, 201));
    let one = place("token-of-one-0123456789").await;
    assert_eq!(one, place("token-of-one-0123456789").await);
    assert_ne!(one, place("token-of-two-0123456789").await);
    let key = place(KEY).await;
    assert_eq!(key, place(KEY).await);
    assert_eq!(sent(&app), 3);
    app.finish().await;
}

#[tokio::test]
async fn a_key_of_the_clients_own_counts_for_a_day() {
    let app = Story::new().placing().begin().await;
    let ask = async |key: &str, body: &Value| asking(&app, body).header("idempotency-key", key).send().await;
    let first = id(&call(&ask("k", &saved()).await, 201));
    app.clock().advance(20 * 3_600_000);
    let again = ask("k", &saved()).await;
    assert_eq!((id(&call(&again, 201)), again.header("idempotent-replayed")), (first.clone(), "true"));
    let mut other = saved();
    other["name"] = "Another".into();
    words(&ask("k", &other).await, 422);
    assert_ne!(id(&call(&ask("another", &saved()).await, 201)), first);
    words(&ask("", &saved()).await, 400);
    app.work().await;
    app.finish().await;
}

async fn goes_out(app: &TestApp, body: Value) -> (Value, Value) {
    let answer = call(&asking(app, &body).send().await, 201);
    (asked(app), answer)
}

#[tokio::test]
async fn bodies_of_old_and_new_sdks_go_out_field_by_field() {
    let app = Story::new().placing().with("VAPI_WEBHOOK_URL", "http://127.0.0.1:9/hook").begin().await;
    // As 0.11 was used: deprecated members, a server of its own, metadata beside the assistant.
    let old = json!({
        "phoneNumberId": "number-1", "customer": {"number": "+15551234567", "name": "Service Provider"}, "metadata": {"providerId": "p1"},
        "assistant": {
            "name": "Concierge-1", "firstMessage": "Hi", "endCallFunctionEnabled": true, "silenceTimeoutSeconds": 10,
            "model": {"provider": "google", "model": "gemini-2.5-flash", "messages": [{"role": "system", "content": "x"}], "temperature": 0.35},
            "voice": {"provider": "11labs", "voiceId": "21m00Tcm4TlvDq8ikWAM", "stability": 0.5, "similarityBoost": 0.75},
            "server": {"url": "http://127.0.0.1:9/webhook", "timeoutSeconds": 20}, "serverMessages": ["status-update", "end-of-call-report"],
        },
    });
    let (mut went, answer) = goes_out(&app, old.clone()).await;
    let placement = went["assistant"]["metadata"]["placementId"].take();
    assert!(placement.as_str().is_some_and(|id| id.starts_with("pl_")), "{went}");
    went["assistant"].as_object_mut().expect("an object").remove("metadata");
    assert_eq!(went, old, "nothing else was touched");
    assert_eq!((&answer["assistant"]["name"], &answer["metadata"]["providerId"]), (&json!("Concierge-1"), &json!("p1")));
    // As 2.0 types it, and what no SDK knows yet.
    let new = json!({
        "assistantId": "nora", "assistantVersion": null, "name": "Try 1", "assistantOverrides": {"variableValues": {"call_id": 7}},
        "phoneNumber": {"twilioAccountSid": "AC1", "twilioAuthToken": "twilio-token-0123", "twilioPhoneNumber": "+15550001111"},
        "schedulePlan": {"earliestAt": "2026-09-27T09:00:00Z"}, "customer": {"number": "+15551234567", "numberE164CheckEnabled": false},
        "transport": {"conversationType": "voice"}, "somethingNew": [1.5, null, {"deep": true}],
    });
    let (went, answer) = goes_out(&app, new.clone()).await;
    for (field, value) in new.as_object().expect("an object").iter().filter(|(field, _)| *field != "assistantOverrides") {
        assert_eq!(&went[field], value, "{field}");
    }
    assert_eq!(went["assistantOverrides"]["variableValues"], json!({"call_id": 7}));
    assert_eq!(went["assistantOverrides"]["server"]["url"], "http://127.0.0.1:9/hook");
    assert!(!answer.to_string().contains("twilio-token"), "what is secret is not told again: {answer}");
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn the_answer_is_vapis_own_without_what_is_secret() {
    let app = Story::new().placing().with("VAPI_WEBHOOK_URL", "http://127.0.0.1:9/hook").begin().await;
    let mut body = saved();
    body["assistant"] = json!({"model": {"provider": "openai", "messages": [{"role": "system", "content": "Be kind."}]}});
    body.as_object_mut().expect("an object").remove("assistantId");
    let answer = call(&asking(&app, &body).send().await, 201);
    let vapis = app.vapi.call(&id(&answer)).expect("Vapi has it");
    for field in ["id", "orgId", "type", "phoneCallProvider", "transport", "customer"] {
        assert_eq!(answer[field], vapis[field], "{field}");
    }
    assert_eq!(answer["status"], "queued");
    assert_eq!(answer["monitor"], json!({"controlUrl": "[redacted]", "listenUrl": "[redacted]"}));
    let text = answer.to_string();
    assert!(!text.contains(SECRET) && !text.contains("Be kind."), "{text}");
    assert_eq!(answer["createdAt"], call(&app.get(&at(&id(&answer))).await, 200)["createdAt"], "one moment everywhere");
    app.finish().await;
}

#[tokio::test]
async fn what_is_no_call_of_vapis_is_refused_and_nothing_is_sent() {
    let app = Story::new().with("DIAL_ALLOW", "+44").begin().await;
    for (body, word) in [
        (json!({}), "Need one of assistantId"),
        (json!([]), "must be a JSON object"),
        (json!("call"), "must be a JSON object"),
        (json!(null), "must be a JSON object"),
        (json!({"providerName": "Hill", "providerPhone": "+15551234567"}), "Need one of"),
        (
            json!({"assistantId": "a", "customers": [{"number": "+15551234567"}, {"number": "+15551234568"}]}),
            "customers is for several calls",
        ),
        (json!({"assistantId": "a", "callback": {"kind": "webhook", "url": "https://example.com"}}), "callback"),
    ] {
        let said = words(&asking(&app, &body).send().await, 400);
        assert!(said.contains(word), "{body}: {said}");
    }
    for body in ["", "{", "assistantId=a"] {
        words(&app.ask("POST", CALL).body(body).send().await, 400);
    }
    words(&asking(&app, &saved()).send().await, 403);
    assert_eq!(sent(&app), 0);
    app.finish().await;
}
