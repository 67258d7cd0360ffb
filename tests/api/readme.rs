//! What the README and the contributing guide say is so: variables, routes, commands, codes, links, and the files made from code.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use ringback::{
    config::{readme_table, variables},
    http::TEMPLATES,
};

const TABLE_BEGINS: &str = "<!-- configuration: begin";
const TABLE_ENDS: &str = "<!-- configuration: end -->";

/// Words of capitals in the README that are neither variables of ours nor codes: other people's variables, and places to fill in.
const FOREIGN_WORDS: [&str; 12] = [
    "ASSISTANT_ID",
    "BACKEND_API_URL",
    "NAME_FILE",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_TRACES_SAMPLER",
    "RAILWAY_PUBLIC_DOMAIN",
    "RAILWAY_RUN_UID",
    "RINGBACK_BLESS",
    "RINGBACK_SKIP_CLIENTS",
    "SECRET_RINGBACK_TOKEN",
    "SHOP_KEY",
];
/// The same of the examples: variables of PostgreSQL's image, of the compose file, of Kestra and the scripts for it.
const FOREIGN_IN_EXAMPLES: [&str; 17] = [
    "CARGO_TARGET_DIR",
    "DB_PASSWORD",
    "HOOK_KEY",
    "IDEMPOTENCY_KEY",
    "KESTRA_UNAVAILABLE",
    "MALLOC_MMAP_THRESHOLD_",
    "MOST_POLLS",
    "PAUSE_SECONDS",
    "POLL_SECONDS",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD",
    "POSTGRES_USER",
    "RINGBACK_HOOK_KEY",
    "SECRET_RINGBACK_HOOK_KEY",
    "SECRET_RINGBACK_TOKEN",
    "SECRET_VAPI_API_KEY",
    "CALL_ID",
];

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares a committed text with what the code makes of it, or with `RINGBACK_BLESS=1` rewrites it.
fn is_current(path: &str, wanted: &str) {
    if std::env::var_os("RINGBACK_BLESS").is_some() {
        fs::write(file(path), wanted).unwrap();
    }
    assert!(text(path) == wanted, "{path} is stale: run the tests once with RINGBACK_BLESS=1");
}

#[test]
fn the_readme_has_the_table_of_variables() {
    let readme = text("README.md");
    let (before, rest) = readme.split_once(TABLE_BEGINS).expect("the marker before the table");
    let (marker, rest) = rest.split_once('\n').unwrap();
    let (_, after) = rest.split_once(TABLE_ENDS).expect("the marker after the table");
    is_current("README.md", &format!("{before}{TABLE_BEGINS}{marker}\n{}{TABLE_ENDS}{after}", readme_table()));
}

#[test]
fn the_openapi_file_is_what_the_program_prints() {
    let printed = Command::new(env!("CARGO_BIN_EXE_ringback")).arg("openapi").output().unwrap();
    fs::create_dir_all(file("openapi")).unwrap();
    is_current("openapi/ringback.json", &String::from_utf8(printed.stdout).unwrap());
}

#[test]
fn every_code_has_a_row_that_says_what_to_do() {
    let readme = text("README.md");
    let (_, section) = readme.split_once("\n## Troubleshooting\n").unwrap();
    let rows: String = section.lines().filter(|line| line.starts_with("| `")).collect();
    let told: BTreeSet<String> = capitals(&rows).into_iter().filter(|word| codes().contains(word)).collect();
    assert_eq!(told, codes());
}

#[test]
fn every_variable_in_the_readme_is_one() {
    let known: BTreeSet<String> = variables().iter().map(|variable| variable.name.to_owned()).chain(codes()).collect();
    let mut strange = capitals(&text("README.md"));
    strange.retain(|word| word.contains('_') && !known.contains(word) && !FOREIGN_WORDS.contains(&word.as_str()));
    assert!(strange.iter().all(|word| word.strip_suffix("_FILE").is_some_and(|name| known.contains(name))), "{strange:?}");
}

/// The examples, as one text.
fn examples() -> String {
    let mut folders = vec![file("examples")];
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                all += &fs::read_to_string(entry.path()).unwrap();
            }
        }
    }
    all
}

#[test]
fn every_variable_and_probe_in_the_examples_is_one() {
    let (examples, known) = (examples(), variables());
    let mut strange = capitals(&examples);
    strange.retain(|word| word.contains('_') && !word.starts_with("AF_") && !known.iter().any(|variable| variable.name == word));
    strange.retain(|word| !FOREIGN_IN_EXAMPLES.contains(&word.as_str()));
    strange.retain(|word| !word.strip_suffix("_FILE").is_some_and(|name| known.iter().any(|variable| variable.name == name)));
    assert!(strange.is_empty(), "{strange:?}");
    assert_eq!(examples.matches("replicas: 3").count(), 2);
    for probe in ["/livez", "/readyz"] {
        assert!(examples.contains(probe) && TEMPLATES.contains(&probe), "{probe}");
    }
}

#[test]
fn every_address_in_the_readme_is_a_route() {
    let readme = text("README.md");
    let ends = |it: char| it.is_whitespace() || "\"'`)?,".contains(it);
    for at in readme.match_indices("/api/v1/").map(|(at, _)| at) {
        let path = readme[at..].split(ends).next().unwrap();
        assert!(TEMPLATES.iter().any(|template| fits(path, template)), "{path} is no route");
    }
}

#[test]
fn every_command_in_the_readme_is_one_and_has_its_options() {
    let (help, mut seen) = (help(&[]), 0);
    for document in ["README.md", ".github/CONTRIBUTING.md"] {
        let mut lines = text(document).replace("\\\n", " ");
        lines = lines.replace("cargo run --release --", "ringback").replace("`simulate --", "`ringback simulate --");
        for call in lines.split('`').flat_map(str::lines).filter_map(|line| line.split_once("ringback ").map(|(_, call)| call)) {
            let mut words = call.split_whitespace().map(|word| word.trim_matches(|it: char| !it.is_alphanumeric() && it != '-'));
            let Some(command) = words.next().filter(|command| help.contains(&format!("\n  {command} "))) else { continue };
            let own = self::help(&[command]);
            for option in words.filter(|word| word.starts_with("--")) {
                assert!(own.contains(option), "{document}: ringback {command} has no {option}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} commands were found");
}

#[test]
fn every_link_inside_the_repository_leads_somewhere() {
    for document in ["README.md", ".github/CONTRIBUTING.md"] {
        let (content, folder) = (text(document), file(document).parent().unwrap().to_owned());
        for target in content.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).filter(|target| !target.contains("://")) {
            let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
            assert!(path.is_empty() || folder.join(path).exists(), "{document}: there is no {path}");
            if let Some(anchor) = anchor.filter(|_| path.is_empty()) {
                assert!(content.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor), "{document}: no #{anchor}");
            }
        }
    }
}

/// The closed list of codes, as `src/error.rs` gives them out.
fn codes() -> BTreeSet<String> {
    let source = text("src/error.rs");
    let codes = source.lines().filter(|line| line.contains("(StatusCode::")).filter_map(|line| line.split('"').nth(1));
    codes.map(str::to_owned).collect()
}

/// Words of capitals and underscores, four letters or more.
fn capitals(text: &str) -> BTreeSet<String> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    let capital =
        |word: &&str| word.len() > 3 && !word.bytes().any(|byte| byte.is_ascii_lowercase()) && word.starts_with(char::is_alphabetic);
    words.filter(capital).map(str::to_owned).collect()
}

/// Does a path, with any values in it, belong to a route's template?
fn fits(path: &str, template: &str) -> bool {
    let segments = |path: &str| path.trim_end_matches(['/', '.', ';']).split('/').map(str::to_owned).collect::<Vec<_>>();
    let (path, template) = (segments(path), segments(template));
    path.len() == template.len() && path.iter().zip(&template).all(|(part, wanted)| part == wanted || wanted.starts_with('{'))
}

fn help(command: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_ringback")).args(command).arg("--help").output().unwrap();
    String::from_utf8(run.stdout).unwrap()
}

/// A heading as GitHub makes an anchor of it.
fn slug(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it)).map(|it| if it == ' ' { '-' } else { it }).collect()
}
