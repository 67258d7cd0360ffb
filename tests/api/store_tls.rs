//! TLS to the database, as libpq's `sslmode` means it.

#![expect(clippy::panic, reason = "a story stops where it goes wrong")]

use std::path::PathBuf;

use ringback::store::{
    StoreError,
    postgres::{PostgresOptions, PostgresStore, Tls},
};

use crate::support::postgres::{Database, Server, open, options};

/// The name in the server's certificate.
const NAME: &str = "localhost";
/// The same server, by a name that is not in it.
const ADDRESS: &str = "127.0.0.1";

fn by(database: &Database, host: &str, tls: Tls, root_cert: Option<PathBuf>) -> PostgresOptions {
    let url = database.url().replacen(&format!("@{ADDRESS}:"), &format!("@{host}:"), 1);
    PostgresOptions { tls, root_cert, ..options(&url) }
}

async fn refusal(options: &PostgresOptions) -> String {
    match PostgresStore::open(options).await {
        Err(StoreError::Unusable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn connections_are_encrypted_and_verified_as_the_mode_says() {
    let Some(server) = Server::start_with("tls") else { return };
    let database = server.database();
    let root = server.root(&database.name).await;
    let encrypted = "SELECT coalesce(bool_and(ssl), false) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'ringback'";
    let ours = || Some(server.shell.folder.join("root.pem"));
    let another = server.shell.folder.join("data/server.crt");
    for (host, tls, roots, is_encrypted) in [
        (ADDRESS, Tls::Disable, None, false),
        (ADDRESS, Tls::Prefer, None, true),
        (ADDRESS, Tls::Require, None, true),
        (ADDRESS, Tls::Require, ours(), true),
        (ADDRESS, Tls::VerifyCa, ours(), true),
        (NAME, Tls::VerifyFull, ours(), true),
    ] {
        let store = open(&by(&database, host, tls, roots)).await;
        assert_eq!(root.query_one(encrypted, &[]).await.unwrap().get::<_, bool>(0), is_encrypted, "{host} {tls:?}");
        store.close().await.unwrap();
    }
    for (host, tls, roots) in [
        (ADDRESS, Tls::VerifyFull, ours()),
        (ADDRESS, Tls::Require, Some(another.clone())),
        (ADDRESS, Tls::VerifyCa, Some(another)),
        (NAME, Tls::VerifyFull, None),
    ] {
        let why = refusal(&by(&database, host, tls, roots)).await;
        assert!(why.contains("sslmode") || why.contains("sslrootcert"), "{host} {tls:?}: {why}");
    }
}

#[tokio::test]
async fn a_server_that_wants_tls_is_not_talked_to_in_clear_by_chance() {
    let Some(server) = Server::start_with("tls") else { return };
    let database = server.database();
    let rules = server.shell.folder.join("data/pg_hba.conf");
    let strict = std::fs::read_to_string(&rules).unwrap().replace("host all all", "hostssl all all");
    std::fs::write(&rules, strict).unwrap();
    server.root("postgres").await.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    open(&by(&database, ADDRESS, Tls::Prefer, None)).await.close().await.unwrap();
    let why = refusal(&by(&database, ADDRESS, Tls::Disable, None)).await;
    assert!(why.contains("28000"), "{why}");
}
