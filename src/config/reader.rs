//! Reads one variable after another, and collects every problem instead of stopping at the first.
//!
//! A problem names the variable and what to do. It never repeats a value: what stands in the wrong variable may be a secret.

use std::{
    fmt::Display,
    io::{ErrorKind, Read as _},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use super::variables;

/// A file named by a `NAME_FILE` variable is refused when it has more bytes.
const VALUE_FILE_BYTES: u64 = 1 << 20;

/// Settings that can't be used: one sentence for each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", sentences(.problems))]
pub struct ConfigError {
    /// What is wrong; every sentence names its variable and says what to do, and none shows a value.
    pub problems: Vec<String>,
}

fn sentences(problems: &[String]) -> String {
    match problems {
        [one] => format!("the configuration can't be used: {one}"),
        many => format!("the configuration can't be used:\n  - {}", many.join("\n  - ")),
    }
}

/// Reads variables by name and remembers what was wrong with them.
pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, problems: Vec::new(), warnings: Vec::new() }
    }

    /// `value` with the warnings, unless there was a problem.
    pub(super) fn finish<T>(self, value: T) -> Result<(T, Vec<String>), ConfigError> {
        if self.problems.is_empty() { Ok((value, self.warnings)) } else { Err(ConfigError { problems: self.problems }) }
    }

    /// Notes something that stops the start.
    pub(super) fn problem(&mut self, sentence: impl Into<String>) {
        self.problems.push(sentence.into());
    }

    /// Whether `name` is free of problems so far.
    pub(super) fn is_fine(&self, name: &str) -> bool {
        !self.problems.iter().any(|problem| problem.starts_with(name))
    }

    /// Notes something that the start log shows.
    pub(super) fn warn(&mut self, sentence: impl Into<String>) {
        self.warnings.push(sentence.into());
    }

    /// Notes something that is only worth a warning while nobody else can reach us.
    pub(super) fn problem_if(&mut self, exposed: bool, sentence: impl Into<String>) {
        if exposed { self.problem(sentence) } else { self.warn(sentence) }
    }

    /// What stands in the environment under `name`, if it isn't empty.
    pub(super) fn plain(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value of `name`, from the environment or from the file that `NAME_FILE` names.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let file = self.plain(&format!("{name}_FILE"));
        let value = match (self.plain(name), file) {
            (Some(_), Some(_)) => {
                self.problem(format!("{name} and {name}_FILE are both set; keep one of them"));
                None
            }
            (value, None) => value,
            (None, Some(path)) => self.content(name, &path),
        };
        // What wasn't UTF-8 has become U+FFFD on the way here.
        if value.as_deref().is_some_and(|text| text.contains(char::REPLACEMENT_CHARACTER)) {
            self.problem(format!("{name} must be UTF-8 text"));
            return None;
        }
        value
    }

    /// The value of a variable that somebody named in another one; from the environment, or from the file that `NAME_FILE` names.
    pub(super) fn named(&mut self, name: &str) -> Option<String> {
        let path = self.plain(&format!("{name}_FILE"));
        self.plain(name).or_else(|| path.and_then(|path| self.content(name, &path)))
    }

    /// Where the value of `name` stands, in words; asked once it was read, so a path is one.
    pub(super) fn origin(&self, name: &str) -> String {
        let path = self.plain(&format!("{name}_FILE")).filter(|_| self.plain(name).is_none());
        path.map_or_else(|| name.to_owned(), |path| format!("{name}_FILE ({path})"))
    }

    fn content(&mut self, name: &str, path: &str) -> Option<String> {
        let mut content = Vec::new();
        match std::fs::File::open(path).and_then(|file| file.take(VALUE_FILE_BYTES + 1).read_to_end(&mut content)) {
            Ok(_) if content.len() as u64 > VALUE_FILE_BYTES => self.problem(format!("{name}_FILE must name a file of at most 1 MB")),
            Ok(_) => {
                let text = String::from_utf8_lossy(&content).trim().to_owned();
                if !text.is_empty() {
                    return Some(text);
                }
                self.warn(format!("{name}_FILE names an empty file, so {name} counts as unset"));
            }
            Err(error) => self.problem(format!("{name}_FILE must name a file that can be read ({})", unreadable(error.kind()))),
        }
        None
    }

    /// The value of `name` as `parse` understands it; a problem that says `expected` if it doesn't.
    pub(super) fn optional<T>(&mut self, name: &'static str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(&text);
        if value.is_none() {
            self.problem(format!("{name} must be {expected}"));
        }
        value
    }

    /// Like [`Self::optional`], with the default from the table of variables.
    pub(super) fn value<T>(&mut self, name: &'static str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        self.optional(name, expected, &parse)
            .or_else(|| parse(variables::default_of(name)))
            .expect("a test reads every default of the table")
    }

    /// A whole number within `range`.
    pub(super) fn whole<T: FromStr + PartialOrd + Display>(&mut self, name: &'static str, range: RangeInclusive<T>) -> T {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.value(name, &expected, |text| text.parse().ok().filter(|number| range.contains(number)))
    }

    /// Seconds within `range`, with or without a fraction.
    pub(super) fn seconds(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Duration {
        self.value(name, &expected_seconds(&range), |text| seconds(text, &range))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> T {
        let names: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        self.value(name, &names.join(" or "), |text| words.iter().find(|(word, _)| text == *word).map(|(_, value)| *value))
    }

    /// The parts of a comma separated list, trimmed; empty parts are left out.
    pub(super) fn list(&mut self, name: &'static str) -> Vec<String> {
        parts(&self.text(name).unwrap_or_else(|| variables::default_of(name).to_owned())).filter(|part| !part.is_empty()).collect()
    }
}

fn unreadable(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::NotFound => "there is none of that name; a path is seen from the working directory".to_owned(),
        ErrorKind::PermissionDenied => "whoever runs this may not".to_owned(),
        other => other.to_string(),
    }
}

/// The parts of a comma separated list, trimmed.
pub(super) fn parts(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(|part| part.trim().to_owned())
}

/// What a variable of seconds should hold, in words.
pub(super) fn expected_seconds(range: &RangeInclusive<u32>) -> String {
    format!("a number of seconds from {} to {}", range.start(), range.end())
}

/// Seconds such as `5` or `0.25`.
pub(super) fn seconds(text: &str, range: &RangeInclusive<u32>) -> Option<Duration> {
    // Rust's own reading of numbers also takes `inf`, `nan`, `1e9` and signs.
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let duration = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    let bounds = Duration::from_secs((*range.start()).into())..=Duration::from_secs((*range.end()).into());
    bounds.contains(&duration).then_some(duration)
}

/// `true`, `false`, `1` or `0`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A duration as whole milliseconds.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
