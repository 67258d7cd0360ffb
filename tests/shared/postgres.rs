//! PostgreSQL servers of the tests' own, made of the system's packages: in a folder of their own, on a free port, as safe as in production.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::{
    io::Write as _,
    path::PathBuf,
    process::Command,
    sync::Once,
    time::{Duration, Instant},
};

use crate::shell::{START_PATIENCE, Shell, free_port};

/// Where Debian's packages put the server, a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// With this variable set to 1 whatever needs PostgreSQL is left out where it is not installed.
const SKIP: &str = "RINGBACK_SKIP_POSTGRES";
/// What the server's role `ringback` needs to get in. Special characters must survive the URL.
pub(crate) const PASSWORD: &str = "p@ss:w/rd%";
const PASSWORD_IN_URL: &str = "p%40ss%3Aw%2Frd%25";

/// Starts the server, does what it is told line by line, and cleans up when the tests are gone, however they went: then its input ends.
/// `$1`: the folder of the programs. `$2`: the port. `$3`: `tls` for a certificate of `localhost`, and a root that stands for it;
/// `fast` for a server that need not survive a power cut.
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
certify() {
    key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
    $as openssl req -x509 $key -keyout "$folder/root.key" -out "$folder/root.pem" -days 2 -subj /CN=root
    $as openssl req $key -keyout "$folder/data/server.key" -out "$folder/request" -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE
    $as openssl x509 -req -in "$folder/request" -CA "$folder/root.pem" -CAkey "$folder/root.key" -CAcreateserial -copy_extensions copy \
        -days 2 -out "$folder/data/server.crt"
}
ssl=off
fsync=on
if [ "$3" = fast ]; then
    fsync=off
fi
if [ "$3" = tls ]; then
    certify >>"$folder/log" 2>&1
    ssl=on
fi
start() {
    $as setpriv --pdeathsig QUIT -- "$1/postgres" -D "$folder/data" -p "$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$folder" \
        -c max_connections=300 -c ssl="$ssl" -c fsync="$fsync" >>"$folder/log" 2>&1 &
    server=$!
}
start "$1" "$2"
echo "$folder"
while read -r word; do
    case $word in
    start) start "$1" "$2" ;;
    stop) kill -INT "$server" ;;
    crash) kill -QUIT "$server" ;;
    kill) kill -KILL "$server" $(cat "/proc/$server/task/$server/children") ;;
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
    programs: PathBuf,
    pub(crate) port: u16,
    pub(crate) shell: Shell,
}

/// The folder of the newest server's programs.
pub(crate) fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))).max();
    if let Some((_, bin)) = newest.filter(|(_, bin)| bin.join("postgres").exists()) {
        return Some(bin);
    }
    insisted_on("PostgreSQL's server is not installed (apt-get install postgresql)");
    None
}

/// What is left out is told once.
static TOLD: Once = Once::new();

/// Something is missing. Fails, unless the variable says that this is all right.
pub(crate) fn insisted_on(missing: &str) {
    assert!(std::env::var_os(SKIP).is_some_and(|value| value == "1"), "{missing}; to leave out what needs it, set {SKIP}=1");
    // Past the test harness, which keeps what passing tests print to itself.
    TOLD.call_once(|| drop(writeln!(std::io::stderr(), "\n*** SKIPPED: {missing}, and {SKIP}=1: nothing that needs it was tested ***\n")));
}

impl Server {
    /// A server of its own; `None` where there is none, and that is all right.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// The same; `tls` gives it a certificate, `fast` has it not wait for the disk.
    pub(crate) fn start_with(extra: &str) -> Option<Self> {
        let (programs, port) = (programs()?, free_port());
        let shell = Shell::run(SCRIPT, &[programs.as_os_str(), port.to_string().as_ref(), extra.as_ref()]);
        Some(Self { programs, port, shell })
    }

    /// Tells it to `start`, `stop`, `crash` or `kill` (at once, with all its processes); returns when that is done, or begun.
    pub(crate) fn tell(&self, word: &str) {
        self.shell.tell(word);
    }

    /// Runs statements as somebody who may do everything, each in a transaction of its own, as soon as the server answers; returns what
    /// they say, a line a row.
    pub(crate) fn sql(&self, database: &str, statements: &[&str]) -> String {
        let begin = Instant::now();
        loop {
            let mut psql = Command::new(self.programs.join("psql"));
            psql.args(["--no-psqlrc", "-qtA", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres", "-d", database]);
            psql.args(["-p", &self.port.to_string()]);
            for statement in statements {
                psql.args(["-c", statement]);
            }
            let said = psql.output().unwrap();
            let error = String::from_utf8_lossy(&said.stderr);
            // 2: no connection.
            if said.status.code() != Some(2) {
                assert!(said.status.success(), "{error}");
                return String::from_utf8_lossy(&said.stdout).trim().to_owned();
            }
            assert!(begin.elapsed() < START_PATIENCE, "the server does not start: {error}\n{}", self.shell.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A new database of this name, that role `ringback` owns, whom the server knows from then on; the role may do no more than own it.
    pub(crate) fn create(&self, name: &str) {
        let role = format!(
            "DO $$ BEGIN CREATE ROLE ringback LOGIN PASSWORD '{PASSWORD}'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        );
        self.sql("postgres", &[&role, &format!("CREATE DATABASE {name} OWNER ringback")]);
    }
}

/// The URL of a database on a port of this machine.
pub(crate) fn url_of(name: &str, port: u16) -> String {
    format!("postgres://ringback:{PASSWORD_IN_URL}@127.0.0.1:{port}/{name}")
}
