//! `ringback backup FILE`: a consistent copy of the SQLite store, while the service runs.

use std::{path::PathBuf, process::ExitCode};

use super::{failed, unusable};
use crate::{
    config::{DatabaseUrl, Environment, StoreConfig},
    store::sqlite,
};

/// What `ringback backup` is told.
#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The copy; must not exist
    file: PathBuf,
}

pub(super) fn run(args: &BackupArgs, environment: &Environment) -> ExitCode {
    let config = match StoreConfig::from_env(|name| environment.get(name)) {
        Ok(config) => config,
        Err(error) => return unusable(&error),
    };
    let DatabaseUrl::Sqlite { path, .. } = config.url else {
        return unusable(
            &"DATABASE_URL: only an SQLite file can be backed up; for PostgreSQL use pg_dump, for Redis its own copies; memory: is gone with its process",
        );
    };
    match sqlite::backup(&path, &args.file) {
        Ok(()) => {
            eprintln!("ringback: copied {} to {}", path.display(), args.file.display());
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error.to_string()),
    }
}
