//! PostgreSQL servers of the tests' own, made of the system's packages: in a folder of their own, on a free port, as safe as in production.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ringback::store::{
    Store,
    postgres::{PostgresOptions, PostgresStore, Tls},
    sqlite::Migrate,
};
use tokio_postgres::{Client, NoTls};

use crate::store_support::alongside;

/// Where Debian's packages put the server, a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// What the server's role `ringback` needs to get in. Special characters must survive the URL.
pub(crate) const PASSWORD: &str = "p@ss:w/rd%";
const PASSWORD_IN_URL: &str = "p%40ss%3Aw%2Frd%25";
/// A server takes no longer to start.
const START_PATIENCE: Duration = Duration::from_mins(1);

/// Starts the server, does what it is told line by line, and cleans up when the tests are gone, however they went: then its input ends.
/// `$1`: the folder of the programs. `$2`: the port.
const SCRIPT: &str = r#"
set -eu
umask 077
folder=$(mktemp -d "${TMPDIR:-/tmp}/ringback-postgres.XXXXXX")
as=
if [ "$(id -u)" = 0 ]; then
    chown postgres "$folder"
    as="setpriv --reuid=postgres --regid=postgres --init-groups --"
fi
cd "$folder"
$as "$1/initdb" --pgdata="$folder/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 >"$folder/log" 2>&1
printf 'local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n' >"$folder/data/pg_hba.conf"
start() {
    $as setpriv --pdeathsig QUIT -- "$1/postgres" -D "$folder/data" -p "$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$folder" \
        -c max_connections=300 >>"$folder/log" 2>&1 &
    server=$!
}
start "$1" "$2"
echo "$folder"
while read -r word; do
    case $word in
    start) start "$1" "$2" ;;
    stop) kill -INT "$server" ;;
    crash) kill -QUIT "$server" ;;
    esac
    [ "$word" = start ] || wait "$server" || :
    echo done
done
kill -INT "$server" 2>/dev/null || :
wait "$server" || :
rm -rf "$folder"
"#;

/// A server. It ends with this value, or with the process.
pub(crate) struct Server {
    port: u16,
    folder: PathBuf,
    shell: Mutex<(Child, Option<ChildStdin>, BufReader<ChildStdout>)>,
    databases: AtomicUsize,
}

/// A database of one test.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// The folder of the newest server's programs; `None` when there is none, and nobody insists on one.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))).max();
    if let Some((_, bin)) = newest.filter(|(_, bin)| bin.join("postgres").exists()) {
        return Some(bin);
    }
    let missing = "PostgreSQL's server is not installed, so nothing of the PostgreSQL store was tested: apt-get install postgresql";
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    eprintln!("{missing}");
    None
}

impl Server {
    /// A server of its own; `None` where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let programs = programs()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(programs)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(shell.stdout.take().unwrap());
        let mut folder = String::new();
        said.read_line(&mut folder).unwrap();
        assert!(!folder.is_empty(), "initdb failed");
        let input = shell.stdin.take();
        let shell = Mutex::new((shell, input, said));
        Some(Self { port, folder: PathBuf::from(folder.trim()), shell, databases: AtomicUsize::new(0) })
    }

    /// Tells it to `start`, `stop` or `crash`; returns when that is done, or begun.
    pub(crate) fn tell(&self, word: &str) {
        let mut shell = self.shell.lock().unwrap();
        writeln!(shell.1.as_mut().unwrap(), "{word}").unwrap();
        let mut answer = String::new();
        shell.2.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }

    /// A connection that may do everything.
    pub(crate) async fn root(&self, database: &str) -> Client {
        let url = format!("postgres://postgres@127.0.0.1:{}/{database}?application_name=tests", self.port);
        let begin = std::time::Instant::now();
        loop {
            match tokio_postgres::connect(&url, NoTls).await {
                Ok((client, connection)) => {
                    drop(alongside(connection));
                    return client;
                }
                Err(error) if begin.elapsed() > START_PATIENCE => {
                    let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                    panic!("the server does not start: {error}\n{log}");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// A new database that role `ringback` owns; the role may do no more than own it.
    pub(crate) async fn database(&self) -> Database {
        let root = self.root("postgres").await;
        let role = format!(
            "DO $$ BEGIN CREATE ROLE ringback LOGIN PASSWORD '{PASSWORD}'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        );
        root.batch_execute(&role).await.unwrap();
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        root.batch_execute(&format!("CREATE DATABASE {name} OWNER ringback")).await.unwrap();
        Database { name, port: self.port }
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
    SERVER.get_or_init(Server::start).as_ref()
}

/// A new database on the shared server; `None` where PostgreSQL is not installed.
pub(crate) async fn database() -> Option<Database> {
    Some(shared()?.database().await)
}

impl Database {
    pub(crate) fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// The same database by way of another port, such as a proxy's.
    pub(crate) fn url_by(&self, port: u16) -> String {
        format!("postgres://ringback:{PASSWORD_IN_URL}@127.0.0.1:{port}/{}", self.name)
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        options(&self.url())
    }

    pub(crate) async fn open(&self) -> Store {
        open(&self.options()).await
    }
}

pub(crate) fn options(url: &str) -> PostgresOptions {
    PostgresOptions { url: url.into(), tls: Tls::Prefer, root_cert: None, pooled: false, max_connections: 3, migrate: Migrate::Auto }
}

pub(crate) async fn open(options: &PostgresOptions) -> Store {
    Store::Postgres(PostgresStore::open(options).await.expect("the store opens"))
}
