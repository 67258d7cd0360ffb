//! `ringback result ID [--wait N]`: the result of a call, on stdout.

use std::{io::Write as _, process::ExitCode, time::Duration};

use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{EXIT_TIMED_OUT, Remote, failed, reason::reason};
use crate::{
    call::id::{CallId, is_placement_id},
    config::{ClientConfig, Environment},
    vapi::client::plain_http,
};

/// One question waits at most this long; proxies cut longer ones.
const LONGEST_QUESTION: Duration = Duration::from_secs(50);
/// An answer may come this much later than the wait that was asked for.
const ANSWER_ROOM: Duration = Duration::from_secs(10);

/// After a failure that may pass, the question is put again this much later.
const PAUSE: Duration = Duration::from_secs(1);

/// What `ringback result` is told.
#[derive(Debug, clap::Args)]
pub(super) struct ResultArgs {
    /// The call's id
    #[arg(value_parser = CallId::parse)]
    id: CallId,
    /// Seconds to wait for the call to be done
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = super::parse::seconds, allow_negative_numbers = true)]
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
        let Failure { why, passes } = match ask(&http, &config, &args.id, left).await {
            Ok((StatusCode::OK, answer)) => return print(&answer["data"], ExitCode::SUCCESS),
            Ok((_, answer)) if Instant::now() >= deadline => return not_done(&args.id, args.wait, &answer["data"]),
            Ok(_) => continue,
            Err(failure) => failure,
        };
        if !passes || deadline.saturating_duration_since(Instant::now()) < PAUSE {
            return failed(&why);
        }
        sleep(PAUSE).await;
    }
}

/// What there is of a call that is not done. Of one that nobody has heard of there is nothing: whoever did not wait for it asked for the wrong one.
fn not_done(id: &CallId, wait: f64, data: &Value) -> ExitCode {
    if !is_unheard(data) {
        return print(data, ExitCode::from(EXIT_TIMED_OUT));
    }
    if is_placement_id(id.as_str()) {
        eprintln!("ringback: nobody knows yet which call placing {id} became; it is looked for. Don't place it again");
        return ExitCode::from(EXIT_TIMED_OUT);
    }
    if wait > 0.0 {
        eprintln!("ringback: nothing was heard of call {id}, so far");
        return ExitCode::from(EXIT_TIMED_OUT);
    }
    failed(&format!("not found: nothing was heard of call {id}. If it is new, wait for it: `ringback result {id} --wait 60`"))
}

/// Did nobody hear of this call yet?
pub(super) fn is_unheard(data: &Value) -> bool {
    data["createdAt"].is_null()
}

/// Why there is no result to tell, and whether that may pass, as a restart does.
pub(super) struct Failure {
    pub(super) why: String,
    pub(super) passes: bool,
}

/// 200 and 202 with their answers; everything else is a failure.
pub(super) async fn ask(http: &Client, config: &ClientConfig, id: &CallId, wait: Duration) -> Result<(StatusCode, Value), Failure> {
    let broken = |why: String| Failure { why, passes: true };
    let url = format!("{}/api/v1/vapi/calls/{id}/result?wait={}", config.url, wait.as_secs_f64());
    let mut request = http.get(url).timeout(wait + ANSWER_ROOM);
    if let Some(token) = &config.token {
        request = request.bearer_auth(token.expose_secret());
    }
    let answer = request.send().await.map_err(|error| broken(format!("{} does not answer: {}", config.url, reason(error))))?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(|error| broken(format!("the answer was cut: {}", reason(error))))?;
    let passes = matches!(status.as_u16(), 429 | 502..=504);
    let code = status.as_u16();
    let Ok(answer) = serde_json::from_slice::<Value>(&body) else {
        return Err(Failure { why: format!("{} answers {code} without JSON; is that a Ringback?", config.url), passes });
    };
    if matches!(status, StatusCode::OK | StatusCode::ACCEPTED) {
        return Ok((status, answer));
    }
    Err(Failure { why: format!("{code}: {}", answer["message"].as_str().unwrap_or("no explanation")), passes })
}

fn print(data: &Value, code: ExitCode) -> ExitCode {
    match writeln!(std::io::stdout(), "{data:#}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
