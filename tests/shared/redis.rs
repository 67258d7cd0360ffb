//! Redis servers of the tests' own, made of the system's package: in a folder of their own, on a free port, as safe as in production.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, Once},
    thread,
    time::{Duration, Instant},
};

/// With this variable set to 1 whatever needs Redis is left out.
const SKIP: &str = "RINGBACK_SKIP_REDIS";
/// What everybody needs to get in. Special characters must survive the URL.
pub(crate) const PASSWORD: &str = "p@ss:w/rd%";
const PASSWORD_IN_URL: &str = "p%40ss%3Aw%2Frd%25";
/// A server takes no longer to start.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// Starts the server, does what it is told line by line, and cleans up when the tests are gone, however they went: then its input ends.
/// `$1`: the port. `$2`: `tls` for a certificate of `localhost`, and a root that stands for it. The others go to the server.
const SCRIPT: &str = r#"
set -eu
umask 077
folder=$(mktemp -d "${TMPDIR:-/tmp}/ringback-redis.XXXXXX")
cd "$folder"
port=$1
tls=$2
shift 2
certify() {
    key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
    openssl req -x509 $key -keyout root.key -out root.pem -days 2 -subj /CN=root
    openssl req $key -keyout server.key -out request -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE
    openssl x509 -req -in request -CA root.pem -CAkey root.key -CAcreateserial -copy_extensions copy -days 2 -out server.crt
}
if [ "$tls" = tls ]; then
    certify >>log 2>&1
    set -- --port 0 --tls-port "$port" --tls-cert-file server.crt --tls-key-file server.key --tls-ca-cert-file root.pem --tls-auth-clients no "$@"
else
    set -- --port "$port" "$@"
fi
start() {
    setpriv --pdeathsig KILL -- redis-server --bind 127.0.0.1 --dir "$folder" --databases 1000 --save '' --appendonly yes \
        --appendfsync always "$@" >>log 2>&1 &
    server=$!
}
start "$@"
echo "$folder"
while read -r word; do
    case $word in
    start) start "$@" ;;
    stop) kill -TERM "$server" ;;
    kill) kill -KILL "$server" ;;
    freeze) kill -STOP "$server" ;;
    thaw) kill -CONT "$server" ;;
    esac
    case $word in stop | kill) wait "$server" || : ;; esac
    echo done
done
kill -KILL "$server" 2>/dev/null || :
wait "$server" || :
rm -rf "$folder"
"#;

/// A server. It ends with this value, or with the process.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) folder: PathBuf,
    shell: Mutex<(Child, Option<ChildStdin>, BufReader<ChildStdout>)>,
}

/// What is left out is told once.
static TOLD: Once = Once::new();

/// Is Redis to be tested? Where it is not installed, somebody has to say that it need not be.
pub(crate) fn is_tested() -> bool {
    if std::env::var_os(SKIP).is_some_and(|value| value == "1") {
        // Past the test harness, which keeps what passing tests print to itself.
        TOLD.call_once(|| drop(writeln!(std::io::stderr(), "\n*** SKIPPED: {SKIP}=1: nothing that needs Redis was tested ***\n")));
        return false;
    }
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "redis-server is not installed (apt-get install redis-server); to leave out what needs it, set {SKIP}=1"
    );
    true
}

impl Server {
    /// A server of its own that asks for the password; `None` where the tests go without. `more` goes to the server.
    pub(crate) fn start(more: &[&str]) -> Option<Self> {
        Self::start_with("", &[&["--requirepass", PASSWORD], more].concat())
    }

    /// A server that asks for no password; `tls` gives it a certificate.
    pub(crate) fn start_with(tls: &str, more: &[&str]) -> Option<Self> {
        if !is_tested() {
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(port.to_string())
            .arg(tls)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(shell.stdout.take().unwrap());
        let mut folder = String::new();
        said.read_line(&mut folder).unwrap();
        assert!(!folder.is_empty(), "no certificate could be made: is openssl installed?");
        let input = shell.stdin.take();
        let server = Self { port, folder: PathBuf::from(folder.trim()), shell: Mutex::new((shell, input, said)) };
        server.up();
        Some(server)
    }

    /// Tells it to `start`, `stop`, `kill`, `freeze` or `thaw`; returns when that is done, or begun.
    pub(crate) fn tell(&self, word: &str) {
        let mut shell = self.shell.lock().unwrap();
        writeln!(shell.1.as_mut().unwrap(), "{word}").unwrap();
        let mut answer = String::new();
        shell.2.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }

    /// Waits until it listens.
    fn up(&self) {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(begin.elapsed() < START_PATIENCE, "the server does not start:\n{}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The URL of a database on a port of this machine.
pub(crate) fn url_of(number: usize, port: u16) -> String {
    format!("redis://:{PASSWORD_IN_URL}@127.0.0.1:{port}/{number}")
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut shell = self.shell.lock().unwrap();
        drop(shell.1.take());
        let _ = shell.0.wait();
    }
}
