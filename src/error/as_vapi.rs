//! A failure as Vapi's own REST interface tells it, for the routes that have its shape.
//!
//! Statuses are those that Vapi's clients know. Where Vapi itself refused a call, its status and its words are passed on; only what it says of our
//! key becomes a 502, for it is not the caller's.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;

use super::Failure;

/// What is wrong, in Vapi's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VapiError {
    /// What is wrong: a text, or a list of texts.
    pub message: Value,
    /// The status, in words.
    pub error: String,
    /// The status.
    pub status_code: u16,
}

impl VapiError {
    /// An error of this status.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<Value>) -> Self {
        let error = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { message: message.into(), error, status_code: status.as_u16() }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for VapiError {
    fn into_response(self) -> Response {
        (self.status(), Json(self)).into_response()
    }
}

impl Failure {
    /// The same failure, whose answer has `status`, in Vapi's shape.
    #[must_use]
    pub fn as_vapi(&self, status: StatusCode) -> VapiError {
        match self.code {
            "UNAUTHORIZED" => VapiError::new(
                status,
                "Invalid Key. Send a token of Ringback's API_TOKENS, or the VAPI_API_KEY that Ringback has, as Authorization: Bearer.",
            ),
            "VALIDATION_FAILED" => VapiError::new(StatusCode::BAD_REQUEST, self.faults()),
            "CALL_NOT_FOUND" | "CALL_NOT_READY" | "CALL_DELETED" => VapiError::new(StatusCode::NOT_FOUND, "Call not found"),
            code if code.starts_with("VAPI_") => self.refused(status),
            _ => VapiError::new(status, self.message.as_str()),
        }
    }

    /// What is wrong with a body, one text a field.
    fn faults(&self) -> Vec<String> {
        let faults = self.details.as_ref().and_then(Value::as_array).into_iter().flatten();
        let word = |fault: &Value, key: &str| fault[key].as_str().unwrap_or_default().to_owned();
        faults.map(|fault| format!("{} {}", word(fault, "field"), word(fault, "message")).trim().to_owned()).collect()
    }

    /// What Vapi said, if it is about the request.
    fn refused(&self, status: StatusCode) -> VapiError {
        let details = self.details.as_ref();
        let said = details.and_then(|details| u16::try_from(details["status"].as_u64()?).ok());
        let said = said.and_then(|status| StatusCode::from_u16(status).ok()).filter(|it| it.is_client_error() || it.is_server_error());
        let words = details.map(|details| details["message"].clone()).filter(|words| !words.is_null());
        match said {
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                VapiError::new(StatusCode::BAD_GATEWAY, "Vapi refuses Ringback's own key: its VAPI_API_KEY has to be corrected.")
            }
            Some(said) => VapiError::new(said, words.unwrap_or_else(|| self.message.clone().into())),
            None => VapiError::new(status, words.unwrap_or_else(|| self.message.clone().into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    use super::super::Failure;

    fn told(code: &'static str, status: u16, details: Value) -> (u16, Value) {
        let failure = Failure { code, error: "E".to_owned(), message: "M".to_owned(), call_id: None, details: Some(details) };
        let told = failure.as_vapi(StatusCode::from_u16(status).expect("a status"));
        assert_eq!(told.status().canonical_reason(), Some(told.error.as_str()));
        (told.status_code, told.message)
    }

    #[test]
    fn what_vapi_said_of_a_call_is_passed_on_with_its_status() {
        for (said, status) in [(400, 400), (402, 402), (404, 404), (422, 422), (429, 429), (500, 500), (503, 503)] {
            assert_eq!(told("VAPI_REJECTED", 422, json!({"status": said, "message": ["a", "b"]})), (status, json!(["a", "b"])));
        }
    }

    #[test]
    fn what_vapi_said_of_our_key_is_not_told_as_if_it_were_the_callers() {
        for said in [401, 403] {
            let (status, words) = told("VAPI_ACCOUNT", 502, json!({"status": said, "message": "Invalid Key"}));
            assert!(status == 502 && words.as_str().is_some_and(|words| words.contains("VAPI_API_KEY")), "{words}");
        }
    }

    #[test]
    fn without_an_answer_of_vapis_our_own_status_and_words_stand() {
        assert_eq!(told("VAPI_RATE_LIMITED", 429, json!({"status": null, "message": "too many"})), (429, json!("too many")));
        assert_eq!(told("VAPI_ACCOUNT", 502, Value::Null), (502, json!("M")));
        assert_eq!(told("STORE_UNAVAILABLE", 503, Value::Null), (503, json!("M")));
        // A redirect that Vapi was not meant to give is no status for anybody else.
        assert_eq!(told("VAPI_UNAVAILABLE", 502, json!({"status": 308, "message": null})), (502, json!("M")));
    }

    #[test]
    fn wrong_fields_are_a_bad_request_with_a_text_for_each() {
        let faults = json!([{"field": "customers", "message": "is wrong"}, {"field": "", "message": "Need one."}]);
        assert_eq!(told("VALIDATION_FAILED", 422, faults), (400, json!(["customers is wrong", "Need one."])));
    }

    #[test]
    fn a_call_that_is_not_there_is_not_found_whatever_the_reason() {
        for (code, status) in [("CALL_NOT_FOUND", 404), ("CALL_NOT_READY", 404), ("CALL_DELETED", 410)] {
            assert_eq!(told(code, status, Value::Null), (404, json!("Call not found")));
        }
    }
}
