//! The URL of a Redis.

use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use super::{config, refused, with};
use crate::config::{DatabaseUrl, RedisUrl};

/// The URL under `DATABASE_URL`, and the warnings about it.
fn read(url: &str) -> (RedisUrl, Vec<String>) {
    let config = with("DATABASE_URL", url);
    match config.store.url {
        DatabaseUrl::Redis(read) => (read, config.warnings),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_url_is_passed_on_without_its_parameters() {
    for (url, passed) in [
        ("redis://db", "redis://db"),
        ("redis://db:6380/7", "redis://db:6380/7"),
        ("redis://:p%40ss@[::1]:6379/", "redis://:p%40ss@[::1]:6379/"),
        ("rediss://user:p@redis.example.com/1?ephemeral=1", "rediss://user:p@redis.example.com/1"),
    ] {
        let (read, warnings) = read(url);
        assert_eq!(read.url.expose_secret(), passed);
        assert!(warnings.is_empty(), "{url}: {warnings:?}");
    }
}

#[test]
fn what_may_be_lost_and_whose_word_counts_is_said_by_parameters() {
    assert!(!read("redis://db").0.ephemeral);
    assert!(!read("redis://db?ephemeral=false").0.ephemeral);
    assert!(read("redis://db/1?ephemeral=true").0.ephemeral);
    assert_eq!(read("rediss://db").0.root_cert, None);
    assert_eq!(read("rediss://db?sslrootcert=system").0.root_cert, None);
    assert_eq!(read("rediss://db?sslrootcert=/a%20b.pem&ephemeral=1").0.root_cert, Some(PathBuf::from("/a b.pem")));
}

#[test]
fn records_that_travel_in_clear_and_unknown_parameters_are_warned_of() {
    let (_, warnings) = read("redis://u:hunter2@redis.example.com:6379/0?protocol=resp3&Hunter2=x");
    assert_eq!(
        warnings,
        [
            "DATABASE_URL has a parameter `protocol`; it is ignored",
            "DATABASE_URL has a parameter that is not known; it is ignored",
            "DATABASE_URL lets records travel unencrypted; use rediss://",
        ]
    );
    assert!(read("redis://redis.railway.internal:6379").1.is_empty());
}

#[test]
fn a_url_that_cannot_be_used_stops_the_start_and_hides_its_password() {
    for (url, expected) in [
        ("redis:db", "redis://USER:PASSWORD@HOST"),
        ("redis://", "redis://USER:PASSWORD@HOST"),
        ("redis://:hunter2@", "redis://USER:PASSWORD@HOST"),
        ("redis://:hunter2@:6379/0", "redis://USER:PASSWORD@HOST"),
        ("redis://:hunter2@db/calls", "redis://USER:PASSWORD@HOST"),
        ("redis://:hunter2@db/0?ephemeral=perhaps", "true or false"),
        ("redis://:hunter2@db/0?sslrootcert=/a.pem", "rediss://"),
        ("rediss://:hunter2@db/0#insecure", "sslrootcert"),
        ("rediss://:hunter2@db/0?ephemeral=true#insecure", "sslrootcert"),
    ] {
        let sentence = refused("DATABASE_URL", url);
        assert!(sentence.contains(expected) && !sentence.contains("hunter2"), "{url}: {sentence}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let config = config(&[("DATABASE_URL", "rediss://user:hunter2@db/0")]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
