//! What `listen` does with events beside showing them: posts them on, in their order, and keeps the bodies of webhooks.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    future::pending,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use futures_util::future::BoxFuture;
use reqwest::{Client, Url, header::CONTENT_TYPE};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    clock::Clock,
    simulate::{Auth, sign},
};

/// How long an answer may take: as long as Vapi waits for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// So many wait to be posted at most; then the stream has to wait.
const MOST_WAITING: usize = 256;

#[derive(Deserialize)]
struct Delivery<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
}

/// The webhook's body in an event of `/deliveries`.
pub(super) fn body_of(json: &str) -> Option<&str> {
    serde_json::from_str(json).ok().map(|Delivery { data }| data.body.get())
}

/// A file of webhooks: JSON lines, one body each, as `ringback replay` takes them.
pub(super) struct Recording(File);

impl Recording {
    /// Opens the file to add to it. It holds what people said: only its owner may read it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(Self)
    }

    /// Adds a body. One write: a line is there wholly or not at all.
    pub(super) fn add(&mut self, body: &str) -> io::Result<()> {
        self.0.write_all(format!("{body}\n").as_bytes())
    }
}

/// How a post ended.
pub(super) struct Posted {
    /// The answer's status, or why there is none.
    pub(super) answer: Result<u16, &'static str>,
}

/// Posts what comes, one after the other.
pub(super) struct Forward {
    http: Client,
    url: Url,
    secret: Option<SecretString>,
    auth: Auth,
    waiting: VecDeque<(String, Option<String>)>,
    posting: Option<BoxFuture<'static, Posted>>,
}

impl Forward {
    pub(super) fn new(http: Client, url: Url, secret: Option<SecretString>, auth: Auth) -> Self {
        Self { http, url, secret, auth, waiting: VecDeque::new(), posting: None }
    }

    /// This is to be posted, too. Under Standard Webhooks `id` is the message's.
    pub(super) fn add(&mut self, body: String, id: Option<String>) {
        self.waiting.push_back((body, id));
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    /// How many were not posted to the end.
    pub(super) fn left(&self) -> usize {
        self.waiting.len() + usize::from(self.posting.is_some())
    }

    /// How the next post ended; never, while there is nothing to post. Dropped before it is done, it goes on next time.
    pub(super) async fn next(&mut self) -> Posted {
        if self.posting.is_none() {
            self.posting = self.waiting.pop_front().map(|(body, id)| self.post(body, id));
        }
        let Some(posting) = &mut self.posting else { return pending().await };
        let posted = posting.await;
        self.posting = None;
        posted
    }

    fn post(&self, body: String, id: Option<String>) -> BoxFuture<'static, Posted> {
        let mut request = self.http.post(self.url.clone()).timeout(ANSWER_TIMEOUT).header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.secret {
            let now = Clock::System.now();
            let proof = match id {
                Some(id) => sign::headers_of(self.auth, secret, &id, body.as_bytes(), now),
                None => sign::headers(self.auth, secret, body.as_bytes(), now),
            };
            request = proof.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        }
        Box::pin(async move {
            let answer = request.body(body).send().await.map(|answer| answer.status().as_u16());
            Posted { answer: answer.map_err(|error| if error.is_timeout() { "no answer in time" } else { "no connection" }) }
        })
    }
}
