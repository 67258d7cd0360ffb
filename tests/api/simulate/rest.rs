//! The REST interface, and what a test can do to it.

use std::time::Duration;

use ringback::{
    simulate::{FakeVapi, Fault, Options, Scenario},
    vapi::client::plain_http,
};
use serde_json::{Value, json};

use super::{ask, played, until};
use crate::support::{
    receiver::Receiver,
    vapi::{START, fake_vapi, quick},
};

#[tokio::test]
async fn rest_wants_the_key_and_speaks_vapis_errors() {
    let vapi = fake_vapi().await;
    let answer = plain_http().expect("a client").get(format!("{}/call/x", vapi.url())).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    let error: Value = answer.json().await.expect("JSON");
    assert_eq!((&error["error"], &error["statusCode"]), (&json!("Unauthorized"), &json!(401)));
    for (method, path, body, status) in [
        ("GET", "/call/x", None, 404),
        ("GET", "/call/x/mono-recording", None, 404),
        ("PATCH", "/call/x", Some(json!({"name": "n"})), 404),
        ("DELETE", "/call/x", None, 404),
        ("GET", "/squad", None, 404),
        ("GET", "/assistant/x", None, 404),
        ("PATCH", "/phone-number/x", Some(json!({"name": "n"})), 404),
        ("GET", "/org/x", None, 404),
        ("GET", "/call?limit=5000", None, 400),
        ("POST", "/call", Some(json!([])), 400),
        ("POST", "/call", Some(json!({"customer": {"number": "+15550199123"}})), 400),
    ] {
        let (answered, error) = ask(&vapi, method, path, body).await;
        assert_eq!((answered, error["statusCode"].as_u64()), (status, Some(u64::from(status))), "{method} {path}: {error}");
    }
}

#[tokio::test]
async fn a_call_can_be_listed_renamed_and_deleted() {
    let (vapi, _receiver, id) = played(Options { scenario: Scenario::Busy, ..quick() }, json!({})).await;
    let (status, listed) = ask(&vapi, "GET", "/call?limit=10&createdAtLe=2026-09-26T11:18:02.411Z", None).await;
    assert_eq!((status, listed[0]["id"].as_str()), (200, Some(id.as_str())));
    let (_, renamed) = ask(&vapi, "PATCH", &format!("/call/{id}"), Some(json!({"name": "first"}))).await;
    assert_eq!((&renamed["name"], &renamed["id"]), (&json!("first"), &json!(id)));
    assert_eq!(ask(&vapi, "DELETE", &format!("/call/{id}"), None).await.0, 200);
    assert_eq!(ask(&vapi, "GET", &format!("/call/{id}"), None).await.0, 404);
}

#[tokio::test]
async fn a_call_deleted_while_it_goes_on_falls_silent() {
    let receiver = Receiver::start().await;
    let options = Options { webhook_url: Some(receiver.url.clone()), pace: 1.0, ..quick() };
    let vapi = FakeVapi::start(options).await.expect("a free port");
    let id = vapi.place(json!({}));
    until(|| !receiver.taken().is_empty()).await;
    ask(&vapi, "DELETE", &format!("/call/{id}"), None).await;
    tokio::time::timeout(Duration::from_secs(2), vapi.played()).await.expect("nothing goes on");
    assert_eq!(receiver.kinds(), ["queued"]);
}

#[tokio::test]
async fn a_test_can_put_change_and_remove_calls() {
    let vapi = fake_vapi().await;
    vapi.put_call(json!({"id": "one", "status": "in-progress"}));
    vapi.put_call(json!({"id": "one", "status": "ended"}));
    assert_eq!(ask(&vapi, "GET", "/call/one", None).await, (200, json!({"id": "one", "status": "ended"})));
    vapi.remove_call("one");
    assert_eq!(ask(&vapi, "GET", "/call/one", None).await.0, 404);
    let asked = vapi.requests();
    assert_eq!((asked.len(), asked[1].path.as_str(), asked[1].at), (2, "/call/one", START));
    assert_eq!(vapi.count("GET", "/call/one"), 2);
}

#[tokio::test]
async fn faults_come_in_the_order_in_which_they_were_asked_for() {
    let vapi = fake_vapi().await;
    vapi.put_call(json!({"id": "one"}));
    for fault in [Fault::Status(500), Fault::Page(502)] {
        vapi.fail_next(fault);
    }
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(ask(&vapi, "GET", "/call/one", None).await.0);
    }
    assert_eq!(statuses, [500, 502, 200]);
}

#[tokio::test]
async fn the_same_seed_makes_the_same_run() {
    let run = async || {
        let options = Options { seed: 42, duplicate: 0.3, shuffle: true, scenario: Scenario::All, ..quick() };
        let (vapi, receiver, first) = played(options, json!({})).await;
        let second = vapi.place(json!({}));
        vapi.played().await;
        (first, second, receiver.kinds())
    };
    assert_eq!(run().await, run().await);
}

#[tokio::test]
async fn all_scenarios_are_taken_in_turn() {
    let receiver = Receiver::start().await;
    let options = Options { webhook_url: Some(receiver.url.clone()), scenario: Scenario::All, ..quick() };
    let vapi = FakeVapi::start(options).await.expect("a free port");
    let mut reasons = Vec::new();
    for _ in 0..7 {
        let id = vapi.place(json!({}));
        vapi.played().await;
        reasons.push(vapi.call(&id).expect("the call")["endedReason"].as_str().expect("text").to_owned());
    }
    let sip = "call.in-progress.error-providerfault-outbound-sip-503-service-unavailable";
    let talk = "customer-ended-call";
    assert_eq!(reasons, [talk, "customer-did-not-answer", "voicemail", "customer-busy", sip, talk, talk]);
    assert!(receiver.kinds().contains(&"tool-calls".to_owned()));
}

#[tokio::test]
async fn it_stops_when_its_handle_is_dropped() {
    let vapi = fake_vapi().await;
    let url = vapi.url().to_owned();
    drop(vapi);
    let gone = async {
        while tokio::net::TcpStream::connect(url.trim_start_matches("http://")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), gone).await.expect("the port is closed");
}

#[tokio::test]
async fn settings_are_listed_read_and_changed_field_by_field() {
    let vapi = fake_vapi().await;
    for kind in ["assistant", "phone-number"] {
        let (status, listed) = ask(&vapi, "GET", &format!("/{kind}?limit=1000"), None).await;
        let id = listed[0]["id"].as_str().expect("there is one").to_owned();
        assert_eq!((status, listed.as_array().map(Vec::len)), (200, Some(1)), "{kind}");
        let path = format!("/{kind}/{id}");
        let (_, before) = ask(&vapi, "GET", &path, None).await;
        assert_eq!(before, listed[0]);
        let (status, after) = ask(&vapi, "PATCH", &path, Some(json!({"server": {"timeoutSeconds": 7}, "name": null}))).await;
        assert_eq!((status, &after["server"], after.get("name")), (200, &json!({"timeoutSeconds": 7}), None), "a field is replaced whole");
        assert_eq!(after["createdAt"], before["createdAt"], "what is not named stays");
        assert_eq!(ask(&vapi, "GET", &path, None).await.1, after);
    }
    let (status, org) = ask(&vapi, "GET", "/org", None).await;
    assert_eq!(status, 200);
    let path = format!("/org/{}", org["id"].as_str().expect("an id"));
    vapi.spoil_settings(|_, _, org| *org = json!(null));
    assert_eq!((ask(&vapi, "GET", "/org", None).await.0, ask(&vapi, "GET", &path, None).await.0), (403, 403), "it may be closed");
}
