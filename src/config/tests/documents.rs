use std::{cell::RefCell, collections::BTreeSet, path::Path};

use crate::config::{ClientConfig, Config, Environment, env_example, readme_table, variables};

/// The file in the repository, which `RINGBACK_BLESS=1` rewrites.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example");

#[test]
fn the_example_file_lists_every_variable_with_its_default() {
    if std::env::var_os("RINGBACK_BLESS").is_some() {
        std::fs::write(EXAMPLE, env_example()).unwrap();
    }
    let file = std::fs::read_to_string(Path::new(EXAMPLE)).unwrap_or_default();
    assert!(file == env_example(), ".env.example is stale: run the tests once with RINGBACK_BLESS=1");
}

#[test]
fn the_example_file_means_the_defaults_once_it_is_uncommented() {
    let uncommented: String = env_example()
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n")
        .collect();
    let environment = Environment::new([], &uncommented).unwrap();
    let config = Config::from_env(|name| environment.get(name)).unwrap();
    // The one default that depends on something else.
    let usual = Config::from_env(|name| (name == "SHUTDOWN_DELAY_SECONDS").then(|| "5".to_owned())).unwrap();
    assert_eq!(format!("{config:?}"), format!("{usual:?}"));
}

#[test]
fn what_is_documented_is_read_and_nothing_else() {
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        None
    };
    Config::from_env(lookup).unwrap();
    ClientConfig::from_env(lookup).unwrap();
    let known: BTreeSet<_> =
        variables().iter().flat_map(|variable| [variable.name.to_owned(), format!("{}_FILE", variable.name)]).collect();
    let foreign = BTreeSet::from(["NO_COLOR".to_owned(), "RAILWAY_PUBLIC_DOMAIN".to_owned()]);
    assert_eq!(asked.into_inner(), &known | &foreign);
}

#[test]
fn the_table_has_one_row_a_variable() {
    let table = readme_table();
    assert_eq!(table.lines().count(), variables().len() + 2);
    assert!(table.lines().all(|row| row.starts_with("| ") || row.starts_with("|-")));
    assert!(table.lines().all(|row| row.matches('|').count() == 5), "a | in a text would break the table:\n{table}");
    assert!(table.contains("| `PORT` | `8000` | "));
}

#[test]
fn every_variable_says_what_it_is_for_in_one_line() {
    for variable in variables() {
        assert!(variable.meaning.ends_with('.') && !variable.meaning.contains('\n') && variable.meaning.len() > 15, "{}", variable.name);
        assert!(!variable.commands.is_empty());
    }
}
