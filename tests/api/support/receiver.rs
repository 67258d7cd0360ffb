//! Somebody who takes webhooks, keeps them, and answers as told.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::served::Served;

/// A webhook as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Taken {
    /// `message` of its body.
    pub(crate) fn message(&self) -> Value {
        let mut body: Value = serde_json::from_slice(&self.bytes).expect("webhooks are JSON");
        body["message"].take()
    }

    /// Its type, with the status of status-updates.
    pub(crate) fn kind(&self) -> String {
        let message = self.message();
        let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
        if text("type") == "status-update" { text("status") } else { text("type") }
    }

    /// A header's text, `""` if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }
}

#[derive(Default)]
struct Memory {
    taken: Mutex<Vec<Taken>>,
    answers: Mutex<Vec<(u16, Value)>>,
}

/// A receiver on a loopback port; stops when dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    memory: Arc<Memory>,
    _served: Served,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let memory = Arc::new(Memory::default());
        let served = Served::start(Router::new().fallback(take).with_state(Arc::clone(&memory))).await;
        Self { url: served.url("/hook"), memory, _served: served }
    }

    /// The next answers, in order; when they are used up it is 200 again.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = (u16, Value)>) {
        self.memory.answers.lock().expect("no panic").extend(answers);
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.memory.taken.lock().expect("no panic").clone()
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.taken().iter().map(Taken::kind).collect()
    }

    /// The first webhook of this kind.
    pub(crate) fn first(&self, kind: &str) -> Value {
        let found = self.taken().into_iter().find(|taken| taken.kind() == kind);
        found.expect("a webhook of this kind").message()
    }
}

async fn take(State(memory): State<Arc<Memory>>, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Response {
    memory.taken.lock().expect("no panic").push(Taken { path: uri.path().to_owned(), headers, bytes });
    let mut answers = memory.answers.lock().expect("no panic");
    let (status, body) = if answers.is_empty() { (200, Value::Null) } else { answers.remove(0) };
    (StatusCode::from_u16(status).expect("a status"), axum::Json(body)).into_response()
}
