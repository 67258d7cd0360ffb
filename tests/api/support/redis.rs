//! Redis servers of the tests' own, made of the system's package: in a folder of their own, on a free port, as safe as in production.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use redis::aio::MultiplexedConnection;
use ringback::store::{
    Store,
    redis::{RedisOptions, RedisStore},
    sqlite::Migrate,
};

/// What everybody needs to get in. Special characters must survive the URL.
pub(crate) const PASSWORD: &str = "p@ss:w/rd%";
const PASSWORD_IN_URL: &str = "p%40ss%3Aw%2Frd%25";
/// A server takes no longer to start.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// Starts the server, does what it is told line by line, and cleans up when the tests are gone, however they went: then its input ends.
/// `$1`: the port. The others go to the server.
const SCRIPT: &str = r#"
set -eu
umask 077
folder=$(mktemp -d "${TMPDIR:-/tmp}/ringback-redis.XXXXXX")
cd "$folder"
port=$1
shift
start() {
    setpriv --pdeathsig TERM -- redis-server --bind 127.0.0.1 --port "$port" --dir "$folder" --databases 1000 --save '' \
        --appendonly yes --appendfsync always "$@" >>"$folder/log" 2>&1 &
    server=$!
}
start "$@"
echo "$folder"
while read -r word; do
    case $word in
    start) start "$@" ;;
    stop) kill -TERM "$server" ;;
    crash) kill -KILL "$server" ;;
    freeze) kill -STOP "$server" ;;
    thaw) kill -CONT "$server" ;;
    esac
    case $word in stop | crash) wait "$server" || : ;; esac
    echo done
done
kill -CONT "$server" 2>/dev/null || :
kill -TERM "$server" 2>/dev/null || :
wait "$server" || :
rm -rf "$folder"
"#;

/// A server. It ends with this value, or with the process.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: PathBuf,
    shell: Mutex<(Child, Option<ChildStdin>, BufReader<ChildStdout>)>,
    databases: AtomicUsize,
}

/// One of the databases of a server, used by nobody else.
pub(crate) struct Database {
    pub(crate) number: usize,
    pub(crate) port: u16,
}

/// Is there a server to be had? If not, that is an error unless somebody said so.
fn is_installed() -> bool {
    if std::env::var_os("RINGBACK_SKIP_REDIS").is_some_and(|it| it == "1") {
        eprintln!("!!! RINGBACK_SKIP_REDIS=1: nothing of the Redis store was tested !!!");
        return false;
    }
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "redis-server is not installed: apt-get install redis-server, or RINGBACK_SKIP_REDIS=1 to go without these tests"
    );
    true
}

impl Server {
    /// A server of its own that asks for the password; `None` where the tests go without.
    pub(crate) fn start(more: &[&str]) -> Option<Self> {
        Self::open(&[&["--requirepass", PASSWORD], more].concat())
    }

    /// A server that lets everybody in.
    pub(crate) fn open(more: &[&str]) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(port.to_string())
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(shell.stdout.take().unwrap());
        let mut folder = String::new();
        said.read_line(&mut folder).unwrap();
        let input = shell.stdin.take();
        let shell = Mutex::new((shell, input, said));
        Some(Self { port, folder: PathBuf::from(folder.trim()), shell, databases: AtomicUsize::new(0) })
    }

    /// Tells it to `start`, `stop`, `crash`, `freeze` or `thaw`; returns when that is done, or begun.
    pub(crate) fn tell(&self, word: &str) {
        let mut shell = self.shell.lock().unwrap();
        writeln!(shell.1.as_mut().unwrap(), "{word}").unwrap();
        let mut answer = String::new();
        shell.2.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }

    /// Waits until it answers.
    pub(crate) async fn up(&self) {
        let begin = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(begin.elapsed() < START_PATIENCE, "the server does not start:\n{}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A database that is empty.
    pub(crate) async fn database(&self) -> Database {
        self.up().await;
        Database { number: self.databases.fetch_add(1, Ordering::Relaxed), port: self.port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut shell = self.shell.lock().unwrap();
        drop(shell.1.take());
        let _ = shell.0.wait();
    }
}

/// The server that the tests of this process share.
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&[])).as_ref()
}

/// An empty database on the shared server; `None` where the tests go without.
pub(crate) async fn database() -> Option<Database> {
    Some(shared()?.database().await)
}

impl Database {
    pub(crate) fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// The same database by way of another port, such as a proxy's.
    pub(crate) fn url_by(&self, port: u16) -> String {
        format!("redis://:{PASSWORD_IN_URL}@127.0.0.1:{port}/{}", self.number)
    }

    pub(crate) fn options(&self) -> RedisOptions {
        options(&self.url())
    }

    pub(crate) async fn open(&self) -> Store {
        open(&self.options()).await
    }

    /// A connection that sees the keys as they are.
    pub(crate) async fn raw(&self) -> MultiplexedConnection {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }
}

pub(crate) fn options(url: &str) -> RedisOptions {
    RedisOptions { url: url.into(), root_cert: None, ephemeral_ok: false, max_connections: 3, migrate: Migrate::Auto }
}

pub(crate) async fn open(options: &RedisOptions) -> Store {
    Store::Redis(RedisStore::open(options).await.expect("the store opens"))
}
