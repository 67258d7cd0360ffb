//! A command at a terminal of its own, as somebody types at it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use super::{
    program::{Ended, Program, code_of, collected},
    soon,
};

/// What is to be seen is seen by then.
const PATIENCE: Duration = Duration::from_secs(30);
/// Makes the terminal that a command reads from the one that its Ctrl-C comes from.
const WRAPPER: [&str; 2] = ["setsid", "--ctty"];

/// A command that reads from a terminal and shows its messages there; its results go through a pipe. Killed when dropped.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    screen: Arc<Mutex<Vec<u8>>>,
    results: Option<thread::JoinHandle<String>>,
    watcher: Option<thread::JoinHandle<()>>,
}

impl Terminal {
    pub(crate) fn run(program: &Program) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keys).and_then(|()| unlockpt(&keys)).expect("the terminal is ours");
        let name = ptsname(&keys, Vec::new()).expect("it has a name");
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name.as_bytes())).to_owned();
        let side: OwnedFd = rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its other side opens");
        let other = || Stdio::from(side.try_clone().expect("a file more"));
        let mut command = program.clone().under(WRAPPER).command();
        let mut child = command.stdin(other()).stderr(other()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let (results, screen) = (collected(child.stdout.take().expect("it is a pipe")), Arc::<Mutex<Vec<u8>>>::default());
        let keys = File::from(keys);
        let watcher = watch(keys.try_clone().expect("a file more"), Arc::clone(&screen));
        Self { child, keys, screen, results: Some(results), watcher: Some(watcher) }
    }

    /// What was shown so far, with everything that steers the terminal.
    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("no panic")).into_owned()
    }

    /// Waits until these words are shown.
    pub(crate) fn shows(&self, words: &str) {
        assert!(soon(PATIENCE, || self.screen().contains(words)), "{words} is never shown: {:?}", self.screen());
    }

    /// Presses keys.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal is there");
    }

    /// Waits for the command's end; its messages are what was shown.
    pub(crate) fn ended(mut self) -> Ended {
        let mut status = None;
        let ended = soon(PATIENCE, || {
            status = self.child.try_wait().expect("the child is ours");
            status.is_some()
        });
        assert!(ended, "the command hangs: {:?}", self.screen());
        let stdout = self.results.take().map(|results| results.join().expect("no panic")).unwrap_or_default();
        // What was written last may not have been read yet.
        if let Some(watcher) = self.watcher.take() {
            watcher.join().expect("no panic");
        }
        Ended { code: status.map_or(i32::MIN, code_of), stdout, stderr: self.screen() }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads what is shown, until nobody has the other side open any more.
fn watch(mut side: File, screen: Arc<Mutex<Vec<u8>>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut bytes = [0; 4_096];
        while let Ok(length @ 1..) = side.read(&mut bytes) {
            screen.lock().expect("no panic").extend_from_slice(&bytes[..length]);
        }
    })
}
