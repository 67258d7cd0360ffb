//! A request, and its answer, checked for what must be true of every answer.

use std::net::IpAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Request, request},
};
use ringback::http::{Regular, server::Peer};
use tower::ServiceExt as _;

use super::{
    answer::Answer,
    app::{KEY, SECRET, TestApp},
};

/// Texts that may stand in no answer.
const SECRETS: [&str; 2] = [SECRET, KEY];

/// A request as it will be sent.
pub(crate) struct Ask<'a> {
    app: &'a TestApp,
    head: request::Builder,
    body: Body,
    method: String,
    path: String,
}

impl<'a> Ask<'a> {
    /// From this machine.
    pub(super) fn new(app: &'a TestApp, method: &str, path: &str) -> Self {
        let head = Request::builder().method(method).uri(path).header("host", "localhost:8000");
        Self { app, head, body: Body::empty(), method: method.to_owned(), path: path.to_owned() }
    }

    /// Adds a header; `host` is replaced.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if name == "host"
            && let Some(headers) = self.head.headers_mut()
        {
            headers.remove(name);
        }
        self.head = self.head.header(name, value);
        self
    }

    pub(crate) fn headers(self, headers: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        headers.into_iter().fold(self, |ask, (name, value)| ask.header(name, &value))
    }

    /// Shows a token.
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(self, body: impl Into<Body>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Comes from this address.
    pub(crate) fn from(mut self, address: &str) -> Self {
        let address: IpAddr = address.parse().expect("an address");
        self.head = self.head.extension(ConnectInfo(Peer::at(address)));
        self
    }

    /// The answer, checked for what must be true of every answer.
    pub(crate) async fn send(self) -> Answer {
        let (app, method, path) = (self.app, self.method.clone(), self.path.clone());
        let answer = self.send_raw().await;
        app.seen().check(&method, &path, &answer);
        answer
    }

    /// The answer, which may be somebody else's; it tells no secret. Streams are read to their end.
    pub(crate) async fn send_raw(self) -> Answer {
        let is_ours = !self.path.starts_with("/vapi/stream");
        let request = self.head.body(self.body).expect("a request");
        let response = Regular(self.app.app().router()).oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let is_endless = is_ours && parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let body = if is_endless { Body::empty() } else { body };
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, bytes };
        for secret in SECRETS {
            let shown =
                answer.text().contains(secret) || answer.headers.values().any(|value| value.to_str().unwrap_or("").contains(secret));
            assert!(!shown, "{} {} tells a secret", self.method, self.path);
        }
        answer
    }
}
