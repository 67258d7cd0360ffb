use super::{Fault, Traits, judge};

const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n\
    aof_enabled:1\r\nappendfsync:always\r\nno-appendfsync-on-rewrite:no\r\n";

/// A good server, but for these lines.
fn but(lines: &str) -> Traits {
    Traits::read(&format!("{GOOD}{lines}"))
}

/// A server that does not tell this.
fn without(name: &str) -> Traits {
    let mut traits = but("");
    traits.0.remove(name);
    traits
}

fn refusal(traits: &Traits, ephemeral_ok: bool, first: bool) -> String {
    match judge(traits, ephemeral_ok, first) {
        Err(Fault::Unusable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_keeps_every_promise_is_used_without_a_word() {
    assert_eq!(judge(&but(""), false, true), Ok(Vec::new()));
    assert_eq!(judge(&but("redis_version:10.0.1"), false, true), Ok(Vec::new()));
    assert_eq!(but("used_memory:7\r\n").number("used_memory"), Some(7));
}

#[test]
fn a_server_that_cannot_do_what_is_asked_of_it_is_refused_wherever_we_are() {
    for (line, expected) in [
        ("redis_version:6.0.16", "6.2"),
        ("redis_version:2.8.9", "6.2"),
        ("redis_mode:cluster", "cluster"),
        ("role:slave", "replica"),
        ("maxmemory_policy:allkeys-lru", "noeviction"),
        ("maxmemory_policy:volatile-ttl", "noeviction"),
    ] {
        for ephemeral_ok in [false, true] {
            assert!(refusal(&but(line), ephemeral_ok, true).contains(expected), "{line}");
        }
    }
}

#[test]
fn a_primary_that_became_a_replica_is_waited_for() {
    assert!(matches!(judge(&but("role:slave"), false, false), Err(Fault::Lost(_))));
}

#[test]
fn a_server_that_may_lose_what_was_acknowledged_needs_the_operators_word() {
    for (line, expected) in [
        ("aof_enabled:0", "no append-only file"),
        ("appendfsync:everysec", "appendfsync is everysec"),
        ("appendfsync:no", "appendfsync is no"),
        ("no-appendfsync-on-rewrite:yes", "no-appendfsync-on-rewrite is yes"),
    ] {
        let why = refusal(&but(line), false, true);
        assert!(why.contains(expected) && why.contains("?ephemeral=true"), "{why}");
        let warnings = judge(&but(line), true, true).unwrap();
        assert!(matches!(&warnings[..], [warning] if warning.contains(expected)), "{warnings:?}");
    }
}

#[test]
fn what_a_server_does_not_tell_cannot_be_relied_upon() {
    for name in ["aof_enabled", "appendfsync"] {
        assert!(refusal(&without(name), false, true).contains("does not tell"), "{name}");
        assert_eq!(judge(&without(name), true, true).unwrap().len(), 1, "{name}");
    }
    assert!(refusal(&without("maxmemory_policy"), false, true).contains("maxmemory-policy"));
    assert_eq!(judge(&without("maxmemory_policy"), true, true), Ok(Vec::new()));
}
