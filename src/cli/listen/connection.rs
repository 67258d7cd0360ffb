//! The stream of a running service: opened, read, and opened again where it was cut.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode, Url, header};
use tokio::time::{Instant, sleep_until, timeout};

use super::sse::{Event, Parser};
use crate::{
    call::id::CallId,
    cli::service::{Failure, Service, Waited, is_unheard},
};

/// How long the head of an answer may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A service that listens says something every 15 s; a stream that is silent for this long is dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(45);
/// The first pause before a stream is opened again. It doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What is heard next.
pub(super) enum Next {
    /// These events; often none.
    Events(Vec<Event>),
    /// The stream was cut, or could not be opened: it will be tried again.
    Cut(String),
    /// It is open again.
    Again,
    /// The service says that there will be nothing more.
    Over,
}

/// A stream that goes on.
pub(super) struct Connection {
    service: Service,
    url: Url,
    last: Option<String>,
    open: Option<(Response, Parser)>,
    pause: Duration,
    again_at: Instant,
}

impl Connection {
    /// Opens the stream for the first time. Then nothing is tried again: an address or a token may be wrong.
    pub(super) async fn open(service: Service, url: Url, last: Option<String>) -> Result<Self, Failure> {
        let mut connection = Self { service, url, last, open: None, pause: FIRST_PAUSE, again_at: Instant::now() };
        connection.open = connection.ask().await?.map(|answer| (answer, Parser::default()));
        Ok(connection)
    }

    /// Is there a stream at all? If not, the service has said that there is nothing to hear.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Did the service hear nothing of this call yet? No, if it can't be asked.
    pub(super) async fn is_unheard(&self, id: &CallId) -> bool {
        let asked = self.service.result(id, Duration::ZERO).await;
        asked.is_ok_and(|(Waited::Done(data) | Waited::NotDone(data))| is_unheard(&data))
    }

    /// What is heard next. Dropped before it is done, it loses nothing but a try.
    pub(super) async fn next(&mut self) -> Result<Next, Failure> {
        let Some((answer, parser)) = &mut self.open else {
            sleep_until(self.again_at).await;
            return match self.ask().await {
                Ok(Some(answer)) => {
                    self.open = Some((answer, Parser::default()));
                    Ok(Next::Again)
                }
                Ok(None) => Ok(Next::Over),
                Err(failure) if failure.passes => Ok(self.cut(failure.why, failure.patience)),
                Err(failure) => Err(failure),
            };
        };
        let why = match timeout(LONGEST_SILENCE, answer.chunk()).await {
            Ok(Ok(Some(bytes))) => match parser.read(&bytes) {
                Ok(events) => {
                    self.pause = FIRST_PAUSE;
                    if let Some(id) = events.iter().rev().find_map(|event| event.id.as_ref()) {
                        self.last = Some(id.clone());
                    }
                    return Ok(Next::Events(events));
                }
                Err(_too_long) => "a line of the stream has no end",
            },
            Ok(Ok(None)) => "the stream ended",
            Ok(Err(_)) => "the stream was cut",
            Err(_silent) => "the stream is silent",
        };
        Ok(self.cut(why.to_owned(), Duration::ZERO))
    }

    fn cut(&mut self, why: String, patience: Duration) -> Next {
        self.open = None;
        self.again_at = Instant::now() + self.pause.max(patience.min(LONGEST_PAUSE));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Next::Cut(why)
    }

    /// `None`: the service says that there will be nothing to hear.
    async fn ask(&self) -> Result<Option<Response>, Failure> {
        let mut request = self.service.request(Method::GET, self.url.clone()).header(header::ACCEPT, "text/event-stream");
        if let Some(last) = &self.last {
            request = request.header("last-event-id", last);
        }
        let answer = timeout(HEAD_TIMEOUT, self.service.send(request)).await;
        let answer = answer.map_err(|_late| self.service.silent("no answer in time"))??;
        match answer.status() {
            StatusCode::OK if is_stream(&answer) => Ok(Some(answer)),
            StatusCode::NO_CONTENT => Ok(None),
            _ => Err(self.failure(answer).await),
        }
    }

    async fn failure(&self, answer: Response) -> Failure {
        let status = answer.status();
        let seconds = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = timeout(HEAD_TIMEOUT, answer.bytes()).await.ok().and_then(Result::ok).unwrap_or_default();
        let said = serde_json::from_slice(&body).unwrap_or_default();
        Failure { patience: Duration::from_secs(seconds.unwrap_or_default()), ..self.service.refusal(status, &said, "a stream") }
    }
}

fn is_stream(answer: &Response) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/event-stream")
}
