//! Why a request got no answer, in one line and without its address, which may hold a token.

use std::error::Error;

/// The innermost cause says what a person can act on: nobody listens there, there is no such host, its certificate is not trusted.
pub(super) fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
