//! A Kestra with one execution, of either generation, as far as it is resumed.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Which paths it has, and how it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// 1.x.
    First,
    /// 2.0.
    Second,
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

struct Inner {
    generation: Generation,
    state: Mutex<&'static str>,
    asked: Mutex<Vec<Asked>>,
    /// What everything is answered instead, if anything.
    broken: Mutex<Option<u16>>,
}

/// It stops when dropped.
pub(crate) struct Kestra {
    pub(crate) url: String,
    inner: Arc<Inner>,
    _stop: DropGuard,
}

/// The one execution.
pub(crate) const EXECUTION: &str = "2u8zZ1execution";
/// What lets one in: `a@b.co` and `Kestra2026`.
pub(crate) const BASIC: &str = "Basic YUBiLmNvOktlc3RyYTIwMjY=";

impl Kestra {
    /// Its execution is in this state.
    pub(crate) async fn start(generation: Generation, state: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (asked, broken) = (Mutex::default(), Mutex::default());
        let inner = Arc::new(Inner { generation, state: Mutex::new(state), asked, broken });
        let stop = CancellationToken::new();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        TaskTracker::new().spawn(axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
        Self { url, inner, _stop: stop.drop_guard() }
    }

    pub(crate) fn becomes(&self, state: &'static str) {
        *self.inner.state.lock().expect("no panic") = state;
    }

    pub(crate) fn state(&self) -> &'static str {
        *self.inner.state.lock().expect("no panic")
    }

    /// Answers everything so.
    pub(crate) fn breaks(&self, status: Option<u16>) {
        *self.inner.broken.lock().expect("no panic") = status;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().expect("no panic").clone()
    }

    pub(crate) fn posts(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.method == Method::POST).collect()
    }
}

async fn answer(State(kestra): State<Arc<Inner>>, method: Method, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Response {
    let (path, body) = (uri.path().to_owned(), String::from_utf8_lossy(&bytes).into_owned());
    let is_let_in = headers.get("authorization").is_some_and(|value| value == BASIC);
    kestra.asked.lock().expect("no panic").push(Asked { method: method.clone(), path: path.clone(), headers, body });
    let code = |status: u16, body: Value| (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response();
    if let Some(status) = *kestra.broken.lock().expect("no panic") {
        return code(status, json!({"message": "broken"}));
    }
    if !is_let_in {
        return code(401, json!({"message": "Unauthorized"}));
    }
    let own = format!("/api/v1/main/executions/{EXECUTION}");
    let resume = match kestra.generation {
        Generation::First => format!("{own}/resume"),
        Generation::Second => format!("{own}/actions/resume"),
    };
    let mut state = kestra.state.lock().expect("no panic");
    let execution = |state: &str| json!({"id": EXECUTION, "state": {"current": state}, "outputs": "x".repeat(200_000)});
    match (method, path) {
        (Method::GET, path) if path == own => code(200, execution(*state)),
        (Method::POST, path) if path == resume => match (*state, kestra.generation) {
            ("PAUSED", Generation::First) => {
                *state = "RUNNING";
                StatusCode::NO_CONTENT.into_response()
            }
            ("PAUSED", Generation::Second) => {
                *state = "RUNNING";
                code(200, execution(*state))
            }
            _ => code(409, json!({"message": "Execution is not paused"})),
        },
        _ => code(404, json!({"message": "Requested Flow is not found"})),
    }
}
