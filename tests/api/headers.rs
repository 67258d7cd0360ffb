//! What every answer carries, whatever it is about. `Seen::check` looks at the rest in every story.

use ringback::simulate::Stage;

use crate::support::{
    app::Story,
    calls::{path, result, talk},
    vapi::CALL,
};

#[tokio::test]
async fn a_harmless_request_id_is_taken_over_and_any_other_replaced() {
    let app = Story::new().begin().await;
    app.hears_report(&talk(CALL)).await;
    let longest = "x".repeat(128);
    let harmless = ["a", "01a0dd70-1c2b-7adb", "req_1.2:3", "1-5759e988-bd862e3fe1be46a994272793", longest.as_str()];
    for (id, path) in harmless.iter().flat_map(|id| [(*id, path(CALL)), (*id, "/nothing".to_owned()), (*id, "/livez".to_owned())]) {
        let answer = app.ask("GET", &path).header("x-request-id", id).send().await;
        assert_eq!(answer.header("x-request-id"), id, "{path}");
    }
    let too_long = "x".repeat(129);
    for id in ["", " ", "a b", "<script>", "a\"b", "a,b", "\u{e9}", "a;b", "{}", too_long.as_str()] {
        let Ok(value) = axum::http::HeaderValue::from_bytes(id.as_bytes()) else { continue };
        let answer = app.ask("GET", "/nothing").header("x-request-id", &String::from_utf8_lossy(value.as_bytes())).send().await;
        let made = answer.refused(404, "ROUTE_NOT_FOUND").header("x-request-id").to_owned();
        assert!(made != id && made.len() >= 16 && made.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}: {made}");
    }
    let [first, second] = [app.get("/livez").await, app.get("/livez").await].map(|answer| answer.header("x-request-id").to_owned());
    assert_ne!(first, second);
    app.finish().await;
}

#[tokio::test]
async fn answers_about_a_call_name_it_and_its_version() {
    let app = Story::new().begin().await;
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    for (method, path, status, etag) in [
        ("GET", path(CALL), 404, ""),
        ("GET", result(CALL, ""), 202, "\"1\""),
        ("POST", format!("{}/fetch", path(CALL)), 202, "\"1\""),
        ("GET", format!("{}/timeline", path(CALL)), 200, ""),
        ("DELETE", format!("{}?scope=cache", path(CALL)), 200, ""),
        ("GET", result("nobody", ""), 202, ""),
        ("GET", path("nobody"), 404, ""),
    ] {
        let answer = app.ask(method, &path).send().await;
        let id = if path.contains("nobody") { "nobody" } else { CALL };
        assert_eq!((answer.status, answer.header("x-call-id"), answer.header("etag")), (status, id, etag), "{method} {path}");
        assert_eq!(answer.json()["callId"], id, "{method} {path}");
    }
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn unknown_routes_are_told_in_the_envelope() {
    let app = Story::new().begin().await;
    for path in [
        "/nothing",
        "/api",
        "/api/v1/vapi",
        "/api/v2/vapi/calls",
        "/API/V1/VAPI/CALLS",
        "/api/v1/vapi/calls/x/nothing",
        "/api/v1/vapi/calls/x/result/y",
        "/api/v1/vapi/calls/by-phone/1/2",
        "/%FF%FE",
        "/api/v1/vapi/calls%2Fx",
        "/docs/nothing.js",
        "/docs/../Cargo.toml",
        "/t/x",
        "/favicon.ico",
        "/.env",
    ] {
        for method in ["GET", "POST", "DELETE", "PATCH", "BREW"] {
            let answer = app.ask(method, path).send().await;
            assert!(matches!(answer.status, 404 | 405), "{method} {path}: {}", answer.status);
        }
        app.get(path).await.refused(404, "ROUTE_NOT_FOUND");
        assert_eq!(app.ask("HEAD", path).send().await.status, 404);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_method_that_a_route_does_not_have_is_405_and_the_others_are_named() {
    let app = Story::new().begin().await;
    let routes = [
        ("/api/v1/vapi/webhook", "POST"),
        ("/api/v1/vapi/calls", "GET,HEAD,POST"),
        ("/api/v1/vapi/assistant-config", "POST"),
        ("/api/v1/vapi/calls/by-phone/1", "GET,HEAD"),
        ("/api/v1/vapi/calls/x", "GET,HEAD,DELETE"),
        ("/api/v1/vapi/calls/x/result", "GET,HEAD"),
        ("/api/v1/vapi/calls/x/fetch", "POST"),
        ("/api/v1/vapi/calls/x/cancel", "POST"),
        ("/api/v1/vapi/calls/x/timeline", "GET,HEAD"),
        ("/api/v1/vapi/calls/x/recording", "GET,HEAD"),
        ("/t/x/api/v1/vapi/calls/x", "GET,HEAD"),
        ("/api/v1/vapi/cache/stats", "GET,HEAD"),
        ("/api/v1/vapi/cache", "DELETE"),
        ("/livez", "GET,HEAD"),
        ("/", "GET,HEAD"),
    ];
    for (path, allowed) in routes {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if allowed.split(',').any(|one| one == method) {
                continue;
            }
            let answer = app.ask(method, path).send().await.refused(405, "METHOD_NOT_ALLOWED");
            let named: std::collections::BTreeSet<&str> = answer.header("allow").split(',').map(str::trim).collect();
            assert_eq!(named, allowed.split(',').collect(), "{method} {path}");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn the_front_door_is_the_dashboard_and_the_documentation_has_one_of_its_own() {
    let app = Story::new().begin().await;
    for path in ["/", "//"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
    }
    for path in ["/docs", "/docs/"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (307, "/docs/index.html"), "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn probes_tell_their_status_only_and_more_to_those_who_may_know() {
    let app = Story::new().with("API_TOKENS", "read:monitor=0123456789abcdef").begin().await;
    assert_eq!(app.get("/livez").await.json(), serde_json::json!({"status": "ok"}));
    assert_eq!(app.get("/readyz").await.json(), serde_json::json!({"status": "ok"}));
    app.get("/readyz?verbose").await.refused(401, "UNAUTHORIZED");
    let verbose = app.ask("GET", "/readyz?verbose=1").token("0123456789abcdef").send().await.json();
    for check in ["store", "disk", "vapi", "clock", "webhooks", "backlog"] {
        assert!(verbose["checks"][check].is_object(), "{check}: {verbose}");
    }
    app.app().lifecycle().stop();
    let stopping = app.get("/readyz").await;
    assert_eq!((stopping.status, stopping.json()), (503, serde_json::json!({"status": "unavailable"})));
    assert_eq!(app.get("/livez").await.status, 200, "it still lives");
    app.finish().await;
}

#[tokio::test]
async fn pages_that_came_over_tls_are_asked_for_over_nothing_else() {
    const HSTS: &str = "strict-transport-security";
    let app = Story::new().with("TRUSTED_PROXIES", "10.0.0.1").begin().await;
    for page in ["/", "/dashboard/app.js", "/docs/index.html"] {
        let ask = |from: &str, proto: &str| app.ask("GET", page).from(from).header("x-forwarded-proto", proto).send();
        for proto in ["https", "HTTPS", "http, https"] {
            assert_eq!(ask("10.0.0.1", proto).await.header(HSTS), "max-age=31536000", "{page} {proto}");
        }
        // Whoever is not trusted, and a client that wrote something before the proxy did, prove nothing.
        for (from, proto) in [("10.0.0.2", "https"), ("10.0.0.1", "http"), ("10.0.0.1", "https, http"), ("10.0.0.1", "")] {
            assert_eq!(ask(from, proto).await.header(HSTS), "", "{page} {from} {proto}");
        }
    }
    app.finish().await;
    let public = Story::new().with("PUBLIC_URL", "https://calls.example.com").begin().await;
    for page in ["/", "/docs/index.html"] {
        let answer = public.get(page).await;
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{page}");
        assert_eq!((answer.header(HSTS), answer.header("x-content-type-options")), ("max-age=31536000", "nosniff"), "{page}");
    }
    public.finish().await;
}
