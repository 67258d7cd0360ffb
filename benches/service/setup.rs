//! Where things are, and how long and how often is measured.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread::available_parallelism,
};

use anyhow::{Context as _, ensure};
use clap::{Parser, builder::PossibleValuesParser};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The webhook secret of every server under test.
pub(crate) const SECRET: &str = "a-secret-for-benches-only";
/// Connections that a loaded server has to serve.
pub(crate) const CONNECTIONS: usize = 64;

/// What can be measured.
const MEASURES: [&str; 13] =
    ["get", "known", "post", "wake", "crowd", "start", "engines", "lists", "numbers", "listen", "tools", "push", "place"];

/// What can be chosen.
#[derive(Debug, Parser)]
#[command(name = "benches/run", about = "Measures the shipped service beside a floor and a peer", disable_help_subcommand = true)]
pub(crate) struct Choice {
    /// What to measure [default: everything]
    #[arg(value_parser = PossibleValuesParser::new(MEASURES))]
    pub(crate) measures: Vec<String>,
    /// Runs of each measurement
    #[arg(long, default_value_t = 10)]
    pub(crate) rounds: usize,
    /// Seconds of each run
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u64,
    /// Calls in the large store
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) known: u32,
    /// Cores of the server for GET and waiting, as taskset takes them
    #[arg(long, default_value = "0")]
    pub(crate) core: String,
    /// Cores of the server for POST [default: all but the last]
    #[arg(long)]
    pub(crate) cores: Option<String>,
    /// Cores of wrk [default: the last]
    #[arg(long)]
    pub(crate) load_cores: Option<String>,
    /// Where the servers log to
    #[arg(long, default_value = "/dev/null")]
    pub(crate) log: PathBuf,
    /// Leave the peer out
    #[arg(long)]
    pub(crate) without_peer: bool,
    /// `cargo bench` says this; it means nothing here
    #[arg(long, hide = true)]
    bench: bool,
}

/// What all measurements share.
#[derive(Debug)]
pub(crate) struct Setup {
    /// What was chosen.
    pub(crate) choice: Choice,
    /// The shipped binary.
    pub(crate) ringback: PathBuf,
    /// The peer's script.
    pub(crate) peer: PathBuf,
    /// The script for wrk.
    pub(crate) wrk_script: PathBuf,
    /// A folder for stores and lists.
    pub(crate) scratch: PathBuf,
    /// Cores of the server for POST.
    pub(crate) server_cores: String,
    /// The last core.
    last: usize,
    /// Cores of whoever makes the load.
    pub(crate) load_cores: String,
    /// How many those are.
    pub(crate) load_threads: usize,
    runs: AtomicU32,
}

impl Setup {
    /// Looks at the machine.
    pub(crate) fn new(choice: Choice, ringback: &str) -> anyhow::Result<Self> {
        let cores = available_parallelism()?.get();
        ensure!(cores > 1, "server and load need a core each");
        let last = cores - 1;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        let ringback = fs::canonicalize(ringback)?;
        let scratch = ringback.with_file_name("bench-scratch");
        fs::create_dir_all(&scratch)?;
        let server_cores = choice.cores.clone().unwrap_or_else(|| format!("0-{}", last - 1));
        let load_cores = choice.load_cores.clone().unwrap_or_else(|| last.to_string());
        let load_threads = count(&load_cores);
        let (peer, wrk_script) = (folder.join("peer/server.js"), folder.join("get.lua"));
        Ok(Self { choice, last, ringback, peer, wrk_script, scratch, server_cores, load_cores, load_threads, runs: AtomicU32::new(0) })
    }

    /// Keeps this process, which sends the webhooks itself, on the last core.
    pub(crate) fn stand_aside(&self) -> anyhow::Result<()> {
        stand(&self.last.to_string())
    }

    /// Lets it run on every core again.
    pub(crate) fn stand_anywhere(&self) -> anyhow::Result<()> {
        stand(&format!("0-{}", self.last))
    }

    /// Is this to be measured?
    pub(crate) fn wants(&self, measure: &str) -> bool {
        self.choice.measures.is_empty() || self.choice.measures.iter().any(|chosen| chosen == measure)
    }

    /// A number that no other run has: part of its call ids.
    pub(crate) fn next_run(&self) -> u32 {
        self.runs.fetch_add(1, Ordering::Relaxed)
    }

    /// The file of the store with this name.
    pub(crate) fn store(&self, name: &str) -> PathBuf {
        self.scratch.join(format!("{name}.db"))
    }

    /// The same, with nothing in it yet.
    pub(crate) fn fresh_store(&self, name: &str) -> anyhow::Result<PathBuf> {
        let store = self.store(name);
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut file = store.clone().into_os_string();
            file.push(suffix);
            if let Err(error) = fs::remove_file(&file)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error.into());
            }
        }
        Ok(store)
    }
}

/// Has all threads of this process run on these cores only.
fn stand(cores: &str) -> anyhow::Result<()> {
    let pinned = Command::new("taskset").args(["-a", "-c", "-p", cores, &std::process::id().to_string()]).output()?;
    ensure!(pinned.status.success(), "taskset: {}", String::from_utf8_lossy(&pinned.stderr));
    Ok(())
}

/// How many cores a list for `taskset -c` names.
fn count(cores: &str) -> usize {
    let one = |part: &str| match part.split_once('-') {
        Some((from, to)) => to.parse::<usize>().unwrap_or(0).saturating_sub(from.parse().unwrap_or(0)) + 1,
        None => 1,
    };
    cores.split(',').map(one).sum()
}

/// Each connection is a file.
pub(crate) fn allow_files(files: u64) -> anyhow::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < files) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum }).context("the hard limit of `ulimit -n` is too low")?;
    }
    Ok(())
}
