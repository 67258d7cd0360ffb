//! Redis servers of the tests' own, made of the system's package: in a folder of their own, on a free port, as safe as in production.

use std::{
    ffi::OsStr,
    io::Write as _,
    process::{Command, Stdio},
    sync::Once,
};

use crate::shell::{Shell, free_port};

/// With this variable set to 1 whatever needs Redis is left out.
const SKIP: &str = "RINGBACK_SKIP_REDIS";
/// What everybody needs to get in. Special characters must survive the URL.
pub(crate) const PASSWORD: &str = "p@ss:w/rd%";
const PASSWORD_IN_URL: &str = "p%40ss%3Aw%2Frd%25";

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
    pub(crate) shell: Shell,
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
        let port = free_port();
        let own = [port.to_string(), tls.to_owned()];
        let arguments: Vec<&OsStr> = own.iter().map(OsStr::new).chain(more.iter().map(OsStr::new)).collect();
        let shell = Shell::run(SCRIPT, &arguments);
        shell.listens(port);
        Some(Self { port, shell })
    }

    /// Tells it to `start`, `stop`, `kill`, `freeze` or `thaw`; returns when that is done, or begun.
    pub(crate) fn tell(&self, word: &str) {
        self.shell.tell(word);
    }
}

/// The URL of a database on a port of this machine.
pub(crate) fn url_of(number: usize, port: u16) -> String {
    format!("redis://:{PASSWORD_IN_URL}@127.0.0.1:{port}/{number}")
}
