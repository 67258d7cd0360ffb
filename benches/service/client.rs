//! A connection that is kept open, as pollers and Vapi's senders keep it.

use std::net::Ipv4Addr;

use anyhow::{Context as _, bail, ensure};
use ringback::{
    clock::Clock,
    simulate::sign::{self, Auth},
};
use secrecy::SecretString;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::setup::SECRET;

/// Where reports go at Ringback and at the peer.
pub(crate) const WEBHOOK: &str = "/api/v1/vapi/webhook";

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// Reads an answer, which must be 200 or 201.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<()> {
        self.buffer.clear();
        let head = loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed a connection");
            if let Some(end) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        };
        let length: usize = text.lines().find_map(field).context("an answer has no length")?;
        let is_ok = ["HTTP/1.1 200 ", "HTTP/1.1 201 "].iter().any(|ok| text.starts_with(ok));
        while self.buffer.len() < head + length {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server cut an answer");
        }
        if !is_ok {
            bail!("a server answered {}", String::from_utf8_lossy(&self.buffer));
        }
        Ok(())
    }

    /// The body of the last answer.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        let said = self.said();
        let (_, body) = said.split_once("\r\n\r\n").context("an answer has no body")?;
        Ok(serde_json::from_str(body)?)
    }

    /// The last answer, head and body.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// What comes next, up to an empty line: of a stream, an event, and perhaps the length of its chunk before it.
    pub(crate) async fn block(&mut self) -> anyhow::Result<String> {
        let mut looked_at = 0_usize;
        loop {
            let begin = looked_at.saturating_sub(1);
            if let Some(at) = self.buffer[begin..].windows(2).position(|part| part == b"\n\n") {
                let rest = self.buffer.split_off(begin + at + 2);
                return Ok(String::from_utf8(std::mem::replace(&mut self.buffer, rest))?);
            }
            looked_at = self.buffer.len();
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "a stream ended");
        }
    }

    /// Sends a request and reads the answer, which must be 200 or 201.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.send(request).await?;
        self.receive().await
    }
}

/// A GET.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// A POST of a body that proves nothing.
pub(crate) fn unsigned(path: &str, body: &[u8]) -> Vec<u8> {
    post(path, body, Vec::new())
}

/// A webhook, signed this moment as Vapi's HMAC credential does.
pub(crate) fn webhook(body: &[u8]) -> Vec<u8> {
    post(WEBHOOK, body, sign::headers(Auth::Hmac, &SecretString::from(SECRET), body, Clock::System.now()))
}

fn post(path: &str, body: &[u8], headers: Vec<(&'static str, String)>) -> Vec<u8> {
    let length = body.len();
    let mut head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", &value, "\r\n"]);
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}
