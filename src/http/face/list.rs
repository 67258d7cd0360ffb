//! `GET /vapi/call`: our calls, by Vapi's filters.
//!
//! A filter that can't be answered is refused, as Vapi refuses names that it does not know: a client that is shown more than it asked for acts on
//! calls that are none of its business. Some filters have no index here, so rows are read and left out; how many is bounded.

use std::{cmp::Reverse, sync::Arc};

use axum::{
    extract::{Query, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use bytes::BytesMut;

use super::told;
use crate::{
    call::{id::CallId, time::Millis},
    error::{ApiError, VapiError},
    http::{
        Api,
        auth::{Caller, FaceRead},
        calls::json_answer,
        observe::Told,
    },
    store::{CallFilter, SortBy, StoredCall},
    vapi::face::VapiCall,
};

/// Calls in one answer unless asked otherwise, and at most (Vapi's).
const DEFAULT_LIMIT: usize = 100;
const MOST_CALLS: usize = 1_000;
/// Rows read from the store at a time.
const PAGE: usize = 100;
/// Rows read for one answer, at most.
const MOST_ROWS: usize = 5_000;
/// Bytes of one answer, at most.
const MOST_BYTES: usize = 64 * 1_048_576;

/// Which calls are asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    id: Option<String>,
    assistant_id: Option<String>,
    phone_number_id: Option<String>,
    limit: usize,
    created: Bounds,
    updated: Bounds,
}

/// From a moment on, and before another.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    since: Option<Millis>,
    until: Option<Millis>,
}

impl Bounds {
    fn hold(self, at: Millis) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    fn any(self) -> bool {
        self != Self::default()
    }

    /// Takes `Gt`, `Ge`, `Lt` or `Le`; times have whole milliseconds here. `None` for another word.
    fn narrow(&mut self, relation: &str, at: Millis) -> Option<()> {
        match relation {
            "Ge" => self.since = self.since.max(Some(at)),
            "Gt" => self.since = self.since.max(Some(at.plus(1))),
            "Lt" => self.until = Some(self.until.map_or(at, |until| until.min(at))),
            "Le" => self.until = Some(self.until.map_or(at.plus(1), |until| until.min(at.plus(1)))),
            _ => return None,
        }
        Some(())
    }
}

impl Asked {
    /// Reads the parameters; else everything that is wrong with them, in Vapi's manner.
    fn parse(pairs: Vec<(String, String)>) -> Result<Self, Vec<String>> {
        let mut asked = Self { limit: DEFAULT_LIMIT, ..Self::default() };
        let mut wrong = Vec::new();
        for (name, value) in pairs {
            match name.as_str() {
                "id" => asked.id = Some(value),
                "assistantId" => asked.assistant_id = Some(value),
                "phoneNumberId" => asked.phone_number_id = Some(value),
                "limit" => match value.parse() {
                    Ok(limit) if limit <= MOST_CALLS => asked.limit = limit,
                    _ => wrong.push(format!("limit must be a whole number from 0 to {MOST_CALLS}")),
                },
                _ => wrong.extend(asked.bound(&name, &value).err()),
            }
        }
        if wrong.is_empty() { Ok(asked) } else { Err(wrong) }
    }

    fn bound(&mut self, name: &str, value: &str) -> Result<(), String> {
        let unknown = || format!("property {name} should not exist");
        let (bounds, relation) = match (name.strip_prefix("createdAt"), name.strip_prefix("updatedAt")) {
            (Some(relation), _) => (&mut self.created, relation),
            (None, Some(relation)) => (&mut self.updated, relation),
            (None, None) => return Err(unknown()),
        };
        if !matches!(relation, "Gt" | "Ge" | "Lt" | "Le") {
            return Err(unknown());
        }
        let at = Millis::parse_rfc3339(value).ok_or_else(|| format!("{name} must be a valid ISO 8601 date string"))?;
        bounds.narrow(relation, at).ok_or_else(unknown)
    }

    /// What the store finds by itself. It goes by one moment at a time.
    fn filter(&self) -> CallFilter {
        let (by, bounds) = if self.updated.any() { (SortBy::UpdatedAt, self.updated) } else { (SortBy::CreatedAt, self.created) };
        let assistant_id = self.assistant_id.iter().cloned().collect();
        CallFilter { assistant_id, since: bounds.since, until: bounds.until, by, limit: PAGE, ..CallFilter::default() }
    }

    /// Is this call asked for?
    fn takes(&self, call: &StoredCall) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|wanted| value == Some(wanted));
        let record = &call.record;
        is(&self.id, Some(call.id.as_str()))
            && is(&self.assistant_id, record.assistant_id.as_ref().map(|it| it.value.as_str()))
            && is(&self.phone_number_id, record.phone_number_id.as_ref().map(|it| it.value.as_str()))
            && self.created.hold(call.created_at)
            && self.updated.hold(call.updated_at)
    }
}

/// Calls as Vapi's `GET /call` lists them, newest first: those that Ringback keeps. Filters that it can't answer are refused.
#[utoipa::path(
    get,
    path = "/vapi/call",
    operation_id = "vapiListCalls",
    tag = "Vapi",
    params(
        ("id" = Option<String>, Query, description = "The call's id"),
        ("assistantId" = Option<String>, Query, description = "The assistant that talked"),
        ("phoneNumberId" = Option<String>, Query, description = "The number that was used"),
        ("limit" = Option<usize>, Query, description = "0 to 1000, default 100"),
        ("createdAtGt" = Option<String>, Query, description = "First heard of after this time (RFC 3339)"),
        ("createdAtGe" = Option<String>, Query, description = "First heard of at this time or later"),
        ("createdAtLt" = Option<String>, Query, description = "First heard of before this time"),
        ("createdAtLe" = Option<String>, Query, description = "First heard of at this time or earlier"),
        ("updatedAtGt" = Option<String>, Query, description = "Last changed after this time"),
        ("updatedAtGe" = Option<String>, Query, description = "Last changed at this time or later"),
        ("updatedAtLt" = Option<String>, Query, description = "Last changed before this time"),
        ("updatedAtLe" = Option<String>, Query, description = "Last changed at this time or earlier"),
    ),
    responses(
        (status = 200, description = "The calls", body = Vec<VapiCall>),
        (status = 400, description = "A filter that is not known, or can't be read, or leaves too much to look through", body = VapiError),
    ),
    security(("bearer" = ["read"]))
)]
pub(in crate::http) async fn calls(State(api): State<Api>, caller: Caller<FaceRead>, uri: Uri) -> Result<Response, ApiError> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&uri);
    let pairs = pairs.map_err(|error| ApiError::InvalidParameter(format!("The query can't be read: {error}.")))?.0;
    let asked = match Asked::parse(pairs) {
        Ok(asked) => asked,
        Err(wrong) => return Ok(VapiError::new(StatusCode::BAD_REQUEST, wrong).into_response()),
    };
    let mut found = match &asked.id {
        Some(id) => one(&api, id).await?.into_iter().filter(|call| asked.takes(call)).take(asked.limit).collect(),
        None => all(&api, &asked).await?,
    };
    found.sort_by_key(|call| Reverse(call.created_at));
    Ok((Told::by(caller.token), json_answer(StatusCode::OK, written(&api, &found)?, None)).into_response())
}

async fn one(api: &Api, id: &str) -> Result<Option<Arc<StoredCall>>, ApiError> {
    let Ok(id) = CallId::parse(id) else { return Ok(None) };
    Ok(api.registry.store().load(&id).await?.found())
}

async fn all(api: &Api, asked: &Asked) -> Result<Vec<Arc<StoredCall>>, ApiError> {
    let (mut found, mut read, mut filter) = (Vec::new(), 0, asked.filter());
    while found.len() < asked.limit {
        if read >= MOST_ROWS {
            let why = format!("These filters leave more than {MOST_ROWS} calls to look through: bound createdAt or updatedAt.");
            return Err(ApiError::InvalidParameter(why));
        }
        let page = api.registry.list(filter.clone()).await?;
        read += page.calls.len();
        found.extend(page.calls.into_iter().filter(|call| asked.takes(call)));
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            break;
        }
    }
    found.truncate(asked.limit);
    Ok(found)
}

/// One call after another, so that no more than their text is in memory.
fn written(api: &Api, calls: &[Arc<StoredCall>]) -> Result<BytesMut, ApiError> {
    let mut list = BytesMut::from("[");
    for (index, call) in calls.iter().enumerate() {
        if index > 0 {
            list.extend_from_slice(b",");
        }
        let one: VapiCall<'_> = told(api, call);
        list.extend_from_slice(&serde_json::to_vec(&one).map_err(|error| ApiError::Internal(error.to_string()))?);
        if list.len() > MOST_BYTES {
            return Err(ApiError::InvalidParameter("That is more than fits into one answer: ask with a smaller limit.".to_owned()));
        }
    }
    list.extend_from_slice(b"]");
    Ok(list)
}
