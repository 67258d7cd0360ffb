//! Looking at a store from outside, beside the process that works on it. Writes nothing and takes no lock that anybody waits for.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::{
    open::{Failure as _, beside, reader},
    schema,
};
use crate::store::{StoreError, StoreHealth, disk};

/// Where Linux lists the locks that are held.
const LOCKS: &str = "/proc/locks";

/// What can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    /// The version of its schema.
    pub schema: i64,
    /// The version that this release needs.
    pub newest: i64,
    /// A newer major release wrote it.
    pub is_foreign: bool,
    /// A process works on it.
    pub in_use: bool,
    /// Its size, and the room there is.
    pub health: StoreHealth,
}

/// Looks at the store at `path`; `None` when there is none.
///
/// # Errors
/// [`StoreError::Unusable`] when what is there is no store, is damaged, or can't be read.
pub fn inspect(path: &Path) -> Result<Option<Inspection>, StoreError> {
    let path = disk::resolved(path).ok_or_else(|| StoreError::Unusable("the path of the store is empty".to_owned()))?;
    if !path.exists() {
        return Ok(None);
    }
    let db = reader(&path).broken(&path)?;
    let (schema, newest) = schema::standing(&db, &path)?;
    if schema == 0 {
        return Ok(None);
    }
    // Any of its pages could be damaged; that the newest ones can be read is a good sign, and cheap.
    let _: Option<String> = db.query_row("SELECT max(id) FROM calls", [], |row| row.get(0)).broken(&path)?;
    let size_bytes = ["", "-wal"].iter().filter_map(|suffix| fs::metadata(beside(&path, suffix)).ok()).map(|file| file.len()).sum();
    let (free_bytes, disk_bytes) = disk::room(&path).unzip();
    let health = StoreHealth { size_bytes, free_bytes, disk_bytes, ..StoreHealth::default() };
    Ok(Some(Inspection { schema, newest, is_foreign: schema::is_foreign(schema), in_use: is_locked(&beside(&path, ".lock")), health }))
}

/// Does a process hold the lock of this file? Not found out by trying: a service that starts at that moment would be refused.
fn is_locked(path: &Path) -> bool {
    let (Ok(file), Ok(locks)) = (fs::metadata(path), fs::read_to_string(LOCKS)) else { return false };
    let inode = format!(":{}", file.ino());
    locks.lines().any(|line| line.contains("FLOCK") && line.split_whitespace().any(|word| word.ends_with(&inode)))
}
