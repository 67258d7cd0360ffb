//! What breaks while a call is being placed: the process stands still, or the work on it crashes. Nothing is placed twice, and nobody is told otherwise.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, http::StatusCode, routing::get};
use ringback::{
    call::id::CallId,
    config::ServerConfig,
    dial::{self, DialError, Dialer, Key, Named, Writer},
    store::DocumentKind,
    vapi::client::{RefusalReason, Settings, VapiClient},
};
use serde_json::{Value, json};

use super::{asking, id, order, request, sent, vapis_call};
use crate::support::{
    answer::Answer,
    app::{KEY, Story, TestApp},
    calls::{path, result},
    redis::Server,
    served::Served,
};

async fn with_key(app: &TestApp) -> Answer {
    asking(app, &request()).header("idempotency-key", "k").send().await
}

/// The id of the only placing there is.
async fn placement(app: &TestApp) -> String {
    let page = app.api().registry.store().documents(DocumentKind::Placement, None, 2, app.clock().now()).await;
    let [only] = &page.expect("the store answers").documents[..] else { panic!("there is one") };
    only.id.clone()
}

#[tokio::test]
async fn what_was_written_down_too_long_ago_is_not_sent_any_more() {
    let Some(server) = Server::start(&[]) else { return };
    let app = Story::new().placing().with("DATABASE_URL", &server.database().url()).begin().await;
    // The placing is dated, and can't be written yet.
    server.tell("freeze");
    let going_by = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        app.clock().advance(30_001);
        server.tell("thaw");
    };
    let (placed, ()) = tokio::join!(app.api().dialer.place(order(None)), going_by);
    let Err(DialError::Refused(refused)) = placed else { panic!("{placed:?}") };
    assert!(refused.reason == RefusalReason::Unavailable && refused.words().contains("stood still"), "{refused:?}");
    app.get(&result(&placement(&app).await, "")).await.refused(404, "CALL_NOT_FOUND");
    app.advance(3_600.0).await;
    assert_eq!((sent(&app), app.vapi.count("GET", "/call")), (0, 0), "nothing was placed, and nothing is looked for");
    app.finish().await;
}

/// A Vapi that takes its time to refuse calls, and lists none.
async fn slow_to_refuse() -> Served {
    let refuse = async || {
        tokio::time::sleep(Duration::from_millis(600)).await;
        (StatusCode::BAD_REQUEST, Json(json!({"message": "No such number.", "error": "Bad Request", "statusCode": 400})))
    };
    Served::start(Router::new().route("/call", get(async || Json(json!([]))).post(refuse))).await
}

#[tokio::test]
async fn a_refusal_that_comes_after_others_were_told_that_nobody_knows_is_the_end_for_them_and_frees_the_key() {
    let vapi = slow_to_refuse().await;
    let app = Story::new().with("VAPI_API_URL", &vapi.url("")).begin().await;
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        app.advance(61.0).await;
        let placement = placement(&app).await;
        assert_eq!(app.get(&result(&placement, "")).await.status, 202);
        let also = with_key(&app).await;
        assert_eq!((also.status, id(&also)), (202, placement.clone()));
        placement
    };
    let (answer, placement) = tokio::join!(with_key(&app), meanwhile);
    answer.refused(422, "VAPI_REJECTED");
    let end = app.get(&result(&placement, "")).await.data(200);
    assert_eq!((&end["status"], &end["dataStatus"]), (&json!("error"), &json!("fetch_failed")));
    assert!(end["error"].as_str().is_some_and(|words| words.contains("No such number.")), "{end}");
    with_key(&app).await.refused(422, "VAPI_REJECTED");
    app.advance(3_600.0).await;
    assert_eq!(app.get(&result(&placement, "")).await.data(200)["error"], end["error"], "done is done");
    app.finish().await;
}

/// A dialer of this service that crashes as soon as Vapi has answered.
fn crashing(app: &TestApp) -> Dialer {
    let api = app.api();
    let client = VapiClient::new(&Settings::new(app.vapi.url(), KEY.into()), app.clock().clone()).expect("a usable address and key");
    let server = ServerConfig { url: None, credential_id: None, messages: Vec::new() };
    Dialer::new(dial::Parts {
        registry: api.registry.clone(),
        client: Some(client.observed_by(Arc::new(|_, _| panic!("on purpose")))),
        clock: app.clock().clone(),
        lifecycle: app.app().lifecycle().clone(),
        push: api.push.clone(),
        kestra: None,
        writer: Writer::new(server).expect("its templates are whole"),
        rules: api.config.dial.clone(),
        keep_ms: None,
    })
}

#[tokio::test]
async fn a_crash_while_a_call_is_placed_is_an_outcome_that_nobody_knows_yet() {
    let app = Story::new().placing().begin().await;
    let order = order(Some(Key::sent("k".to_owned(), "calls")));
    let Named::Open(placement) = crashing(&app).place(order.clone()).await.expect("it may have been placed").named else {
        panic!("nobody knows")
    };
    assert_eq!(app.get(&result(placement.as_str(), "")).await.status, 202);
    app.advance(61.0).await;
    let again = app.api().dialer.place(order).await.expect("it was placed");
    assert_eq!((again.replayed, again.named), (true, Named::Call(CallId::parse(&vapis_call(&app)).expect("an id"))));
    assert_eq!(sent(&app), 1);
    app.advance(61.0).await;
    app.finish().await;
}

#[tokio::test]
async fn whoever_asks_about_an_open_placing_is_told_what_is_known_and_of_the_call_once_that_is() {
    let app = Story::new().placing().begin().await;
    let url = app.listen().await;
    app.vapi.fail_next(ringback::simulate::Fault::Page(502));
    let placement = id(&with_key(&app).await);
    let call = vapis_call(&app);
    app.vapi.played().await;
    let timeline = app.get(&format!("{}/timeline?body=1", path(&placement))).await;
    let entries = timeline.data(200).clone();
    assert_eq!((entries.as_array().map(Vec::len), &entries[0]["kind"]), (Some(1), &json!("placed")), "{entries}");
    assert_eq!(entries[0]["body"]["customer"]["number"], "+15551234567");
    let mut listener = crate::support::stream::Listener::open(&format!("{url}{}/events?close=done", path(&placement)), None).await;
    listener.is_quiet().await;
    let erasing = app.ask("DELETE", &path(&placement)).send().await.refused(404, "CALL_NOT_READY");
    assert!(erasing.text().contains("which call this placing became"), "{}", erasing.text());
    app.advance(1.0).await;
    let heard = listener.next().await.expect("the call is known");
    assert_eq!(heard.data["callId"], call.as_str());
    while let Some(heard) = listener.next().await {
        assert_eq!(heard.data["callId"], call.as_str());
    }
    let known = app.get(&format!("{}/timeline", path(&placement))).await.data(200).clone();
    let placed = known.as_array().expect("a list").iter().find(|entry| entry["kind"] == "placed").expect("it is there").clone();
    assert_eq!(placed["eventId"], entries[0]["eventId"], "the same event");
    assert_eq!(app.ask("DELETE", &path(&placement)).send().await.data(200)["deleted"], true);
    with_key(&app).await.refused(410, "CALL_DELETED");
    assert_eq!(sent(&app), 1);
    app.advance(61.0).await;
    app.finish().await;
}

#[tokio::test]
async fn the_stream_of_a_placing_that_is_given_up_says_so() {
    let app = Story::new().placing().begin().await;
    let url = app.listen().await;
    // No webhook comes.
    app.vapi.deliver_to("http://127.0.0.1:9/hook");
    app.vapi.fail_next(ringback::simulate::Fault::Page(502));
    let placement = id(&with_key(&app).await);
    app.vapi.remove_call(&vapis_call(&app));
    let mut listener = crate::support::stream::Listener::open(&format!("{url}{}/events?close=done", path(&placement)), None).await;
    app.advance(960.0).await;
    let mut all: Vec<Value> = Vec::new();
    while let Some(heard) = listener.next().await {
        all.push(heard.data);
    }
    let last = all.last().expect("it says something");
    assert_eq!((&last["type"], &last["callId"]), (&json!("call.done"), &json!(placement)), "{all:?}");
    app.finish().await;
}
