//! The schema and its changes, embedded in order.
//!
//! `PRAGMA user_version` holds *major × 1000 + step*. Within a major the steps only add, so this release runs on a schema that is further
//! along; a newer major stops the start. `PRAGMA application_id` tells a store from any other SQLite file.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    backup::copy_into,
    open::{Failure, beside, broken},
};
use crate::store::{Migrate, StoreError, tombstone::TombstoneKey};

/// "Ring", in ASCII.
const APPLICATION_ID: i64 = 0x5269_6e67;
/// Steps in one major.
const MAJOR: i64 = 1_000;

/// The changes, oldest first: the version each leads to, and its SQL.
const STEPS: &[(i64, &str)] = &[
    (1_001, include_str!("../migrations/sqlite/0001_calls.sql")),
    (2_001, include_str!("../migrations/sqlite/0002_no_fingerprint.sql")),
    (2_002, include_str!("../migrations/sqlite/0003_numbers_in_order.sql")),
    (2_003, include_str!("../migrations/sqlite/0004_news.sql")),
    (2_004, include_str!("../migrations/sqlite/0005_outbox.sql")),
    (2_005, include_str!("../migrations/sqlite/0006_documents.sql")),
    (2_006, include_str!("../migrations/sqlite/0007_figures.sql")),
    (2_007, include_str!("../migrations/sqlite/0008_sieve.sql")),
];

/// Brings the schema to where this release needs it, or says why that can't be.
pub(super) fn prepare(db: &mut Connection, path: &Path, migrate: Migrate) -> Result<(), StoreError> {
    let newest = STEPS.last().map_or(0, |step| step.0);
    let standing = version(db, path)?;
    if standing / MAJOR > newest / MAJOR {
        return Err(StoreError::Unusable(format!(
            "{} was written by a newer major release of Ringback (its schema is {standing}, this release knows {newest}): start that release",
            path.display()
        )));
    }
    if standing >= newest {
        return Ok(());
    }
    if migrate == Migrate::Check {
        return Err(StoreError::Behind(format!(
            "the schema of {} is behind (it is {standing}, this release needs {newest}) and MIGRATE is check: run `ringback migrate` first",
            path.display()
        )));
    }
    if standing > 0 {
        let copy = copy_beside(db, path, newest)?;
        tracing::info!(from = standing, to = newest, copy = %copy.display(), "the schema is brought up to date");
    }
    apply(db, standing).broken(path)
}

/// The schema's version; 0 for an empty file.
fn version(db: &Connection, path: &Path) -> Result<i64, StoreError> {
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).broken(path);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).broken(path)?;
    if tables > 0 && number("application_id")? != APPLICATION_ID {
        return Err(StoreError::Unusable(format!("{} is an SQLite file of another program: choose another path", path.display())));
    }
    if tables == 0 { Ok(0) } else { number("user_version") }
}

/// The schema's version, 0 for an empty file, and the one that this release needs.
pub(super) fn standing(db: &Connection, path: &Path) -> Result<(i64, i64), StoreError> {
    Ok((version(db, path)?, STEPS.last().map_or(0, |step| step.0)))
}

/// Was it written by a newer major release?
pub(super) fn is_foreign(version: i64) -> bool {
    version / MAJOR > STEPS.last().map_or(0, |step| step.0) / MAJOR
}

/// Is there a store in the file, as old as it may be?
pub(super) fn is_ours(db: &Connection, path: &Path) -> Result<bool, StoreError> {
    Ok(version(db, path)? > 0)
}

/// Refuses a file that is no store.
pub(super) fn is_store(db: &Connection, path: &Path) -> Result<(), StoreError> {
    match version(db, path)? {
        0 => Err(StoreError::Unusable(format!("there is no store in {}", path.display()))),
        _ => Ok(()),
    }
}

fn apply(db: &mut Connection, standing: i64) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for (version, sql) in STEPS.iter().filter(|(version, _)| *version > standing) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()
}

/// Copies the file to `<file>.before-v<version>`. Not by reading the file ourselves: closing it would end the locks that SQLite holds on it.
fn copy_beside(db: &Connection, path: &Path, version: i64) -> Result<PathBuf, StoreError> {
    let copy = beside(path, &format!(".before-v{version}"));
    let unfinished = beside(path, &format!(".before-v{version}.part"));
    let failed = |error: &dyn std::fmt::Display| {
        StoreError::Unusable(format!("{} can't be copied to {} before its schema changes: {error}", path.display(), copy.display()))
    };
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&error)),
        _ => {}
    }
    copy_into(db, &unfinished).map_err(|error| failed(&error))?;
    fs::rename(&unfinished, &copy).map_err(|error| failed(&error))?;
    Ok(copy)
}

/// The key of the tombstones; made with the store.
pub(super) fn tombstone_key(db: &Connection, path: &Path) -> Result<TombstoneKey, StoreError> {
    let fresh = TombstoneKey::random();
    db.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('tombstone_key', ?1)", [fresh.as_bytes()]).broken(path)?;
    let bytes = db.query_row("SELECT value FROM meta WHERE key = 'tombstone_key'", [], |row| row.get(0));
    bytes.map(TombstoneKey::from_bytes).map_err(|error| broken(path, &error))
}
