use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue};
use proptest::{prelude::any, proptest};

use super::{refused, with};
use crate::config::TrustedProxies;

fn trusted(list: &str) -> TrustedProxies {
    with("TRUSTED_PROXIES", list).access.trusted_proxies
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn forwarded(lines: &[&str]) -> HeaderMap {
    lines.iter().map(|line| (axum::http::HeaderName::from_static("x-forwarded-for"), HeaderValue::from_str(line).unwrap())).collect()
}

#[test]
fn private_covers_the_networks_that_proxies_live_in() {
    let proxies = trusted("private");
    for inside in
        ["10.1.2.3", "172.16.0.1", "192.168.0.1", "127.0.0.1", "100.64.0.2", "169.254.1.1", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"]
    {
        assert!(proxies.is_trusted(ip(inside)), "{inside}");
    }
    for outside in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
        assert!(!proxies.is_trusted(ip(outside)), "{outside}");
    }
}

#[test]
fn addresses_and_ranges_can_be_mixed() {
    let proxies = trusted("203.0.113.7, 2001:db8::/32");
    assert!(proxies.is_trusted(ip("203.0.113.7")) && proxies.is_trusted(ip("2001:db8:5::1")));
    assert!(!proxies.is_trusted(ip("203.0.113.8")) && !proxies.is_trusted(ip("10.0.0.1")));
    for wrong in ["10.0.0.0/33", "proxy.example.com", "public", "10.0.0"] {
        refused("TRUSTED_PROXIES", wrong);
    }
}

#[test]
fn the_client_is_read_from_the_end_while_proxies_are_trusted() {
    let proxies = trusted("private");
    for (peer, lines, client) in [
        ("203.0.113.1", &["198.51.100.1"][..], "203.0.113.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", &["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", &["1.2.3.4", "198.51.100.1,10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["198.51.100.1, "], "10.0.0.1"),
        ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
        ("::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
        ("::1", &["[2001:db8::1]"], "2001:db8::1"),
        ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
    ] {
        assert_eq!(proxies.client_ip(ip(peer), &forwarded(lines)), ip(client), "{peer} {lines:?}");
    }
}

#[test]
fn without_trusted_proxies_the_peer_is_the_client() {
    let nobody = TrustedProxies::default();
    assert_eq!(nobody.client_ip(ip("127.0.0.1"), &forwarded(&["1.2.3.4"])), ip("127.0.0.1"));
}

proptest! {
    #[test]
    fn whatever_a_stranger_writes_to_the_left_changes_nothing(junk in "[ -~]{0,60}", last in any::<[u8; 2]>()) {
        let client = format!("198.51.{}.{}", last[0], last[1]);
        let headers = forwarded(&[&format!("{junk},{client}, 10.0.0.9")]);
        assert_eq!(trusted("private").client_ip(ip("10.0.0.1"), &headers), ip(&client));
    }
}
