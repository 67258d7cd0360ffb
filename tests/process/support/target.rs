//! Somebody else's server: webhooks are forwarded to it, browsers load a page from it.

use std::{
    io::{BufReader, Write as _},
    net::TcpListener,
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
                let Some(request) = stream.try_clone().ok().and_then(|stream| read(&mut BufReader::new(stream))) else { continue };
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

fn read(stream: &mut impl std::io::BufRead) -> Option<Got> {
    let (mut headers, mut line) = (Vec::new(), String::new());
    stream.read_line(&mut line).ok()?;
    let first = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut got = Got { line: first, headers, body: Vec::new() };
    got.body = vec![0; got.header("content-length").parse().unwrap_or_default()];
    stream.read_exact(&mut got.body).ok()?;
    Some(got)
}
