//! A store as it stood at one moment, to be read at leisure while its process goes on writing.

use std::{fs, io::ErrorKind, path::PathBuf};

use super::{
    SqliteOptions, SqliteStore, backup,
    open::{beside, lock},
};
use crate::store::{StoreError, disk};

/// A copy beside the store, and the store in it. The copy goes when this is dropped; one that was left over goes when the next one is made.
#[derive(Debug)]
pub struct Snapshot {
    store: SqliteStore,
    path: PathBuf,
}

impl Snapshot {
    /// Copies the store of these options. Takes as much room as the store.
    ///
    /// # Errors
    /// As [`backup`] and [`SqliteStore::open`], and when another process is at it.
    pub fn take(options: &SqliteOptions) -> Result<Self, StoreError> {
        let from = disk::resolved(&options.path).ok_or_else(|| StoreError::Unusable("the path of the store is empty".to_owned()))?;
        if !from.exists() {
            return Err(StoreError::Unusable(format!("there is no store in {}", from.display())));
        }
        let path = beside(&from, ".export");
        let claim = lock(&path)?;
        remove(&path)?;
        backup(&from, &path)?;
        drop(claim);
        let store = SqliteStore::open(&SqliteOptions { path: path.clone(), ephemeral_ok: true, ..options.clone() });
        match store {
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
        // The next one removes what can't be removed now.
        let _ = remove(&self.path);
        let _ = fs::remove_file(beside(&self.path, ".lock"));
    }
}

fn remove(path: &std::path::Path) -> Result<(), StoreError> {
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
