//! Opening the file: is it ours alone, is it private, is it sound?

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use crate::store::{StoreError, disk::filesystem_forgets};

/// Only the owner reads and writes: records are stored in clear.
pub(super) const PRIVATE: u32 = 0o600;
/// How long a connection waits for another one's lock. Only checkpoints ever make one wait.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// Whoever just let go of the file may have started a program in that moment, which holds the lock until it runs: it is tried again so often.
const LOCK_TRIES: u32 = 10;
/// And so long apart.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Statements kept ready in each connection.
const STATEMENTS: usize = 64;
/// Page cache of the writer, in KiB: the upper pages of every index fit.
const WRITER_CACHE_KIB: i64 = 16_384;
/// Page cache of each reader, in KiB.
const READER_CACHE_KIB: i64 = 2_048;
/// When the log starts over, a longer file is cut to this, in bytes. Up to it the file stays as it is: to write over it is cheaper than to
/// make it longer.
const LOG_SIZE_LIMIT: i64 = 128 * 1_048_576;

/// The file with something appended to its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Refuses a place that is gone with the container.
pub(super) fn refuse_forgetful(path: &Path) -> Result<(), StoreError> {
    let Some(kind) = filesystem_forgets(path) else { return Ok(()) };
    Err(StoreError::Unusable(format!(
        "{} lies on {kind}, which is gone with the container: put DATABASE_URL on a volume, or append ?ephemeral=true to accept the loss",
        path.display()
    )))
}

/// Makes this process the only writer until the file is dropped. The operating system ends the lock with the process, however it ends.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let file = private_file(&lock_path).map_err(|error| {
        StoreError::Unusable(format!("{} can't be created: {error}. Does its folder exist, and is it writable?", lock_path.display()))
    })?;
    let mut taken = file.try_lock();
    for _ in 0..LOCK_TRIES {
        if !matches!(taken, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOCK_PAUSE);
        taken = file.try_lock();
    }
    match taken {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unusable(format!(
            "{} is in use by another Ringback process: stop that one first, or choose another DATABASE_URL",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(StoreError::Unusable(format!("{} can't be locked: {error}", lock_path.display()))),
    }
}

/// Opens a file for writing; makes it if need be, for the owner only.
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE).open(path)
}

/// Sees to it that file and sidecars are there for the owner only. SQLite gives new sidecars the mode of the file.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    private_file(path).map_err(|error| StoreError::Unusable(format!("{} can't be opened for writing: {error}", path.display())))?;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let file = beside(path, suffix);
        if let Err(error) = fs::set_permissions(&file, Permissions::from_mode(PRIVATE))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the mode of a store file can't be set to 0600: others may be able to read it");
        }
    }
    Ok(())
}

/// The one connection that writes.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX).broken(path)?;
    // Counts only while the file is still empty. Freed pages can then be given back to the disk when it runs full; it costs next to nothing.
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL").broken(path)?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).broken(path)?;
    if mode != "wal" {
        return Err(StoreError::Unusable(format!(
            "{} lies on a file system without shared memory files: use a local disk",
            path.display()
        )));
    }
    settle_writer(&db).broken(path)?;
    Ok(db)
}

fn settle_writer(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "synchronous", "FULL")?;
    // Checkpoints run on a connection of their own, so that no webhook waits for one.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.pragma_update(None, "journal_size_limit", LOG_SIZE_LIMIT)?;
    db.pragma_update(None, "secure_delete", "ON")?;
    db.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)
}

/// A connection that copies the log into the file.
pub(super) fn checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    Ok(db)
}

/// A connection that reads.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    Ok(db)
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    // Or SQLite would plan a statement anew for every value, to see whether a partial index fits.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(db)
}

/// Turns what SQLite says while a store is opened into what the operator can do.
pub(super) trait Failure<T> {
    fn broken(self, path: &Path) -> Result<T, StoreError>;
}

impl<T> Failure<T> for rusqlite::Result<T> {
    fn broken(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| broken(path, &error))
    }
}

/// The sentence for an error while opening.
pub(super) fn broken(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.display();
    StoreError::Unusable(match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => format!(
            "{path} is damaged or no SQLite file ({error}): put a backup in its place, or move it and its -wal and -shm away to start empty"
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            format!("{path} can't be opened for writing ({error}): check the rights of the file and of its folder")
        }
        _ => format!("{path} can't be opened: {error}"),
    })
}
