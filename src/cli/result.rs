//! `ringback result ID [--wait N]`: the result of a call, on stdout.

use std::{io::Write as _, process::ExitCode, time::Duration};

use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::time::Instant;

use super::{EXIT_TIMED_OUT, Remote, failed};
use crate::{
    call::id::CallId,
    config::{ClientConfig, Environment},
    vapi::client::plain_http,
};

/// One question waits at most this long; proxies cut longer ones.
const LONGEST_QUESTION: Duration = Duration::from_secs(50);
/// An answer may come this much later than the wait that was asked for.
const ANSWER_ROOM: Duration = Duration::from_secs(10);

/// What `ringback result` is told.
#[derive(Debug, clap::Args)]
pub(super) struct ResultArgs {
    /// The call's id
    #[arg(value_parser = CallId::parse)]
    id: CallId,
    /// Seconds to wait for the call to be done
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = super::parse::seconds)]
    wait: f64,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: ResultArgs, environment: &Environment) -> ExitCode {
    let config = match args.remote.resolve(environment) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let http = match plain_http() {
        Ok(http) => http,
        Err(error) => return failed(&error.to_string()),
    };
    let deadline = Instant::now() + Duration::from_secs_f64(args.wait);
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).min(LONGEST_QUESTION);
        let (status, answer) = match ask(&http, &config, &args.id, left).await {
            Ok(answered) => answered,
            Err(why) => return failed(&why),
        };
        match status {
            StatusCode::OK => return print(&answer["data"], ExitCode::SUCCESS),
            StatusCode::ACCEPTED if Instant::now() < deadline => {}
            StatusCode::ACCEPTED => return print(&answer["data"], ExitCode::from(EXIT_TIMED_OUT)),
            status => return failed(&format!("{}: {}", status.as_u16(), answer["message"].as_str().unwrap_or("no explanation"))),
        }
    }
}

async fn ask(http: &Client, config: &ClientConfig, id: &CallId, wait: Duration) -> Result<(StatusCode, Value), String> {
    let url = format!("{}/api/v1/vapi/calls/{id}/result?wait={}", config.url, wait.as_secs_f64());
    let mut request = http.get(url).timeout(wait + ANSWER_ROOM);
    if let Some(token) = &config.token {
        request = request.bearer_auth(token.expose_secret());
    }
    let answer = request.send().await.map_err(|error| format!("{} does not answer: {}", config.url, error.without_url()))?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(|error| format!("the answer was cut: {}", error.without_url()))?;
    serde_json::from_slice(&body)
        .map(|value| (status, value))
        .map_err(|_no_json| format!("{} answers {} without JSON; is that a Ringback?", config.url, status.as_u16()))
}

fn print(data: &Value, code: ExitCode) -> ExitCode {
    match writeln!(std::io::stdout(), "{data:#}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
