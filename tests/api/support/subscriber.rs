//! Somebody who is told: a real HTTP endpoint that takes what comes, and answers as told.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header::LOCATION},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::stream;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{eventually, served::Served};

/// What came.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) method: Method,
    /// Path and query, as they came.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }

    /// Its type and its sequence.
    pub(crate) fn brief(&self) -> (String, u64) {
        let json = self.json();
        (json["type"].as_str().expect("a type").to_owned(), json["sequence"].as_u64().unwrap_or_default())
    }

    /// Is it signed with this secret, as Standard Webhooks has it?
    pub(crate) fn is_signed(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
        mac.update(format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).as_bytes());
        mac.update(&self.bytes);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    Status(u16),
    /// 429, and how many seconds of patience it asks for.
    Later(u64),
    /// 301 to a place that takes everything.
    Redirect,
    /// Never anything.
    Hang,
    /// 200 after so many milliseconds.
    Slow(u64),
    /// 200, and a body without an end.
    Endless,
}

#[derive(Default)]
struct Memory {
    told: Mutex<Vec<Told>>,
    says: Mutex<VecDeque<Say>>,
    usual: Mutex<Option<Say>>,
}

/// A subscriber on a loopback port; stops when dropped.
pub(crate) struct Subscriber {
    pub(crate) served: Served,
    memory: Arc<Memory>,
}

impl Subscriber {
    pub(crate) async fn start() -> Self {
        let memory = Arc::new(Memory::default());
        let served = Served::start(Router::new().fallback(take).with_state(Arc::clone(&memory))).await;
        Self { served, memory }
    }

    pub(crate) fn base(&self) -> String {
        self.served.url("")
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/hook", self.base())
    }

    /// The next answers; then it is 200 again.
    pub(crate) fn says(&self, says: impl IntoIterator<Item = Say>) {
        self.memory.says.lock().expect("no panic").extend(says);
    }

    /// From now on always this, or 200.
    pub(crate) fn always_says(&self, say: Option<Say>) {
        *self.memory.usual.lock().expect("no panic") = say;
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.memory.told.lock().expect("no panic").clone()
    }

    pub(crate) fn briefs(&self) -> Vec<(String, u64)> {
        self.told().iter().map(Told::brief).collect()
    }

    pub(crate) fn types(&self) -> Vec<String> {
        self.briefs().into_iter().map(|(kind, _)| kind).collect()
    }

    /// Waits until so much has come.
    pub(crate) async fn has(&self, count: usize) {
        eventually(&format!("{count} come"), async || self.told().len() >= count).await;
    }
}

async fn take(State(memory): State<Arc<Memory>>, method: Method, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Response {
    memory.told.lock().expect("no panic").push(Told { method, target: uri.to_string(), headers, bytes });
    let next = memory.says.lock().expect("no panic").pop_front();
    let say = next.or_else(|| memory.usual.lock().expect("no panic").clone()).unwrap_or(Say::Status(200));
    match say {
        Say::Status(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Say::Later(seconds) => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())], "later").into_response(),
        Say::Redirect => (StatusCode::MOVED_PERMANENTLY, [(LOCATION, "/elsewhere")]).into_response(),
        Say::Hang => std::future::pending().await,
        Say::Slow(milliseconds) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            StatusCode::OK.into_response()
        }
        Say::Endless => {
            let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 8_192])));
            Body::from_stream(endless).into_response()
        }
    }
}

/// The body of a subscription to these events.
pub(crate) fn to(url: &str, events: &[&str]) -> Value {
    json!({"url": url, "events": events})
}
