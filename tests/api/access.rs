//! Who may do what: scopes, tokens in paths, what is open, tunnels, foreign pages.

use ringback::simulate::Stage;
use serde_json::json;

use crate::support::{
    answer::Answer,
    app::{SECRET, Story, TestApp},
    calls::{message, path, result, talk},
    vapi::CALL,
};

const SCOPES: [&str; 4] = ["poll", "read", "place", "admin"];
const WRONG: &str = "not-a-token-0123456789";

/// A token of this scope.
fn token(scope: &str) -> String {
    format!("token-for-{scope}-0123456789")
}

fn guarded() -> Story {
    let list = SCOPES.map(|scope| format!("{scope}:the-{scope}={}", token(scope))).join(", ");
    Story::new().with("API_TOKENS", &list)
}

/// Every guarded route and the least scope it takes.
fn routes() -> Vec<(&'static str, String, &'static str)> {
    let call = path(CALL);
    vec![
        ("GET", call.clone(), "poll"),
        ("HEAD", call.clone(), "poll"),
        ("GET", result(CALL, ""), "poll"),
        ("GET", "/api/v1/vapi/calls".to_owned(), "read"),
        ("GET", "/api/v1/vapi/calls/by-phone/15550199123".to_owned(), "read"),
        ("GET", format!("{call}/timeline"), "read"),
        ("GET", format!("{call}/recording"), "read"),
        ("GET", "/api/v1/vapi/cache/stats".to_owned(), "read"),
        ("GET", "/metrics".to_owned(), "read"),
        ("GET", "/readyz?verbose".to_owned(), "read"),
        ("POST", format!("{call}/fetch"), "place"),
        ("DELETE", format!("{call}?scope=cache"), "admin"),
        ("DELETE", "/api/v1/vapi/cache".to_owned(), "admin"),
    ]
}

const OPEN: [&str; 6] = ["/livez", "/readyz", "/api/v1/webhooks/vapi/test", "/openapi.json", "/docs/index.html", "/docs"];

async fn with_call(story: Story) -> TestApp {
    let app = story.begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_report(&talk(CALL)).await;
    app
}

fn let_in(answer: &Answer) -> bool {
    !matches!(answer.status, 401 | 403)
}

#[tokio::test]
async fn every_route_takes_its_scope_and_wider_ones_and_names_what_is_missing() {
    let app = with_call(guarded()).await;
    for (method, path, least) in routes() {
        let refused = app.ask(method, &path).send().await;
        assert_eq!(refused.status, 401, "{method} {path}");
        assert_eq!(app.ask(method, &path).token(WRONG).send().await.status, 401, "{method} {path}");
        let needed = SCOPES.iter().position(|scope| *scope == least).expect("a scope");
        for (rank, scope) in SCOPES.iter().enumerate() {
            let answer = app.ask(method, &path).token(&token(scope)).send().await;
            assert_eq!(let_in(&answer), rank >= needed, "{method} {path} as {scope}: {}", answer.status);
            if rank < needed && method != "HEAD" {
                let said = answer.refused(403, "FORBIDDEN").json()["message"].as_str().unwrap_or_default().to_owned();
                assert!(said.contains(&format!("scope {least}")), "{said}");
            }
        }
    }
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn what_needs_no_token_is_open_to_everyone() {
    let app = with_call(guarded()).await;
    for path in OPEN {
        let answer = app.ask("GET", path).header("host", "calls.example.com").header("x-forwarded-for", "203.0.113.9").send().await;
        assert!(matches!(answer.status, 200 | 307), "{path}: {}", answer.status);
    }
    app.ask("GET", "/nothing/here").header("host", "calls.example.com").send().await.refused(404, "ROUTE_NOT_FOUND");
    app.finish().await;
}

#[tokio::test]
async fn a_token_is_shown_as_bearer_and_in_no_other_way() {
    let app = with_call(guarded()).await;
    let admin = token("admin");
    for right in [format!("Bearer {admin}"), format!("bearer {admin}"), format!("BEARER   {admin} ")] {
        assert_eq!(app.ask("GET", &path(CALL)).header("authorization", &right).send().await.status, 200, "{right}");
    }
    for wrong in
        [admin.clone(), format!("Token {admin}"), format!("Basic {admin}"), "Bearer".to_owned(), "Bearer ".to_owned(), String::new()]
    {
        app.ask("GET", &path(CALL)).header("authorization", &wrong).send().await.refused(401, "UNAUTHORIZED");
    }
    for path in [format!("{}?access_token={admin}", path(CALL)), format!("{}?token={admin}", path(CALL))] {
        app.get(&path).await.refused(401, "UNAUTHORIZED");
    }
    app.ask("GET", &path(CALL)).header("x-api-key", &admin).send().await.refused(401, "UNAUTHORIZED");
    app.ask("GET", &path(CALL)).token(SECRET).send().await.refused(401, "UNAUTHORIZED");
    app.finish().await;
}

#[tokio::test]
async fn a_token_may_be_configured_as_its_digest() {
    use sha2::Digest as _;
    let digest = hex::encode(sha2::Sha256::digest(token("admin")));
    let app = with_call(Story::new().with("API_TOKENS", &format!("hashed=sha256:{digest}"))).await;
    assert_eq!(app.ask("GET", &path(CALL)).token(&token("admin")).send().await.status, 200);
    app.ask("GET", &path(CALL)).token(&digest).send().await.refused(401, "UNAUTHORIZED");
    app.ask("GET", &path(CALL)).token(&format!("sha256:{digest}")).send().await.refused(401, "UNAUTHORIZED");
    app.finish().await;
}

#[tokio::test]
async fn only_a_poll_token_works_in_a_path_and_only_where_one_polls() {
    let app = with_call(guarded()).await;
    let under = |token: &str, rest: &str| format!("/t/{token}/api/v1/vapi/{rest}");
    let poll = token("poll");
    let (call, wait) = (format!("calls/{CALL}"), format!("calls/{CALL}/result?wait=1"));
    for rest in [call.as_str(), wait.as_str()] {
        assert_eq!(app.get(&under(&poll, rest)).await.status, 200, "{rest}");
        for scope in ["read", "place", "admin"] {
            app.get(&under(&token(scope), rest)).await.refused(401, "UNAUTHORIZED");
        }
        app.get(&under(WRONG, rest)).await.refused(401, "UNAUTHORIZED");
        app.get(&under("%FF", rest)).await.refused(401, "UNAUTHORIZED");
    }
    assert_eq!(app.ask("HEAD", &under(&poll, &call)).send().await.status, 200);
    assert_eq!(app.get(&format!("/{}", under(&poll, &call))).await.status, 200, "slashes are forgiven here too");
    app.ask("DELETE", &under(&poll, &call)).send().await.refused(405, "METHOD_NOT_ALLOWED");
    for rest in
        ["calls", "cache/stats", "calls/by-phone/1", &format!("{call}/timeline"), &format!("{call}/recording"), &format!("{call}/fetch")]
    {
        app.get(&under(&poll, rest)).await.refused(404, "ROUTE_NOT_FOUND");
    }
    app.get(&format!("/t/{poll}/metrics")).await.refused(404, "ROUTE_NOT_FOUND");
    app.finish().await;
}

#[tokio::test]
async fn reads_may_be_opened_and_nothing_else_is() {
    let app = with_call(guarded().with("ALLOW_UNAUTHENTICATED", "reads").with("HOST", "0.0.0.0")).await;
    let opened = ["/calls", "/result", "/cache/stats", "/by-phone/15550199123"];
    for (method, path, least) in routes() {
        let is_open = matches!(method, "GET" | "HEAD")
            && (least == "poll" || opened.iter().any(|end| path.split('?').next().is_some_and(|path| path.ends_with(end))));
        let ask = || app.ask(method, &path).header("host", "calls.example.com").header("x-forwarded-for", "203.0.113.9");
        assert_eq!(let_in(&ask().send().await), is_open, "{method} {path}");
        assert_eq!(let_in(&ask().token(WRONG).send().await), is_open, "{method} {path} with a wrong token");
        // What anybody may read, the owner of a small token may read as well.
        let small = ask().token(&token("poll")).send().await;
        assert_eq!(let_in(&small), is_open || least == "poll", "{method} {path} with a small token");
        assert!(let_in(&ask().token(&token("admin")).send().await), "{method} {path}");
    }
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn off_loopback_without_tokens_only_what_was_opened_is_open() {
    let app = with_call(Story::new().with("ALLOW_UNAUTHENTICATED", "reads").with("HOST", "::")).await;
    assert_eq!(app.ask("GET", &path(CALL)).header("host", "localhost").send().await.status, 200);
    for (method, path) in [("DELETE", path(CALL)), ("POST", format!("{}/fetch", path(CALL))), ("GET", "/metrics".to_owned())] {
        app.ask(method, &path).header("host", "localhost").send().await.refused(403, "AUTH_NOT_CONFIGURED");
        app.ask(method, &path).header("host", "localhost").token(WRONG).send().await.refused(403, "AUTH_NOT_CONFIGURED");
    }
    app.finish().await;
}

#[tokio::test]
async fn without_a_webhook_secret_they_may_be_opened_to_the_world() {
    let story = guarded().without("VAPI_WEBHOOK_SECRET").with("ALLOW_UNAUTHENTICATED", "webhooks").with("HOST", "0.0.0.0");
    let app = story.begin().await;
    let post = app.ask("POST", "/api/v1/vapi/webhook").header("host", "calls.example.com").header("x-forwarded-for", "203.0.113.9");
    assert_eq!(post.body(message("hang", CALL, json!({})).to_string()).send().await.status, 200);
    app.ask("GET", &path(CALL)).send().await.refused(401, "UNAUTHORIZED");
    app.finish().await;
}

/// Headers of tunnels and proxies: whoever sends one is not this machine.
const TUNNELS: [&str; 11] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "x-original-host",
    "forwarded",
    "cf-connecting-ip",
    "true-client-ip",
    "via",
];

#[tokio::test]
async fn without_tokens_the_api_serves_this_machine_and_nobody_through_a_tunnel() {
    let app = with_call(Story::new()).await;
    for host in ["localhost", "localhost:8000", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000"] {
        assert_eq!(app.ask("GET", &path(CALL)).header("host", host).send().await.status, 200, "{host}");
    }
    let elsewhere = [
        "example.com",
        "abc.ngrok-free.app",
        "localhost.evil.com",
        "127.0.0.1.evil.com",
        "evil.com:127.0.0.1",
        "10.0.0.1",
        "",
        "[::2]",
        "::1.evil.com",
    ];
    for (method, path, _) in routes().into_iter().filter(|(method, ..)| *method != "HEAD") {
        for host in elsewhere {
            let answer = app.ask(method, &path).header("host", host).send().await.refused(403, "AUTH_NOT_CONFIGURED");
            assert!(answer.json()["message"].as_str().is_some_and(|said| said.contains("API_TOKENS")));
        }
        for header in TUNNELS {
            app.ask(method, &path).header(header, "203.0.113.9").send().await.refused(403, "AUTH_NOT_CONFIGURED");
        }
        // A second one beside this machine's: only a small `host` replaces it.
        app.ask(method, &path).header("Host", "example.com").send().await.refused(403, "AUTH_NOT_CONFIGURED");
    }
    app.finish().await;
}

#[tokio::test]
async fn without_a_secret_webhooks_are_taken_from_this_machine_and_through_no_tunnel() {
    let app = Story::new().without("VAPI_WEBHOOK_SECRET").begin().await;
    let body = message("status-update", CALL, json!({"status": "ringing"})).to_string();
    let post = || app.ask("POST", "/api/v1/vapi/webhook").body(body.clone());
    assert_eq!(post().send().await.status, 200, "no proof is asked for");
    assert_eq!(app.get(&format!("{}/timeline", path(CALL))).await.data(200)[0]["proof"], json!(null));
    let refused = post().header("host", "abc.ngrok-free.app").send().await.refused(403, "AUTH_NOT_CONFIGURED");
    assert!(refused.json()["message"].as_str().is_some_and(|said| said.contains("VAPI_WEBHOOK_SECRET")));
    for header in TUNNELS {
        post().header(header, "203.0.113.9").send().await.refused(403, "AUTH_NOT_CONFIGURED");
    }
    app.finish().await;
    let app = Story::new().begin().await;
    let proven = app.ask("POST", "/api/v1/vapi/webhook").header("host", "abc.ngrok-free.app").header("x-forwarded-for", "203.0.113.9");
    assert_eq!(proven.header("x-vapi-secret", SECRET).body(body).send().await.status, 200, "with a secret a tunnel is fine");
    app.finish().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_not_write() {
    let story = guarded().with("CORS_ORIGINS", "https://app.example.com").with("PUBLIC_URL", "https://calls.example.com");
    let app = with_call(story).await;
    let body = message("hang", CALL, json!({})).to_string();
    let writes = |origin: &'static str| {
        let admin = token("admin");
        [
            app.ask("DELETE", "/api/v1/vapi/cache").token(&admin).header("origin", origin),
            app.ask("POST", &format!("{}/fetch", path(CALL))).token(&admin).header("origin", origin),
            app.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", SECRET).header("origin", origin).body(body.clone()),
        ]
    };
    let foreign =
        ["https://evil.example", "null", "http://localhost:3000", "https://app.example.com.evil.example", "http://app.example.com", ""];
    for origin in foreign {
        for write in writes(origin) {
            write.send().await.refused(403, "FOREIGN_ORIGIN");
        }
        assert_eq!(app.ask("GET", &path(CALL)).token(&token("poll")).header("origin", origin).send().await.status, 200, "{origin}");
    }
    for origin in ["https://app.example.com", "https://calls.example.com", "http://localhost:8000"] {
        for write in writes(origin) {
            assert!(matches!(write.send().await.status, 200 | 202), "{origin}");
        }
    }
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn listed_origins_get_their_cors_headers_and_others_none() {
    let app = with_call(guarded().with("CORS_ORIGINS", "https://app.example.com")).await;
    let read = |origin: &str| app.ask("GET", &path(CALL)).token(&token("poll")).header("origin", origin);
    let listed = read("https://app.example.com").send().await;
    assert_eq!(listed.header("access-control-allow-origin"), "https://app.example.com");
    for shown in ["etag", "retry-after", "x-call-id", "x-request-id"] {
        assert!(listed.header("access-control-expose-headers").contains(shown), "{shown}");
    }
    assert_eq!(read("https://evil.example").send().await.header("access-control-allow-origin"), "");
    let denied = app.ask("GET", &path(CALL)).header("origin", "https://app.example.com").send().await.refused(401, "UNAUTHORIZED");
    assert_eq!(denied.header("access-control-allow-origin"), "https://app.example.com", "or the page could not read why");
    let preflight = |origin: &str| {
        let ask = app.ask("OPTIONS", &path(CALL)).header("origin", origin).header("access-control-request-method", "GET");
        ask.header("access-control-request-headers", "authorization,if-none-match")
    };
    let allowed = preflight("https://app.example.com").send().await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, "https://app.example.com"));
    assert!(allowed.header("access-control-allow-headers").contains("authorization"));
    assert_eq!(preflight("https://evil.example").send().await.header("access-control-allow-origin"), "");
    app.finish().await;
    let app = with_call(guarded()).await;
    assert_eq!(app.ask("GET", &path(CALL)).token(&token("poll")).header("origin", "https://a.example").send().await.header("vary"), "");
    app.finish().await;
}
