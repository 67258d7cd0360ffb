//! What each variable does, told one variable at a time.

mod access;
mod at_rest;
mod documents;
mod environment;
mod outbound;
mod postgres;
mod proxies;
mod redis;
mod secrecy;
mod tools;
mod values;
mod vapi;

use super::{Config, ConfigError};

/// A secret of sixteen characters.
const LONG: &str = "0123456789abcdef";

/// The configuration under these variables only.
fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_env(|name| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned()))
}

/// The configuration under one variable that must be usable.
fn with(name: &str, value: &str) -> Config {
    config(&[(name, value)]).unwrap_or_else(|error| panic!("{name}={value}: {error}"))
}

/// The configuration of a service that others can reach, with these variables added.
fn exposed(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let base = [("HOST", "0.0.0.0"), ("VAPI_WEBHOOK_SECRET", LONG), ("API_TOKENS", "ops=0123456789abcdef")];
    let added = |name: &str| variables.iter().any(|(set, _)| *set == name);
    let all: Vec<_> = base.into_iter().filter(|(name, _)| !added(name)).chain(variables.iter().copied()).collect();
    config(&all)
}

/// `value` for `name` stops the start, with one sentence that names the variable and hides the value.
fn refused(name: &str, value: &str) -> String {
    let error = config(&[(name, value)]).expect_err(&format!("{name}={value} should stop the start"));
    assert_eq!(error.problems.len(), 1, "{name}={value}: {error}");
    let sentence = error.problems[0].clone();
    assert!(sentence.starts_with(name), "{sentence}");
    sentence
}
