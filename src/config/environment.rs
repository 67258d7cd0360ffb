//! Where variables come from: the environment, and beneath it a `.env` file.

use std::{collections::HashMap, io::Cursor, path::Path};

use super::ConfigError;

/// The environment of the process, with the values of a `.env` file for what it doesn't set.
#[derive(Clone, Default)]
pub struct Environment {
    process: HashMap<String, String>,
    file: HashMap<String, String>,
}

impl Environment {
    /// Takes the variables of this process, and those of the file at `dotenv` if there is one.
    ///
    /// # Errors
    /// When the file is there but can't be read. The sentence names the line and shows nothing of it.
    pub fn load(dotenv: &Path) -> Result<Self, ConfigError> {
        let process = std::env::vars_os().map(|(name, value)| (lossy(&name), lossy(&value)));
        let file = match std::fs::read_to_string(dotenv) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(unreadable(&format!(".env can't be read ({}); make it a readable UTF-8 file, or remove it", error.kind())));
            }
        };
        Self::new(process, &file)
    }

    /// An environment made of `process` and the text of a `.env` file.
    ///
    /// # Errors
    /// When a line of the text can't be read.
    pub fn new(process: impl IntoIterator<Item = (String, String)>, dotenv: &str) -> Result<Self, ConfigError> {
        let dotenv = dotenv.trim_start_matches('\u{feff}');
        let mut file = HashMap::new();
        for entry in dotenvy::from_read_iter(Cursor::new(dotenv)) {
            let (name, value) = entry.map_err(|error| unreadable(&complaint(&error, dotenv)))?;
            file.entry(name).or_insert(value);
        }
        Ok(Self { process: process.into_iter().collect(), file })
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        if let Some(value) = self.process.get(name) {
            return Some(value.clone());
        }
        // A value given one way in the environment also hides one given the other way in the file.
        let sibling = name.strip_suffix("_FILE").map_or_else(|| format!("{name}_FILE"), str::to_owned);
        let hidden = self.process.get(&sibling).is_some_and(|value| !value.trim().is_empty());
        if hidden { None } else { self.file.get(name).cloned() }
    }
}

/// Not UTF-8 becomes U+FFFD, which the reader refuses.
fn lossy(text: &std::ffi::OsStr) -> String {
    text.to_string_lossy().into_owned()
}

fn unreadable(problem: &str) -> ConfigError {
    ConfigError { problems: vec![problem.to_owned()] }
}

fn complaint(error: &dotenvy::Error, text: &str) -> String {
    let line = match error {
        // The library's own message repeats the line, and with it the secret that may stand there.
        dotenvy::Error::LineParse(wrong, _) => {
            // It is sometimes only the part behind the `=`.
            let wrong = wrong.lines().next().map(str::trim).filter(|wrong| !wrong.is_empty());
            wrong
                .and_then(|wrong| text.lines().position(|line| line.trim().ends_with(wrong)))
                .map(|index| format!("line {} of ", index + 1))
        }
        _ => None,
    };
    format!(
        "{}.env can't be read; write NAME=value, with single quotes around values that have spaces, quotes, # or $",
        line.unwrap_or_default()
    )
}
