//! The guarded client: no address that came over the API leads inside.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use reqwest::{Url, header::HeaderMap};
use ringback::outbound::{
    Failure, Outbound, Post, Reply, Trust,
    guard::{Allowed, Lookup},
};

use crate::support::endpoint::Endpoint;

/// Names resolve to these addresses, one after another; the last one stays.
fn resolving_to(addresses: &[&str]) -> Lookup {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    Arc::new(move |_name| {
        let turn = asked.fetch_add(1, Ordering::SeqCst).min(addresses.len() - 1);
        let address = addresses[turn];
        Box::pin(async move { Ok(vec![address]) })
    })
}

fn client(allowed: &[&str], addresses: &[&str]) -> Outbound {
    Outbound::resolving_by(Allowed::parse(allowed.iter().copied()).unwrap(), resolving_to(addresses)).unwrap()
}

async fn post(client: &Outbound, trust: Trust, url: &str) -> Result<Reply, Failure> {
    let url = Url::parse(url).unwrap();
    let (headers, body) = (HeaderMap::new(), Bytes::from_static(b"{}"));
    client.post(Post { url: &url, trust, headers, body, within: Duration::from_secs(1), most_bytes: 65_536 }).await
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_and_nothing_arrives() {
    let endpoint = Endpoint::start().await;
    for inside in
        ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "10.0.0.1", "fd00::1", "0.0.0.0"]
    {
        let client = client(&[], &[inside]);
        let refused = post(&client, Trust::Given, &format!("http://hook.example:{}/fast", endpoint.served.port)).await;
        assert_eq!(refused.err(), Some(Failure::Refused), "{inside}");
    }
    assert!(endpoint.hits().is_empty());
}

#[tokio::test]
async fn an_address_written_out_in_any_way_is_refused() {
    let endpoint = Endpoint::start().await;
    let client = Outbound::new(Allowed::default()).unwrap();
    for host in
        ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0", "localhost", "127.1"]
    {
        let refused = post(&client, Trust::Given, &format!("http://{host}:{}/fast", endpoint.served.port)).await;
        assert_eq!(refused.err(), Some(Failure::Refused), "{host}");
    }
    assert!(endpoint.hits().is_empty());
}

#[tokio::test]
async fn a_name_that_changes_between_tries_is_checked_each_time() {
    let endpoint = Endpoint::start().await;
    let url = format!("http://hook.example:{}/fast", endpoint.served.port);
    // Nobody answers at the first address; what counts is that it was not refused, and that the second is.
    let client = client(&["127.0.0.2", "10.9.9.9"], &["127.0.0.2", "127.0.0.1", "127.0.0.1"]);
    assert_eq!(post(&client, Trust::Given, &url).await.err(), Some(Failure::Unreachable));
    for _ in 0..2 {
        assert_eq!(post(&client, Trust::Given, &url).await.err(), Some(Failure::Refused));
    }
    assert!(endpoint.hits().is_empty());
}

#[tokio::test]
async fn a_connection_that_was_allowed_once_is_not_used_for_a_name_that_moved() {
    let endpoint = Endpoint::start().await;
    let url = format!("http://hook.example:{}/fast", endpoint.served.port);
    let client = client(&["127.0.0.1"], &["127.0.0.1", "169.254.169.254"]);
    assert!(post(&client, Trust::Given, &url).await.is_ok());
    assert_eq!(post(&client, Trust::Given, &url).await.err(), Some(Failure::Refused));
    assert_eq!(endpoint.hits().len(), 1);
}

#[tokio::test]
async fn what_is_listed_is_reached_at_its_port_only() {
    let endpoint = Endpoint::start().await;
    let url = endpoint.url("/fast");
    let here = format!("127.0.0.1:{}", endpoint.served.port);
    assert!(post(&client(&[&here], &["127.0.0.1"]), Trust::Given, &url).await.is_ok());
    assert_eq!(post(&client(&["127.0.0.1:1"], &["127.0.0.1"]), Trust::Given, &url).await.err(), Some(Failure::Refused));
    assert!(post(&client(&[], &["127.0.0.1"]), Trust::Configured, &url).await.is_ok(), "our own configuration is trusted");
}

#[tokio::test]
async fn a_rough_answer_is_a_failure_in_time() {
    let endpoint = Endpoint::start().await;
    let client = Outbound::new(Allowed::parse(["127.0.0.1"]).unwrap()).unwrap();
    for (path, failure) in [("/redirect", Failure::Redirected), ("/huge", Failure::TooLarge), ("/hang", Failure::TimedOut)] {
        for trust in [Trust::Given, Trust::Configured] {
            assert_eq!(post(&client, trust, &endpoint.url(path)).await.err(), Some(failure), "{path}");
        }
    }
    assert_eq!(post(&client, Trust::Given, &endpoint.url("/500")).await.unwrap().status, 500, "any other answer is one");
    let gone = Endpoint::start().await.url("/fast");
    assert_eq!(post(&client, Trust::Given, &gone).await.err(), Some(Failure::Unreachable));
}
