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

use super::{about, deliveries, subscribed, tell};
use crate::support::{
    app::{Story, TestApp},
    calls::talk,
    subscriber::{Say, Subscriber},
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
    let id = subscribed(&app, &format!("http://hook.example:{}/", inside.port), &["call.done"]).await;
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
    let id = subscribed(&app, &format!("http://hook.example:{}/", inside.port), &["call.done"]).await;
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

#[tokio::test]
async fn addresses_written_out_redirects_and_tests_lead_nowhere_either() {
    let (app, inside) = (Story::new().begin().await, Subscriber::start().await);
    let hosts = ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "localhost", "0"];
    for host in hosts {
        let id = subscribed(&app, &format!("http://{host}:{}/", inside.port), &["call.done"]).await;
        let tested = about(&app, "POST", &id, "/test").await;
        assert_eq!((&tested["delivered"], &tested["attempt"]["error"]), (&json!(false), &json!(REFUSED)), "{host}");
    }
    app.hears_report(&talk(CALL)).await;
    assert_eq!(tell(&app).await, hosts.len());
    assert!(inside.told().is_empty());
    let timeline = app.get(&format!("/api/v1/vapi/calls/{CALL}/timeline")).await.json()["data"].take();
    let told = timeline.as_array().unwrap().iter().filter(|entry| entry["kind"] == "outbound");
    let words: Vec<_> = told.map(|entry| entry["details"].as_str().unwrap().split_once(REFUSED).unwrap().1).collect();
    // How long that took stands in brackets, if it took any time.
    assert!(words.len() == hosts.len() && words.iter().all(|rest| rest.is_empty() || rest.starts_with(" (")), "{words:?}");
    app.finish().await;
}

#[tokio::test]
async fn what_is_listed_is_reached_at_its_port_only() {
    let (here, there) = (Subscriber::start().await, Subscriber::start().await);
    let app = Story::new().with("OUTBOUND_ALLOW", &format!("10.0.0.0/8, 127.0.0.1:{}", here.port)).begin().await;
    subscribed(&app, &here.url(), &["call.done"]).await;
    subscribed(&app, &there.url(), &["call.done"]).await;
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    assert_eq!((here.told().len(), there.told().len()), (1, 0));
    app.finish().await;
}
