//! `ringback openapi`: the OpenAPI 3.1 document on stdout.

use std::process::ExitCode;

use super::{failed, print};
use crate::http;

pub(super) fn run() -> ExitCode {
    match http::openapi().to_pretty_json() {
        Ok(document) => print(document, ExitCode::SUCCESS),
        Err(error) => failed(&error.to_string()),
    }
}
