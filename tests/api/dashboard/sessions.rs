//! Who signs in may do what the token may, as long as the token may, and nobody else's page may do it for them.

use std::time::Duration;

use ringback::{call::time::SECOND, vapi::client::plain_http};
use serde_json::json;

use super::{ADMIN, POLL, READ, guarded};
use crate::support::{
    answer::Answer,
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{path, talk},
    stream::Socket,
    vapi::CALL,
};

on_every_engine! {
    who_signs_in_may_do_what_the_token_may_until_signing_out
    a_session_ends_after_twelve_hours
    a_session_outlives_a_restart_but_not_its_token
}

const HERE: &str = "http://localhost:8000";
const CACHE: &str = "/api/v1/vapi/cache";
const LIST: &str = "/api/v1/vapi/calls";

async fn try_token(app: &TestApp, token: &str, origin: &str) -> Answer {
    app.ask("POST", "/session").header("origin", origin).body(json!({"token": token}).to_string()).send().await
}

/// What the browser shows after signing in.
async fn cookie(app: &TestApp, token: &str) -> String {
    let answer = try_token(app, token, HERE).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

async fn list_with(app: &TestApp, cookie: &str) -> u16 {
    app.ask("GET", LIST).header("cookie", cookie).send().await.status
}

async fn who_signs_in_may_do_what_the_token_may_until_signing_out(engine: Engine) {
    let app = guarded(Story::on(engine)).begin().await;
    app.get(LIST).await.refused(401, "UNAUTHORIZED");
    assert_eq!(app.get("/session").await.data(200)["signedIn"], false);
    let (ops, eyes) = (cookie(&app, ADMIN).await, cookie(&app, READ).await);
    assert_ne!(ops, cookie(&app, ADMIN).await, "no two sessions are the same");
    for (shown, scope) in [(&ops, "admin"), (&eyes, "read")] {
        assert_eq!(list_with(&app, shown).await, 200);
        let status = app.ask("GET", "/session").header("cookie", shown).send().await.data(200);
        assert_eq!((&status["signedIn"], &status["scope"], &status["endsIn"]), (&json!(true), &json!(scope), &json!(12 * 3_600)));
    }
    let clear = |shown: &str| app.ask("DELETE", CACHE).header("cookie", shown).header("origin", HERE).send();
    clear(&eyes).await.refused(403, "FORBIDDEN");
    assert_eq!(clear(&ops).await.status, 200);
    // A header outranks the cookie, right or wrong.
    app.ask("GET", LIST).header("cookie", &ops).token("not-a-token-0123456789").send().await.refused(401, "UNAUTHORIZED");
    let out = app.ask("DELETE", "/session").header("cookie", &ops).header("origin", HERE).send().await;
    assert_eq!(out.data(200)["signedIn"], false);
    assert_eq!((list_with(&app, &ops).await, list_with(&app, &eyes).await), (401, 200));
    app.finish().await;
}

async fn a_session_ends_after_twelve_hours(engine: Engine) {
    let app = guarded(Story::on(engine)).begin().await;
    let shown = cookie(&app, ADMIN).await;
    app.clock().advance(12 * 3_600 * SECOND - 1);
    assert_eq!(list_with(&app, &shown).await, 200);
    app.clock().advance(1);
    assert_eq!(list_with(&app, &shown).await, 401);
    app.finish().await;
}

async fn a_session_outlives_a_restart_but_not_its_token(engine: Engine) {
    let mut app = guarded(Story::on(engine)).begin().await;
    let shown = cookie(&app, ADMIN).await;
    let lists = [
        (format!("ops={ADMIN}"), 200),
        (format!("read:ops={ADMIN}"), 401),
        ("ops=another-token-0123456789".to_owned(), 401),
        (format!("other={ADMIN}"), 401),
    ];
    // What memory forgets, it forgets with its process.
    if engine != Engine::Memory {
        for (list, expected) in lists {
            app = app.restart_with(|story| story.with("API_TOKENS", &list)).await;
            assert_eq!(list_with(&app, &shown).await, expected, "{list}");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn who_listens_with_a_session_listens_no_longer_than_it_lasts() {
    let app = guarded(Story::new()).begin().await;
    let url = app.listen().await;
    let shown = cookie(&app, READ).await;
    app.clock().advance(12 * 3_600 * SECOND - 300);
    let http = plain_http().expect("a client");
    let stream = http.get(format!("{url}/api/v1/vapi/events")).header("cookie", &shown).send().await.expect("an answer");
    assert_eq!(stream.status(), 200);
    let heard = tokio::time::timeout(Duration::from_secs(20), stream.text()).await.expect("it ends by itself");
    assert!(heard.expect("in order").contains("retry:"));
    assert_eq!(Socket::open(&url, "", Some(("cookie", shown.as_str()))).await.err(), Some(401), "no socket for a session");
    app.finish().await;
}

#[tokio::test]
async fn the_cookie_stays_with_the_browser_and_with_this_page() {
    let app = guarded(Story::new()).with("PUBLIC_URL", "https://calls.example.com").begin().await;
    let plain = try_token(&app, ADMIN, HERE).await.header("set-cookie").to_owned();
    for part in ["ringback=", "; Path=/", "; Max-Age=43200", "; HttpOnly", "; SameSite=Strict"] {
        assert!(plain.contains(part), "{plain}");
    }
    assert!(!plain.contains("Secure"), "over http no browser would show it again");
    let secure = try_token(&app, ADMIN, "https://calls.example.com").await.header("set-cookie").to_owned();
    assert!(secure.starts_with("__Host-ringback=") && secure.ends_with("; Secure"), "{secure}");
    assert!(!secure.contains(ADMIN) && !try_token(&app, ADMIN, HERE).await.text().contains(ADMIN));
    app.finish().await;
}

#[tokio::test]
async fn a_page_of_another_origin_can_neither_start_nor_use_a_session() {
    let app = guarded(Story::new()).with("CORS_ORIGINS", "https://app.example.com").begin().await;
    let shown = cookie(&app, ADMIN).await;
    for origin in ["https://evil.example", "null", "http://localhost:3000", "https://app.example.com"] {
        try_token(&app, ADMIN, origin).await.refused(403, "FOREIGN_ORIGIN");
        for (method, route) in [("DELETE", CACHE), ("GET", LIST), ("DELETE", "/session")] {
            app.ask(method, route).header("cookie", &shown).header("origin", origin).send().await.refused(403, "FOREIGN_ORIGIN");
        }
    }
    // A browser says where a write comes from; what says nothing is none, or hides it.
    app.ask("DELETE", CACHE).header("cookie", &shown).send().await.refused(403, "FOREIGN_ORIGIN");
    assert_eq!(list_with(&app, &shown).await, 200);
    app.finish().await;
}

#[tokio::test]
async fn wrong_tokens_small_ones_and_nonsense_start_no_session() {
    let app = guarded(Story::new()).begin().await;
    for wrong in ["", "not-a-token-0123456789", "sha256:00"] {
        assert_eq!(try_token(&app, wrong, HERE).await.refused(401, "UNAUTHORIZED").header("set-cookie"), "");
    }
    try_token(&app, POLL, HERE).await.refused(403, "FORBIDDEN");
    for nonsense in ["", "{}", "[]", "\"x\"", "{\"token\":1}"] {
        app.ask("POST", "/session").body(nonsense).send().await.refused(400, "INVALID_PAYLOAD");
    }
    app.ask("POST", "/session").body("x".repeat(5_000)).send().await.refused(413, "PAYLOAD_TOO_LARGE");
    for nonsense in ["ringback=", "ringback=x", "ringback", "__Host-ringback=x; ringback=y", "=", ";;;"] {
        assert_eq!(list_with(&app, nonsense).await, 401, "{nonsense}");
    }
    app.finish().await;
    let open = Story::new().begin().await;
    try_token(&open, ADMIN, HERE).await.refused(403, "AUTH_NOT_CONFIGURED");
    let status = open.get("/session").await.data(200);
    assert_eq!(
        (&status["signedIn"], &status["scope"], &status["token"]),
        (&json!(true), &json!("admin"), &json!(null)),
        "this machine may"
    );
    let elsewhere = open.ask("GET", "/session").header("host", "calls.example.com").send().await.data(200);
    assert_eq!((&elsewhere["signedIn"], &elsewhere["canSignIn"], &elsewhere["service"]), (&json!(false), &json!(false), &json!(null)));
    open.finish().await;
}

#[tokio::test]
async fn an_address_that_guesses_waits_and_others_do_not() {
    let app = guarded(Story::new()).begin().await;
    let from = |address: &str, token: &str| app.ask("POST", "/session").from(address).body(json!({"token": token}).to_string()).send();
    for _ in 0..20 {
        from("203.0.113.9", "guess").await.refused(401, "UNAUTHORIZED");
    }
    from("203.0.113.9", "guess").await.refused(429, "RATE_LIMITED");
    from("203.0.113.9", ADMIN).await.refused(429, "RATE_LIMITED");
    assert_eq!(from("203.0.113.10", ADMIN).await.status, 200);
    app.clock().advance(60 * SECOND);
    assert_eq!(from("203.0.113.9", ADMIN).await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn the_store_knows_no_session_by_heart() {
    let app = guarded(Story::on(Engine::Sqlite)).begin().await;
    let shown = cookie(&app, ADMIN).await;
    let secret = shown.split_once('=').expect("a pair").1.to_owned();
    assert!(secret.len() >= 43, "256 bits");
    for entry in std::fs::read_dir(app.folder()).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap();
        for word in [secret.as_bytes(), ADMIN.as_bytes()] {
            assert!(!bytes.windows(word.len()).any(|part| part == word), "{:?}", entry.path());
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn the_page_takes_nothing_from_elsewhere_and_is_framed_by_nobody() {
    let app = guarded(Story::new()).with("PUBLIC_URL", "https://calls.example.com").begin().await;
    let page = app.get("/").await;
    let mut files = vec!["/".to_owned()];
    files.extend(page.text().split('"').filter(|word| word.starts_with("/dashboard/")).map(str::to_owned));
    assert!(files.len() >= 4, "{files:?}");
    for file in ["app.js", "style.css", "vendor/preact.mjs", "vendor/hooks.mjs", "vendor/htm.mjs"] {
        files.push(format!("/dashboard/{file}"));
    }
    for file in &files {
        let answer = app.ask("GET", file).header("host", "calls.example.com").send().await;
        assert_eq!(answer.status, 200, "{file}");
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{file}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!((answer.header("x-content-type-options"), answer.header("referrer-policy")), ("nosniff", "no-referrer"));
        assert!(answer.header("strict-transport-security").starts_with("max-age="), "{file}");
    }
    for nothing in
        ["/dashboard/", "/dashboard/nothing.js", "/dashboard/vendor/LICENSE-preact", "/dashboard/%2e%2e/mod.rs", "/dashboard/%FF"]
    {
        app.get(nothing).await.refused(404, "ROUTE_NOT_FOUND");
    }
    app.finish().await;
    let plain = Story::new().begin().await;
    assert_eq!(plain.get("/").await.header("strict-transport-security"), "");
    plain.finish().await;
}

#[tokio::test]
async fn a_recording_that_is_a_page_runs_nothing() {
    let app = Story::new().begin().await;
    app.vapi_knows(&talk(CALL), ringback::simulate::Stage::Analysed);
    app.hears_report(&talk(CALL)).await;
    let answer = app.get(&format!("{}/recording?proxy=1", path(CALL))).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-security-policy").starts_with("sandbox"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    app.finish().await;
}
