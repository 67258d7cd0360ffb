//! A Kestra of either generation: one execution that is resumed, and a flow that places calls.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::served::Served;

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

/// What becomes of the next execution that somebody starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// There is none, and this is the answer.
    Refused(u16),
    /// There is one, but this is the answer.
    Spoilt(u16),
    /// There is none, but nobody could know it by this answer.
    Dropped(u16),
}

/// An execution of the flow.
struct Run {
    id: String,
    label: String,
    form: String,
    state: &'static str,
    outputs: Value,
}

struct Inner {
    generation: Generation,
    state: Mutex<&'static str>,
    asked: Mutex<Vec<Asked>>,
    /// What everything is answered instead, if anything.
    broken: Mutex<Option<u16>>,
    fates: Mutex<VecDeque<Fate>>,
    runs: Mutex<Vec<Run>>,
    /// The flow itself; null when there is none.
    flow: Mutex<Value>,
}

/// It stops when dropped.
pub(crate) struct Kestra {
    pub(crate) url: String,
    inner: Arc<Inner>,
    _served: Served,
}

/// The one execution.
pub(crate) const EXECUTION: &str = "2u8zZ1execution";
/// The path of the flow that places calls, as it is unless changed.
pub(crate) const FLOW: &str = "/api/v1/main/executions/ai_concierge/place_call";
/// What lets one in: `a@b.co` and `Kestra2026`.
pub(crate) const BASIC: &str = "Basic YUBiLmNvOktlc3RyYTIwMjY=";

impl Kestra {
    /// Its execution is in this state.
    pub(crate) async fn start(generation: Generation, state: &'static str) -> Self {
        let (asked, broken, fates, runs) = (Mutex::default(), Mutex::default(), Mutex::default(), Mutex::default());
        let flow = Mutex::new(flow());
        let inner = Arc::new(Inner { generation, state: Mutex::new(state), asked, broken, fates, runs, flow });
        let served = Served::start(Router::new().fallback(answer).with_state(Arc::clone(&inner))).await;
        Self { url: served.url(""), inner, _served: served }
    }

    /// The flow that places calls is this one; none, if it is null.
    pub(crate) fn has_flow(&self, flow: Value) {
        *self.inner.flow.lock().expect("no panic") = flow;
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

    /// The next execution that is started fares so.
    pub(crate) fn next_fares(&self, fate: Fate) {
        self.inner.fates.lock().expect("no panic").push_back(fate);
    }

    /// How often somebody asked for an execution of the flow.
    pub(crate) fn started(&self) -> usize {
        self.posts().iter().filter(|post| post.path == FLOW).count()
    }

    /// The text that the latest execution was given as this input.
    pub(crate) fn input(&self, name: &str) -> Option<String> {
        let runs = self.inner.runs.lock().expect("no panic");
        let (_, part) = runs.last()?.form.split_once(&format!("name=\"{name}\"\r\n\r\n"))?;
        part.split_once("\r\n--").map(|(text, _)| text.to_owned())
    }

    /// The latest execution is in this state from now on, with these outputs of its flow.
    pub(crate) fn runs(&self, state: &'static str, outputs: Value) {
        let mut runs = self.inner.runs.lock().expect("no panic");
        let run = runs.last_mut().expect("somebody started it");
        (run.state, run.outputs) = (state, outputs);
    }

    pub(crate) fn posts(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.method == Method::POST).collect()
    }
}

/// The flow of the examples.
pub(crate) fn flow() -> Value {
    let input = |id: &str, kind: &str| json!({"id": id, "type": kind, "required": true});
    json!({"id": "place_call", "namespace": "ai_concierge", "disabled": false, "deleted": false,
        "inputs": [input("placement_id", "STRING"), input("call", "JSON")], "outputs": [{"id": "call_id", "type": "STRING"}]})
}

async fn answer(State(kestra): State<Arc<Inner>>, method: Method, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Response {
    let (path, body) = (uri.path().to_owned(), String::from_utf8_lossy(&bytes).into_owned());
    let query = uri.query().unwrap_or_default().to_owned();
    let is_let_in = headers.get("authorization").is_some_and(|value| value == BASIC);
    kestra.asked.lock().expect("no panic").push(Asked { method: method.clone(), path: path.clone(), headers, body: body.clone() });
    let code = |status: u16, body: Value| (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response();
    if let Some(status) = *kestra.broken.lock().expect("no panic") {
        return code(status, json!({"message": "broken"}));
    }
    if path == "/api/v1/configs" {
        return code(200, json!({"version": "1.3.31"}));
    }
    if !is_let_in {
        return code(401, json!({"message": "Unauthorized"}));
    }
    if let Some((status, answer)) = kestra.of_the_flow(&method, &path, &query, body) {
        return code(status, answer);
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

impl Inner {
    /// The answer to a question about the flow's executions.
    fn of_the_flow(&self, method: &Method, path: &str, query: &str, form: String) -> Option<(u16, Value)> {
        if (method, path) == (&Method::GET, "/api/v1/main/flows/ai_concierge/place_call") {
            let flow = self.flow.lock().expect("no panic").clone();
            return Some(if flow.is_null() { (404, json!({"message": "Not Found"})) } else { (200, flow) });
        }
        let mut runs = self.runs.lock().expect("no panic");
        if (method, path) == (&Method::POST, FLOW) {
            let fate = self.fates.lock().expect("no panic").pop_front();
            if !matches!(fate, Some(Fate::Refused(_) | Fate::Dropped(_))) {
                let label = query.strip_prefix("labels=").expect("a label").replace("%3A", ":");
                let run = Run { id: format!("run{}", runs.len()), label, form, state: "CREATED", outputs: Value::Null };
                runs.push(run);
            }
            return Some(match fate {
                Some(Fate::Refused(status) | Fate::Spoilt(status) | Fate::Dropped(status)) => {
                    (status, json!({"message": "in Kestra's words"}))
                }
                None => (200, self.shown(runs.last()?)),
            });
        }
        if path == "/api/v1/main/executions/search" {
            let (_, label) = query.split_once("%5BEQUALS%5D%5B")?;
            let label = label.replace("%5D=", ":");
            let found: Vec<Value> = runs.iter().filter(|run| run.label == label).map(|run| self.shown(run)).collect();
            return Some((200, json!({"total": found.len(), "results": found})));
        }
        let run = runs.iter().find(|run| path.ends_with(&format!("/executions/{}", run.id)))?;
        match (self.generation, path.contains("/outputs/")) {
            (Generation::First, true) => Some((404, json!({"message": "Not Found"}))),
            (Generation::Second, true) => Some((200, run.outputs.clone())),
            (_, false) => Some((200, self.shown(run))),
        }
    }

    fn shown(&self, run: &Run) -> Value {
        let mut shown = json!({"id": run.id, "state": {"current": run.state}, "inputs": {}});
        if self.generation == Generation::First && !run.outputs.is_null() {
            shown["outputs"] = run.outputs.clone();
        }
        shown
    }
}
