//! What Vapi has besides: not served, unless it is to be passed on.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::words;
use crate::support::{
    app::{KEY, Story},
    served::Served,
};

const ADMIN: &str = "admin-token-0123456789";
const TOKENS: &str = "admin:ops=admin-token-0123456789,place:apps=place-token-0123456789";

/// A Vapi that tells what it was sent, and everything it should not.
async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/base/stream" {
        // A piece at a time, with the key cut in two.
        let (first, second) = KEY.split_at(9);
        let pieces = ["data: 1\n\ndata: ".to_owned(), first.to_owned(), format!("{second}\n\n"), "data: 3\n\n".to_owned()];
        let pieces = stream::iter(pieces).then(async |piece| {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            Ok::<_, Infallible>(Bytes::from(piece))
        });
        return ([("content-type", "text/event-stream")], Body::from_stream(pieces)).into_response();
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let headers: serde_json::Map<String, Value> =
        parts.headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into())).collect();
    let told = json!({
        "method": parts.method.as_str(), "path": parts.uri.to_string(), "headers": headers, "length": body.len(),
        "body": String::from_utf8_lossy(&body[..body.len().min(100)]),
    });
    let mut answer = (StatusCode::IM_A_TEAPOT, axum::Json(told)).into_response();
    let mut more = HeaderMap::new();
    more.insert("set-cookie", "a=b".parse().expect("a header"));
    more.insert("x-key", format!("it is {KEY}").parse().expect("a header"));
    more.insert("x-kept", "yes".parse().expect("a header"));
    answer.headers_mut().extend(more);
    answer
}

async fn vapi() -> Served {
    Served::start(Router::new().fallback(echo)).await
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let app = Story::new().begin().await;
    for (method, path) in [
        ("GET", "/vapi/assistant"),
        ("POST", "/vapi/assistant"),
        ("GET", "/vapi/call/one/mono-recording"),
        ("PUT", "/vapi/call"),
        ("POST", "/vapi/call/one"),
        ("DELETE", "/vapi/call"),
        ("GET", "/vapi/v2/call"),
        ("GET", "/vapi/../call"),
    ] {
        assert!(words(&app.ask(method, path).send().await, 501).contains("POST and GET /call"), "{method} {path}");
    }
    // Beside the face nothing has its shape.
    for path in ["/vapis", "/vapi-x/call", "/api/v1/vapi/call"] {
        app.get(path).await.refused(404, "ROUTE_NOT_FOUND");
    }
    assert_eq!(app.vapi.requests().len(), 0);
    app.finish().await;
}

#[tokio::test]
async fn what_is_to_be_passed_on_goes_to_vapi_with_our_key_and_comes_back_without() {
    let vapi = vapi().await;
    let story = Story::new().with("VAPI_API_URL", &vapi.url("/base")).with("VAPI_PASSTHROUGH", "true").with("API_TOKENS", TOKENS);
    let app = story.begin().await;
    let ask = app.ask("POST", "/vapi/assistant/a%20b?x=1&y=%2F").token(ADMIN).header("cookie", "session=1").header("te", "trailers");
    let ask = ask
        .header("connection", "close, x-hop")
        .header("x-hop", "1")
        .header("content-type", "application/x-new")
        .header("content-length", "4");
    let passed = ask.header("x-fern-sdk-name", "vapi").body("body").send_raw().await;
    assert_eq!((passed.status, passed.header("x-kept"), passed.header("set-cookie"), passed.header("x-key")), (418, "yes", "", ""));
    assert_eq!(
        (passed.header("x-content-type-options"), passed.header("content-security-policy")),
        ("nosniff", "sandbox; default-src 'none'")
    );
    let told = passed.json();
    assert_eq!(
        (&told["method"], &told["path"], &told["body"]),
        (&json!("POST"), &json!("/base/assistant/a%20b?x=1&y=%2F"), &json!("body"))
    );
    let headers = &told["headers"];
    assert_eq!(headers["authorization"], "Bearer [redacted]", "our key went out, and does not come back");
    assert_eq!((&headers["content-type"], &headers["x-fern-sdk-name"]), (&json!("application/x-new"), &json!("vapi")));
    for gone in ["cookie", "te", "x-hop", "connection", "transfer-encoding"] {
        assert!(headers[gone].is_null(), "{gone}: {headers}");
    }
    assert!(headers["host"].as_str().is_some_and(|host| host.starts_with("127.0.0.1")), "{headers}");
    let plain = app.ask("GET", "/vapi/phone-number").token(KEY).send_raw().await.json();
    assert_eq!(
        (&plain["path"], &plain["headers"]["transfer-encoding"], &plain["length"]),
        (&json!("/base/phone-number"), &Value::Null, &json!(0))
    );
    assert_eq!(app.ask("PUT", "/vapi/call").token(ADMIN).send_raw().await.json()["path"], "/base/call");
    app.finish().await;
}

#[tokio::test]
async fn bodies_are_streamed_and_the_key_is_not_in_them_wherever_they_are_cut() {
    let vapi = vapi().await;
    let story = Story::new().with("VAPI_API_URL", &vapi.url("/base")).with("VAPI_PASSTHROUGH", "true").with("MAX_BODY_MB", "1");
    let app = story.begin().await;
    let streamed = app.get("/vapi/stream").await;
    assert_eq!(streamed.header("content-type"), "text/event-stream");
    assert_eq!(streamed.text(), "data: 1\n\ndata: [redacted]\n\ndata: 3\n\n");
    // What is passed on is not held, so it may be larger than what is read here.
    let pieces = stream::iter((0..300).map(|_| Ok::<_, Infallible>(Bytes::from(vec![b'x'; 10_000]))));
    let large = app.ask("POST", "/vapi/file").header("transfer-encoding", "chunked").body(Body::from_stream(pieces)).send_raw().await;
    assert_eq!(large.json()["length"], 3_000_000);
    app.finish().await;
}

#[tokio::test]
async fn only_admins_have_anything_passed_on_and_only_to_vapi() {
    let vapi = vapi().await;
    let story = Story::new().with("VAPI_API_URL", &vapi.url("/base")).with("VAPI_PASSTHROUGH", "true").with("API_TOKENS", TOKENS);
    let app = story.begin().await;
    assert!(words(&app.ask("GET", "/vapi/assistant").token("place-token-0123456789").send().await, 501).contains("admin"));
    words(&app.get("/vapi/assistant").await, 401);
    for path in ["/vapi/../secret", "/vapi/x/%2e%2E/y", "/vapi/./x"] {
        words(&app.ask("GET", path).token(ADMIN).send().await, 404);
    }
    app.finish().await;
    let away = Story::new().with("VAPI_API_URL", "http://127.0.0.1:1").with("VAPI_PASSTHROUGH", "true").begin().await;
    words(&away.get("/vapi/assistant").await, 502);
    away.finish().await;
    let keyless = Story::new().without("VAPI_API_KEY").with("VAPI_PASSTHROUGH", "true").begin().await;
    words(&keyless.get("/vapi/assistant").await, 502);
    keyless.finish().await;
}
