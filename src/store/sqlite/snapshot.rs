//! A store as it stood at one moment, to be read at leisure while its process goes on writing.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{
    SqliteOptions, SqliteStore, backup,
    open::{beside, lock},
};
use crate::store::{StoreError, disk};

/// What is added to the name of a store for its copy.
const COPY: &str = ".export";

/// A copy beside the store, and the store in it. The copy goes when this is dropped; one that was left over goes when the next one is made, or the
/// store is opened.
#[derive(Debug)]
pub struct Snapshot {
    store: SqliteStore,
    path: PathBuf,
}

impl Snapshot {
    /// Copies the store of these options. Takes as much room as the store.
    ///
    /// # Errors
    /// As [`backup()`] and [`SqliteStore::open`], and when another process is at it.
    pub fn take(options: &SqliteOptions) -> Result<Self, StoreError> {
        let from = disk::resolved(&options.path).ok_or_else(|| StoreError::Unusable("the path of the store is empty".to_owned()))?;
        if !from.exists() {
            return Err(StoreError::Unusable(format!("there is no store in {}", from.display())));
        }
        let path = beside(&from, COPY);
        let claim = lock(&path)?;
        remove(&path)?;
        backup(&from, &path)?;
        match SqliteStore::open_locked(options, path.clone(), claim) {
            Ok(store) => Ok(Self { store, path }),
            Err(error) => {
                remove(&path)?;
                Err(error)
            }
        }
    }

    /// The store in the copy.
    #[must_use]
    pub fn store(&self) -> SqliteStore {
        self.store.clone()
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // What can't be removed now is removed later.
        let _ = remove(&self.path);
    }
}

/// Removes the copy of an export that was killed: calls that were deleted since would outlive in it.
pub(super) fn sweep(path: &Path) -> Result<(), StoreError> {
    let copy = beside(path, COPY);
    if !copy.exists() {
        return Ok(());
    }
    // Unless the export is still at work.
    match lock(&copy) {
        Ok(_claim) => remove(&copy),
        Err(_held) => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let file = beside(path, suffix);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::Unusable(format!("{} can't be removed: {error}", file.display())));
            }
            _ => {}
        }
    }
    Ok(())
}
