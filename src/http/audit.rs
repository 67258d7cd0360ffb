//! `/audit`: who changed what. And how a change comes to stand there: every request that may change something carries a [`Slip`], the extractor
//! that lets its caller in fills it out before the handler runs, and the layer around all routes adds how it was answered.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{
    Api,
    auth::{Admin, Caller, Read},
    cursor,
    deadline::{CHANGE_DEADLINE, in_time},
    observe::Told,
    parameters::Parameters,
    sent::Sent,
};
use crate::{
    audit::{Begun, Deed, Entry},
    call::{id::CallId, view::At},
    envelope::{Envelope, NoData, Pagination},
    error::ApiError,
};

/// Rows of a page when nothing is said.
const DEFAULT_LIMIT: usize = 50;
/// Rows of a page at most.
const MOST_ROWS: usize = 500;
/// An answer waits so long for its outcome to be noted; the note is written all the same.
const OUTCOME_DEADLINE: Duration = Duration::from_secs(1);
/// Where this log stands, and takes what is done beside the service.
const PATH: &str = "/api/v1/vapi/audit";
/// What is posted here and changes nothing.
const CHANGES_NOTHING: [&str; 1] = ["/api/v1/vapi/assistant-config"];
/// What is done by whom the service can't see doing it.
const ELSEWHERE: [&str; 2] = ["doctor.fix", "doctor.restore"];
/// Words of their own; what others are called follows from their paths.
const WORDS: [(&str, &str, &str); 7] = [
    ("POST", "/api/v1/vapi/calls", "call.place"),
    ("POST", "/vapi/call", "call.place"),
    ("DELETE", "/api/v1/vapi/cache", "cache.clear"),
    ("POST", "/api/v1/vapi/backfill", "backfill"),
    ("POST", "/session", "sign-in"),
    ("DELETE", "/session", "sign-out"),
    ("POST", PATH, ""),
];

/// Where one call is deleted, or only dropped from memory.
const CALL: &str = "/api/v1/vapi/calls/{id}";
/// What is done to a call that is only dropped from memory.
const CACHE_DROP: &str = "cache.drop";

/// Goes along with a request that may change something.
#[derive(Debug, Clone)]
pub(super) struct Slip(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    action: String,
    request_id: String,
    client: IpAddr,
    begun: OnceLock<Begun>,
}

impl Slip {
    /// A slip for this request; `None` when it can change nothing, or is a webhook, which is no deed of ours.
    pub(super) fn of(api: &Api, method: &Method, (template, uri): (Option<&str>, &Uri), about: (&HeaderValue, IpAddr)) -> Option<Self> {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return None;
        }
        let template = template.filter(|template| !is_webhook(api, template) && !CHANGES_NOTHING.contains(template))?;
        let (request_id, client) = about;
        let request_id = request_id.to_str().unwrap_or_default().to_owned();
        let action = if drops_cache(method, template, uri) { CACHE_DROP.to_owned() } else { action(method.as_str(), template) };
        Some(Self(Arc::new(Inner { action, request_id, client, begun: OnceLock::new() })))
    }

    /// Somebody is let in and is about to do it. What can't be noted is not done.
    pub(super) async fn fill(&self, api: &Api, token: Option<String>, subject: Option<&str>) -> Result<(), ApiError> {
        if self.0.action.is_empty() || self.0.begun.get().is_some() {
            return Ok(());
        }
        let subject = subject.filter(|id| CallId::parse(id).is_ok()).map(str::to_owned);
        let begun = in_time(CHANGE_DEADLINE, api.audit.begin(self.deed(self.0.action.clone(), token, subject))).await?;
        // Only one of the extractors of a request lets its caller in.
        let _ = self.0.begun.set(begun);
        Ok(())
    }

    fn deed(&self, action: String, token: Option<String>, subject: Option<String>) -> Deed {
        let (request_id, client_ip) = (Some(self.0.request_id.clone()), Some(self.0.client.to_string()));
        Deed { action, subject, token, request_id, client_ip }
    }

    /// It was answered, perhaps with something new.
    pub(super) async fn close(self, api: &Api, status: StatusCode, made: Option<String>) {
        let Some(begun) = self.0.begun.get().cloned() else { return };
        let audit = api.audit.clone();
        // On a task of its own: the client may hang up.
        let noted = api.lifecycle.spawn_quiet(async move {
            if let Err(error) = audit.end(begun, status.as_u16(), made).await {
                warn!(%error, "What came of a change could not be noted in the audit log");
            }
        });
        let _ = tokio::time::timeout(OUTCOME_DEADLINE, noted).await;
    }
}

/// Read as the handler reads it: what is noted is what is done.
fn drops_cache(method: &Method, template: &str, uri: &Uri) -> bool {
    *method == Method::DELETE && template == CALL && Parameters::of(uri).is_ok_and(|all| all.text("scope") == Some("cache"))
}

fn is_webhook(api: &Api, template: &str) -> bool {
    super::webhook_paths(&api.config).any(|path| path == template)
}

/// What a request does, in a word: `subscription.rotate` for `POST /subscriptions/{id}/rotate`.
fn action(method: &str, template: &str) -> String {
    if let Some((.., word)) = WORDS.iter().find(|(known, path, _)| *known == method && *path == template) {
        return (*word).to_owned();
    }
    if template.starts_with("/vapi/{*") {
        return "vapi.pass".to_owned();
    }
    let path = template.strip_prefix("/api/v1/vapi").unwrap_or(template).trim_start_matches("/vapi/");
    let mut words = path.split('/').filter(|part| !part.is_empty() && !part.starts_with('{'));
    let thing = words.next().unwrap_or("service");
    let thing = thing.strip_suffix("ches").map_or_else(|| thing.trim_end_matches('s').to_owned(), |stem| format!("{stem}ch"));
    let verb = words.next_back().unwrap_or(match method {
        "POST" => "create",
        "DELETE" => "delete",
        _ => "change",
    });
    format!("{thing}.{verb}")
}

/// A change, and what came of it.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    /// Its id.
    id: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    at: At,
    /// What was done, such as `call.delete`, `cache.drop`, `call.cancel`, `subscription.rotate`, `sign-in`, `doctor.fix`.
    action: String,
    /// The id of what it was done to: of a call, a subscription, an object at Vapi.
    subject: Option<String>,
    /// The name of the token; `null` where none is asked for.
    token: Option<String>,
    /// The HTTP status that answered it. `null`: nobody knows what came of it, for it goes on, was cut short, or is not done here (`doctor.fix`).
    status: Option<u16>,
    /// The request's id, as the log has it.
    request_id: Option<String>,
    /// Where it came from.
    client_ip: Option<String>,
}

impl From<Entry> for Change {
    fn from(entry: Entry) -> Self {
        let Deed { action, subject, token, request_id, client_ip } = entry.deed;
        Self { id: entry.id, at: At(entry.at), action, subject, token, status: entry.status, request_id, client_ip }
    }
}

/// Every change, newest first: who did what, when, and how it was answered. Each was noted before it was done.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/audit",
    operation_id = "listChanges",
    tag = "Operations",
    params(
        ("limit" = Option<usize>, Query, description = "1 to 500, default 50"),
        ("cursor" = Option<String>, Query, description = "`pagination.nextCursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<Vec<Change>>),
        (status = 503, description = "STORE_UNAVAILABLE", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn list(State(api): State<Api>, caller: Caller<Read>, parameters: Parameters) -> Result<Response, ApiError> {
    let limit = parameters.number("limit", 1, MOST_ROWS, DEFAULT_LIMIT)?;
    let is_id = |id: &str| (id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())).then(|| id.to_owned());
    let after = cursor::after(&parameters, |text| cursor::row(text, is_id))?;
    let page = in_time(CHANGE_DEADLINE, api.audit.entries(after, limit)).await?;
    let rows: Vec<Change> = page.entries.into_iter().map(Change::from).collect();
    let (count, pagination) = (rows.len(), Pagination::after(limit, page.next.map(|(at, id)| cursor::written(at, &id))));
    Ok((Told::by(caller.token), Json(Envelope::of(rows).paged(count, pagination))).into_response())
}

/// What is done beside the service.
#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct Deeds {
    /// `doctor.fix` or `doctor.restore`.
    action: String,
    /// The objects at Vapi that are about to be changed.
    subjects: Vec<String>,
}

/// What came of it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Noted {
    /// So many entries were made.
    noted: usize,
}

/// Objects at once, at most.
const MOST_SUBJECTS: usize = 1_000;
const WRONG_DEEDS: &str = "The body is an object with an `action`, doctor.fix or doctor.restore, and 1 to 1000 `subjects`, which are ids.";

/// Notes what `ringback doctor` is about to change at Vapi.
#[utoipa::path(
    post,
    path = "/api/v1/vapi/audit",
    operation_id = "noteChange",
    tag = "Operations",
    request_body = Deeds,
    responses(
        (status = 201, description = "It is noted", body = Envelope<Noted>),
        (status = 400, description = "INVALID_PAYLOAD", body = Envelope<NoData>),
        (status = 413, description = "PAYLOAD_TOO_LARGE", body = Envelope<NoData>),
        (status = 503, description = "STORE_UNAVAILABLE: not noted", body = Envelope<NoData>),
    ),
    security(("bearer" = ["admin"]))
)]
pub(super) async fn note(
    State(api): State<Api>,
    caller: Caller<Admin>,
    slip: axum::Extension<Slip>,
    sent: Sent,
) -> Result<Response, ApiError> {
    let wrong = || ApiError::InvalidPayload(WRONG_DEEDS.to_owned());
    let Deeds { action, subjects } = serde_json::from_value(sent.json).map_err(|_other| wrong())?;
    let is_sound = ELSEWHERE.contains(&action.as_str())
        && (1..=MOST_SUBJECTS).contains(&subjects.len())
        && subjects.iter().all(|subject| CallId::parse(subject).is_ok());
    if !is_sound {
        return Err(wrong());
    }
    let noted = subjects.len();
    for subject in subjects {
        let deed = slip.deed(action.clone(), caller.token.clone(), Some(subject));
        in_time(CHANGE_DEADLINE, api.audit.begin(deed)).await?;
    }
    let told = Told::by(caller.token);
    Ok((StatusCode::CREATED, told, Json(Envelope::of(Noted { noted }))).into_response())
}

#[cfg(test)]
mod tests {
    use super::action;

    #[test]
    fn what_a_request_does_follows_from_its_route() {
        for (method, template, word) in [
            ("POST", "/api/v1/vapi/calls", "call.place"),
            ("DELETE", "/api/v1/vapi/calls/{id}", "call.delete"),
            ("POST", "/api/v1/vapi/calls/{id}/cancel", "call.cancel"),
            ("POST", "/api/v1/vapi/calls/{id}/fetch", "call.fetch"),
            ("POST", "/api/v1/vapi/subscriptions", "subscription.create"),
            ("PATCH", "/api/v1/vapi/subscriptions/{id}", "subscription.change"),
            ("DELETE", "/api/v1/vapi/subscriptions/{id}", "subscription.delete"),
            ("POST", "/api/v1/vapi/subscriptions/{id}/rotate", "subscription.rotate"),
            ("POST", "/api/v1/vapi/subscriptions/{id}/redeliver", "subscription.redeliver"),
            ("POST", "/api/v1/vapi/batches", "batch.create"),
            ("POST", "/api/v1/vapi/batches/{id}/cancel", "batch.cancel"),
            ("PATCH", "/vapi/call/{id}", "call.change"),
            ("POST", "/vapi/call", "call.place"),
            ("DELETE", "/api/v1/vapi/cache", "cache.clear"),
            ("POST", "/api/v1/vapi/backfill", "backfill"),
            ("POST", "/session", "sign-in"),
            ("DELETE", "/session", "sign-out"),
            ("POST", "/vapi/{*rest}", "vapi.pass"),
        ] {
            assert_eq!(action(method, template), word, "{method} {template}");
        }
    }
}
