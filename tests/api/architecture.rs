//! The rooms of the house and the doors between them: imports go one way, as the crate's documentation draws it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Every room, and the rooms it may look into. Strict both ways: a door that nobody uses has to go as well.
///
/// A room only looks into rooms further down this list, so imports can't go round in circles.
const DOORS: [(&str, &[&str]); 32] = [
    ("main", &["cli"]),
    (
        "cli",
        &[
            "app",
            "audit",
            "call",
            "clock",
            "config",
            "dial",
            "doctor",
            "http",
            "simulate",
            "store",
            "telemetry",
            "transfer",
            "vapi",
            "words",
        ],
    ),
    (
        "app",
        &[
            "analytics",
            "audit",
            "call",
            "clock",
            "config",
            "dial",
            "doctor",
            "enrich",
            "http",
            "keep",
            "kestra",
            "lifecycle",
            "outbound",
            "push",
            "reconcile",
            "registry",
            "store",
            "telemetry",
            "tools",
            "trace",
            "vapi",
        ],
    ),
    (
        "http",
        &[
            "analytics",
            "audit",
            "batch",
            "call",
            "clock",
            "config",
            "dial",
            "doctor",
            "enrich",
            "envelope",
            "error",
            "fields",
            "kestra",
            "lifecycle",
            "push",
            "reconcile",
            "registry",
            "store",
            "telemetry",
            "tools",
            "trace",
            "vapi",
        ],
    ),
    ("doctor", &["call", "clock", "config", "kestra", "lifecycle", "simulate", "store", "telemetry", "vapi", "words"]),
    ("dial", &["batch", "call", "clock", "config", "fields", "kestra", "lifecycle", "push", "registry", "store", "trace", "vapi"]),
    ("tools", &["call", "clock", "config", "lifecycle", "outbound", "registry", "store", "telemetry", "trace", "vapi"]),
    ("push", &["batch", "call", "clock", "fields", "kestra", "lifecycle", "outbound", "registry", "store", "telemetry", "trace"]),
    ("enrich", &["call", "clock", "lifecycle", "registry", "store", "telemetry", "trace", "vapi"]),
    ("reconcile", &["call", "clock", "lifecycle", "registry", "store", "vapi"]),
    ("audit", &["call", "clock", "lifecycle", "store"]),
    ("analytics", &["call", "clock", "lifecycle", "store", "telemetry"]),
    ("keep", &["call", "clock", "lifecycle", "registry", "store", "telemetry"]),
    ("batch", &["call", "registry", "store"]),
    ("transfer", &["call", "registry", "store"]),
    ("registry", &["call", "clock", "envelope", "lifecycle", "store", "telemetry", "trace"]),
    ("simulate", &["call", "clock", "vapi"]),
    ("error", &["call", "config", "envelope", "store", "vapi"]),
    ("vapi", &["call", "clock", "fields", "trace", "words"]),
    ("telemetry", &["call", "config", "lifecycle", "outbound", "store", "trace"]),
    ("store", &["call"]),
    ("lifecycle", &["config"]),
    ("kestra", &["config", "outbound"]),
    ("config", &["call", "outbound"]),
    ("envelope", &[]),
    ("fields", &[]),
    ("clock", &["call"]),
    ("outbound", &["trace"]),
    ("trace", &[]),
    ("call", &[]),
    ("words", &[]),
    ("lib", &[]),
];

/// What some libraries are for, and the rooms that may therefore use them. (`vapi` and `registry` take only axum's words for headers and bytes.)
const TRADES: [(&str, &[&str]); 5] = [
    ("axum", &["app", "config", "error", "http", "registry", "simulate", "vapi"]),
    ("clap", &["cli", "simulate"]),
    ("reqwest", &["cli", "config", "doctor", "http", "kestra", "outbound", "push", "simulate", "telemetry", "tools", "trace", "vapi"]),
    ("rusqlite", &["store"]),
    (
        "tokio",
        &[
            "analytics",
            "app",
            "audit",
            "cli",
            "dial",
            "doctor",
            "enrich",
            "http",
            "keep",
            "lifecycle",
            "outbound",
            "push",
            "reconcile",
            "registry",
            "simulate",
            "store",
            "telemetry",
            "tools",
            "vapi",
        ],
    ),
];

/// Lines a file may have, its tests not counted.
const MOST_LINES: usize = 400;
/// Lines that tests at the foot of a file may have; more belong into a file of their own.
const MOST_TEST_LINES: usize = 150;

/// A source file.
struct Source {
    path: PathBuf,
    room: String,
    text: String,
}

impl Source {
    /// The code without comments, tests at the foot included.
    fn code(&self) -> String {
        self.text.lines().map(|line| line.find("//").map_or(line, |at| &line[..at])).fold(String::new(), |code, line| code + line + "\n")
    }

    /// Rooms named as `crate::room` or in `crate::{room, …}`.
    fn looks_into(&self) -> BTreeSet<String> {
        let code = self.code();
        // In a file of the top level, and in no other, `super::` is the crate too.
        let at_top = self.path.components().count() == 2 && !code.contains("mod tests");
        let root = if self.room == "main" { "ringback::" } else { "crate::" };
        let mut rooms: BTreeSet<String> = code.split(root).skip(1).flat_map(named).collect();
        if at_top {
            rooms.extend(code.split("super::").skip(1).flat_map(named));
        }
        rooms.remove(&self.room);
        rooms
    }

    fn uses(&self, library: &str) -> bool {
        let code = self.code();
        let path = format!("{library}::");
        code.match_indices(&path).any(|(at, _)| !code[..at].ends_with(|before: char| before.is_alphanumeric() || "_:".contains(before)))
    }

    fn is_test(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
    }
}

/// The first names of what follows `crate::`: one path, or a group of them.
fn named(rest: &str) -> Vec<String> {
    let word = |text: &str| text.trim_start().chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut depth, mut start, mut names) = (0_u32, 0, Vec::new());
    for (at, it) in group.char_indices() {
        match it {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(word(&group[start..at]));
                start = at + 1;
                if it == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn sources(folder: &str) -> Vec<Source> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), vec![crate_folder.join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(crate_folder).unwrap().to_owned();
                let room = path.iter().nth(1).unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
                found.push(Source { path, room, text });
            }
        }
    }
    assert!(!found.is_empty(), "no file in {folder}");
    found
}

#[test]
fn imports_go_one_way() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources("src") {
        let doors = DOORS.iter().find(|(room, _)| *room == source.room).map(|(_, doors)| *doors);
        let doors = doors.unwrap_or_else(|| panic!("{} is a new room: say in DOORS what it looks into", source.path.display()));
        let looked = source.looks_into();
        let strange: Vec<_> = looked.iter().filter(|room| !doors.contains(&room.as_str())).collect();
        assert!(strange.is_empty(), "{} looks into {strange:?}; {} may look into {doors:?}", source.path.display(), source.room);
        used.entry(source.room).or_default().extend(looked);
    }
    for (room, doors) in DOORS {
        let used = used.get(room).cloned().unwrap_or_default();
        let idle: Vec<_> = doors.iter().filter(|door| !used.contains(**door)).collect();
        assert!(idle.is_empty(), "{room} no longer looks into {idle:?}: take it out of DOORS");
    }
}

#[test]
fn no_room_looks_back_up_the_list() {
    for (place, (room, doors)) in DOORS.iter().enumerate() {
        let further_down: Vec<_> = DOORS[place + 1..].iter().map(|(room, _)| *room).collect();
        for door in *doors {
            assert!(further_down.contains(door), "{room} → {door} goes up");
        }
    }
}

#[test]
fn a_library_is_used_only_where_its_trade_is_done() {
    for source in sources("src").iter().filter(|source| !source.is_test()) {
        for (library, rooms) in TRADES.iter().filter(|(library, _)| source.uses(library)) {
            assert!(rooms.contains(&source.room.as_str()), "{} uses {library}, which is for {rooms:?}", source.path.display());
        }
    }
}

#[test]
fn what_a_call_is_needs_no_world_around_it() {
    let outside = ["std::fs", "std::net", "std::env", "std::process", "std::thread", "tracing::", "secrecy::"];
    for source in sources("src").iter().filter(|source| source.room == "call" && !source.is_test()) {
        let found: Vec<_> = outside.iter().filter(|world| source.code().contains(**world)).collect();
        assert!(found.is_empty(), "{} uses {found:?}; call/ is pure", source.path.display());
    }
}

#[test]
fn every_file_says_what_it_is_and_can_be_held_in_mind() {
    let mut faults = Vec::new();
    for source in sources("src").iter().chain(&sources("tests")) {
        let (path, text) = (source.path.display(), &source.text);
        let code = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        let tests = if text.contains("#[cfg(test)]\nmod tests {") { text.lines().count() - code } else { 0 };
        if !source.is_test() && !text.starts_with("//!") {
            faults.push(format!("{path} does not begin with a line of //! that says what it is"));
        }
        if code > MOST_LINES {
            faults.push(format!("{path} has {code} lines; {MOST_LINES} are the most"));
        }
        if source.path.starts_with("src") && tests > MOST_TEST_LINES {
            faults.push(format!("{path} ends in {tests} lines of tests; put them into a tests.rs beside it"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn names_of_a_group_of_imports_are_all_found() {
    assert_eq!(named("{call::{id, time}, clock::Clock, store};\nfn f() {}"), ["call", "clock", "store"]);
    assert_eq!(named("vapi::client::plain_http()"), ["vapi"]);
}
