//! No subscription leads inside: nothing that is told reaches an address that was not listed.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ringback::{
    outbound::{
        Outbound,
        guard::{Allowed, Lookup},
    },
    push::{Parts, Push},
};
use serde_json::json;

use super::{SUBSCRIPTIONS, about, deliveries, subscribed, tell};
use crate::support::{
    answer::Answer,
    app::{Engine, Story, TestApp},
    calls::talk,
    subscriber::{Say, Subscriber, to},
    vapi::CALL,
};

const REFUSED: &str = "the address is private or reserved, and OUTBOUND_ALLOW does not list it";

/// Any name resolves to these addresses, one after another; the last one stays.
fn resolving_to(addresses: &[&str]) -> Lookup {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    Arc::new(move |_name| {
        let address = addresses[asked.fetch_add(1, Ordering::SeqCst).min(addresses.len() - 1)];
        Box::pin(async move { Ok(vec![address]) })
    })
}

/// What tells for this service, with names that resolve so.
fn push(app: &TestApp, allowed: &[&str], addresses: &[&str]) -> Push {
    let outbound = Outbound::resolving_by(Allowed::parse(allowed.iter().copied()).unwrap(), resolving_to(addresses)).unwrap();
    let (registry, clock, metrics) = (app.api().registry.clone(), app.clock().clone(), app.api().metrics.clone());
    Push::new(Parts { outbound, registry, clock, metrics, kestra: None, kept_ms: None })
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_on_every_try() {
    let (app, inside) = (Story::new().begin().await, Subscriber::start().await);
    let id = subscribed(&app, &format!("http://hook.example:{}/", inside.served.port), &["call.done"]).await;
    let addresses = ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fd00::1"];
    for (number, address) in addresses.into_iter().enumerate() {
        app.hears_report(&talk(&format!("call-{number}"))).await;
        assert_eq!(push(&app, &[], &[address]).step().await.unwrap(), 1);
        let error = deliveries(&app, &id, "limit=1").await[0]["attempts"][0]["error"].clone();
        assert_eq!(error, json!(REFUSED), "{address}");
        app.clock().advance(1);
    }
    app.clock().advance(10_000);
    assert_eq!(push(&app, &[], &["127.0.0.1"]).step().await.unwrap(), addresses.len());
    assert!(inside.told().is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_name_that_changes_between_tries_gains_nothing() {
    let (app, inside) = (Story::new().begin().await, Subscriber::start().await);
    let id = subscribed(&app, &format!("http://hook.example:{}/", inside.served.port), &["call.done"]).await;
    app.hears_report(&talk(CALL)).await;
    inside.says([Say::Status(500)]);
    // The first address is listed, and answers; then the name moves to one that is not.
    let push = push(&app, &["127.0.0.1"], &["127.0.0.1", "169.254.169.254"]);
    push.step().await.unwrap();
    app.clock().advance(10_000);
    push.step().await.unwrap();
    let attempts = deliveries(&app, &id, "").await[0]["attempts"].clone();
    assert_eq!((&attempts[0]["status"], &attempts[1]["error"]), (&json!(500), &json!(REFUSED)));
    assert_eq!(inside.told().len(), 1);
    app.finish().await;
}

/// This machine, in many disguises.
const DISGUISES: [&str; 7] = ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0"];

/// What is said of a field that names a private address.
fn is_told(answer: Answer, field: &str) {
    let details = answer.refused(422, "VALIDATION_FAILED").json()["details"].clone();
    assert_eq!((details.as_array().map(Vec::len), &details[0]["field"]), (Some(1), &json!(field)), "{details}");
    assert!(details[0]["message"].as_str().is_some_and(|words| words.contains("OUTBOUND_ALLOW")), "{details}");
}

#[tokio::test]
async fn an_address_written_out_that_leads_inside_is_refused_when_it_is_given() {
    let app = Story::new().placing().with("OUTBOUND_ALLOW", "10.0.0.0/8:8080").begin().await;
    let id = subscribed(&app, "http://10.0.0.1:8080/", &["call.done"]).await;
    for host in DISGUISES.into_iter().chain(["10.0.0.1", "169.254.169.254", "192.168.1.1:8080"]) {
        let url = format!("http://{host}/hook");
        is_told(app.ask("POST", SUBSCRIPTIONS).body(to(&url, &["call.done"]).to_string()).send().await, "url");
        is_told(app.ask("PATCH", &format!("{SUBSCRIPTIONS}/{id}")).body(json!({"url": url}).to_string()).send().await, "url");
        for kind in ["webhook", "n8n-resume"] {
            let mut call = crate::placing::request();
            call["callback"] = json!({"kind": kind, "url": url});
            is_told(app.ask("POST", "/api/v1/vapi/calls").body(call.to_string()).send().await, "callback.url");
            let batch = json!({"requests": [crate::placing::request(), call]});
            is_told(app.ask("POST", "/api/v1/vapi/batches").body(batch.to_string()).send().await, "requests[1].callback.url");
            let batch = json!({"requests": [crate::placing::request()], "callback": call["callback"]});
            is_told(app.ask("POST", "/api/v1/vapi/batches").body(batch.to_string()).send().await, "callback.url");
        }
    }
    assert_eq!(about(&app, "GET", &id, "").await["url"], "http://10.0.0.1:8080/");
    app.finish().await;
}

#[tokio::test]
async fn addresses_written_out_names_redirects_and_tests_lead_nowhere_either() {
    let inside = Subscriber::start().await;
    let listed =
        Story::on(Engine::Sqlite).with("OUTBOUND_ALLOW", "127.0.0.1, ::1, ::ffff:127.0.0.1, 64:ff9b::7f00:1, 0.0.0.0").begin().await;
    let mut ids = Vec::new();
    for host in DISGUISES.into_iter().chain(["localhost"]) {
        ids.push(subscribed(&listed, &format!("http://{host}:{}/", inside.served.port), &["call.done"]).await);
    }
    // They were listed once, and are no more.
    let app = listed.restart_with(|story| story.without("OUTBOUND_ALLOW")).await;
    for id in &ids {
        let tested = about(&app, "POST", id, "/test").await;
        assert_eq!((&tested["delivered"], &tested["attempt"]["error"]), (&json!(false), &json!(REFUSED)), "{id}");
    }
    app.hears_report(&talk(CALL)).await;
    assert_eq!(tell(&app).await, ids.len());
    assert!(inside.told().is_empty());
    let timeline = app.get(&format!("/api/v1/vapi/calls/{CALL}/timeline")).await.json()["data"].take();
    let told = timeline.as_array().unwrap().iter().filter(|entry| entry["kind"] == "outbound");
    let words: Vec<_> = told.map(|entry| entry["details"].as_str().unwrap().split_once(REFUSED).unwrap().1).collect();
    // How long that took stands in brackets, if it took any time.
    assert!(words.len() == ids.len() && words.iter().all(|rest| rest.is_empty() || rest.starts_with(" (")), "{words:?}");
    app.finish().await;
}

#[tokio::test]
async fn what_is_listed_is_reached_at_its_port_only() {
    let (here, there) = (Subscriber::start().await, Subscriber::start().await);
    let app = Story::new().with("OUTBOUND_ALLOW", &format!("10.0.0.0/8, 127.0.0.1:{}", here.served.port)).begin().await;
    subscribed(&app, &here.url(), &["call.done"]).await;
    is_told(app.ask("POST", SUBSCRIPTIONS).body(to(&there.url(), &["call.done"]).to_string()).send().await, "url");
    let by_name = subscribed(&app, &format!("http://localhost:{}/", there.served.port), &["call.done"]).await;
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    assert_eq!((here.told().len(), there.told().len()), (1, 0));
    assert_eq!(deliveries(&app, &by_name, "").await[0]["attempts"][0]["error"], REFUSED);
    app.finish().await;
}
