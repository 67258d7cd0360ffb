//! Vapi's settings: assistants, phone numbers, the organisation. Read and changed by `ringback doctor`.

use hyper::body::Bytes;
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE},
};
use serde_json::Value;

use super::{VapiClient, Whole, answer, in_words};
use crate::call::time::Millis;

/// An answer about a setting.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The object, or the list of them.
    pub value: Value,
    /// What time it is at Vapi, to the second, if it says so.
    pub date: Option<Millis>,
}

/// Why there is no setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// 401 or 403.
    #[error("Vapi answered {0}")]
    Denied(u16),
    /// 404.
    #[error("Vapi knows no such object")]
    Missing,
    /// No usable answer; in words of ours.
    #[error("{0}")]
    Failed(String),
}

impl VapiClient {
    /// Reads settings: `GET /{path}`, with `limit` for a list.
    ///
    /// # Errors
    /// [`SettingError`] when there is no usable answer.
    pub async fn setting(&self, path: &[&str], limit: Option<usize>) -> Result<Setting, SettingError> {
        of(self.send("settings", Method::GET, path, (limit, None)).await)
    }

    /// Changes the named fields of an object: `PATCH /{path}`. Answers with the object as it is then.
    ///
    /// # Errors
    /// [`SettingError`] when there is no usable answer; then it is unknown whether it was changed.
    pub async fn set(&self, path: &[&str], fields: &Value) -> Result<Setting, SettingError> {
        of(self.send("change_settings", Method::PATCH, path, (None, Some(fields))).await)
    }

    pub(super) async fn send(
        &self,
        operation: &'static str,
        method: Method,
        path: &[&str],
        (limit, fields): (Option<usize>, Option<&Value>),
    ) -> Result<Whole, String> {
        let shared = &*self.shared;
        shared.limiter.urgent().await;
        let mut url = shared.url.clone();
        // `new` has refused URLs that cannot have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if let Some(limit) = limit {
            url.query_pairs_mut().append_pair("limit", &limit.to_string());
        }
        let request =
            shared.http.request(method, url).header(AUTHORIZATION, shared.authorization.clone()).header(ACCEPT, "application/json");
        let request = match fields {
            Some(fields) => request.header(CONTENT_TYPE, "application/json").body(fields.to_string()),
            None => request,
        };
        let asked = async { shared.whole(request.send().await.map_err(|error| in_words(&error))?).await };
        let outcome = tokio::time::timeout(shared.timeout, asked).await;
        let outcome = outcome.unwrap_or_else(|_late| Err(format!("no whole answer from Vapi within {} s", shared.timeout.as_secs_f32())));
        if let Some(observer) = &self.observer {
            observer(operation, outcome.as_ref().ok().map(|whole| whole.status.as_u16()));
        }
        outcome
    }
}

fn of(outcome: Result<Whole, String>) -> Result<Setting, SettingError> {
    let whole = outcome.map_err(SettingError::Failed)?;
    match whole.status {
        _ if answer::is_page(&whole) => Err(SettingError::Failed(answer::page(whole.status))),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(SettingError::Denied(whole.status.as_u16())),
        StatusCode::NOT_FOUND => Err(SettingError::Missing),
        status if status.is_success() => read(&whole.body, &whole),
        status => Err(SettingError::Failed(answer::refusal(status, &whole.body))),
    }
}

fn read(body: &Bytes, whole: &Whole) -> Result<Setting, SettingError> {
    let value: Value = serde_json::from_slice(body).map_err(|_garbled| SettingError::Failed("Vapi's answer is no JSON".to_owned()))?;
    let date = whole.headers.get(DATE).and_then(|date| jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok());
    Ok(Setting { value, date: date.map(|date| Millis(date.timestamp().as_millisecond())) })
}
