//! Somebody who is asked: a real HTTP endpoint that does what its path says.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header::LOCATION},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};

use super::{eventually, served::Served};

/// A question as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Hit {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }
}

type Hits = Arc<Mutex<Vec<Hit>>>;

/// An endpoint on a loopback port; stops when dropped.
pub(crate) struct Endpoint {
    pub(crate) served: Served,
    hits: Hits,
}

impl Endpoint {
    pub(crate) async fn start() -> Self {
        let hits = Hits::default();
        let served = Served::start(Router::new().fallback(behave).with_state(Arc::clone(&hits))).await;
        Self { served, hits }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.served.url(path)
    }

    pub(crate) fn hits(&self) -> Vec<Hit> {
        self.hits.lock().expect("no panic").clone()
    }

    /// Waits until so many questions have come.
    pub(crate) async fn has_hits(&self, count: usize) {
        eventually(&format!("{count} questions come"), async || self.hits().len() >= count).await;
    }
}

async fn behave(State(hits): State<Hits>, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Response {
    let earlier = {
        let mut hits = hits.lock().expect("no panic");
        hits.push(Hit { path: uri.path().to_owned(), headers, bytes: bytes.clone() });
        hits.iter().filter(|hit| hit.path == uri.path()).count() - 1
    };
    let asked: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match uri.path() {
        "/fast" => axum::Json(json!({"result": format!("{} by {}", asked["arguments"], asked["name"].as_str().unwrap_or("nobody"))}))
            .into_response(),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(400)).await;
            "slow but sure".into_response()
        }
        "/hang" => std::future::pending().await,
        "/lines" => "one\r\ntwo\n\nthree".into_response(),
        "/html" => axum::response::Html("<p>no JSON</p>").into_response(),
        "/nothing" => StatusCode::NO_CONTENT.into_response(),
        "/error" => axum::Json(json!({"error": "no such\norder"})).into_response(),
        "/500" => (StatusCode::INTERNAL_SERVER_ERROR, "secret stack").into_response(),
        "/404" => (StatusCode::NOT_FOUND, axum::Json(json!({"result": "not found"}))).into_response(),
        "/flaky" if earlier < 2 => StatusCode::BAD_GATEWAY.into_response(),
        "/redirect" => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "/fast")]).into_response(),
        "/huge" => {
            let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 8_192])));
            Body::from_stream(endless).into_response()
        }
        "/vapi" => axum::Json(in_vapi_words(&asked["message"])).into_response(),
        "/assistant" => axum::Json(json!({"assistantId": "a-1"})).into_response(),
        _ => axum::Json(json!({})).into_response(),
    }
}

/// What a server URL of old answers.
fn in_vapi_words(message: &Value) -> Value {
    match message["type"].as_str().unwrap_or_default() {
        "tool-calls" => {
            let lists = ["toolCallList", "toolCalls"];
            let calls = lists.iter().find_map(|list| message[*list].as_array()).cloned().unwrap_or_default();
            let said = [json!({"type": "request-complete", "content": "There."})];
            let results = calls.iter().map(|call| json!({"toolCallId": call["id"], "result": "from\nbefore", "message": said}));
            json!({"results": results.collect::<Vec<_>>(), "ours": true})
        }
        "function-call" => json!({"result": "from before"}),
        "assistant-request" => json!({"assistantId": "from-before"}),
        _ => json!({"ok": true}),
    }
}
