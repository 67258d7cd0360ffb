//! A server under test: a process of its own on cores of its own, stopped when it is dropped.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::setup::{SECRET, Setup};

/// How long a server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two tries to reach it.
const RETRY: Duration = Duration::from_micros(500);

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Server {
    /// Ringback as it is shipped, on a store.
    pub(crate) fn ringback(setup: &Setup, port: u16, database: &str) -> anyhow::Result<Self> {
        let mut command = pinned(&setup.server_cores, &setup.ringback);
        command
            .env_clear()
            .envs(std::env::vars().find(|(k, _)| k == "PRELOAD").map(|(_, v)| ("LD_PRELOAD", v)))
            .env("PORT", port.to_string())
            .env("DATABASE_URL", database)
            .env("VAPI_WEBHOOK_SECRET", SECRET)
            .env("LOG_FORMAT", "json")
            .env("RUST_LOG", "info")
            .current_dir(&setup.scratch);
        Self::start(command, port, &setup.log)
    }

    /// The floor, serving these files.
    pub(crate) fn floor(setup: &Setup, port: u16, files: &[&Path]) -> anyhow::Result<Self> {
        let mut command = pinned(&setup.server_cores, &std::env::current_exe()?);
        command.arg("floor").arg(port.to_string()).args(files);
        Self::start(command, port, &setup.log)
    }

    /// The peer.
    pub(crate) fn peer(setup: &Setup, port: u16) -> anyhow::Result<Self> {
        let mut command = pinned(&setup.server_cores, Path::new("node"));
        let log = setup.log.to_str().context("the log's path is no text")?;
        command.arg(&setup.peer).env("PORT", port.to_string()).env("SECRET", SECRET).env("LOG", log).env("NODE_ENV", "production");
        Self::start(command, port, &setup.log)
    }

    fn start(mut command: Command, port: u16, log: &Path) -> anyhow::Result<Self> {
        let log = File::options().append(true).create(true).open(log)?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("a server can't be started")?;
        let mut server = Self { child, port };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("a server ended with {status} before it listened; see its log");
            }
            if Instant::now() > deadline {
                bail!("a server does not listen");
            }
            std::thread::sleep(RETRY);
        }
        Ok(server)
    }

    /// One GET on a connection of its own: status and body.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let head = answer.windows(4).position(|part| part == b"\r\n\r\n").context("an answer has no head")?;
        let status = std::str::from_utf8(&answer[..head])?.split(' ').nth(1).context("an answer has no status")?.parse()?;
        Ok((status, answer.split_off(head + 4)))
    }

    /// Bytes of memory that are its own.
    pub(crate) fn rss(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
    }

    /// Seconds of processor time it has used.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let schedule = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += schedule.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or_default();
        }
        Ok(Duration::from_nanos(nanoseconds).as_secs_f64())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs on these cores only.
fn pinned(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}
