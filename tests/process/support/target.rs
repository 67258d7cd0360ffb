//! Somebody else's server: webhooks are forwarded to it, browsers load a page from it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

/// What does not come within this time never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Got {
    /// Method and path.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    /// The next request of a connection; none if it is cut.
    pub(crate) fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut next = || {
            let mut line = String::new();
            (reader.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
        };
        let line = next()?.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let mut headers = Vec::new();
        while let Some((name, value)) = next()?.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut got = Self { line, headers, body: Vec::new() };
        got.body = vec![0; got.header("content-length").parse().unwrap_or_default()];
        reader.read_exact(&mut got.body).ok()?;
        Some(got)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find_map(|(known, value)| (known == name).then_some(value.as_str())).unwrap_or_default()
    }
}

/// A server that gives one answer to everything.
pub(crate) struct Target {
    pub(crate) url: String,
    got: mpsc::Receiver<Got>,
}

impl Target {
    /// It answers with this status and nothing else.
    pub(crate) fn answering(status: u16) -> Self {
        Self::serving(status, "")
    }

    /// It answers with a page.
    pub(crate) fn serving(status: u16, page: &str) -> Self {
        let page = page.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (sender, got) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(mut stream) = stream.ok() else { continue };
                let Some(request) = Got::read(&stream) else { continue };
                let length = page.len();
                let head =
                    format!("HTTP/1.1 {status} So\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all([head.as_bytes(), page.as_bytes()].concat().as_slice());
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { url, got }
    }

    /// The next request.
    pub(crate) fn next(&self) -> Got {
        self.got.recv_timeout(PATIENCE).expect("something is forwarded")
    }
}
