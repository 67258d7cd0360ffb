//! Parameters of requests, checked, with errors that name them.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, Path, Query, rejection::PathRejection},
    http::{HeaderValue, Uri, header, request::Parts},
};
use serde::Deserialize;

use super::Api;
use crate::{
    call::{id::CallId, time::Millis, view::View},
    dial::Named,
    error::{Absent, ApiError},
};

/// Values in one comma separated list at most: stores bind each of them.
const MOST_VALUES: usize = 100;
/// Lists of one kind at most, such as `metadata.KEY`.
const MOST_LISTS: usize = 20;

/// The `{id}` of the path: a call, found by its own id or by that of its placing.
#[derive(Debug)]
pub(super) struct CallPath(pub(super) CallId);

impl FromRequestParts<Api> for CallPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let AnyPath(id) = AnyPath::from_request_parts(parts, api).await?;
        match api.dialer.named(&id).await? {
            Named::Call(id) => Ok(Self(id)),
            Named::Open(id) => Err(ApiError::CallNotReady(id)),
            Named::Nothing => Err(ApiError::CallNotFound(id, Absent::NoPlacing)),
        }
    }
}

/// The `{id}` of the path, checked: a call, or a placing of which nobody may know yet what came.
#[derive(Debug)]
pub(super) struct AnyPath(pub(super) CallId);

impl FromRequestParts<Api> for AnyPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        CallId::parse(&in_path(parts, api).await?)
            .map(Self)
            .map_err(|error| ApiError::InvalidParameter(format!("The id in the path can't be: {error}.")))
    }
}

/// The `{phone}` of the path, as it stands there.
#[derive(Debug)]
pub(super) struct PhonePath(pub(super) String);

impl FromRequestParts<Api> for PhonePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        in_path(parts, api).await.map(Self)
    }
}

/// The versions that the caller has already.
#[derive(Debug)]
pub(super) struct IfNoneMatch(pub(super) Option<HeaderValue>);

impl FromRequestParts<Api> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get(header::IF_NONE_MATCH).cloned()))
    }
}

/// What the path names.
#[derive(Deserialize)]
struct InPath {
    #[serde(alias = "phone")]
    id: String,
}

/// The part of the path that names what is asked for, decoded.
async fn in_path(parts: &mut Parts, api: &Api) -> Result<String, ApiError> {
    let invalid = |error: PathRejection| ApiError::InvalidParameter(error.to_string());
    Path::<InPath>::from_request_parts(parts, api).await.map(|path| path.0.id).map_err(invalid)
}

/// The parameters of the query, by name. Unknown ones are left alone.
#[derive(Debug)]
pub(super) struct Parameters(HashMap<String, String>);

impl FromRequestParts<Api> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        Self::of(&parts.uri)
    }
}

impl Parameters {
    /// Those of an address.
    pub(super) fn of(uri: &Uri) -> Result<Self, ApiError> {
        if uri.query().is_none() {
            return Ok(Self(HashMap::new()));
        }
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let pairs = pairs.map_err(|error| ApiError::InvalidParameter(format!("The query can't be read: {error}.")))?.0;
        Ok(Self(pairs.into_iter().collect()))
    }

    /// A parameter's text; an empty one counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// All comma separated lists whose name begins with `prefix`, by the rest of the name.
    pub(super) fn lists(&self, prefix: &str) -> Result<BTreeMap<String, Vec<String>>, ApiError> {
        let lists = self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
        let lists: BTreeMap<_, _> =
            lists.map(|(rest, value)| Ok((rest.to_owned(), split(prefix, value)?))).collect::<Result<_, ApiError>>()?;
        if lists.len() > MOST_LISTS {
            return Err(ApiError::InvalidParameter(format!("{prefix}KEY may stand there for {MOST_LISTS} keys.")));
        }
        Ok(lists)
    }

    /// A comma separated list.
    pub(super) fn list(&self, name: &str) -> Result<Vec<String>, ApiError> {
        self.text(name).map_or_else(|| Ok(Vec::new()), |list| split(name, list))
    }

    /// A whole number between two bounds.
    pub(super) fn number(&self, name: &str, least: usize, most: usize, default: usize) -> Result<usize, ApiError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| ApiError::InvalidParameter(format!("{name} must be a whole number from {least} to {most}.")))
    }

    /// Seconds, 0 when absent; may have a fraction.
    pub(super) fn seconds(&self, name: &str) -> Result<f64, ApiError> {
        let Some(text) = self.text(name) else { return Ok(0.0) };
        let seconds = text.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
        seconds.ok_or_else(|| ApiError::InvalidParameter(format!("{name} must be a number of seconds, 0 or more.")))
    }

    /// How long an answer may wait for its call, at most as long as is allowed.
    pub(super) fn wait(&self, api: &Api) -> Result<Duration, ApiError> {
        Ok(Duration::from_secs_f64(self.seconds("wait")?.min(api.config.http.wait_max.as_secs_f64())))
    }

    /// A moment in RFC 3339.
    pub(super) fn moment(&self, name: &str) -> Result<Option<Millis>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let moment = Millis::parse_rfc3339(text);
        moment.map(Some).ok_or_else(|| ApiError::InvalidParameter(format!("{name} must be a time like 2026-01-31T12:00:00Z.")))
    }

    /// A switch: `1`, `true` or the bare name is on.
    pub(super) fn switch(&self, name: &str) -> Result<bool, ApiError> {
        match self.0.get(name).map(|value| value.trim()) {
            Some("" | "1" | "true") => Ok(true),
            None | Some("0" | "false") => Ok(false),
            Some(_) => Err(ApiError::InvalidParameter(format!("{name} is a switch: it takes 1, true, 0 or false."))),
        }
    }

    /// `view=full|summary`.
    pub(super) fn view(&self, default: View) -> Result<View, ApiError> {
        match self.text("view") {
            None => Ok(default),
            Some("full") => Ok(View::Full),
            Some("summary") => Ok(View::Summary),
            Some(_) => Err(ApiError::InvalidParameter("view must be full or summary.".to_owned())),
        }
    }
}

/// The parts of a comma separated list, trimmed, without empty ones.
fn split(name: &str, list: &str) -> Result<Vec<String>, ApiError> {
    let parts: Vec<String> = list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    if parts.len() > MOST_VALUES {
        return Err(ApiError::InvalidParameter(format!("{name} may list {MOST_VALUES} values.")));
    }
    Ok(parts)
}
