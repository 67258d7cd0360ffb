//! A running `ringback serve`.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, ChildStderr},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    messages::Message,
    program::{code_of, send},
    soon,
    wire::{Answer, Wire},
};

/// A service that is not up by then never will be. Long, because debug builds share their cores.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A running service; killed when dropped.
pub(crate) struct Service {
    child: Child,
    log: Arc<Log>,
    address: SocketAddr,
    /// From the start of the process to its start line.
    pub(crate) started_in: Duration,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<String>,
    ended: bool,
}

impl Log {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(self: Arc<Self>, stderr: ChildStderr) {
        thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n') {
                let Ok(line) = line else { break };
                self.lines().all.push(String::from_utf8_lossy(&line).into_owned());
                self.more.notify_all();
            }
            self.lines().ended = true;
            self.more.notify_all();
        });
    }

    /// The address in the start line, or what was said instead of one.
    fn address(&self) -> Result<SocketAddr, String> {
        let begun = Instant::now();
        let mut lines = self.lines();
        loop {
            if let Some(address) = lines.all.iter().find_map(|line| address_in(line)) {
                return Ok(address);
            }
            if lines.ended || begun.elapsed() > START_PATIENCE {
                return Err(lines.all.join("\n"));
            }
            lines = self.more.wait_timeout(lines, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The address of a start line, in JSON or as text.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening").and_then(|(_, rest)| rest.split_once("http://"))?;
    rest.split('"').next()?.parse().ok()
}

impl Service {
    /// The service that `child` becomes once it listens.
    pub(crate) fn listening(child: Child) -> Self {
        Self::try_listening(child).unwrap_or_else(|log| panic!("the service does not start:\n{log}"))
    }

    /// The same; what it said when it never listens.
    pub(crate) fn try_listening(mut child: Child) -> Result<Self, String> {
        let begun = Instant::now();
        let log = Arc::new(Log::default());
        Arc::clone(&log).follow(child.stderr.take().expect("stderr is a pipe"));
        match log.address() {
            Ok(address) => Ok(Self { child, log, address, started_in: begun.elapsed() }),
            Err(said) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(said)
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base address, for clients.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A connection of its own.
    pub(crate) fn wire(&self) -> Wire {
        Wire::to(self.address).unwrap_or_else(|error| panic!("no connection: {error}\n{}", self.said()))
    }

    /// GET over a connection of its own.
    pub(crate) fn read(&self, path: &str) -> Answer {
        self.wire().ask("GET", path, &[], b"").unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.said()))
    }

    /// Posts a webhook over a connection of its own.
    pub(crate) fn post(&self, message: &Message) -> Answer {
        self.wire().deliver(message).unwrap_or_else(|error| panic!("{message:?}: {error}\n{}", self.said()))
    }

    /// Does it answer, without having panicked?
    pub(crate) fn is_well(&self) {
        let answer = self.read("/livez");
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("ok")), "{}", self.said());
        let said = self.said();
        assert!(!said.contains("panic") && !said.contains("crashed"), "{said}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// Ends it as a power cut does, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// Ends it politely and expects it to go well.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.code_within(Duration::from_secs(10)), 0, "{}", self.said());
    }

    /// The exit code of a service that ends within `patience`; negative: the signal that ended it.
    pub(crate) fn code_within(&mut self, patience: Duration) -> i32 {
        let mut status = None;
        let ended = soon(patience, || {
            status = self.child.try_wait().expect("the child is ours");
            status.is_some()
        });
        assert!(ended, "still there after {patience:?}:\n{}", self.said());
        // The last lines may still be in the pipe.
        soon(Duration::from_secs(2), || self.log.lines().ended);
        status.map_or(i32::MIN, code_of)
    }

    /// What it logged so far, as text.
    pub(crate) fn said(&self) -> String {
        self.log.lines().all.join("\n")
    }

    /// What it logged so far, line by line, as JSON.
    pub(crate) fn log(&self) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in log line {line}"));
        self.log.lines().all.iter().map(parse).collect()
    }

    /// Waits for a log line with these words.
    pub(crate) fn says(&self, words: &str) -> bool {
        soon(Duration::from_secs(10), || self.said().contains(words))
    }

    /// Memory in use, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        self.status_field("VmRSS:")
    }

    /// Memory that it allocated and holds now, in KiB, without the pages of the program itself.
    pub(crate) fn allocated(&self) -> u64 {
        self.status_field("RssAnon:")
    }

    /// The most memory it ever used, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status_field("VmHWM:")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn status_field(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process lives");
        let field = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
        field.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
