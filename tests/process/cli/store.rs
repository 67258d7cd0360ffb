//! Commands that look after the store: `migrate`, `backup`, and a second process that wants it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, thread, time::Duration};

use serde_json::Value;

use super::{CONFIGURATION, DONE, FAILED};
use crate::support::{
    home::Home,
    ledger::{self, Sent},
    load::Load,
    messages::{self, new_call},
    program::Program,
    service::Service,
    wire::Answer,
};

/// Every call there is, as lists show it.
fn all_calls(service: &Service) -> Vec<Value> {
    let page = |answer: Answer| answer.json()["data"].as_array().cloned().expect("a list");
    page(service.read("/api/v1/vapi/calls?limit=100&view=full"))
}

#[test]
fn a_second_process_on_the_same_file_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let program = Program::guarded(&home);
    let first = program.serve();
    for command in ["serve", "migrate"] {
        let second = program.clone().with([command]).run();
        assert_eq!((second.code, second.stdout.as_str()), (CONFIGURATION, ""), "{command}");
        assert!(second.stderr.contains("DATABASE_URL") && second.stderr.contains("in use by another Ringback"), "{}", second.stderr);
    }
    assert_eq!(first.post(&messages::report(&new_call())).status, 200);
    first.is_well();
    // However the first one ends, its claim ends with it.
    first.kill();
    program.serve().stop();
}

#[test]
fn migrate_makes_the_schema_and_says_so_and_check_starts_only_on_one() {
    let home = Home::new();
    let check = Program::in_home(&home).set("MIGRATE", "check");
    let behind = check.run();
    assert_eq!(behind.code, CONFIGURATION);
    assert!(behind.stderr.contains("ringback migrate"), "{}", behind.stderr);
    // Migrating is what the command is for, whatever MIGRATE says.
    for _ in 0..2 {
        let migrated = check.clone().with(["migrate"]).run();
        assert_eq!((migrated.code, migrated.stdout.as_str()), (DONE, ""), "{}", migrated.stderr);
        assert!(migrated.stderr.contains("up to date"), "{}", migrated.stderr);
    }
    check.serve().stop();
}

#[test]
fn migrate_needs_nothing_but_the_store_even_where_the_service_would_refuse_to_start() {
    // As in the container image, which listens on all addresses.
    let migrated = Program::in_home(&Home::new()).set("HOST", "::").with(["migrate"]).run();
    assert_eq!(migrated.code, DONE, "{}", migrated.stderr);
}

#[test]
fn a_store_of_a_newer_major_release_is_not_touched() {
    let home = Home::new();
    Program::in_home(&home).with(["migrate"]).run();
    let db = rusqlite::Connection::open(home.store()).expect("the file opens");
    db.pragma_update(None, "user_version", 3_001).expect("it can be written");
    drop(db);
    for command in ["serve", "migrate"] {
        let refused = Program::in_home(&home).with([command]).run();
        assert_eq!(refused.code, CONFIGURATION);
        assert!(refused.stderr.contains("newer major release"), "{}", refused.stderr);
    }
}

#[test]
fn the_files_of_the_store_are_for_their_owner_only() {
    let home = Home::new();
    let service = Program::guarded(&home).under(["sh", "-c", r#"umask 000; exec "$0" "$@""#]).serve();
    assert_eq!(service.post(&messages::report(&new_call())).status, 200);
    assert_eq!(Program::in_home(&home).with(["backup", "copy.db"]).run().code, DONE);
    let mut seen = 0;
    for entry in fs::read_dir(home.path()).expect("a folder").map(|entry| entry.expect("an entry")) {
        let mode = entry.metadata().expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert!(seen >= 4, "the store, its log, its index, its lock, the copy: {seen}");
}

#[test]
fn a_backup_of_a_busy_service_is_a_whole_store() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    let before: Vec<Sent> = (0..10)
        .map(|_| Sent { message: messages::report(&new_call()), acknowledged: true })
        .inspect(|sent| assert_eq!(service.post(&sent.message).status, 200))
        .collect();
    let before = ledger::ledger(before);
    let load = Load::until_cut(service.address());
    thread::sleep(Duration::from_millis(50));
    let backup = Program::in_home(&home).with(["backup", "copy.db"]).run();
    assert_eq!((backup.code, backup.stdout.as_str()), (DONE, ""), "{}", backup.stderr);
    assert!(backup.stderr.contains("copy.db"), "{}", backup.stderr);
    let sent = load.ended();
    assert!(sent.values().flatten().all(|sent| sent.acknowledged), "a backup is in nobody's way");
    let originals = all_calls(&service);
    service.stop();
    ledger::is_sound(&home.file("copy.db"));

    let copy = Program::guarded(&home).set("DATABASE_URL", "sqlite:copy.db").serve();
    ledger::check(&copy, &before);
    for restored in all_calls(&copy).iter().filter(|call| before.contains_key(call["id"].as_str().unwrap_or_default())) {
        assert!(originals.contains(restored), "{restored}");
    }
    // What came while it was copied is in the copy wholly, or not at all.
    let may_be_missing = sent.into_values().flatten().map(|sent| Sent { acknowledged: false, ..sent });
    ledger::check(&copy, &ledger::ledger(may_be_missing));
    copy.stop();
}

#[test]
fn a_backup_of_a_quiet_store_is_the_same_store() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    for message in messages::life_of(&new_call()) {
        assert_eq!(service.post(&message).status, 200);
    }
    // What was killed left its log behind.
    let calls = all_calls(&service);
    service.kill();
    assert_eq!(Program::in_home(&home).with(["backup", "copy.db"]).run().code, DONE);
    let copy = Program::guarded(&home).set("DATABASE_URL", "sqlite:copy.db").serve();
    assert_eq!(all_calls(&copy), calls);
}

#[test]
fn a_backup_overwrites_nothing_and_makes_nothing_of_nothing() {
    let home = Home::new();
    let backup = |file: &str| Program::in_home(&home).with(["backup", file]).run();
    let nothing = backup("copy.db");
    assert_eq!((nothing.code, nothing.stdout.as_str()), (FAILED, ""), "{}", nothing.stderr);
    assert!(!home.file("copy.db").exists() && !home.store().exists(), "{}", nothing.stderr);

    Program::in_home(&home).with(["migrate"]).run();
    let mine = home.write("mine.txt", "a text of mine");
    for file in ["mine.txt", "ringback.db", "no/such/folder/copy.db", "."] {
        let refused = backup(file);
        assert_eq!((refused.code, refused.stdout.as_str()), (FAILED, ""), "{file}: {}", refused.stderr);
        assert!(refused.stderr.starts_with("ringback: "), "{file}: {}", refused.stderr);
    }
    assert_eq!(fs::read_to_string(mine).expect("it is there"), "a text of mine");
    ledger::is_sound(&home.store());

    let memory = Program::in_home(&home).set("DATABASE_URL", "memory:").with(["backup", "copy.db"]).run();
    assert_eq!(memory.code, CONFIGURATION);
    assert!(memory.stderr.contains("DATABASE_URL"), "{}", memory.stderr);
    assert!(!Path::new(&home.file("copy.db")).exists());
}
