//! Commands that move a store and change its key: `export`, `import`, `rekey`.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::Command,
    thread::sleep,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use super::{CONFIGURATION, DONE, FAILED, INTERRUPTED};
use crate::{
    postgres_server, redis_server,
    support::{
        home::Home,
        messages::{self, new_call},
        program::Program,
        service::Service,
    },
};

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const NEWER: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

/// Every call there is, as lists show it.
fn all_calls(service: &Service) -> Vec<Value> {
    service.read("/api/v1/vapi/calls?limit=100&view=full").json()["data"].as_array().cloned().expect("a list")
}

#[test]
fn a_running_store_is_exported_and_imported_elsewhere() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    for _ in 0..3 {
        for message in messages::life_of(&new_call()) {
            assert_eq!(service.post(&message).status, 200);
        }
    }
    let exported = Program::in_home(&home).with(["export", "calls.jsonl"]).run();
    assert_eq!((exported.code, exported.stdout.as_str()), (DONE, ""), "{}", exported.stderr);
    assert!(exported.stderr.contains("exported 3 calls") && exported.stderr.contains("personal data"), "{}", exported.stderr);
    assert_eq!(fs::metadata(home.file("calls.jsonl")).expect("it is there").permissions().mode() & 0o777, 0o600);
    let again = Program::in_home(&home).with(["export", "calls.jsonl"]).run();
    assert_eq!(again.code, FAILED, "nothing is written over: {}", again.stderr);
    let printed = Program::in_home(&home).with(["export"]).run();
    assert_eq!((printed.code, printed.stdout.lines().count()), (DONE, 5), "{}", printed.stderr);
    let calls = all_calls(&service);
    service.stop();
    let names: Vec<_> = fs::read_dir(home.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().ends_with(".export")), "no copy is left: {names:?}");

    let mut places = vec!["sqlite:other.db".to_owned()];
    let postgres = postgres_server::Server::start_with("fast");
    if let Some(server) = &postgres {
        server.create("moved");
        places.push(postgres_server::url_of("moved", server.port));
    }
    let redis = redis_server::Server::start(&[]);
    places.extend(redis.as_ref().map(|server| redis_server::url_of(0, server.port)));
    for place in places {
        let there = Program::guarded(&home).set("DATABASE_URL", &place);
        for told in ["3 new", "0 new, 3 joined"] {
            let imported = there.clone().with(["import", "calls.jsonl"]).run();
            assert_eq!((imported.code, imported.stdout.as_str()), (DONE, ""), "{place}: {}", imported.stderr);
            assert!(imported.stderr.contains(told), "{place}: {}", imported.stderr);
        }
        let there = there.serve();
        assert_eq!(all_calls(&there), calls, "{place}");
        there.stop();
    }
}

#[test]
fn an_export_that_was_killed_goes_on() {
    let home = Home::new();
    let service = Program::guarded(&home).serve();
    for _ in 0..5 {
        assert_eq!(service.post(&messages::report(&new_call())).status, 200);
    }
    let whole = Program::in_home(&home).with(["export"]).run().stdout;
    // As if it had been killed in the middle of a line.
    home.write("ringback.db.export", "a copy");
    home.write("calls.jsonl.part", &whole[..whole.len() / 2]);
    let exported = Program::in_home(&home).with(["export", "calls.jsonl"]).run();
    assert_eq!(exported.code, DONE, "{}", exported.stderr);
    assert!(fs::read_to_string(home.file("calls.jsonl")).expect("it is there") == whole);
    assert!(!home.file("calls.jsonl.part").exists() && !home.file("ringback.db.export").exists());
    service.stop();
    // Calls that were deleted since would outlive in it.
    home.write("ringback.db.export", "a copy");
    Program::guarded(&home).serve().stop();
    assert!(!home.file("ringback.db.export").exists());
}

/// A pipe in the folder; whoever opens one end waits for the other.
fn pipe(home: &Home, name: &str) -> std::path::PathBuf {
    let made = Command::new("mkfifo").arg(home.file(name)).status().expect("mkfifo runs");
    assert!(made.success());
    home.file(name)
}

#[test]
fn ctrl_c_ends_an_export_and_an_import_in_order_and_they_can_be_begun_again() {
    /// A signal takes no longer to be heard.
    const HEARD: Duration = Duration::from_millis(300);
    let home = Home::new();
    let program = Program::guarded(&home);
    let service = program.serve();
    for _ in 0..450 {
        assert_eq!(service.post(&messages::report(&new_call())).status, 200);
    }
    service.stop();
    let whole = program.clone().with(["export"]).run().stdout;
    assert!(whole.len() > 1_000_000, "more than pipes and buffers hold: {}", whole.len());

    // In the middle of it, for nobody reads on.
    let out = pipe(&home, "out");
    let exporting = program.clone().under(["sh", "-c", r#"exec "$0" "$@" >out"#]).with(["export"]);
    for presses in [1, 2] {
        let running = exporting.begin();
        let mut reader = File::open(&out).expect("it opens");
        reader.read_exact(&mut [0; 100]).expect("it began");
        for _ in 0..presses {
            running.signal(Signal::INT);
            sleep(HEARD);
        }
        let mut rest = String::new();
        if presses == 1 {
            reader.read_to_string(&mut rest).expect("it ends");
        }
        let ended = running.ended();
        assert_eq!(ended.code, INTERRUPTED, "{presses}: {}", ended.stderr);
        assert!(rest.len() + 100 < whole.len(), "{presses}");
        assert!(presses == 2 || ended.stderr.contains("interrupted"), "{}", ended.stderr);
    }

    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let (first, second) = lines.split_at(200);
    let there = program.clone().set("DATABASE_URL", "sqlite:there.db");
    // An empty store takes over the key of the file first, and begins it anew.
    home.write("head.jsonl", lines[0]);
    assert_eq!(there.clone().with(["import", "head.jsonl"]).run().code, FAILED);
    let input = pipe(&home, "in");
    let running = there.clone().with(["import", "in"]).begin();
    let mut writer = File::options().write(true).open(&input).expect("it opens");
    writer.write_all(first.concat().as_bytes()).expect("it reads");
    running.signal(Signal::INT);
    sleep(HEARD);
    // It stops at the end of what it is at, and need not read all.
    let _ = writer.write_all(second.concat().as_bytes());
    drop(writer);
    let ended = running.ended();
    assert_eq!(ended.code, INTERRUPTED, "{}", ended.stderr);
    home.write("calls.jsonl", &whole);
    let again = there.with(["import", "calls.jsonl"]).run();
    assert_eq!(again.code, DONE, "{}", again.stderr);
    assert!(!again.stderr.contains("imported 450 calls"), "it went on: {}", again.stderr);
    let moved = program.set("DATABASE_URL", "sqlite:there.db").with(["export"]).run();
    assert_eq!(moved.stdout.lines().count(), whole.lines().count());
}

#[test]
fn what_cannot_be_moved_is_refused_in_a_sentence() {
    let home = Home::new();
    home.write("diary.txt", "dear diary\n");
    let run = |variables: &[(&str, &str)], words: &[&str]| {
        let program = variables.iter().fold(Program::in_home(&home), |program, (name, value)| program.set(name, value));
        program.with(words).run()
    };
    for (variables, words, code, sentence) in [
        (&[("DATABASE_URL", "memory:")][..], &["export"][..], CONFIGURATION, "DATABASE_URL"),
        (&[("DATABASE_URL", "memory:")], &["import", "diary.txt"], CONFIGURATION, "DATABASE_URL"),
        (&[], &["export"], CONFIGURATION, "there is no store"),
        (&[], &["import", "no-such-file"], FAILED, "no-such-file"),
        (&[], &["import", "diary.txt"], FAILED, "no export"),
        (&[], &["rekey"], CONFIGURATION, "DATA_KEY is not set"),
        (&[("DATA_KEY", "short")], &["rekey"], CONFIGURATION, "DATA_KEY must be"),
    ] {
        let ended = run(variables, words);
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(sentence), "{words:?}: {}", ended.stderr);
    }
    home.write("mine.jsonl.part", "dear diary\n");
    let refused = run(&[], &["export", "mine.jsonl"]);
    assert!(refused.code == CONFIGURATION && refused.stderr.contains("no export"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(home.file("mine.jsonl.part")).expect("it is there"), "dear diary\n");
}

#[test]
fn a_store_gets_a_key_and_another_one_and_does_not_start_without() {
    let home = Home::new();
    let program = Program::guarded(&home);
    let (first, second) = (new_call(), new_call());
    let service = program.serve();
    assert_eq!(service.post(&messages::report(&first)).status, 200);
    let running = program.clone().set("DATA_KEY", KEY).with(["rekey"]).run();
    assert_eq!(running.code, CONFIGURATION, "not beside a running service: {}", running.stderr);
    assert!(running.stderr.contains("in use by another Ringback"), "{}", running.stderr);
    service.stop();

    let service = program.clone().set("DATA_KEY", KEY).serve();
    assert_eq!(service.post(&messages::report(&second)).status, 200);
    assert_eq!(all_calls(&service).len(), 2, "what was there before is read");
    let calls = all_calls(&service);
    service.stop();
    for wrong in [program.clone(), program.clone().set("DATA_KEY", NEWER)] {
        for command in ["serve", "migrate", "export"] {
            let refused = wrong.clone().with([command]).run();
            assert_eq!(refused.code, CONFIGURATION, "{command}: {}", refused.stderr);
            assert!(refused.stderr.contains("DATA_KEY") && !refused.stderr.contains(NEWER), "{command}: {}", refused.stderr);
        }
    }
    let both = program.clone().set("DATA_KEY", format!("{NEWER},{KEY}"));
    let rekeyed = both.with(["rekey"]).run();
    assert_eq!((rekeyed.code, rekeyed.stdout.as_str()), (DONE, ""), "{}", rekeyed.stderr);
    assert!(rekeyed.stderr.contains("not needed any more"), "{}", rekeyed.stderr);
    let service = program.clone().set("DATA_KEY", NEWER).serve();
    assert_eq!(all_calls(&service), calls);
    service.stop();
    let found = Command::new("grep").args(["-aq", "customer-ended-call"]).arg(home.store()).status().expect("grep runs");
    assert!(found.success(), "reasons stay plain");
    let found = Command::new("grep").args(["-aq", "end-of-call-report\"}"]).arg(home.store()).status().expect("grep runs");
    assert!(!found.success(), "bodies don't");
}
