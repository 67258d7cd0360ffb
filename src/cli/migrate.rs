//! `ringback migrate`: schema changes alone, for those who run them before the service.

use std::process::ExitCode;

use super::{failed, unusable};
use crate::{
    app::open_store,
    config::{Environment, Migrate, StoreConfig},
};

pub(super) async fn run(environment: &Environment) -> ExitCode {
    let config = match StoreConfig::from_env(|name| environment.get(name)) {
        Ok(config) => StoreConfig { migrate: Migrate::Auto, ..config },
        Err(error) => return unusable(&error),
    };
    // Whether the place forgets is for `serve` to judge, which knows who can reach it.
    match open_store(&config, 0, false).await {
        // A database that does not answer counts as open, but not as healthy.
        Ok(store) => match store.health().await.and(store.close().await) {
            Ok(()) => {
                eprintln!("ringback: the schema is up to date");
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error.to_string()),
        },
        Err(error) => unusable(&format!("DATABASE_URL: {error}")),
    }
}
