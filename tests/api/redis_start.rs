//! Which Redis is used, and which is refused at the start, with what to do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story stops where it goes wrong")]

use redis::cmd;
use ringback::store::{
    Migrate, StoreError,
    redis::{RedisOptions, RedisStore},
};

use crate::{
    store_support::{columns, lookup, put, stored},
    support::redis::{Database, Server, database, open, options, url_of},
};

/// Why the store can't be opened.
async fn refusal(options: &RedisOptions) -> String {
    match RedisStore::open(options).await {
        Err(StoreError::Unusable(why) | StoreError::Behind(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_start_that_can_never_succeed_is_refused_with_what_to_do() {
    let Some(database) = database() else { return };
    let why = refusal(&options(&database.url().replacen("p%40", "q%40", 1))).await;
    assert!(why.contains("WRONGPASS") && !why.contains("ss:w/rd"), "{why}");
    let why = refusal(&options(&format!("redis://127.0.0.1:{}/0", database.port))).await;
    assert!(why.contains("NOAUTH"), "{why}");
    let why = refusal(&options(&url_of(1_000, database.port))).await;
    assert!(why.contains("number"), "{why}");
    let why = refusal(&options("redis://:p%zz@host:x/0")).await;
    assert!(why.contains("percent-encoded"), "{why}");
    let url = format!("rediss://localhost:{}/0", database.port);
    let why = refusal(&RedisOptions { root_cert: Some("/no/such/file".into()), ..options(&url) }).await;
    assert!(why.contains("sslrootcert"), "{why}");
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_took_is_refused_unless_that_is_accepted() {
    for (settings, expected) in [
        (["--appendonly", "no"], "no append-only file"),
        (["--appendfsync", "everysec"], "appendfsync is everysec"),
        (["--no-appendfsync-on-rewrite", "yes"], "no-appendfsync-on-rewrite"),
    ] {
        let Some(server) = Server::start(&settings) else { return };
        let options = server.database().options();
        let why = refusal(&options).await;
        assert!(why.contains(expected) && why.contains("?ephemeral=true"), "{why}");
        open(&RedisOptions { ephemeral_ok: true, ..options }).await.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_evicts_or_refuses_to_be_written_is_refused_in_any_case() {
    let Some(primary) = Server::start(&[]) else { return };
    let of = format!("127.0.0.1 {}", primary.port);
    let replica = Server::start(&["--replicaof", &of, "--masterauth", crate::support::redis::PASSWORD]).unwrap();
    let evicting = Server::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]).unwrap();
    let full = Server::start(&["--maxmemory", "500kb"]).unwrap();
    let careful = Server::start(&["--min-replicas-to-write", "0", "--rename-command", "HSET", ""]).unwrap();
    for (server, expected) in [(&replica, "replica"), (&evicting, "allkeys-lru"), (&full, "OOM"), (&careful, "refuses writes")] {
        for ephemeral_ok in [false, true] {
            let why = refusal(&RedisOptions { ephemeral_ok, ..server.database().options() }).await;
            assert!(why.contains(expected), "{why}");
        }
    }
}

/// The same database, as a user of its own who may do only so much.
pub(crate) async fn as_user(database: &Database, user: &str, rules: &[&str]) -> RedisOptions {
    let mut raw = database.raw().await;
    let basics = ["on", ">a-long-password", "~ringback:*", "&ringback:*", "+@all"];
    let () = cmd("ACL").arg("SETUSER").arg(user).arg(&basics[..]).arg(rules).query_async(&mut raw).await.unwrap();
    options(&format!("redis://{user}:a-long-password@127.0.0.1:{}/{}", database.port, database.number))
}

#[tokio::test]
async fn a_server_that_does_not_let_itself_be_looked_at_is_used_only_if_that_is_accepted() {
    let Some(database) = database() else { return };
    let blind = as_user(&database, "blind", &["-info", "-config"]).await;
    let why = refusal(&blind).await;
    assert!(why.contains("does not tell") && why.contains("?ephemeral=true"), "{why}");
    let store = open(&RedisOptions { ephemeral_ok: true, ..blind }).await;
    put(&store, &stored("call-1"), columns()).await;
    assert!(store.health().await.is_ok());
    let reader = as_user(&database, "reader", &["-@write"]).await;
    let why = refusal(&reader).await;
    assert!(why.contains("NOPERM"), "{why}");
}

#[tokio::test]
async fn a_schema_that_is_behind_waits_for_migrate_and_a_newer_major_is_refused() {
    let Some(database) = database() else { return };
    let check = RedisOptions { migrate: Migrate::Check, ..database.options() };
    let why = refusal(&check).await;
    assert!(why.contains("`ringback migrate`"), "{why}");
    database.open().await.close().await.unwrap();
    open(&check).await.close().await.unwrap();

    let mut raw = database.raw().await;
    for (schema, is_refused) in [(1_999, false), (2_001, true)] {
        let () = cmd("HSET").arg("ringback:meta").arg("schema").arg(schema).query_async(&mut raw).await.unwrap();
        for options in [&check, &database.options()] {
            if is_refused {
                let why = refusal(options).await;
                assert!(why.contains("newer major release") && why.contains("2001"), "{why}");
            } else {
                open(options).await.close().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn over_tls_the_certificate_has_to_be_right() {
    let Some(server) = Server::start_with("tls", &[]) else { return };
    let url = |scheme: &str, host: &str| format!("{scheme}://{host}:{}/0", server.port);
    let root_cert = Some(server.shell.folder.join("root.pem"));
    let store = open(&RedisOptions { root_cert: root_cert.clone(), ..options(&url("rediss", "localhost")) }).await;
    put(&store, &stored("call-1"), columns()).await;
    assert_eq!(lookup(&store, "call-1").await, "found");
    assert!(store.hears_all());
    let why = refusal(&options(&url("rediss", "localhost"))).await;
    assert!(why.contains("no TLS") && why.contains("sslrootcert"), "a root that nobody knows: {why}");
    let why = refusal(&RedisOptions { root_cert, ..options(&url("rediss", "127.0.0.1")) }).await;
    assert!(why.contains("no TLS"), "made out to another name: {why}");
    let plain = open(&options(&url("redis", "localhost"))).await;
    assert!(matches!(plain.health().await, Err(StoreError::Unavailable(_))), "without TLS");
}
