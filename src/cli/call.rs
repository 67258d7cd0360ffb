//! `ringback call`: a call is placed, watched and waited for.
//!
//! On a terminal stderr shows where the line is and what is said; stdout has the result only. Ctrl-C asks whether to hang up: a call goes on
//! by itself, and its result can be had later.

mod live;

use std::{
    io::{IsTerminal as _, Read as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    EXIT_INTERRUPTED, EXIT_TIMED_OUT, Remote, failed, interrupted, print,
    service::{Service, Waited},
};
use crate::{call::id::CallId, config::Environment, words::plain};

/// The call ended, but not as a talk.
const EXIT_OTHERWISE: u8 = 3;
/// The service may take this long: Vapi takes its time.
const PLACED_WITHIN: Duration = Duration::from_secs(75);
/// Without an answer the request is sent again, with the same key, so often in all.
const TRIES: usize = 4;
/// After this time.
const PAUSE: Duration = Duration::from_secs(1);

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

pub(super) async fn run(args: CallArgs, environment: &Environment) -> ExitCode {
    let CallArgs { file, no_wait, wait, json, idempotency_key, remote } = args;
    let service = match Service::find(remote, environment) {
        Ok(service) => service,
        Err(code) => return code,
    };
    let body = match body(file) {
        Ok(body) => body,
        Err(why) => return failed(&why),
    };
    let key = idempotency_key.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let id = match place(&service, &body, &key).await {
        Ok(id) => id,
        Err(why) => return failed(&why),
    };
    if no_wait {
        return print(json!({"callId": id.as_str(), "status": "initiated"}), ExitCode::SUCCESS);
    }
    let stop = interrupted();
    let done = tokio::select! {
        done = service.wait_for(&id, Duration::from_secs_f64(wait)) => done,
        () = live::show(&service, &id) => return ExitCode::FAILURE,
        () = stop.cancelled() => return interrupt(&service, &id).await,
    };
    match done {
        Ok(Waited::Done(data)) => print(told(&data, json), code_of(&data)),
        Ok(Waited::NotDone(_)) => {
            eprintln!("ringback: the call is not done yet; `ringback result {id}` has its result later");
            ExitCode::from(EXIT_TIMED_OUT)
        }
        Err(failure) => failed(&failure.why),
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

/// Places the call. What gets no answer, or none of a Ringback, is sent again: the key sees to it that there is one call.
async fn place(service: &Service, body: &str, key: &str) -> Result<CallId, String> {
    let mut why = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            sleep(PAUSE).await;
        }
        let request = service.request(Method::POST, service.at("/calls"));
        let request = request.header("idempotency-key", key).header("content-type", "application/json").body(body.to_owned());
        let (status, answer) = match service.ask(request.timeout(PLACED_WITHIN)).await {
            Ok(answered) => answered,
            Err(failure) if failure.passes => {
                why = failure.why;
                continue;
            }
            Err(failure) => return Err(failure.why),
        };
        match status {
            StatusCode::CREATED | StatusCode::ACCEPTED => {
                return answer["callId"]
                    .as_str()
                    .and_then(|id| CallId::parse(id).ok())
                    .ok_or_else(|| "the answer names no call".to_owned());
            }
            StatusCode::SERVICE_UNAVAILABLE => why = refusal(service, status, &answer),
            _ => return Err(refusal(service, status, &answer)),
        }
    }
    Err(why)
}

fn refusal(service: &Service, status: StatusCode, answer: &Value) -> String {
    let details = if answer["details"].is_null() { String::new() } else { plain(&format!(" {}", answer["details"])) };
    service.refusal(status, answer, "an explanation").why + &details
}

/// Ctrl-C: the call goes on unless somebody at a terminal says otherwise.
async fn interrupt(service: &Service, id: &CallId) -> ExitCode {
    let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if asks && says_yes(interrupted()).await {
        let request = service.request(Method::POST, service.at(&format!("/calls/{id}/cancel")));
        match service.send(request.timeout(PLACED_WITHIN)).await {
            Ok(answer) if answer.status().is_success() => eprintln!("ringback: hung up"),
            Ok(answer) if answer.status() == StatusCode::CONFLICT => eprintln!("ringback: the call has ended"),
            Ok(answer) => eprintln!("ringback: not hung up: {} answers {}", service.url(), answer.status().as_u16()),
            Err(failure) => eprintln!("ringback: not hung up: {}", failure.why),
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
    let text =
        |value: &Value| value.as_str().unwrap_or_default().trim().lines().map(plain).collect::<Vec<_>>().join("\n").trim().to_owned();
    let seconds = data["durationSeconds"].as_f64().map(|seconds| format!(", {seconds:.0} s")).unwrap_or_default();
    let parts = [
        format!("{}{seconds}", text(&data["status"])),
        text(&data["endedReason"]),
        text(&data["error"]),
        text(&data["analysis"]["summary"]),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::told;

    #[test]
    fn words_of_strangers_steer_no_terminal_and_keep_their_lines() {
        let data = json!({"status": "completed", "endedReason": "x\u{202e}y\nz", "analysis": {"summary": "One.\nTwo\u{1b}[2J.\u{200b}"}});
        assert_eq!(told(&data, false), "completed\nx y\nz\nOne.\nTwo [2J.");
    }

    #[test]
    fn people_are_told_how_it_ended_and_what_came_of_it() {
        let data = json!({"status": "completed", "durationSeconds": 24.6, "endedReason": "customer-ended-call", "error": "",
            "analysis": {"summary": "They come on Thursday."}});
        assert_eq!(told(&data, false), "completed, 25 s\ncustomer-ended-call\nThey come on Thursday.");
        assert_eq!(told(&json!({"status": "no_answer"}), false), "no_answer");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&told(&data, true)).expect("JSON"), data);
    }
}
