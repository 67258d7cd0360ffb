//! `ringback healthcheck`: is the running service ready? For container health checks.

use std::{process::ExitCode, time::Duration};

use super::failed;
use crate::{
    config::ClientConfig,
    vapi::client::{plain_http, reason},
};

/// A probe that takes longer is a failed one.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) async fn run(config: &ClientConfig) -> ExitCode {
    let url = format!("{}/readyz", config.url);
    let asked = match plain_http() {
        Ok(http) => http.get(&url).timeout(DEADLINE).send().await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(answer) if answer.status().is_success() => ExitCode::SUCCESS,
        Ok(answer) => failed(&format!("{url} answers {}", answer.status().as_u16())),
        Err(error) => failed(&format!("{url} does not answer: {}", reason(error))),
    }
}
