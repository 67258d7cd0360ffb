//! A running service, and how commands ask it: with what lets us in, and with words for people where that comes to nothing.

use std::{process::ExitCode, time::Duration};

use reqwest::{Client, IntoUrl, Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{Remote, failed};
use crate::{
    call::id::CallId,
    config::{ClientConfig, Environment},
    vapi::client::{plain_http, reason},
    words::clean,
};

/// One question for a result waits at most this long; proxies cut longer ones.
const LONGEST_QUESTION: Duration = Duration::from_secs(50);
/// An answer may come this much later than the wait that was asked for.
const ANSWER_ROOM: Duration = Duration::from_secs(10);
/// After a failure that may pass, the question is put again this much later.
const PAUSE: Duration = Duration::from_secs(1);

/// A running service.
pub(super) struct Service {
    http: Client,
    config: ClientConfig,
}

/// Why there is no answer that counts.
pub(super) struct Failure {
    /// In words for people.
    pub(super) why: String,
    /// It may pass, as a restart does.
    pub(super) passes: bool,
    /// The service asks for so much patience.
    pub(super) patience: Duration,
}

/// What is known of a call after a wait.
pub(super) enum Waited {
    /// Its result.
    Done(Value),
    /// What there is of a call that is not done.
    NotDone(Value),
}

impl Service {
    /// The one that the command line or the environment names.
    pub(super) fn find(remote: Remote, environment: &Environment) -> Result<Self, ExitCode> {
        Self::new(remote.resolve(environment)?).map_err(|error| failed(&error.to_string()))
    }

    /// Asks nothing yet. Fails when TLS can't be set up.
    pub(super) fn new(config: ClientConfig) -> Result<Self, reqwest::Error> {
        Ok(Self { http: plain_http()?, config })
    }

    /// Its base address.
    pub(super) fn url(&self) -> &str {
        &self.config.url
    }

    /// The address of what is below `/api/v1/vapi`.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}/api/v1/vapi{path}", self.config.url)
    }

    /// A request that shows the token.
    pub(super) fn request(&self, method: Method, address: impl IntoUrl) -> RequestBuilder {
        let request = self.http.request(method, address);
        match &self.config.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// Sends it; the answer's status may be any.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| self.silent(&reason(error)))
    }

    /// Sends it and reads what is answered, which must be JSON; its status may be any.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<(StatusCode, Value), Failure> {
        let answer = self.send(request).await?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| Failure::passing(format!("the answer was cut: {}", reason(error))))?;
        let answer = serde_json::from_slice(&body).map_err(|_page| self.refusal(status, &Value::Null, "JSON"))?;
        Ok((status, answer))
    }

    /// It can't be heard.
    pub(super) fn silent(&self, why: &str) -> Failure {
        Failure::passing(format!("{} does not answer: {why}", self.config.url))
    }

    /// The answer is another than the one that was `wanted`.
    pub(super) fn refusal(&self, status: StatusCode, answer: &Value, wanted: &str) -> Failure {
        let code = status.as_u16();
        let why = match answer["message"].as_str() {
            Some(message) => format!("{code}: {}", clean(message)),
            None => format!("{} answers {code} without {wanted}; is that a Ringback?", self.config.url),
        };
        Failure { why, passes: matches!(code, 429 | 502..=504), patience: Duration::ZERO }
    }

    /// The result of a call, or what there is of one that is not done.
    pub(super) async fn result(&self, id: &CallId, wait: Duration) -> Result<Waited, Failure> {
        let address = self.at(&format!("/calls/{id}/result?wait={}", wait.as_secs_f64()));
        let (status, mut answer) = self.ask(self.request(Method::GET, address).timeout(wait + ANSWER_ROOM)).await?;
        match status {
            StatusCode::OK => Ok(Waited::Done(answer["data"].take())),
            StatusCode::ACCEPTED => Ok(Waited::NotDone(answer["data"].take())),
            _ => Err(self.refusal(status, &answer, "an explanation")),
        }
    }

    /// The same however long the wait, and whatever passes meanwhile.
    pub(super) async fn wait_for(&self, id: &CallId, wait: Duration) -> Result<Waited, Failure> {
        let deadline = Instant::now() + wait;
        let left = || deadline.saturating_duration_since(Instant::now());
        loop {
            match self.result(id, left().min(LONGEST_QUESTION)).await {
                Ok(Waited::NotDone(_)) if !left().is_zero() => {}
                Err(failure) if failure.passes && left() >= PAUSE => sleep(PAUSE).await,
                waited => return waited,
            }
        }
    }
}

impl Failure {
    /// It is not going to pass.
    pub(super) fn for_good(why: String) -> Self {
        Self { why, passes: false, patience: Duration::ZERO }
    }

    fn passing(why: String) -> Self {
        Self { passes: true, ..Self::for_good(why) }
    }
}

/// Did nobody hear of this call yet?
pub(super) fn is_unheard(data: &Value) -> bool {
    data["createdAt"].is_null()
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::{Value, json};

    use super::Service;
    use crate::config::ClientConfig;

    fn refusal(status: StatusCode, answer: &Value) -> (String, bool) {
        let service = Service::new(ClientConfig { url: "http://here".to_owned(), token: None }).expect("a client");
        let failure = service.refusal(status, answer, "JSON");
        (failure.why, failure.passes)
    }

    #[test]
    fn a_refusal_is_told_in_its_own_words_which_steer_no_terminal() {
        let evil = "too\u{1b}[2J\n\u{202e}many\u{200b}";
        assert_eq!(refusal(StatusCode::TOO_MANY_REQUESTS, &json!({"message": evil})), ("429: too [2J  many".to_owned(), true));
        let (why, passes) = refusal(StatusCode::OK, &json!({"message": "x".repeat(10_000)}));
        assert!(why.chars().count() < 500 && !passes, "{why}");
    }

    #[test]
    fn what_a_restart_mends_passes_and_a_stranger_is_called_one() {
        for (status, passes) in [(429, true), (500, false), (502, true), (503, true), (504, true), (401, false), (200, false)] {
            let told = refusal(StatusCode::from_u16(status).expect("a status"), &Value::Null);
            assert_eq!(told, (format!("http://here answers {status} without JSON; is that a Ringback?"), passes));
        }
    }
}
