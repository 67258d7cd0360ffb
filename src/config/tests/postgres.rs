//! The URL of a PostgreSQL database.

use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use super::{config, refused, with};
use crate::config::{DatabaseUrl, PostgresUrl, SslMode};

/// The URL under `DATABASE_URL`, and the warnings about it.
fn read(url: &str) -> (PostgresUrl, Vec<String>) {
    let config = with("DATABASE_URL", url);
    match config.store.url {
        DatabaseUrl::Postgres(read) => (read, config.warnings),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_url_is_passed_on_without_what_the_library_does_not_know() {
    for (url, passed) in [
        ("postgres://u:p@db/calls", "postgres://u:p@db/calls"),
        ("postgresql://u:p%40@db:5433/calls?sslmode=require", "postgresql://u:p%40@db:5433/calls"),
        (
            "postgres://u@db/calls?connect_timeout=3&sslmode=disable&application_name=x",
            "postgres://u@db/calls?connect_timeout=3&application_name=x",
        ),
        ("postgres://u@db/calls?schema=public&options=-c%20x%3D1&connection_limit=1", "postgres://u@db/calls?options=-c%20x%3D1"),
        ("postgres:///calls?host=/run/postgresql&user=u", "postgres:///calls?host=/run/postgresql&user=u"),
    ] {
        assert_eq!(read(url).0.url.expose_secret(), passed, "{url}");
    }
}

#[test]
fn an_unknown_parameter_is_named_in_a_warning_if_it_looks_like_a_name() {
    let (_, warnings) = read("postgres://u:p@db/calls?schema=public&Hunter2=x&&statement_cache_size=0");
    assert_eq!(
        warnings,
        [
            "DATABASE_URL has a parameter `schema`; it is ignored",
            "DATABASE_URL has a parameter that is not known; it is ignored",
            "DATABASE_URL has a parameter `statement_cache_size`; it is ignored",
        ]
    );
}

#[test]
fn tls_is_required_off_private_hosts_unless_the_url_says_otherwise() {
    for private in [
        "localhost",
        "db:5432",
        "127.0.0.1",
        "10.1.2.3:5432",
        "192.168.1.1",
        "[::1]:5432",
        "[fd00::1]",
        "postgres.railway.internal:5432",
        "db.apps.svc.cluster.local",
        "a,b",
        "%2Frun%2Fpostgresql",
    ] {
        assert_eq!(read(&format!("postgres://u:p@{private}/calls")).0.ssl_mode, SslMode::Prefer, "{private}");
    }
    for public in ["db.abc.supabase.co", "8.8.8.8:5432", "[2001:db8::1]:5432", "db,db.example.com", "DB.Example.com."] {
        assert_eq!(read(&format!("postgres://u:p@{public}/calls")).0.ssl_mode, SslMode::Require, "{public}");
    }
    for (word, mode, warns) in [
        ("disable", SslMode::Disable, true),
        ("allow", SslMode::Prefer, true),
        ("prefer", SslMode::Prefer, true),
        ("require", SslMode::Require, false),
        ("verify-ca", SslMode::VerifyCa, false),
        ("verify-full", SslMode::VerifyFull, false),
    ] {
        let (url, warnings) = read(&format!("postgres://u:p@db.example.com/calls?sslmode={word}"));
        assert_eq!((url.ssl_mode, !warnings.is_empty()), (mode, warns), "{word}");
        assert!(read(&format!("postgres://u:p@db/calls?sslmode={word}")).1.is_empty(), "{word}");
    }
}

#[test]
fn roots_come_from_a_file_or_the_system() {
    let (url, _) = read("postgres://u:p@db/calls?sslmode=verify-full&sslrootcert=/etc/my%20ca.pem");
    assert_eq!((url.ssl_mode, url.root_cert), (SslMode::VerifyFull, Some(PathBuf::from("/etc/my ca.pem"))));
    let (url, _) = read("postgres://u:p@db/calls?sslrootcert=system");
    assert_eq!((url.ssl_mode, url.root_cert), (SslMode::VerifyFull, None), "as libpq has it");
}

#[test]
fn a_transaction_pooler_is_known_by_its_port_or_by_the_word_for_it() {
    for (url, pooled) in [
        ("postgres://u:p@aws-0-eu.pooler.supabase.com:6543/postgres", true),
        ("postgres://u:p@aws-0-eu.pooler.supabase.com:5432/postgres", false),
        ("postgres://u:p@db/calls?pgbouncer=true", true),
        ("postgres://u:p@db:6543/calls?pgbouncer=false", false),
        ("postgres:///calls?host=db&port=6543", true),
        ("postgres://u:6543@db/calls", false),
    ] {
        assert_eq!(read(url).0.pooled, pooled, "{url}");
    }
}

#[test]
fn what_is_no_address_of_a_database_is_refused_without_its_password() {
    for url in [
        "postgres:hunter2",
        "postgres://",
        "postgres:///calls",
        "postgres://u:hunter2@/calls",
        "postgres://u:hunter2@db/x?sslmode=maybe",
        "postgres://u:hunter2@db/x?pgbouncer=2",
    ] {
        assert!(!refused("DATABASE_URL", url).contains("hunter2"), "{url}");
    }
    let shown = format!("{:?}", config(&[("DATABASE_URL", "postgres://u:hunter2@db/x?schema=hunter2")]).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}
