//! Vapi's settings: assistants, phone numbers, the organisation. Read and changed by `ringback doctor`.

use hyper::body::Bytes;
use reqwest::{Method, StatusCode, header::DATE};
use serde_json::Value;

use super::{NoAnswer, VapiClient, Whole, answer};
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
        let limit: Vec<_> = limit.map(|limit| ("limit", limit.to_string())).into_iter().collect();
        of(self.ask("settings", self.shared.request(Method::GET, path, &limit)).await)
    }

    /// Changes the named fields of an object: `PATCH /{path}`. Answers with the object as it is then.
    ///
    /// # Errors
    /// [`SettingError`] when there is no usable answer; then it is unknown whether it was changed.
    pub async fn set(&self, path: &[&str], fields: &Value) -> Result<Setting, SettingError> {
        of(self.ask("change_settings", self.shared.request(Method::PATCH, path, &[]).json(fields)).await)
    }
}

fn of(outcome: Result<Whole, NoAnswer>) -> Result<Setting, SettingError> {
    let whole = outcome.map_err(|error| SettingError::Failed(error.to_string()))?;
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
