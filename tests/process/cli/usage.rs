//! What the program says about itself, and to those who mistype.

use serde_json::Value;

use super::{DONE, USAGE};
use crate::support::{home::Home, program::Program};

/// What there is. What later releases bring is absent.
const COMMANDS: [&str; 16] = [
    "serve",
    "healthcheck",
    "migrate",
    "backup",
    "export",
    "import",
    "rekey",
    "call",
    "result",
    "listen",
    "backfill",
    "doctor",
    "simulate",
    "replay",
    "assistant-config",
    "openapi",
];

#[test]
fn help_lists_what_there_is_and_nothing_else() {
    let home = Home::new();
    for ask in [["--help"], ["help"], ["-h"]] {
        let help = Program::in_home(&home).with(ask).run();
        assert_eq!((help.code, help.stderr.as_str()), (DONE, ""));
        let section = help.stdout.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list of commands");
        let named: Vec<&str> = section.lines().filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help").collect();
        assert_eq!(named, COMMANDS);
    }
}

#[test]
fn every_command_explains_itself() {
    let home = Home::new();
    for command in COMMANDS {
        let help = Program::in_home(&home).with([command, "--help"]).run();
        assert_eq!((help.code, help.stderr.as_str()), (DONE, ""), "{command}");
        assert!(help.stdout.contains("Usage: ringback"), "{command}: {}", help.stdout);
        assert!(help.stdout.lines().all(|line| line.chars().count() <= 100), "{command}: {}", help.stdout);
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = Program::in_home(&Home::new()).with(["--version"]).run();
    assert_eq!((version.code, version.stdout.trim()), (DONE, concat!("ringback ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn what_is_mistyped_is_told_on_stderr_with_exit_code_2() {
    let home = Home::new();
    for words in [
        "nonsense",
        "--nonsense",
        "serve now",
        "serve --port 1",
        "backup",
        "backup a b",
        "result",
        "result no/id",
        "result id --wait soon",
        "result id --wait=-1",
        "result id --wait -1",
        "result id --url localhost:8000",
        "backfill --since -1h",
        "replay",
        "replay file --auth magic",
        "replay file --rate 0",
        "replay file --url nowhere",
        "simulate --scenario nonsense",
        "simulate --duplicate 2",
        "simulate --port 99999",
        "healthcheck --nonsense",
        "openapi --yaml",
        "doctor now",
        "doctor --fix",
        "doctor --yes",
        "doctor --fix --yes",
        "doctor --fix --assistant a-1",
        "doctor --restore file",
        "doctor --restore file --org --yes",
        "doctor --assistant ../org",
        "assistant-config file",
        "export a b",
        "import",
        "rekey now",
        "call a b",
        "call --wait soon",
    ] {
        let ended = Program::in_home(&home).with(words.split(' ')).run();
        assert_eq!((ended.code, ended.stdout.as_str()), (USAGE, ""), "{words}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains("--help"), "{words}: {}", ended.stderr);
    }
}

#[test]
fn the_openapi_document_is_json_on_stdout_and_the_one_that_is_served() {
    let home = Home::new();
    let service = Program::in_home(&home).serve();
    // It needs no configuration, not even a usable one.
    let printed = Program::in_home(&home).set("DATABASE_URL", "nonsense").with(["openapi"]).run();
    assert_eq!((printed.code, printed.stderr.as_str()), (DONE, ""));
    let document: Value = serde_json::from_str(&printed.stdout).expect("JSON");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    assert_eq!(service.read("/openapi.json").json(), document);
}

#[test]
fn a_reader_that_leaves_early_gets_no_complaint() {
    let home = Home::new();
    let ended = Program::in_home(&home).with(["openapi"]).under(["sh", "-c", r#""$0" "$@" | head -c 20"#]).run();
    assert_eq!((ended.code, ended.stderr.as_str()), (DONE, ""));
}

#[test]
fn without_a_command_it_serves() {
    let home = Home::new();
    let named = Program::in_home(&home).with(["serve"]).serve();
    named.is_well();
    named.stop();
    Program::in_home(&home).serve().is_well();
}
