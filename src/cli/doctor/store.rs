//! Looking at the store from outside: beside a running service where the engine lets one.

use std::{path::Path, time::Duration};

use rustix::fs::{Access, access};
use tokio::time::timeout;

use crate::{
    app::open_store,
    config::{Config, DatabaseUrl, Migrate},
    doctor::{Finding, of_store},
    store::{
        StoreError,
        disk::filesystem_forgets,
        sqlite::{Inspection, inspect},
    },
};

/// A database that takes longer does not answer.
const DEADLINE: Duration = Duration::from_secs(15);

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = match &config.store.url {
        DatabaseUrl::Memory => {
            let words = "calls are kept in memory only: they are gone with the process, and nobody can look at them from outside";
            vec![Finding::warning("store", words).advise("set DATABASE_URL to keep them")]
        }
        DatabaseUrl::Sqlite { path, ephemeral } => of_file(path, *ephemeral || config.http.is_loopback(), config.store.migrate),
        DatabaseUrl::Postgres(_) | DatabaseUrl::Redis(_) => of_server(config).await,
    };
    findings.push(if config.store.data_keys.is_empty() {
        Finding::ok("store_encryption", "records are stored in clear, since DATA_KEY is not set")
    } else {
        Finding::ok("store_encryption", "what is stored from now on is encrypted with DATA_KEY")
    });
    findings
}

fn of_file(path: &Path, may_forget: bool, migrate: Migrate) -> Vec<Finding> {
    if let Some(kind) = filesystem_forgets(path).filter(|_| !may_forget) {
        let words = format!("the store would lie on {kind}, which is gone with the container");
        return vec![Finding::error("store", &words).advise("put DATABASE_URL on a volume, or append ?ephemeral=true to accept the loss")];
    }
    match inspect(path) {
        Ok(Some(seen)) => of_inspection(&seen, migrate),
        Ok(None) => vec![of_no_file(path)],
        Err(error) => of_store(&Err(error)),
    }
}

/// `serve` makes a store, but no folder for it.
fn of_no_file(path: &Path) -> Finding {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().unwrap_or(&absolute);
    if folder.is_dir() {
        if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
            let words = format!("there is no store yet, and whoever runs this can't write to its folder: {}", folder.display());
            return Finding::warning("store", &words).advise("see that the user who runs `serve` can write there, or correct DATABASE_URL");
        }
        return Finding::ok("store", "there is no store yet; `serve` makes one");
    }
    let what = if folder.exists() { "is no folder" } else { "does not exist" };
    let words = format!("the folder of the store {what}: {}", folder.display());
    Finding::error("store", &words).advise("make that folder, or correct DATABASE_URL; `serve` does not start without it")
}

fn of_inspection(seen: &Inspection, migrate: Migrate) -> Vec<Finding> {
    let mut findings = of_store(&Ok(seen.health));
    let words =
        if seen.in_use { "the store can be read; a running service works on it" } else { "the store can be read; no service works on it" };
    findings.retain(|finding| finding.check != "store");
    findings.insert(0, Finding::ok("store", words));
    let behind = format!("its schema is {}, and this release needs {}", seen.schema, seen.newest);
    findings.push(if seen.is_foreign {
        Finding::error("store_schema", &format!("a newer major release wrote it: {behind}")).advise("start that release")
    } else if seen.schema >= seen.newest {
        Finding::ok("store_schema", "its schema is up to date")
    } else {
        behind_by(migrate, &behind)
    });
    findings
}

fn behind_by(migrate: Migrate, words: &str) -> Finding {
    match migrate {
        Migrate::Check => {
            Finding::error("store_schema", words).advise("run `ringback migrate`; with MIGRATE=check, `serve` does not start before that")
        }
        Migrate::Auto => {
            Finding::warning("store_schema", words).advise("restart the service with this release: it brings the schema up to date")
        }
    }
}

/// Servers are shared, so a running service is in nobody's way.
async fn of_server(config: &Config) -> Vec<Finding> {
    let look = async {
        let store = open_store(&config.store.only_looking(), 0, !config.http.is_loopback()).await?;
        let health = store.health().await;
        store.close().await.and(health)
    };
    let health = timeout(DEADLINE, look).await.unwrap_or_else(|_late| Err(StoreError::Unavailable("no answer in time".to_owned())));
    if let Err(StoreError::Behind(_)) = health {
        let words = "its schema is not the one that this release needs, or there is none yet";
        return vec![Finding::ok("store", "the store answers"), behind_by(config.store.migrate, words)];
    }
    let mut findings = of_store(&health);
    if health.is_ok() {
        findings.push(Finding::ok("store_schema", "its schema is up to date"));
    }
    findings
}
