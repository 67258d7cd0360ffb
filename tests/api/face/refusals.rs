//! Who may use the face, and how it refuses.

use ringback::simulate::Fault;
use serde_json::json;

use super::{CALL, asking, at, call, saved, sent, words};
use crate::support::app::{Engine, KEY, Story, on_every_engine};

on_every_engine! {
    without_the_store_nothing_is_placed_and_it_is_said_in_vapis_shape
}

async fn without_the_store_nothing_is_placed_and_it_is_said_in_vapis_shape(engine: Engine) {
    let app = Story::on(engine).placing().begin().await;
    app.lose_store().await;
    let refused = asking(&app, &saved()).send().await;
    words(&refused, 503);
    assert_eq!(refused.header("retry-after"), "5");
    for (method, path) in [("GET", at("one")), ("GET", CALL.to_owned()), ("DELETE", at("one"))] {
        words(&app.ask(method, &path).send().await, 503);
    }
    assert_eq!((sent(&app), app.vapi.requests().len()), (0, 0));
    app.finish().await;
}

const TOKENS: [(&str, &str); 4] = [
    ("poll", "poll-token-0123456789"),
    ("read", "read-token-0123456789"),
    ("place", "place-token-0123456789"),
    ("admin", "admin-token-0123456789"),
];

#[tokio::test]
async fn every_method_takes_its_scope_and_wider_ones_and_vapis_own_key() {
    let list = TOKENS.map(|(scope, token)| format!("{scope}:{scope}={token}")).join(",");
    let app = Story::new().placing().with("API_TOKENS", &list).begin().await;
    let routes = [
        ("GET", CALL.to_owned(), 1),
        ("GET", at("one"), 1),
        ("GET", "/vapi/assistant".to_owned(), 1),
        ("POST", CALL.to_owned(), 2),
        ("PATCH", at("one"), 3),
        ("DELETE", at("one"), 3),
    ];
    for (method, path, least) in routes {
        let ask = || app.ask(method, &path);
        for wrong in [
            ask(),
            ask().token("not-a-token-0123456789"),
            ask().token(&KEY[..KEY.len() - 1]),
            ask().token(""),
            ask().token(&format!("{KEY}x")),
        ] {
            let refused = wrong.send().await;
            assert!(words(&refused, 401).starts_with("Invalid Key"), "{method} {path}");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
        }
        for (index, (scope, token)) in TOKENS.into_iter().enumerate() {
            let status = ask().token(token).send().await.status;
            assert_eq!(status == 403, index < least, "{method} {path} by {scope}: {status}");
        }
        let by_key = ask().token(KEY).send().await.status;
        assert!(!matches!(by_key, 401 | 403), "{method} {path}: {by_key}");
    }
    // Elsewhere the key is no token.
    app.ask("GET", "/api/v1/vapi/calls").token(KEY).send().await.refused(401, "UNAUTHORIZED");
    app.finish().await;
}

#[tokio::test]
async fn vapis_own_refusals_are_passed_on_with_its_words() {
    let app = Story::new().placing().begin().await;
    let vapis = |status: u16, message: &str| {
        Fault::Answer(status, "application/json", json!({"message": message, "error": "E", "statusCode": status}).to_string())
    };
    for (said, told, words_told) in [
        (400, 400, "customer.number must be a valid phone number"),
        (402, 402, "Wallet balance is too low"),
        (404, 404, "Couldn't find assistant"),
        (429, 429, "Rate limit exceeded"),
        (500, 500, "Internal server error"),
    ] {
        app.vapi.fail_next(vapis(said, words_told));
        let refused = asking(&app, &saved()).send().await;
        assert_eq!(words(&refused, told), words_told);
    }
    for denied in [401, 403] {
        app.vapi.fail_next(vapis(denied, "Invalid Key"));
        assert!(words(&asking(&app, &saved()).send().await, 502).contains("Ringback's own key"));
    }
    app.vapi.fail_next(vapis(400, "Over Concurrency Limit"));
    words(&asking(&app, &saved()).send().await, 400);
    app.vapi.fail_next(vapis(400, &format!("the key {KEY} is odd")));
    assert_eq!(words(&asking(&app, &saved()).send().await, 400), "the key [redacted] is odd");
    app.vapi.fail_next(Fault::Page(429));
    words(&asking(&app, &saved()).send().await, 429);
    app.finish().await;
}

#[tokio::test]
async fn a_vapi_that_is_away_is_told_so_and_nothing_is_placed() {
    let app = Story::new().with("VAPI_API_URL", "http://127.0.0.1:1").begin().await;
    assert_eq!(words(&asking(&app, &saved()).send().await, 502), "Vapi could not be reached");
    words(&app.get(&at("one")).await, 502);
    words(&app.ask("PATCH", &at("one")).body("{}").send().await, 502);
    words(&app.ask("DELETE", &at("one")).send().await, 502);
    assert_eq!(call(&app.get(CALL).await, 200), json!([]));
    app.finish().await;
}

#[tokio::test]
async fn limits_and_strangers_are_refused_in_vapis_shape() {
    let app = Story::new().placing().with("MAX_BODY_MB", "1").with("DIAL_MAX_PER_MINUTE", "1").begin().await;
    let huge = format!("{{\"assistantId\":\"{}\"}}", "x".repeat(1_100_000));
    words(&app.ask("POST", CALL).body(huge).send().await, 413);
    call(&asking(&app, &saved()).send().await, 201);
    let mut other = saved();
    other["name"] = "another".into();
    assert!(words(&asking(&app, &other).send().await, 429).contains("DIAL_MAX_PER_MINUTE"));
    assert_eq!(asking(&app, &saved()).send().await.status, 201, "that is no new call");
    words(&asking(&app, &saved()).header("origin", "https://evil.example").send().await, 403);
    words(&asking(&app, &saved()).header("x-forwarded-for", "10.0.0.1").send().await, 403);
    let keyless = Story::new().without("VAPI_API_KEY").begin().await;
    assert!(words(&asking(&keyless, &saved()).send().await, 502).contains("VAPI_API_KEY"));
    keyless.finish().await;
    app.finish().await;
}
