//! Which webhooks are sent where, how they are proven, and what can go wrong with them.

use std::{collections::BTreeSet, time::Duration};

use ringback::simulate::{Auth, CallScript, FakeVapi, Options, Scenario, Stage, bodies, sign};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{played, until};
use crate::support::{
    receiver::Receiver,
    vapi::{CALL, START, fake_vapi, quick},
};

#[tokio::test]
async fn a_report_may_never_come_and_rest_has_it_all_the_same() {
    let (vapi, receiver, id) = played(Options { drop_report: 1, ..quick() }, json!({})).await;
    assert_eq!(receiver.kinds().last().map(String::as_str), Some("ended"));
    assert_eq!(vapi.call(&id).expect("the call")["analysis"]["successEvaluation"], "true");
}

#[tokio::test]
async fn a_late_analysis_is_in_rest_only() {
    let receiver = Receiver::start().await;
    // 1.7 s lie between report and analysis in life, 85 ms here.
    let options =
        Options { webhook_url: Some(receiver.url.clone()), late_analysis: true, pace: 0.05, scenario: Scenario::Voicemail, ..quick() };
    let vapi = FakeVapi::start(options).await.expect("a free port");
    let id = vapi.place(json!({}));
    while !receiver.kinds().contains(&"end-of-call-report".to_owned()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let report = receiver.first("end-of-call-report");
    assert_eq!((&report["analysis"], &report["summary"]), (&json!({}), &json!("")));
    let before = vapi.call(&id).expect("the call");
    assert_eq!((&before["analysis"], &before["status"]), (&json!({}), &json!("ended")));
    assert_eq!(before["transcript"], report["transcript"]);
    vapi.played().await;
    let after = vapi.call(&id).expect("the call");
    assert_eq!(after["analysis"]["summary"], "The assistant left a message on the mailbox.");
    assert!(after["updatedAt"].as_str() > before["updatedAt"].as_str(), "{} {}", after["updatedAt"], before["updatedAt"]);
}

#[tokio::test]
async fn a_repeated_webhook_is_the_same_message_with_other_links() {
    let secret = Some(SecretString::from("0123456789abcdef"));
    let options = Options { duplicate: 1.0, auth: Auth::Standard, secret, ..quick() };
    let (_vapi, receiver, _) = played(options, json!({})).await;
    let taken = receiver.taken();
    for pair in taken.chunks(2) {
        assert_eq!(pair[0].kind(), pair[1].kind());
        assert_eq!(pair[0].header("webhook-id"), pair[1].header("webhook-id"));
    }
    let ids: BTreeSet<&str> = taken.iter().map(|taken| taken.header("webhook-id")).collect();
    assert_eq!(ids.len() * 2, taken.len());
    let [first, second] = &taken[taken.len() - 2..] else { panic!("no report") };
    assert_eq!(first.kind(), "end-of-call-report");
    assert_ne!(first.bytes, second.bytes);
    assert_eq!(first.message()["transcript"], second.message()["transcript"]);
}

#[tokio::test]
async fn shuffling_changes_the_order_and_nothing_else() {
    let in_order = played(Options { seed: 1, ..quick() }, json!({})).await;
    let shuffled = played(Options { seed: 1, shuffle: true, ..quick() }, json!({})).await;
    let messages = |receiver: &Receiver| {
        receiver.taken().iter().map(|taken| (taken.kind(), taken.message()["timestamp"].as_i64())).collect::<Vec<_>>()
    };
    let (mut a, mut b) = (messages(&in_order.1), messages(&shuffled.1));
    assert_ne!(a, b);
    a.sort();
    b.sort();
    assert_eq!(a, b);
    let call = |story: &(FakeVapi, Receiver, String)| {
        let call = story.0.call(&story.2).expect("the call");
        (call["status"].clone(), call["transcript"].clone(), call["updatedAt"].clone())
    };
    assert_eq!(call(&in_order), call(&shuffled));
}

#[tokio::test]
async fn nothing_is_sent_twice_unless_the_call_asks_for_it() {
    let receiver = Receiver::start().await;
    receiver.answer([(503, Value::Null)]);
    let options = Options { webhook_url: Some(receiver.url.clone()), scenario: Scenario::Busy, ..quick() };
    let vapi = FakeVapi::start(options).await.expect("a free port");
    vapi.place(json!({}));
    vapi.played().await;
    assert_eq!(receiver.kinds(), ["queued", "ringing", "ended", "end-of-call-report"]);
    assert_eq!(vapi.deliveries()[0].status, Some(503));
}

#[tokio::test]
async fn with_a_backoff_plan_a_refused_webhook_is_tried_again_and_signed_afresh() {
    for (answers, expected) in [
        (vec![503, 500, 200], vec![Some(503), Some(500), Some(200)]),
        (vec![302, 204], vec![Some(302), Some(204)]),
        (vec![500, 400, 200], vec![Some(500), Some(400)]),
    ] {
        let receiver = Receiver::start().await;
        let options =
            Options { auth: Auth::Hmac, secret: Some(SecretString::from("0123456789abcdef")), scenario: Scenario::Busy, ..quick() };
        let clock = options.clock.clone();
        let vapi = FakeVapi::start(options).await.expect("a free port");
        let plan = json!({"type": "exponential", "maxRetries": 3, "baseDelaySeconds": 10, "excludedStatusCodes": [400]});
        receiver.answer(answers.into_iter().map(|status| (status, Value::Null)));
        let server = json!({"url": receiver.url, "backoffPlan": plan});
        vapi.place(json!({"assistant": {"server": server, "serverMessages": ["end-of-call-report"]}}));
        until(|| receiver.taken().len() == 1).await;
        clock.advance(1_000);
        until(|| receiver.taken().len() == expected.len()).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let deliveries = vapi.deliveries();
        assert_eq!(deliveries.iter().map(|delivery| delivery.status).collect::<Vec<_>>(), expected);
        assert_eq!(deliveries.iter().map(|delivery| delivery.attempt).collect::<Vec<_>>(), (1..).take(expected.len()).collect::<Vec<_>>());
        let taken = receiver.taken();
        assert_eq!(taken[0].bytes, taken[1].bytes);
        assert_ne!(taken[0].header("x-timestamp"), taken[1].header("x-timestamp"));
        assert_ne!(taken[0].header("x-signature"), taken[1].header("x-signature"));
    }
}

#[tokio::test]
async fn a_backoff_plan_ends() {
    let receiver = Receiver::start().await;
    receiver.answer((0..50).map(|_| (500, Value::Null)));
    let vapi = FakeVapi::start(Options { scenario: Scenario::Busy, ..quick() }).await.expect("a free port");
    let server = json!({"url": receiver.url, "backoffPlan": {"type": "fixed", "maxRetries": 2, "baseDelaySeconds": 1}});
    vapi.place(json!({"assistant": {"server": server, "serverMessages": ["end-of-call-report"]}}));
    until(|| receiver.taken().len() == 3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(receiver.taken().len(), 3, "one try and two retries");
}

#[tokio::test]
async fn the_nearest_server_gets_the_webhooks_with_its_own_headers() {
    let (near, far) = (Receiver::start().await, Receiver::start().await);
    let options = Options { webhook_url: Some(far.url.clone()), scenario: Scenario::Busy, ..quick() };
    let vapi = FakeVapi::start(options).await.expect("a free port");
    let server = json!({"url": near.url.replace("/hook", "/near"), "headers": {"x-extra": "yes"}, "secret": "from the call"});
    let request = json!({"assistant": {"server": {"url": far.url}}, "assistantOverrides": {"server": server, "serverMessages": ["end-of-call-report"]}});
    vapi.place(request);
    vapi.played().await;
    assert!(far.taken().is_empty());
    let taken = near.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].path.as_str(), taken[0].header("x-extra"), taken[0].header("x-vapi-secret")), ("/near", "yes", "from the call"));
    vapi.place(json!({"assistantId": "saved"}));
    vapi.played().await;
    assert_eq!(far.kinds(), ["queued", "ringing", "ended", "end-of-call-report"]);
}

#[tokio::test]
async fn an_assistant_gets_the_messages_it_asks_for() {
    let kinds = async |messages: Value| {
        let (_vapi, receiver, _) = played(quick(), json!({"assistant": {"serverMessages": messages}})).await;
        receiver.taken().iter().map(|taken| taken.message()["type"].as_str().expect("text").to_owned()).collect::<BTreeSet<String>>()
    };
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(kinds(json!(["end-of-call-report", "hang"])).await, set(&["end-of-call-report"]));
    assert_eq!(kinds(json!([])).await, set(&[]));
    let by_default = set(&["assistant.started", "conversation-update", "end-of-call-report", "speech-update", "status-update"]);
    assert_eq!(kinds(Value::Null).await, by_default, "no transcript unless asked for");
    let (_vapi, receiver, _) = played(quick(), json!({"assistant": {"serverMessages": ["transcript[transcriptType=\"final\"]"]}})).await;
    assert_eq!(receiver.taken().len(), 8);
}

#[tokio::test]
async fn every_webhook_is_proven_in_the_way_chosen() {
    let secret = SecretString::from("0123456789abcdef");
    for auth in [Auth::Secret, Auth::Bearer, Auth::Signature, Auth::Standard, Auth::Hmac] {
        let options = Options { auth, secret: Some(secret.clone()), scenario: Scenario::Busy, ..quick() };
        let (_vapi, receiver, _) = played(options, json!({})).await;
        for taken in receiver.taken() {
            let id = taken.header("webhook-id");
            for (name, value) in sign::headers_of(auth, &secret, id, &taken.bytes, START) {
                assert_eq!(taken.header(name), value, "{auth:?} {name}");
            }
        }
    }
    let (_vapi, receiver, _) = played(Options { scenario: Scenario::Busy, ..quick() }, json!({})).await;
    let proofs = ["x-vapi-secret", "authorization", "x-vapi-signature", "x-signature", "webhook-signature"];
    assert!(receiver.taken().iter().all(|taken| proofs.iter().all(|name| taken.header(name).is_empty())), "no secret, no proof");
}

#[tokio::test]
async fn a_single_body_can_be_sent_by_hand() {
    let receiver = Receiver::start().await;
    let vapi = fake_vapi().await;
    let body = bodies::status_update(&CallScript::talk(CALL, START), Stage::InProgress, START);
    assert_eq!(vapi.send(&body).await.status, None, "nobody to send to");
    vapi.deliver_to(&receiver.url);
    let delivery = vapi.send(&body).await;
    assert_eq!((delivery.status, delivery.kind.as_str(), delivery.call_id.as_str()), (Some(200), "status-update in-progress", CALL));
    assert_eq!(receiver.taken()[0].message(), body["message"]);
}
