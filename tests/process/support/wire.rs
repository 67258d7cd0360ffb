//! HTTP as bytes on a socket, so that a story can send what no client library would.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::messages::{Message, WEBHOOK};

/// An answer that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(45);

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    /// Bytes that came behind the last answer.
    ahead: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's text, `""` if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find_map(|(known, value)| (known == name).then_some(value.as_str())).unwrap_or_default()
    }

    /// The body, `null` when it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Status and `code` of the envelope.
    pub(crate) fn verdict(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

impl Wire {
    pub(crate) fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, ahead: Vec::new() })
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends nothing more.
    pub(crate) fn finish(&self) {
        // A connection that the other side has closed is finished, too.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Sends a request and takes its answer.
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        self.send(request(method, path, headers, body))?;
        self.answer()
    }

    /// Posts a webhook and takes its answer.
    pub(crate) fn deliver(&mut self, message: &Message) -> io::Result<Answer> {
        let proof = message.proof();
        let headers: Vec<(&str, &str)> = proof.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.ask("POST", WEBHOOK, &headers, &message.body)
    }

    /// The next answer.
    ///
    /// `UnexpectedEof`: the connection was closed before it was whole.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let end = self.fill_until(|bytes| find(bytes, b"\r\n\r\n"))?;
        let head = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
        self.ahead.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, head.clone()))?;
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let mut answer = Answer { status, headers: lines.filter_map(field).collect(), body: Vec::new() };
        if let Ok(length) = answer.header("content-length").parse::<usize>() {
            self.fill_until(|bytes| (bytes.len() >= length).then_some(0))?;
            answer.body = self.ahead.drain(..length).collect();
        }
        Ok(answer)
    }

    /// Everything until the other side closes, at most `limit` bytes; also when it resets.
    pub(crate) fn rest(&mut self, limit: u64) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.ahead);
        let _ = (&self.stream).take(limit).read_to_end(&mut rest);
        rest
    }

    /// Has the other side closed, within `patience`? What still comes is thrown away.
    pub(crate) fn is_closed_within(&mut self, patience: Duration) -> bool {
        self.stream.set_read_timeout(Some(patience)).expect("a timeout");
        let mut scrap = [0; 4_096];
        loop {
            match self.stream.read(&mut scrap) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    }

    fn fill_until<T>(&mut self, found: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
        let mut chunk = [0; 16_384];
        loop {
            if let Some(found) = found(&self.ahead) {
                return Ok(found);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.ahead.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A request as bytes, with the length of its body.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    if method == "POST" || !body.is_empty() {
        request.extend(["content-type: application/json\r\ncontent-length: ", &body.len().to_string(), "\r\n"]);
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    request
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
