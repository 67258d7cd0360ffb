use std::{
    io::Write as _,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use super::{config, exposed, refused, with};
use crate::config::{DatabaseUrl, LogFormat, Migrate, ShutdownConfig, StoreConfig};

#[test]
fn with_nothing_set_the_defaults_count() {
    let config = config(&[]).unwrap();
    assert_eq!((config.http.host.to_string().as_str(), config.http.port), ("127.0.0.1", 8000));
    assert_eq!(config.http.public_url, None);
    assert_eq!((config.http.max_body_bytes, config.http.max_waiters), (10_485_760, 20_000));
    assert_eq!(config.http.wait_max, Duration::from_mins(5));
    assert_eq!(config.store.url, DatabaseUrl::Sqlite { path: PathBuf::from("ringback.db"), ephemeral: false });
    assert_eq!((config.store.max_connections, config.store.migrate), (5, Migrate::Auto));
    assert_eq!((config.store.retention_ms, config.store.payload_retention_ms), (Some(90 * 86_400_000), Some(14 * 86_400_000)));
    assert_eq!((config.cache.ttl_ms, config.cache.max_bytes), (1_800_000, 268_435_456));
    assert_eq!((config.vapi.api_url.as_str(), config.vapi.requests_per_second), ("https://api.vapi.ai", 5));
    assert_eq!(config.webhook.auth, ["secret", "bearer", "signature", "standard"]);
    assert_eq!(config.webhook.tolerance_ms, 300_000);
    assert_eq!(config.complete.delays_ms, [3_000, 5_000, 8_000, 15_000, 30_000]);
    assert_eq!(config.complete.grace_ms, 120_000);
    assert!(!config.keep_all_events);
    assert_eq!((config.log.filter.as_str(), config.log.format, config.log.no_color), ("info", LogFormat::Text, false));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn empty_means_unset() {
    let config =
        config(&[("PORT", ""), ("HOST", "  "), ("VAPI_WEBHOOK_SECRET", ""), ("PORT_FILE", ""), ("ENRICH_DELAYS_SECONDS", "")]).unwrap();
    assert_eq!(config.http.port, 8000);
    assert_eq!(config.complete.delays_ms.len(), 5);
    assert!(config.webhook.secrets.is_empty() && config.warnings.is_empty());
}

#[test]
fn a_value_that_cannot_be_used_stops_the_start() {
    for (name, value) in [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "http"),
        ("PUBLIC_URL", "calls.example.com"),
        ("PUBLIC_URL", "ftp://calls.example.com"),
        ("PUBLIC_URL", "https://user:pass@calls.example.com"),
        ("PUBLIC_URL", "https://calls.example.com/?x=1"),
        ("DATABASE_MAX_CONNECTIONS", "0"),
        ("MIGRATE", "yes"),
        ("CACHE_TTL_SECONDS", "-1"),
        ("CACHE_TTL_SECONDS", "inf"),
        ("CACHE_TTL_SECONDS", "1e3"),
        ("CACHE_MAX_MB", "1.5"),
        ("CACHE_MAX_MB", "0"),
        ("RETENTION_DAYS", "36501"),
        ("PAYLOAD_RETENTION_DAYS", "-1"),
        ("ENRICH_DELAYS_SECONDS", "3,,5"),
        ("ENRICH_DELAYS_SECONDS", "3,five"),
        ("ENRICH_DELAYS_SECONDS", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21"),
        ("RECONCILE_GRACE_SECONDS", "0"),
        ("MAX_BODY_MB", "0"),
        ("MAX_WAITERS", "many"),
        ("WAIT_MAX_SECONDS", "86401"),
        ("KEEP_EVENTS", "true"),
        ("SHUTDOWN_DELAY_SECONDS", "."),
        ("SHUTDOWN_GRACE_SECONDS", "NaN"),
        ("RUST_LOG", "ringback=loud=louder"),
        ("LOG_FORMAT", "xml"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@collector:4318"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://app.example.com/path"),
    ] {
        let sentence = refused(name, value);
        assert!(value.len() < 4 || !sentence.contains(value), "{sentence}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let error = config(&[("PORT", "x"), ("MIGRATE", "x"), ("DATABASE_URL", "x")]).unwrap_err();
    assert_eq!(error.problems.len(), 3);
    let text = error.to_string();
    for name in ["PORT must", "MIGRATE must be `auto` or `check`", "DATABASE_URL must"] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn seconds_may_have_fractions() {
    assert_eq!(with("ENRICH_DELAYS_SECONDS", " 0.05, 2 ,.5").complete.delays_ms, [50, 2_000, 500]);
    assert_eq!(with("ENRICH_DELAYS_SECONDS", "none").complete.delays_ms, Vec::<i64>::new());
    assert_eq!(with("CACHE_TTL_SECONDS", "0.25").cache.ttl_ms, 250);
}

#[test]
fn a_host_that_is_no_address_is_ignored_with_a_warning() {
    let config = with("HOST", "x86_64-conda-linux-gnu");
    assert!(config.http.is_loopback());
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].contains("HOST"));
}

#[test]
fn a_host_is_an_address_or_localhost() {
    for host in ["localhost", "127.0.0.1", "::1", "[::1]", "127.1.2.3", "::ffff:127.0.0.1"] {
        let config = with("HOST", host);
        assert!(config.http.is_loopback() && config.warnings.is_empty(), "{host}");
    }
    for host in ["::", "[::]", "0.0.0.0", "192.168.1.5"] {
        assert!(!exposed(&[("HOST", host)]).unwrap().http.is_loopback(), "{host}");
    }
    assert_eq!(exposed(&[("HOST", "::")]).unwrap().http.host, IpAddr::V6(Ipv6Addr::UNSPECIFIED));
}

#[test]
fn the_port_may_be_0() {
    assert_eq!(with("PORT", "0").http.port, 0);
}

#[test]
fn the_public_url_is_railways_domain_unless_it_is_set() {
    let railway = ("RAILWAY_PUBLIC_DOMAIN", "ringback.up.railway.app");
    let config_of = |variables: &[_]| config(variables).unwrap();
    assert_eq!(config_of(&[railway]).http.public_url.as_deref(), Some("https://ringback.up.railway.app"));
    let both = config_of(&[railway, ("PUBLIC_URL", "https://Calls.example.com/base/")]);
    assert_eq!(both.http.public_url.as_deref(), Some("https://calls.example.com/base"));
}

#[test]
fn one_url_chooses_the_engine() {
    let sqlite = |path: &str, ephemeral| DatabaseUrl::Sqlite { path: PathBuf::from(path), ephemeral };
    for (url, expected) in [
        ("memory:", DatabaseUrl::Memory),
        ("sqlite:calls.db", sqlite("calls.db", false)),
        ("sqlite:/data/calls.db", sqlite("/data/calls.db", false)),
        ("sqlite:///data/calls.db", sqlite("/data/calls.db", false)),
        ("sqlite://calls.db", sqlite("calls.db", false)),
        ("sqlite:/tmp/x.db?ephemeral=true", sqlite("/tmp/x.db", true)),
        ("sqlite:/tmp/x.db?ephemeral=0", sqlite("/tmp/x.db", false)),
    ] {
        assert_eq!(with("DATABASE_URL", url).store.url, expected, "{url}");
    }
}

#[test]
fn a_store_that_nobody_can_open_is_refused() {
    for url in [
        "ringback.db",
        "memory:x",
        "memory",
        "sqlite:",
        "sqlite:dir/",
        "sqlite::memory:",
        "sqlite:x?mode=ro",
        "sqlite:x?ephemeral=yes",
        "mysql://x",
    ] {
        refused("DATABASE_URL", url);
    }
}

#[test]
fn zero_days_keep_for_good() {
    let config = config(&[("RETENTION_DAYS", "0"), ("PAYLOAD_RETENTION_DAYS", "0"), ("RETENTION_ARCHIVE", "/srv/old calls")]).unwrap();
    assert_eq!((config.store.retention_ms, config.store.payload_retention_ms), (None, None));
    assert_eq!(config.store.archive, Some(PathBuf::from("/srv/old calls")));
}

#[test]
fn a_shutdown_waits_for_proxies_only_when_there_can_be_some() {
    let seconds = Duration::from_secs;
    assert_eq!(config(&[]).unwrap().shutdown, ShutdownConfig { delay: seconds(0), grace: seconds(25) });
    assert_eq!(exposed(&[]).unwrap().shutdown, ShutdownConfig { delay: seconds(5), grace: seconds(25) });
    assert_eq!(with("SHUTDOWN_DELAY_SECONDS", "1.5").shutdown.delay, Duration::from_millis(1_500));
    assert_eq!(exposed(&[("SHUTDOWN_DELAY_SECONDS", "0")]).unwrap().shutdown.delay, seconds(0));
}

#[test]
fn origins_are_compared_as_browsers_write_them() {
    let config = with("CORS_ORIGINS", "https://App.example.com:443/, http://localhost:3000");
    assert_eq!(config.http.cors_origins, ["https://app.example.com", "http://localhost:3000"]);
}

#[test]
fn words_and_formats_are_understood() {
    assert_eq!(with("MIGRATE", "check").store.migrate, Migrate::Check);
    let store = with("MIGRATE", "auto").store;
    let look = store.only_looking();
    assert_eq!(
        (store.migrate, store.links, look.migrate, look.links),
        (Migrate::Auto, true, Migrate::Check, false),
        "a look changes nothing"
    );
    assert!(with("KEEP_EVENTS", "all").keep_all_events);
    assert_eq!(with("LOG_FORMAT", "json").log.format, LogFormat::Json);
    assert_eq!(with("RUST_LOG", "warn,ringback::store=debug").log.filter, "warn,ringback::store=debug");
    assert!(with("NO_COLOR", "1").log.no_color);
}

#[test]
fn a_word_that_is_no_level_silences_nothing_and_is_warned_of() {
    for (given, taken) in
        [("verbose", "info,verbose"), ("warn,verbose", "warn,verbose"), ("verbose,ringback=debug", "info,verbose,ringback=debug")]
    {
        let config = with("RUST_LOG", given);
        assert_eq!(config.log.filter, taken);
        assert!(config.warnings.iter().any(|warning| warning.starts_with("RUST_LOG")), "{given}: {:?}", config.warnings);
    }
    for usual in ["INFO", "3", "off", "ringback", "warn,hyper=info", "ringback::store", "[request{status=500}]=debug"] {
        let config = with("RUST_LOG", usual);
        assert_eq!((config.log.filter.as_str(), config.warnings.len()), (usual, 0), "{:?}", config.warnings);
    }
}

#[test]
fn every_variable_can_come_from_a_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "  9001  ").unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(with("PORT_FILE", path).http.port, 9001);

    let error = config(&[("PORT", "9000"), ("PORT_FILE", path)]).unwrap_err();
    assert_eq!(error.problems, ["PORT and PORT_FILE are both set; keep one of them"]);
}

#[test]
fn a_file_that_cannot_be_read_stops_the_start_without_showing_its_name() {
    // Somebody may put the secret itself where the path belongs.
    let error = config(&[("VAPI_API_KEY_FILE", "sk-my-secret")]).unwrap_err();
    assert!(error.to_string().contains("VAPI_API_KEY_FILE") && !error.to_string().contains("sk-my-secret"), "{error}");
    config(&[("PORT_FILE", "/")]).unwrap_err();
    config(&[("PORT_FILE", "/dev/zero")]).unwrap_err();
}

#[test]
fn an_empty_file_counts_as_unset_with_a_warning() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = with("VAPI_API_KEY_FILE", file.path().to_str().unwrap());
    assert!(config.vapi.api_key.is_none());
    assert_eq!(config.warnings, ["VAPI_API_KEY_FILE names an empty file, so VAPI_API_KEY counts as unset"]);
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    assert_eq!(refused("VAPI_API_KEY", "sk-\u{fffd}"), "VAPI_API_KEY must be UTF-8 text");
}

#[test]
fn the_store_alone_can_be_read_without_secrets() {
    let variables = [("HOST", "0.0.0.0"), ("DATABASE_URL", "sqlite:/data/ringback.db")];
    let store = StoreConfig::from_env(|name| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())).unwrap();
    assert_eq!(store.url, DatabaseUrl::Sqlite { path: PathBuf::from("/data/ringback.db"), ephemeral: false });
}
