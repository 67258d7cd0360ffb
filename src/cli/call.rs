//! `ringback call`: a call is placed, watched and waited for.
//!
//! On a terminal stderr shows where the line is and what is said; stdout has the result only. Ctrl-C asks whether to hang up: a call goes on
//! by itself, and its result can be had later.

mod live;

use std::{
    io::{IsTerminal as _, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{EXIT_INTERRUPTED, EXIT_TIMED_OUT, Remote, failed, interrupted, reason::reason, result};
use crate::{
    call::id::CallId,
    config::{ClientConfig, Environment},
    vapi::client::plain_http,
};

/// The call ended, but not as a talk.
const EXIT_OTHERWISE: u8 = 3;
/// The service may take this long: Vapi takes its time.
const PLACED_WITHIN: Duration = Duration::from_secs(75);
/// Without an answer the request is sent again, with the same key, so often in all.
const TRIES: usize = 4;
/// After this time.
const PAUSE: Duration = Duration::from_secs(1);
/// One question waits at most this long; proxies cut longer ones.
const LONGEST_QUESTION: Duration = Duration::from_secs(50);

/// What `ringback call` is told.
#[derive(Debug, clap::Args)]
pub(super) struct CallArgs {
    /// File with the call request, or with Vapi's own body, as JSON [default: stdin]
    file: Option<PathBuf>,
    /// Print the call's id and wait for nothing
    #[arg(long)]
    no_wait: bool,
    /// Seconds to wait for the call to be done
    #[arg(long, value_name = "SECONDS", default_value = "1800", value_parser = super::parse::seconds, allow_negative_numbers = true)]
    wait: f64,
    /// Print the whole result as JSON
    #[arg(long)]
    json: bool,
    /// Key under which the call is placed once, however often this is run [default: a new one]
    #[arg(long)]
    idempotency_key: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// A running service, and how to ask it.
struct Service {
    http: Client,
    config: ClientConfig,
}

impl Service {
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1/vapi/calls{path}", self.config.url));
        match &self.config.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }
}

pub(super) async fn run(args: CallArgs, environment: &Environment) -> ExitCode {
    let CallArgs { file, no_wait, wait, json, idempotency_key, remote } = args;
    let config = match remote.resolve(environment) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let body = match body(file) {
        Ok(body) => body,
        Err(why) => return failed(&why),
    };
    let http = match plain_http() {
        Ok(http) => http,
        Err(error) => return failed(&error.to_string()),
    };
    let service = Service { http, config };
    let key = idempotency_key.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let id = match place(&service, &body, &key).await {
        Ok(id) => id,
        Err(why) => return failed(&why),
    };
    if no_wait {
        return print(&json!({"callId": id.as_str(), "status": "initiated"}).to_string(), ExitCode::SUCCESS);
    }
    let stop = interrupted();
    let done = tokio::select! {
        done = wait_for(&service, &id, Duration::from_secs_f64(wait)) => done,
        () = live::show(&service, &id) => return ExitCode::FAILURE,
        () = stop.cancelled() => return interrupt(&service, &id).await,
    };
    match done {
        Ok(Some(data)) => print(&told(&data, json), code_of(&data)),
        Ok(None) => {
            eprintln!("ringback: the call is not done yet; `ringback result {id}` has its result later");
            ExitCode::from(EXIT_TIMED_OUT)
        }
        Err(why) => failed(&why),
    }
}

/// The request, which must be JSON.
fn body(file: Option<PathBuf>) -> Result<String, String> {
    let mut text = String::new();
    match file {
        Some(file) => text = std::fs::read_to_string(&file).map_err(|error| format!("{} can't be read: {error}", file.display()))?,
        None => drop(std::io::stdin().read_to_string(&mut text).map_err(|error| format!("stdin can't be read: {error}"))?),
    }
    serde_json::from_str::<Value>(&text).map_err(|error| format!("the call request is no JSON: {error}"))?;
    Ok(text)
}

/// Places the call. What gets no answer is sent again: the key sees to it that there is one call.
async fn place(service: &Service, body: &str, key: &str) -> Result<CallId, String> {
    let mut why = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            sleep(PAUSE).await;
        }
        let request = service.ask(Method::POST, "").header("idempotency-key", key).header("content-type", "application/json");
        let answer = match request.body(body.to_owned()).timeout(PLACED_WITHIN).send().await {
            Ok(answer) => answer,
            Err(error) => {
                why = format!("{} does not answer: {}", service.config.url, reason(error));
                continue;
            }
        };
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap_or_default();
        match status {
            StatusCode::CREATED | StatusCode::ACCEPTED => {
                return answer["callId"]
                    .as_str()
                    .and_then(|id| CallId::parse(id).ok())
                    .ok_or_else(|| "the answer names no call".to_owned());
            }
            StatusCode::SERVICE_UNAVAILABLE => why = refusal(status, &answer),
            _ => return Err(refusal(status, &answer)),
        }
    }
    Err(why)
}

fn refusal(status: StatusCode, answer: &Value) -> String {
    let message = answer["message"].as_str().unwrap_or("no explanation; is that a Ringback?");
    let details = if answer["details"].is_null() { String::new() } else { format!(" {}", answer["details"]) };
    format!("{}: {message}{details}", status.as_u16())
}

/// The result once the call is done; `None` when that took too long.
async fn wait_for(service: &Service, id: &CallId, wait: Duration) -> Result<Option<Value>, String> {
    let deadline = Instant::now() + wait;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).min(LONGEST_QUESTION);
        match result::ask(&service.http, &service.config, id, left).await {
            Ok((StatusCode::OK, mut answer)) => return Ok(Some(answer["data"].take())),
            Ok(_) if Instant::now() >= deadline => return Ok(None),
            Ok(_) => {}
            Err(failure) if failure.passes && deadline.saturating_duration_since(Instant::now()) > PAUSE => sleep(PAUSE).await,
            Err(failure) => return Err(failure.why),
        }
    }
}

/// Ctrl-C: the call goes on unless somebody at a terminal says otherwise.
async fn interrupt(service: &Service, id: &CallId) -> ExitCode {
    let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if asks && says_yes(interrupted()).await {
        let told = service.ask(Method::POST, &format!("/{id}/cancel")).timeout(PLACED_WITHIN).send().await;
        match told {
            Ok(answer) if answer.status().is_success() => eprintln!("ringback: hung up"),
            Ok(answer) if answer.status() == StatusCode::CONFLICT => eprintln!("ringback: the call has ended"),
            Ok(answer) => eprintln!("ringback: not hung up: {} answers {}", service.config.url, answer.status().as_u16()),
            Err(error) => eprintln!("ringback: not hung up: {}", reason(error)),
        }
    } else {
        eprintln!("ringback: the call goes on; `ringback result {id}` has its result later");
    }
    ExitCode::from(EXIT_INTERRUPTED)
}

/// Asks at the terminal. A second Ctrl-C means no.
async fn says_yes(stop: CancellationToken) -> bool {
    eprint!("\nHang up? [y/N] ");
    let (sender, answer) = tokio::sync::oneshot::channel();
    // A thread of its own: nobody waits for it when the program ends.
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        let _ = sender.send(line);
    });
    tokio::select! {
        line = answer => line.is_ok_and(|line| line.trim().to_lowercase().starts_with('y')),
        () = stop.cancelled() => false,
    }
}

fn code_of(data: &Value) -> ExitCode {
    match data["status"].as_str() {
        Some("completed") => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_OTHERWISE),
    }
}

/// The result, for programs or for people.
fn told(data: &Value, as_json: bool) -> String {
    if as_json {
        return format!("{data:#}");
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().trim().to_owned();
    let seconds = data["durationSeconds"].as_f64().map(|seconds| format!(", {seconds:.0} s")).unwrap_or_default();
    let parts = [
        format!("{}{seconds}", text(&data["status"])),
        text(&data["endedReason"]),
        text(&data["error"]),
        text(&data["analysis"]["summary"]),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn print(line: &str, code: ExitCode) -> ExitCode {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::told;

    #[test]
    fn people_are_told_how_it_ended_and_what_came_of_it() {
        let data = json!({"status": "completed", "durationSeconds": 24.6, "endedReason": "customer-ended-call", "error": "",
            "analysis": {"summary": "They come on Thursday."}});
        assert_eq!(told(&data, false), "completed, 25 s\ncustomer-ended-call\nThey come on Thursday.");
        assert_eq!(told(&json!({"status": "no_answer"}), false), "no_answer");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&told(&data, true)).expect("JSON"), data);
    }
}
