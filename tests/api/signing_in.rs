//! Who signed in stays so while the store is away, is over at once when signing out, and guesses no faster than others.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::{future::join_all, stream};
use ringback::{call::time::SECOND, vapi::client::plain_http};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::{
    dashboard::{ADMIN, READ, guarded},
    support::app::{Engine, Story, TestApp, on_every_engine},
};

on_every_engine! {
    who_is_signed_in_sees_what_is_wrong_while_the_store_is_away
}

const HERE: &str = "http://localhost:8000";
const THERE: &str = "https://calls.example.com";
const LIST: &str = "/api/v1/vapi/calls";
const CACHE: &str = "/api/v1/vapi/cache";

/// The cookie after signing in, as the browser shows it.
async fn cookie(app: &TestApp, token: &str, origin: &str) -> String {
    let answer = app.ask("POST", "/session").header("origin", origin).body(json!({"token": token}).to_string()).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

async fn sign_out(app: &TestApp, shown: &str) -> u16 {
    app.ask("DELETE", "/session").header("cookie", shown).header("origin", HERE).send().await.status
}

async fn who_is_signed_in_sees_what_is_wrong_while_the_store_is_away(engine: Engine) {
    let app = guarded(Story::on(engine)).begin().await;
    let (shown, gone) = (cookie(&app, ADMIN, HERE).await, cookie(&app, ADMIN, HERE).await);
    assert_eq!(app.ask("GET", LIST).header("cookie", &gone).send().await.status, 200);
    assert_eq!(sign_out(&app, &gone).await, 200);
    app.lose_store().await;
    let ready = app.ask("GET", "/readyz?verbose").header("cookie", &shown).send().await;
    assert_eq!((ready.status, &ready.json()["checks"]["store"]["ok"]), (503, &json!(false)), "{}", ready.text());
    let metrics = app.ask("GET", "/metrics").header("cookie", &shown).send().await;
    assert!(metrics.status == 200 && metrics.text().contains("ringback_store_up 0"), "{}", metrics.text());
    let status = app.ask("GET", "/session").header("cookie", &shown).send().await.data(200);
    assert_eq!((&status["signedIn"], &status["scope"]), (&json!(true), &json!("admin")));
    app.ask("DELETE", CACHE).header("cookie", &shown).header("origin", HERE).send().await.refused(503, "STORE_UNAVAILABLE");
    // What was signed out is over, and of what was never here nobody can say.
    for other in [gone.as_str(), "ringback=never-there"] {
        app.ask("GET", "/session").header("cookie", other).send().await.refused(503, "STORE_UNAVAILABLE");
    }
    app.clock().advance(12 * 3_600 * SECOND);
    app.ask("GET", "/session").header("cookie", &shown).send().await.refused(503, "STORE_UNAVAILABLE");
    app.finish().await;
}

#[tokio::test]
async fn a_stream_ends_when_its_session_is_signed_out_of() {
    let app = guarded(Story::new()).begin().await;
    let url = app.listen().await;
    for route in ["/api/v1/vapi/events", "/api/v1/vapi/deliveries", "/api/v1/vapi/calls/nobody/events"] {
        let shown = cookie(&app, ADMIN, HERE).await;
        let stream = plain_http().expect("a client").get(format!("{url}{route}")).header("cookie", &shown).send().await.expect("an answer");
        assert_eq!(stream.status(), 200, "{route}");
        assert_eq!(sign_out(&app, &shown).await, 200);
        let heard = tokio::time::timeout(Duration::from_secs(10), stream.text()).await.expect("it ends at once");
        assert!(heard.expect("in order").contains("retry:"), "{route}");
    }
    app.finish().await;
}

#[tokio::test]
async fn over_tls_only_the_cookie_counts_that_no_other_host_can_set() {
    let app = guarded(Story::new()).with("PUBLIC_URL", THERE).with("TRUSTED_PROXIES", "10.0.0.0/8").begin().await;
    let (plain, secure) = (cookie(&app, READ, HERE).await, cookie(&app, READ, THERE).await);
    assert!(plain.starts_with("ringback=") && secure.starts_with("__Host-ringback="), "{plain} {secure}");
    let read = |shown: &str, host: &str| app.ask("GET", LIST).header("host", host).header("cookie", shown).send();
    assert_eq!(read(&secure, "calls.example.com").await.status, 200);
    assert_eq!(read(&plain, "calls.example.com").await.status, 401, "over TLS");
    assert_eq!(read(&plain, "localhost:8000").await.status, 200, "over HTTP, beside the public address");
    let forwarded = |shown: &str| app.ask("GET", LIST).header("x-forwarded-proto", "https").header("cookie", shown).from("10.0.0.1").send();
    assert_eq!((forwarded(&plain).await.status, forwarded(&secure).await.status), (401, 200), "a proxy says that it is TLS");
    let both = format!("{plain}; __Host-ringback=of-nobody");
    assert_eq!(read(&both, "localhost:8000").await.status, 401, "a browser that has the better cookie shows that one");
    app.finish().await;
}

#[tokio::test]
async fn many_guesses_at_once_are_no_more_than_one_after_another() {
    const AT_ONCE: usize = 50;
    let app = guarded(Story::new()).begin().await;
    let arrived = Arc::new(Barrier::new(AT_ONCE));
    let guesses = join_all((0..AT_ONCE).map(|_| {
        let arrived = Arc::clone(&arrived);
        // Nobody's body is there before everybody was let in.
        let body = stream::once(async move {
            arrived.wait().await;
            Ok::<_, std::io::Error>(Bytes::from_static(b"{\"token\":\"guess\"}"))
        });
        app.ask("POST", "/session").from("203.0.113.9").body(Body::from_stream(body)).send()
    }));
    let statuses: Vec<u16> = guesses.await.iter().map(|answer| answer.status).collect();
    let of = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((of(401), of(429)), (20, AT_ONCE - 20), "{statuses:?}");
    app.finish().await;
}

#[tokio::test]
async fn wrong_tokens_are_limited_and_right_ones_are_not() {
    let app = guarded(Story::new()).begin().await;
    let show = |token: &str, address: &str| app.ask("GET", LIST).from(address).token(token).send();
    for _ in 0..600 {
        show("guess", "203.0.113.9").await.refused(401, "UNAUTHORIZED");
    }
    show("guess", "203.0.113.9").await.refused(429, "RATE_LIMITED");
    app.ask("GET", "/api/v1/vapi/events?access_token=guess").from("203.0.113.9").send().await.refused(429, "RATE_LIMITED");
    assert_eq!(show(READ, "203.0.113.9").await.status, 200, "a valid token is never refused");
    app.ask("GET", LIST).from("203.0.113.9").send().await.refused(401, "UNAUTHORIZED");
    assert_eq!(app.ask("GET", "/readyz").from("203.0.113.9").token("guess").send().await.status, 200);
    show("guess", "203.0.113.10").await.refused(401, "UNAUTHORIZED");
    app.clock().advance(60 * SECOND);
    show("guess", "203.0.113.9").await.refused(401, "UNAUTHORIZED");
    app.finish().await;
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_address() {
    let app = guarded(Story::new()).begin().await;
    let sign_in =
        |address: String, token: Value| app.ask("POST", "/session").from(&address).body(json!({"token": token}).to_string()).send();
    for host in 1..=20 {
        sign_in(format!("2001:db8:1:2::{host:x}"), json!("guess")).await.refused(401, "UNAUTHORIZED");
    }
    sign_in("2001:db8:1:2:ffff::1".to_owned(), json!(ADMIN)).await.refused(429, "RATE_LIMITED");
    assert_eq!(sign_in("2001:db8:1:3::1".to_owned(), json!(ADMIN)).await.status, 200, "another network");
    for _ in 0..10 {
        sign_in("::ffff:203.0.113.9".to_owned(), json!("guess")).await.refused(401, "UNAUTHORIZED");
        sign_in("203.0.113.9".to_owned(), json!("guess")).await.refused(401, "UNAUTHORIZED");
    }
    sign_in("203.0.113.9".to_owned(), json!(ADMIN)).await.refused(429, "RATE_LIMITED");
    assert_eq!(sign_in("::ffff:203.0.113.10".to_owned(), json!(ADMIN)).await.status, 200, "another address");
    app.finish().await;
}
