//! Starting `ringback`, with nothing in its environment but what the story says.

use std::{
    ffi::{OsStr, OsString},
    io::{Read, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{SECRET, home::Home, service::Service, soon};

/// The program as cargo built it for these tests.
pub(crate) const RINGBACK: &str = env!("CARGO_BIN_EXE_ringback");
/// A command that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A run of the program that is being prepared.
#[derive(Clone)]
pub(crate) struct Program {
    folder: PathBuf,
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; negative: the signal that ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// The program in a folder, on a port of its own choice, logging JSON.
    pub(crate) fn in_home(home: &Home) -> Self {
        let program = Self { folder: home.path().to_owned(), wrapper: Vec::new(), arguments: Vec::new(), variables: Vec::new() };
        program.set("PORT", "0").set("LOG_FORMAT", "json")
    }

    /// The same, taking webhooks with a proof only: the plain secret, or Vapi's HMAC plan. It logs little.
    pub(crate) fn guarded(home: &Home) -> Self {
        Self::in_home(home).set("VAPI_WEBHOOK_SECRET", SECRET).set("RUST_LOG", "warn,ringback::cli=info,ringback::lifecycle=info")
    }

    /// Sets a variable; the last word counts.
    pub(crate) fn set(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Takes a variable away.
    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self
    }

    /// Adds arguments.
    pub(crate) fn with<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Has another program start it, which must put itself in its place (`exec`).
    pub(crate) fn under<S: AsRef<OsStr>>(mut self, wrapper: impl IntoIterator<Item = S>) -> Self {
        self.wrapper = wrapper.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// What is run, with nothing connected yet.
    pub(super) fn command(&self) -> Command {
        let mut words = self.wrapper.iter().cloned().chain([RINGBACK.into()]).chain(self.arguments.iter().cloned());
        let mut command = Command::new(words.next().expect("there is a program to run"));
        command.args(words).current_dir(&self.folder).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Starts the service and waits until it listens.
    pub(crate) fn serve(&self) -> Service {
        Service::listening(self.spawn_service())
    }

    /// Starts the service and waits for nothing.
    pub(crate) fn spawn_service(&self) -> Child {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self) -> Ended {
        self.run_fed("")
    }

    /// Runs a command to its end, with this on its standard input.
    pub(crate) fn run_fed(&self, input: &str) -> Ended {
        Running::of(self.command(), input).ended()
    }

    /// Starts a command that runs beside the story.
    pub(crate) fn begin(&self) -> Running {
        Running::of(self.command(), "")
    }
}

/// A command that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Option<thread::JoinHandle<String>>,
    stderr: Option<thread::JoinHandle<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn of(mut command: Command, input: &str) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        // A program that reads nothing may have closed it.
        let _ = child.stdin.take().expect("it is a pipe").write_all(input.as_bytes());
        let stdout = collected(child.stdout.take().expect("it is a pipe"));
        let stderr = collected(child.stderr.take().expect("it is a pipe"));
        Self { child, stdout: Some(stdout), stderr: Some(stderr) }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        send(&self.child, signal);
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        let mut status = None;
        let ended = soon(PATIENCE, || {
            status = self.child.try_wait().expect("the child is ours");
            status.is_some()
        });
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let said = |pipe: Option<thread::JoinHandle<String>>| pipe.map(|pipe| pipe.join().expect("no panic")).unwrap_or_default();
        let (stdout, stderr) = (said(self.stdout.take()), said(self.stderr.take()));
        let Some(status) = status else { panic!("the command hangs; so far it said {stdout:?} and {stderr:?}") };
        Ended { code: code_of(status), stdout, stderr }
    }
}

/// Everything that comes out of a pipe, from a thread, so that no pipe runs full.
pub(super) fn collected(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8(bytes).expect("the program writes UTF-8")
    })
}

/// Sends a child a signal.
pub(crate) fn send(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("the child takes signals");
}

/// The exit code, or the negative of the signal.
pub(crate) fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}
