//! `ringback openapi`: the OpenAPI 3.1 document on stdout.

use std::{io::Write as _, process::ExitCode};

use super::failed;
use crate::http;

pub(super) fn run() -> ExitCode {
    match http::openapi().to_pretty_json() {
        Ok(document) => match writeln!(std::io::stdout(), "{document}") {
            Ok(()) => ExitCode::SUCCESS,
            // A closed pipe: whoever read has read enough.
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => failed(&error.to_string()),
    }
}
