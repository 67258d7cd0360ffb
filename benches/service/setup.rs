//! Where things are, and how long and how often is measured.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// The webhook secret of every server under test.
pub(crate) const SECRET: &str = "a-secret-for-benches-only";

/// What all measurements share.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The shipped binary.
    pub(crate) ringback: PathBuf,
    /// The peer's script.
    pub(crate) peer: PathBuf,
    /// The script for wrk.
    pub(crate) wrk_script: PathBuf,
    /// A folder for stores and lists.
    pub(crate) scratch: PathBuf,
    /// Where servers log to.
    pub(crate) log: PathBuf,
    /// Cores of the server, as `taskset -c` takes them.
    pub(crate) server_cores: String,
    /// Cores of whoever makes the load.
    pub(crate) load_cores: String,
    /// Seconds of each run.
    pub(crate) seconds: u64,
    /// Runs of each measurement.
    pub(crate) rounds: usize,
    runs: AtomicU32,
}

impl Setup {
    /// From the environment, with defaults for a machine of four cores.
    pub(crate) fn from_env(ringback: &str) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        let ringback = fs::canonicalize(ringback)?;
        let target = ringback.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
        let scratch = target.join("bench-scratch");
        fs::create_dir_all(&scratch)?;
        let variable =
            |name: &str, default: &str| std::env::vars().find(|(key, _)| key == name).map_or(default.to_owned(), |(_, value)| value);
        Ok(Self {
            peer: folder.join("peer/server.js"),
            wrk_script: folder.join("get.lua"),
            log: PathBuf::from(variable("BENCH_LOG", "/dev/null")),
            server_cores: variable("SERVER_CORES", "0"),
            load_cores: variable("LOAD_CORES", "2,3"),
            seconds: variable("SECONDS_PER_RUN", "3").parse()?,
            rounds: variable("ROUNDS", "10").parse()?,
            runs: AtomicU32::new(0),
            ringback,
            scratch,
        })
    }

    /// A number that no other run has: part of its call ids.
    pub(crate) fn next_run(&self) -> u32 {
        self.runs.fetch_add(1, Ordering::Relaxed)
    }

    /// Threads that make load: one a core.
    pub(crate) fn load_threads(&self) -> usize {
        let cores = self.load_cores.split(',').map(|part| match part.split_once('-') {
            Some((from, to)) => to.parse::<usize>().unwrap_or(0) + 1 - from.parse::<usize>().unwrap_or(0),
            None => 1,
        });
        cores.sum()
    }

    /// A fresh SQLite store under this name.
    pub(crate) fn fresh_store(&self, name: &str) -> anyhow::Result<String> {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let file = self.scratch.join(format!("{name}.db{suffix}"));
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        Ok(self.store(name))
    }

    /// The store under this name.
    pub(crate) fn store(&self, name: &str) -> String {
        format!("sqlite:{}", self.scratch.join(format!("{name}.db")).display())
    }
}
