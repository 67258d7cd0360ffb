//! A placed call, from the request to its result.

use std::time::Duration;

use ringback::simulate::Fault;
use serde_json::json;

use super::{CALLS, asked, asking, id, place, request, sent};
use crate::support::{
    app::{Engine, SECRET, Story, on_every_engine},
    calls::{path, result, talk},
    eventually,
};

on_every_engine! {
    a_placed_call_is_known_from_its_first_second_and_by_both_its_ids
    a_client_that_hangs_up_changes_nothing
    the_result_can_be_waited_for_in_the_same_request
}

async fn a_placed_call_is_known_from_its_first_second_and_by_both_its_ids(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    let answer = place(&app).await;
    let data = answer.data(201);
    let call = id(&answer);
    let placement = data["metadata"]["placementId"].as_str().unwrap().to_owned();
    assert!(placement.starts_with("pl_"), "{placement}");
    assert_eq!((answer.header("x-call-id"), answer.header("location")), (call.as_str(), format!("{}/result", path(&call)).as_str()));
    assert_eq!((&data["callStatus"], &data["status"], &data["callMethod"]), (&json!("queued"), &json!("pending"), &json!("direct_vapi")));
    assert_eq!((&data["provider"]["name"], &data["customer"]["number"]), (&json!("Hill Plumbing"), &json!("+15551234567")));
    assert_eq!(app.vapi.call(&call).unwrap()["assistant"]["metadata"]["placementId"], placement);
    for either in [&call, &placement] {
        app.poll(either).await.refused(404, "CALL_NOT_READY");
        assert_eq!(app.call(either).await["callId"], call);
    }
    app.hears_report(&talk(&call)).await;
    assert_eq!(app.poll(&placement).await.data(200)["callId"], call);
    assert_eq!(app.get(&result(&placement, "wait=5")).await.data(200)["dataStatus"], "complete");
    let timeline = app.get(&format!("{}/timeline", path(&placement))).await.json();
    let kinds: Vec<_> = timeline["data"].as_array().unwrap().iter().filter_map(|entry| entry["kind"].as_str()).collect();
    assert!(kinds.contains(&"placed") && kinds.contains(&"settled"), "{kinds:?}");
    app.ask("DELETE", &path(&placement)).send().await.data(200);
    app.get(&result(&call, "")).await.refused(410, "CALL_DELETED");
    app.get(&result(&placement, "")).await.refused(410, "CALL_DELETED");
    assert_eq!(sent(&app), 1);
    app.advance(61.0).await;
    app.finish().await;
}

async fn a_client_that_hangs_up_changes_nothing(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.vapi.fail_next(Fault::Slow(Duration::from_millis(600)));
    tokio::select! {
        answer = asking(&app, &request()).send() => panic!("it is still on its way: {}", answer.text()),
        () = eventually("Vapi is asked", async || sent(&app) == 1) => {}
    }
    eventually("the call is known", async || app.get(CALLS).await.json()["count"] == 1).await;
    assert_eq!(sent(&app), 1);
    app.advance(61.0).await;
    app.finish().await;
}

async fn the_result_can_be_waited_for_in_the_same_request(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.listen().await;
    let answer = app.ask("POST", &format!("{CALLS}?wait=20&view=summary")).body(request().to_string()).send().await;
    let data = answer.data(201);
    assert_eq!((&data["status"], &data["dataStatus"], &data["transcript"]), (&json!("completed"), &json!("complete"), &json!("")));
    super::played(&app).await;
    app.advance(61.0).await;
    app.finish().await;
}

#[tokio::test]
async fn a_placed_call_proves_its_messages_by_the_secret_and_nobody_else_is_told_it() {
    let app =
        Story::new().placing().with("VAPI_WEBHOOK_URL", "http://127.0.0.1:9/hook").with("VAPI_PHONE_NUMBER_ID", "number-1").begin().await;
    let answer = place(&app).await;
    let asked = asked(&app);
    let server = &asked["assistant"]["server"];
    assert_eq!((&server["url"], &server["headers"]["x-vapi-secret"]), (&json!("http://127.0.0.1:9/hook"), &json!(SECRET)));
    assert_eq!((&asked["phoneNumberId"], &asked["customer"]["number"]), (&json!("number-1"), &json!("+15551234567")));
    let bodies = app.get(&format!("{}/timeline?body=1", path(&id(&answer)))).await;
    assert!(bodies.text().contains("[redacted]") && !bodies.text().contains(SECRET));
    app.finish().await;
}

#[tokio::test]
async fn with_a_credential_no_secret_is_sent() {
    let story = Story::new().placing().with("VAPI_WEBHOOK_URL", "http://127.0.0.1:9/hook").with("VAPI_CREDENTIAL_ID", "credential-1");
    let app = story.begin().await;
    place(&app).await.data(201);
    let server = asked(&app)["assistant"]["server"].take();
    assert_eq!((&server["credentialId"], &server["headers"]), (&json!("credential-1"), &json!(null)));
    app.finish().await;
}
