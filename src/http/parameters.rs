//! Parameters of requests, checked, with errors that name them.

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, Query, RawPathParams},
    http::request::Parts,
};

use super::Api;
use crate::{
    call::{id::CallId, time::Millis, view::View},
    error::ApiError,
};

/// The `{id}` of the path, checked.
#[derive(Debug)]
pub(super) struct CallPath(pub(super) CallId);

impl FromRequestParts<Api> for CallPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let invalid = |why: String| ApiError::InvalidParameter(why);
        let params = RawPathParams::from_request_parts(parts, api).await.map_err(|error| invalid(error.to_string()))?;
        let id = params.iter().find_map(|(name, value)| (name == "id").then_some(value)).unwrap_or_default();
        CallId::parse(id).map(Self).map_err(|error| invalid(format!("The id in the path can't be: {error}.")))
    }
}

/// The parameters of the query, by name. Unknown ones are left alone.
#[derive(Debug)]
pub(super) struct Parameters(HashMap<String, String>);

impl FromRequestParts<Api> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        if parts.uri.query().is_none() {
            return Ok(Self(HashMap::new()));
        }
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let pairs = pairs.map_err(|error| ApiError::InvalidParameter(format!("The query can't be read: {error}.")))?.0;
        Ok(Self(pairs.into_iter().collect()))
    }
}

impl Parameters {
    /// A parameter's text; an empty one counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// All parameters whose name begins with `prefix`, without it.
    pub(super) fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// A comma separated list.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.text(name).map(split).unwrap_or_default()
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

    /// A moment in RFC 3339.
    pub(super) fn moment(&self, name: &str) -> Result<Option<Millis>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let moment = Millis::parse_rfc3339(text);
        moment.map(Some).ok_or_else(|| ApiError::InvalidParameter(format!("{name} must be a time like 2026-01-31T12:00:00Z.")))
    }

    /// A switch: `1`, `true` or the bare name.
    pub(super) fn switch(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| matches!(value.trim(), "" | "1" | "true"))
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
pub(super) fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
