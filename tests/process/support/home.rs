//! A folder of its own for each story.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder that the program runs in, with its store; gone when dropped.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("ringback-test-").tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The store that is used unless another is named.
    pub(crate) fn store(&self) -> PathBuf {
        self.file("ringback.db")
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, content).expect("the folder can be written");
        path
    }
}
