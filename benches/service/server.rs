//! A server under test: a process of its own on cores of its own, stopped when it is dropped.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::setup::{SECRET, Setup};

/// How long a server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pause between two tries to reach it.
const RETRY: Duration = Duration::from_micros(200);

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Server {
    /// Ringback as it is shipped, on the store in this file.
    pub(crate) fn ringback(setup: &Setup, cores: &str, store: &Path) -> anyhow::Result<Self> {
        Self::ringback_on(setup, cores, &format!("sqlite:{}", store.display()))
    }

    /// The same on the store with this URL.
    pub(crate) fn ringback_on(setup: &Setup, cores: &str, url: &str) -> anyhow::Result<Self> {
        Self::ringback_with(setup, cores, url, &[])
    }

    /// The same with more variables.
    pub(crate) fn ringback_with(setup: &Setup, cores: &str, url: &str, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = pinned(cores, &setup.ringback);
        command
            .env_clear()
            .env("PORT", port.to_string())
            .env("DATABASE_URL", url)
            .env("VAPI_WEBHOOK_SECRET", SECRET)
            .env("LOG_FORMAT", "json")
            .envs(variables.iter().copied())
            .current_dir(&setup.scratch);
        Self::start(command, port, &setup.choice.log)
    }

    /// The floor, serving these files.
    pub(crate) fn floor(setup: &Setup, cores: &str, files: &[&Path]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = pinned(cores, &std::env::current_exe()?);
        command.arg("floor").arg(port.to_string()).args(files);
        Self::start(command, port, &setup.choice.log)
    }

    /// The peer, unless it is to be left out.
    pub(crate) fn peer(setup: &Setup, cores: &str) -> anyhow::Result<Option<Self>> {
        if setup.choice.without_peer {
            return Ok(None);
        }
        let port = free_port()?;
        let mut command = pinned(cores, Path::new("node"));
        command
            .arg(&setup.peer)
            .env("PORT", port.to_string())
            .env("SECRET", SECRET)
            .env("LOG", &setup.choice.log)
            .env("NODE_ENV", "production");
        Self::start(command, port, &setup.choice.log).map(Some)
    }

    /// Starts a server and waits until it takes connections.
    fn start(mut command: Command, port: u16, log: &Path) -> anyhow::Result<Self> {
        let log = File::options().append(true).create(true).open(log)?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("a server can't be started")?;
        let mut server = Self { child, port };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("a server ended with {status} before it listened; --log FILE shows why");
            }
            if Instant::now() > deadline {
                bail!("a server does not listen; --log FILE shows why");
            }
            std::thread::sleep(RETRY);
        }
        Ok(server)
    }

    /// The body of a 200, asked for on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let head = answer.windows(4).position(|part| part == b"\r\n\r\n").context("an answer has no head")?;
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            bail!("GET {path}: {}", String::from_utf8_lossy(&answer));
        }
        Ok(answer.split_off(head + 4))
    }

    /// KB of memory that it holds.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// The processor time it has used.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let mut time = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end while we look.
            let schedule = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            time += Duration::from_nanos(schedule.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default());
        }
        Ok(time)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A command that runs on these cores only.
fn pinned(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}
