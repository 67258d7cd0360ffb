//! Starts that are refused: what can't be used, and what would leave the service open to everyone.

use std::{fs, net::TcpListener};

use super::CONFIGURATION;
use crate::support::{
    SECRET,
    home::Home,
    program::{Ended, Program},
    service::Service,
    skipped,
};

/// Stands in values that must not be shown.
const SHY: &str = "hunter2-never-shown";
/// A token long enough for anywhere.
const TOKEN: &str = "a-token-of-the-tests-41d7";

/// The one sentence, or the list of them, that a refused start ends with.
fn refused(program: &Program) -> Ended {
    let ended = program.run();
    assert_eq!((ended.code, ended.stdout.as_str()), (CONFIGURATION, ""), "{}", ended.stderr);
    assert!(!ended.stderr.contains(SHY), "it shows the value: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended
}

#[test]
fn a_value_that_cant_be_used_stops_the_start_by_name_and_is_not_shown() {
    let home = Home::new();
    for (name, value) in [
        ("PORT", "port-hunter2-never-shown"),
        ("PORT", "65536"),
        ("DATABASE_URL", "mysql://user:hunter2-never-shown@host/db"),
        ("DATABASE_URL", "postgres://user:hunter2-never-shown@host/db?sslmode=maybe"),
        ("DATABASE_URL", "hunter2-never-shown"),
        ("DATABASE_URL", "sqlite:"),
        ("DATABASE_MAX_CONNECTIONS", "0"),
        ("MIGRATE", "maybe"),
        ("CACHE_TTL_SECONDS", "-1"),
        ("CACHE_MAX_MB", "0"),
        ("RETENTION_DAYS", "forever"),
        ("PAYLOAD_RETENTION_DAYS", "1.5"),
        ("RETENTION_ARCHIVE", "/proc/hunter2-never-shown"),
        ("PUBLIC_URL", "ftp://user:hunter2-never-shown@host"),
        ("VAPI_API_KEY", "hunter2-never-shown with spaces"),
        ("VAPI_API_URL", "hunter2-never-shown"),
        ("VAPI_WEBHOOK_URL", "http://elsewhere.example.com/hunter2-never-shown"),
        ("VAPI_WEBHOOK_PATH", "no-slash"),
        ("VAPI_WEBHOOK_SECRET", "hunter2-never-shown,,another-secret-of-mine"),
        ("VAPI_WEBHOOK_AUTH", "magic"),
        ("VAPI_WEBHOOK_HMAC", "{\"secret\":\"hunter2-never-shown\""),
        ("VAPI_WEBHOOK_HMAC", "{\"type\":\"hmac\",\"payloadFormat\":\"{timestamp}\",\"secretKey\":\"hunter2-never-shown\"}"),
        ("VAPI_WEBHOOK_HMAC", "{\"algorithm\":\"hunter2-never-shown\"}"),
        ("VAPI_WEBHOOK_TOLERANCE_SECONDS", "1e9"),
        ("API_TOKENS", "hunter2-never-shown"),
        ("API_TOKENS", "root:me=hunter2-never-shown"),
        ("API_TOKENS", "me=sha256:hunter2-never-shown"),
        ("ALLOW_UNAUTHENTICATED", "everything"),
        ("TRUSTED_PROXIES", "nowhere"),
        ("CORS_ORIGINS", "*"),
        ("ENRICH_DELAYS_SECONDS", "soon"),
        ("RECONCILE_GRACE_SECONDS", "0"),
        ("MAX_BODY_MB", "0"),
        ("MAX_WAITERS", "many"),
        ("WAIT_MAX_SECONDS", "inf"),
        ("KEEP_EVENTS", "some"),
        ("DOCTOR_SECONDS", "daily"),
        ("SHUTDOWN_DELAY_SECONDS", "NaN"),
        ("SHUTDOWN_GRACE_SECONDS", "-0"),
        ("RUST_LOG", "ringback=loud"),
        ("LOG_FORMAT", "xml"),
    ] {
        let said = refused(&Program::in_home(&home).set(name, value)).stderr;
        assert!(said.contains(name), "{name}={value}: {said}");
    }
    assert!(!home.store().exists(), "a refused start leaves nothing behind");
}

#[test]
fn all_problems_are_told_at_once() {
    let said = refused(&Program::in_home(&Home::new()).set("PORT", "x").set("LOG_FORMAT", "x").set("MIGRATE", "x")).stderr;
    assert!(["PORT", "LOG_FORMAT", "MIGRATE"].iter().all(|name| said.contains(name)), "{said}");
}

#[test]
fn off_loopback_a_start_that_opens_webhooks_or_api_to_everyone_is_refused() {
    let home = Home::new();
    for host in ["0.0.0.0", "::"] {
        let open = Program::in_home(&home).set("HOST", host);
        let said = refused(&open).stderr;
        assert!(["VAPI_WEBHOOK_SECRET", "API_TOKENS", "ALLOW_UNAUTHENTICATED"].iter().all(|name| said.contains(name)), "{said}");
        let said = refused(&open.clone().set("VAPI_WEBHOOK_SECRET", SECRET)).stderr;
        assert!(said.contains("API_TOKENS") && !said.contains("VAPI_WEBHOOK_SECRET"), "{said}");
        let said = refused(&open.clone().set("API_TOKENS", format!("me={TOKEN}"))).stderr;
        assert!(said.contains("VAPI_WEBHOOK_SECRET") && !said.contains("API_TOKENS"), "{said}");
        let short = open.set("VAPI_WEBHOOK_SECRET", "short").set("API_TOKENS", "me=short");
        let said = refused(&short).stderr;
        assert!(["VAPI_WEBHOOK_SECRET", "API_TOKENS"].iter().all(|name| said.contains(name)), "{said}");
    }
}

#[test]
fn off_loopback_with_secret_and_token_it_starts_and_lets_nobody_else_in() {
    let home = Home::new();
    let url = format!("sqlite:{}?ephemeral=true", home.store().display());
    let program = Program::in_home(&home).set("HOST", "0.0.0.0").set("DATABASE_URL", url);
    let service = program.set("VAPI_WEBHOOK_SECRET", SECRET).set("API_TOKENS", format!("read:me={TOKEN}")).serve();
    let ask = |token: Option<&str>, path: &str| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        service.wire().ask("GET", path, &headers, b"").expect("an answer").status
    };
    assert_eq!((ask(None, "/livez"), ask(None, "/readyz")), (200, 200));
    assert_eq!(
        (ask(None, "/api/v1/vapi/calls"), ask(Some(SHY), "/api/v1/vapi/calls"), ask(Some(TOKEN), "/api/v1/vapi/calls")),
        (401, 401, 200)
    );
    service.is_well();
}

#[test]
fn on_loopback_short_secrets_are_warned_of() {
    let home = Home::new();
    let service = Program::in_home(&home).set("VAPI_WEBHOOK_SECRET", "short").set("API_TOKENS", "me=short-too").serve();
    let warned = |name: &str| service.log().iter().any(|line| line["level"] == "WARN" && line["message"].to_string().contains(name));
    assert!(warned("VAPI_WEBHOOK_SECRET") && warned("API_TOKENS"), "{}", service.said());
    assert!(!service.said().contains("short-too"), "{}", service.said());
}

#[test]
fn a_host_that_is_no_address_is_ignored_with_a_warning() {
    let home = Home::new();
    let service = Program::in_home(&home).set("HOST", "x86_64-conda-linux-gnu").serve();
    assert!(service.address().ip().is_loopback());
    assert!(service.log().iter().any(|line| line["level"] == "WARN" && line["message"].to_string().contains("HOST")), "{}", service.said());
}

#[test]
fn a_port_that_is_taken_is_told_by_name() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let said = refused(&Program::in_home(&Home::new()).set("PORT", &port)).stderr;
    assert!(said.contains("PORT") && said.contains(&port), "{said}");
}

#[test]
fn a_store_that_cant_be_used_is_told_by_name_and_left_alone() {
    let home = Home::new();
    let other = home.write("other.db", "This is a text, and no store.\n".repeat(200));
    let program = Program::in_home(&home);
    for url in ["sqlite:no/such/folder/ringback.db", "sqlite:other.db", "sqlite:/proc/ringback.db", "sqlite:."] {
        let said = refused(&program.clone().set("DATABASE_URL", url)).stderr;
        assert!(said.contains("DATABASE_URL"), "{url}: {said}");
    }
    assert!(fs::read_to_string(other).expect("it is there").starts_with("This is a text"));
}

#[test]
fn off_loopback_a_file_that_is_gone_with_the_container_is_refused_unless_that_is_accepted() {
    let Ok(forgetful) = tempfile::tempdir_in("/dev/shm") else {
        return skipped("there is no /dev/shm: refused tmpfs stores are not shown");
    };
    if ringback::store::disk::filesystem_forgets(forgetful.path()).is_none() {
        return skipped("/dev/shm is no tmpfs: refused tmpfs stores are not shown");
    }
    let home = Home::new();
    let url = format!("sqlite:{}/ringback.db", forgetful.path().display());
    let exposed =
        Program::in_home(&home).set("HOST", "0.0.0.0").set("VAPI_WEBHOOK_SECRET", SECRET).set("API_TOKENS", format!("me={TOKEN}"));
    let said = refused(&exposed.clone().set("DATABASE_URL", &url)).stderr;
    assert!(said.contains("DATABASE_URL") && said.contains("tmpfs") && said.contains("?ephemeral=true"), "{said}");
    let accepted: [Service; 2] = [
        exposed.set("DATABASE_URL", format!("{url}?ephemeral=true")).serve(),
        Program::in_home(&home).set("DATABASE_URL", format!("{url}-of-loopback")).serve(),
    ];
    for service in accepted {
        service.stop();
    }
}
