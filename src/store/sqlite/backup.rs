//! A consistent copy of a store, whether or not a process is running on it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rusqlite::{Connection, OpenFlags};

use super::open::{PRIVATE, broken};
use crate::store::StoreError;

/// Copies the store at `from` into the new file `to`, as it stands at one moment, while its process goes on writing. Blocks until the copy is
/// on disk. The copy is a whole store: give it a store's name and start on it.
///
/// # Errors
/// [`StoreError::Unusable`] when `from` is no store or can't be read, or when `to` exists or can't be written; a half-made copy is removed.
pub fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let absolute = |path: &Path| {
        // So that no name is taken for a URI.
        std::path::absolute(path).map_err(|error| StoreError::Unusable(format!("{} is unusable: {error}", path.display())))
    };
    let (from, to) = (&absolute(from)?, &absolute(to)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(from, flags).map_err(|error| broken(from, &error))?;
    super::schema::is_store(&db, from)?;
    let unusable = |error: &dyn std::fmt::Display| StoreError::Unusable(format!("{} can't be written: {error}", to.display()));
    // An empty file of our own: SQLite fills it, nobody else may read it, and an existing one is never written over.
    let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(to).map_err(|error| unusable(&error))?;
    let name = to.to_str().ok_or_else(|| unusable(&"its name is not UTF-8"));
    let copied = name.and_then(|name| {
        db.execute("VACUUM INTO ?1", [name]).map_err(|error| unusable(&error))?;
        sync(&file, to).map_err(|error| unusable(&error))
    });
    if copied.is_err() {
        // What was wrong before matters more than whether this works.
        let _ = std::fs::remove_file(to);
    }
    copied
}

/// Puts file and directory entry on disk.
fn sync(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
