//! What the fake Vapi is set up with: assistants, phone numbers, the organisation; over REST as in Vapi's API.
//!
//! Vapi's organisation route is not part of its public API, so it can be closed here as it often is there.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Map, Value, json};

use super::{
    bodies::ORGANISATION,
    fault,
    script::{ASSISTANT, PHONE_NUMBER, as_map},
    world::World,
};

type Shared = State<Arc<World>>;

/// The settings.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) assistants: Vec<Value>,
    pub(super) phone_numbers: Vec<Value>,
    /// `None`: the key may not read it.
    pub(super) org: Option<Value>,
}

impl Settings {
    /// A house in order: one saved assistant that sends to `url`, one number that it answers.
    pub(super) fn sound(url: Option<&str>) -> Self {
        let server = json!({
            "url": url,
            "timeoutSeconds": 20,
            "credentialId": "5c5b6f0e-6a43-4a0e-8f43-0d1d5f4f2b11",
            "backoffPlan": {"type": "exponential", "maxRetries": 10, "baseDelaySeconds": 2},
        });
        let dates = json!({"orgId": ORGANISATION, "createdAt": "2026-01-05T10:00:00.000Z", "updatedAt": "2026-09-20T08:00:00.000Z"});
        let with_dates = |object: Value| {
            let mut object = as_map(object);
            object.extend(as_map(dates.clone()));
            Value::Object(object)
        };
        let assistant = with_dates(json!({
            "id": ASSISTANT,
            "name": "Availability check",
            "model": {"provider": "openai", "model": "gpt-4o-mini"},
            "server": server,
            "serverMessages": ["status-update", "end-of-call-report", "tool-calls", "hang", "transfer-update"],
        }));
        let number = with_dates(json!({
            "id": PHONE_NUMBER, "name": "Main line", "number": "+15550100000", "provider": "vapi", "status": "active", "assistantId": ASSISTANT,
        }));
        let org = json!({"id": ORGANISATION, "name": "Front desk", "jwtSecret": "never-to-be-shown", "billingLimit": 10});
        Self { assistants: vec![assistant], phone_numbers: vec![number], org: Some(org) }
    }

    fn list(&mut self, kind: &str) -> Option<&mut Vec<Value>> {
        match kind {
            "assistant" => Some(&mut self.assistants),
            "phone-number" => Some(&mut self.phone_numbers),
            _ => None,
        }
    }

    fn object(&mut self, kind: &str, id: &str) -> Option<&mut Value> {
        match kind {
            "org" => self.org.as_mut().filter(|org| org["id"] == id),
            kind => self.list(kind)?.iter_mut().find(|object| object["id"] == id),
        }
    }
}

pub(super) fn router() -> Router<Arc<World>> {
    let mut router = Router::new().route("/org", get(org)).route(
        "/org/{id}",
        get(async |world, Path(id): Path<String>| read(world, "org", &id))
            .patch(async |world, Path(id): Path<String>, Json(fields)| change(world, "org", &id, fields)),
    );
    for kind in ["assistant", "phone-number"] {
        router = router.route(&format!("/{kind}"), get(move |world| async move { list(world, kind) })).route(
            &format!("/{kind}/{{id}}"),
            get(move |world, Path(id): Path<String>| async move { read(world, kind, &id) })
                .patch(move |world, Path(id): Path<String>, Json(fields)| async move { change(world, kind, &id, fields) }),
        );
    }
    router
}

async fn org(State(world): Shared) -> Response {
    world.settings().org.clone().map_or_else(closed, |org| Json(org).into_response())
}

fn list(State(world): Shared, kind: &str) -> Response {
    Json(world.settings().list(kind).cloned().unwrap_or_default()).into_response()
}

fn read(State(world): Shared, kind: &str, id: &str) -> Response {
    let mut settings = world.settings();
    if kind == "org" && settings.org.is_none() {
        return closed();
    }
    settings.object(kind, id).map_or_else(not_found, |object| Json(object).into_response())
}

/// Fields are replaced whole, as Vapi does it; `null` takes one away.
fn change(State(world): Shared, kind: &str, id: &str, fields: Map<String, Value>) -> Response {
    let mut settings = world.settings();
    if kind == "org" && settings.org.is_none() {
        return closed();
    }
    let Some(Value::Object(object)) = settings.object(kind, id) else { return not_found() };
    for (field, value) in fields {
        if value.is_null() {
            object.remove(&field);
        } else {
            object.insert(field, value);
        }
    }
    Json(object).into_response()
}

fn closed() -> Response {
    fault::vapi_error(StatusCode::FORBIDDEN, "Forbidden")
}

fn not_found() -> Response {
    fault::vapi_error(StatusCode::NOT_FOUND, "Not found")
}
