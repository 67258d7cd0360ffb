//! `PATCH` and `DELETE /vapi/call/{id}`: done at Vapi, and here.

use ringback::simulate::Fault;
use serde_json::json;

use super::{at, call, placed, sent, words};
use crate::support::{
    app::{Engine, Story, on_every_engine},
    calls::{path, result, talk},
};

on_every_engine! {
    a_call_is_renamed_there_and_here
    a_call_is_deleted_there_and_here
}

async fn a_call_is_renamed_there_and_here(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    let id = placed(&app).await;
    let answer = call(&app.ask("PATCH", &at(&id)).body(r#"{"name":"Second try"}"#).send().await, 200);
    assert_eq!((&answer["id"], &answer["name"]), (&json!(id), &json!("Second try")));
    assert_eq!(app.vapi.call(&id).expect("Vapi has it")["name"], "Second try");
    app.hears_report(&talk(&id)).await;
    assert_eq!(call(&app.get(&at(&id)).await, 200)["name"], "Second try");
    for (body, status) in [("[]", 400), ("", 400), ("{", 400)] {
        words(&app.ask("PATCH", &at(&id)).body(body).send().await, status);
    }
    words(&app.ask("PATCH", &at("unknown")).body("{}").send().await, 404);
    app.vapi.fail_next(Fault::Answer(
        400,
        "application/json",
        r#"{"message":["property x should not exist"],"error":"Bad Request","statusCode":400}"#.to_owned(),
    ));
    assert_eq!(words(&app.ask("PATCH", &at(&id)).body(r#"{"x":1}"#).send().await, 400), r#"["property x should not exist"]"#);
    app.vapi.fail_next(Fault::Page(503));
    words(&app.ask("PATCH", &at(&id)).body("{}").send().await, 502);
    app.advance(61.0).await;
    app.finish().await;
}

async fn a_call_is_deleted_there_and_here(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    let id = placed(&app).await;
    app.vapi.played().await;
    let delete = async || app.ask("DELETE", &at(&id)).send().await;
    // As long as nobody knows that Vapi did it, nothing is deleted here. (The fake does it, whatever it answers.)
    for (fault, status) in [(Fault::Status(503), 503), (Fault::Status(401), 502), (Fault::Page(502), 502), (Fault::Cut, 502)] {
        let before = app.vapi.call(&id).expect("Vapi has it");
        app.vapi.fail_next(fault);
        words(&delete().await, status);
        app.vapi.put_call(before);
    }
    app.vapi.remove_call(&id);
    assert_eq!(call(&app.get(&at(&id)).await, 200)["id"], id);
    let several = app.ask("DELETE", &at(&id)).body(r#"{"ids":["a","b","c"]}"#).send().await;
    assert!(words(&several, 400).contains("one by one"));
    assert_eq!(call(&app.ask("DELETE", &at(&id)).body("{}").send().await, 200)["id"], id);
    assert!(app.vapi.call(&id).is_none());
    words(&app.get(&at(&id)).await, 404);
    app.get(&result(&id, "")).await.refused(410, "CALL_DELETED");
    words(&delete().await, 404);
    // What comes late is ignored.
    app.hears_report(&talk(&id)).await;
    app.poll(&id).await.refused(404, "CALL_NOT_FOUND");
    assert_eq!(sent(&app), 1);
    app.advance(61.0).await;
    app.finish().await;
}

#[tokio::test]
async fn a_call_that_only_vapi_knows_is_deleted_too_and_does_not_come_back() {
    let app = Story::new().placing().begin().await;
    app.vapi.put_call(json!({"id": "theirs", "status": "ended", "monitor": {"listenUrl": "wss://x"}}));
    let gone = call(&app.ask("DELETE", &at("theirs")).send().await, 200);
    assert_eq!(gone, json!({"id": "theirs", "status": "ended", "monitor": {"listenUrl": "[redacted]"}}));
    app.hears_report(&talk("theirs")).await;
    app.poll("theirs").await.refused(404, "CALL_NOT_FOUND");
    app.finish().await;
}

#[tokio::test]
async fn without_a_key_nothing_is_changed() {
    let app = Story::new().without("VAPI_API_KEY").begin().await;
    app.hears_report(&talk("one")).await;
    for method in ["PATCH", "DELETE"] {
        assert!(words(&app.ask(method, &at("one")).body("{}").send().await, 502).contains("VAPI_API_KEY"));
    }
    assert_eq!(app.ask("GET", &path("one")).send().await.status, 200);
    app.finish().await;
}
