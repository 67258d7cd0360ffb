//! Clients that listen: server-sent events by an ordinary HTTP client, and a WebSocket library.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use ringback::vapi::client::plain_http;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, protocol::CloseFrame},
};

/// What does not come within this time never comes. Long, because debug builds share their cores.
const PATIENCE: Duration = Duration::from_secs(20);
/// What comes after this long was not held back by anything.
const SOON: Duration = Duration::from_millis(300);

/// One event as it came over the wire.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    pub(crate) event: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Heard {
    /// Type and sequence, in short.
    pub(crate) fn brief(&self) -> (String, u64) {
        (self.event.clone(), self.data["sequence"].as_u64().unwrap_or_default())
    }
}

/// A client that listens to server-sent events.
pub(crate) struct Listener {
    answer: reqwest::Response,
    text: String,
    /// Everything that came that is no event: comments and the like.
    pub(crate) other: String,
}

impl Listener {
    /// Opens a stream; `last` is the event it heard last.
    pub(crate) async fn open(url: &str, last: Option<&str>) -> Self {
        let answer = Self::ask(url, last).await;
        assert_eq!(answer.status(), 200, "{url}");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut listener = Self { answer, text: String::new(), other: String::new() };
        // The first thing said tells that it listens.
        while !listener.other.contains("retry: 2000") {
            assert!(listener.more(PATIENCE).await, "it ends before it begins");
            while listener.take().is_some() {}
        }
        listener
    }

    pub(crate) async fn ask(url: &str, last: Option<&str>) -> reqwest::Response {
        let mut request = plain_http().expect("a client").get(url);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().await.expect("an answer")
    }

    /// The next event; `None` when the stream ended.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some(heard) = self.take() {
                return Some(heard);
            }
            if !self.more(PATIENCE).await {
                return None;
            }
        }
    }

    /// The next so many events.
    pub(crate) async fn hear(&mut self, count: usize) -> Vec<Heard> {
        let mut all = Vec::new();
        while all.len() < count {
            all.push(self.next().await.unwrap_or_else(|| panic!("the stream ended after {all:?}")));
        }
        all
    }

    /// Nothing more is said.
    pub(crate) async fn is_quiet(&mut self) {
        let said = timeout(SOON, self.next()).await;
        assert!(said.is_err(), "{said:?}");
    }

    /// The whole rest, up to the end of the stream.
    pub(crate) async fn rest(&mut self) -> Vec<Heard> {
        let mut all = Vec::new();
        while let Some(heard) = self.next().await {
            all.push(heard);
        }
        all
    }

    async fn more(&mut self, patience: Duration) -> bool {
        let chunk = timeout(patience, self.answer.chunk()).await.expect("something is said").expect("the stream is whole");
        self.text.extend(chunk.iter().map(|chunk| std::str::from_utf8(chunk).expect("events are split where they end")));
        chunk.is_some()
    }

    fn take(&mut self) -> Option<Heard> {
        while let Some((block, rest)) = self.text.split_once("\n\n") {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned);
            let (event, id, data) = (field("event"), field("id"), field("data"));
            let block = block.to_owned();
            self.text = rest.to_owned();
            match (event, data) {
                (Some(event), Some(data)) => {
                    let data: Value = serde_json::from_str(&data).expect("data is JSON");
                    assert_eq!(data["type"], event, "{data}");
                    assert_eq!(data["id"].as_str(), id.as_deref(), "{data}");
                    return Some(Heard { event, id, data });
                }
                _ => self.other.extend([&block, "\n"]),
            }
        }
        None
    }
}

/// A client that listens over a WebSocket.
pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens a socket at `/ws` with this query, and perhaps a header.
    pub(crate) async fn open(url: &str, query: &str, header: Option<(&'static str, &str)>) -> Result<Self, u16> {
        let url = format!("{}/api/v1/vapi/ws?{query}", url.replace("http", "ws"));
        let mut request = url.into_client_request().expect("a request");
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("it is taken");
    }

    /// The next event, or how the socket was closed.
    pub(crate) async fn next(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("something is said") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }
}
