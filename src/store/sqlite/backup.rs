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
    copy_into(&db, to).map_err(|error| StoreError::Unusable(format!("{} can't be written: {error}", to.display())))
}

/// Copies the database, as one moment shows it, into a new private file that is on disk when this returns. A half-made copy is removed.
pub(super) fn copy_into(db: &Connection, to: &Path) -> Result<(), CopyError> {
    // An empty file of our own: SQLite fills it, nobody else may read it, and an existing one is never written over.
    let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(to)?;
    let copy = || -> Result<(), CopyError> {
        let name = to.to_str().ok_or(CopyError::Name)?;
        db.execute("VACUUM INTO ?1", [name])?;
        file.sync_all()?;
        // The entry in the folder, too.
        to.parent().map_or(Ok(()), |folder| Ok(File::open(folder)?.sync_all()?))
    };
    copy().inspect_err(|_| {
        // What was wrong before matters more than whether this works.
        let _ = std::fs::remove_file(to);
    })
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("its name is not UTF-8")]
    Name,
}
