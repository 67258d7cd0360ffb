//! `PgBouncer` in front of a server of the tests: connections are lent for one transaction, as over Supabase's port 6543.

use std::path::Path;

use super::postgres::{Database, PASSWORD};
use crate::{
    postgres_server::insisted_on,
    shell::{Shell, free_port},
};

/// Where Debian's package puts it.
const PROGRAM: &str = "/usr/sbin/pgbouncer";
/// Connections to the server for everyone: so few that transactions change places.
const SERVER_CONNECTIONS: u8 = 3;

/// Runs it until its input ends, which it does with the test. `$1`: settings. `$2`: users.
const SCRIPT: &str = r#"
set -eu
folder=$(mktemp -d "${TMPDIR:-/tmp}/ringback-pooler.XXXXXX")
as=
if [ "$(id -u)" = 0 ]; then
    chown postgres "$folder"
    as="setpriv --reuid=postgres --regid=postgres --init-groups --"
fi
cd "$folder"
printf '%s\n' "$1" >settings
printf '%s\n' "$2" >users
$as setpriv --pdeathsig KILL -- /usr/sbin/pgbouncer -q settings >log 2>&1 &
pooler=$!
echo "$folder"
read -r _ || :
kill "$pooler" 2>/dev/null || :
wait "$pooler" || :
rm -rf "$folder"
"#;

/// A pooler. It ends with this value, or with the process.
pub(crate) struct Pooler {
    port: u16,
    _shell: Shell,
}

impl Pooler {
    /// A pooler in front of a database's server; `None` where `PgBouncer` is not installed, and need not be.
    pub(crate) fn before(database: &Database) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            insisted_on("PgBouncer is not installed (apt-get install pgbouncer)");
            return None;
        }
        let port = free_port();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = users\npool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}",
            database.port
        );
        let users = format!("\"ringback\" \"{PASSWORD}\"");
        let shell = Shell::run(SCRIPT, &[settings.as_ref(), users.as_ref()]);
        shell.listens(port);
        Some(Self { port, _shell: shell })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}
