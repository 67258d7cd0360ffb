//! Servers of the tests' own, each run by a shell that cleans up after it.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
    thread::sleep,
    time::{Duration, Instant},
};

/// A server takes no longer to start.
pub(crate) const START_PATIENCE: Duration = Duration::from_mins(1);

/// A shell that runs a server. What it started ends with this value, or with the process: then its input ends.
pub(crate) struct Shell {
    /// Where the server keeps its things, and its `log`.
    pub(crate) folder: PathBuf,
    talk: Mutex<(Child, Option<ChildStdin>, BufReader<ChildStdout>)>,
}

impl Shell {
    /// Runs a script that says the name of its folder as soon as the server is on its way, then `done` after each word that it is told.
    pub(crate) fn run(script: &str, arguments: &[&OsStr]) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, mut said) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut folder = String::new();
        said.read_line(&mut folder).unwrap();
        assert!(!folder.is_empty(), "the server could not be prepared: are initdb and openssl installed?");
        Self { folder: PathBuf::from(folder.trim()), talk: Mutex::new((child, input, said)) }
    }

    /// Tells it a word; returns when that is done, or begun.
    pub(crate) fn tell(&self, word: &str) {
        let mut talk = self.talk.lock().unwrap();
        writeln!(talk.1.as_mut().unwrap(), "{word}").unwrap();
        let mut answer = String::new();
        talk.2.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits until the server listens.
    pub(crate) fn listens(&self, port: u16) {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < START_PATIENCE, "the server does not start:\n{}", self.log());
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let mut talk = self.talk.lock().unwrap();
        drop(talk.1.take());
        let _ = talk.0.wait();
    }
}

/// A port of this machine that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
