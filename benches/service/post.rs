//! Load for POST: a closed loop of connections, each report about another call and signed when it is sent.
//!
//! wrk can't do this: a few seconds take more different 60 KB bodies than its scripts can hold, and Lua is too slow to sign them.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use ringback::{
    clock::Clock,
    simulate::sign::{self, Auth},
};
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    report::{self, Template},
    server::Server,
    setup::{SECRET, Setup},
    stats::{self, Run},
};

/// Where reports go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// The path.
    pub(crate) path: &'static str,
    /// Does it check a signature? The floor does not, and must not wait for ours.
    pub(crate) signed: bool,
}

/// The route of Ringback and of the peer.
pub(crate) const WEBHOOK: Target = Target { path: "/api/v1/vapi/webhook", signed: true };
/// The floor.
pub(crate) const FLOOR: Target = Target { path: "/", signed: false };

/// Puts load on `server` for a while.
pub(crate) async fn load(
    setup: &Setup,
    server: &Server,
    target: Target,
    template: &Arc<Template>,
    connections: usize,
) -> anyhow::Result<Run> {
    let (run, next) = (setup.next_run(), Arc::new(AtomicU64::new(0)));
    let before = server.cpu_seconds()?;
    let started = Instant::now();
    let until = started + Duration::from_secs(setup.seconds);
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (template, next, port) = (Arc::clone(template), Arc::clone(&next), server.port);
        senders.spawn(async move {
            let mut connection = Connection::open(port).await?;
            let mut latencies = Vec::new();
            while Instant::now() < until {
                let id = report::id(run, next.fetch_add(1, Ordering::Relaxed));
                let request = request(target, &template, &id);
                let sent = Instant::now();
                connection.exchange(&request, 200).await?;
                latencies.push(sent.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(sender) = senders.join_next().await {
        latencies.extend(sender??);
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu = server.cpu_seconds()? - before;
    latencies.sort_unstable();
    let requests = latencies.len() as f64;
    Ok(Run {
        rate: requests / seconds,
        p50: stats::percentile(&latencies, 50),
        p99: stats::percentile(&latencies, 99),
        cpu: cpu / requests,
    })
}

/// A whole request: head and body.
pub(crate) fn request(target: Target, template: &Template, id: &str) -> Vec<u8> {
    let body = template.about(id);
    let mut request =
        format!("POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", target.path, body.len());
    if target.signed {
        for (name, value) in sign::headers(Auth::Hmac, &SecretString::from(SECRET), &body, Clock::System.now()) {
            request.extend([name, ": ", &value, "\r\n"]);
        }
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend(body);
    request
}

/// A connection that is kept open.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request and reads the answer, which must have this status; its body has so many bytes.
    pub(crate) async fn exchange(&mut self, request: &[u8], status: u16) -> anyhow::Result<usize> {
        self.send(request).await?;
        self.receive(status).await
    }

    /// Sends a request.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// Reads an answer.
    pub(crate) async fn receive(&mut self, status: u16) -> anyhow::Result<usize> {
        self.buffer.clear();
        let head = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed a connection");
            }
            if let Some(end) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head])?.to_ascii_lowercase();
        let found: u16 = text.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an answer has no status")?;
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let length: usize = length.context("an answer has no length")?;
        while self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server cut an answer");
            }
        }
        if found != status {
            bail!("expected {status}, got {}", String::from_utf8_lossy(&self.buffer));
        }
        Ok(length)
    }
}
