//! `ringback migrate`: schema changes alone, for those who run them before the service.

use std::process::ExitCode;

use super::{failed, unusable};
use crate::{
    app::open_store,
    config::{Config, Environment, Migrate},
};

pub(super) async fn run(environment: &Environment) -> ExitCode {
    let mut config = match Config::from_env(|name| environment.get(name)) {
        Ok(config) => config,
        Err(error) => return unusable(&error),
    };
    config.store.migrate = Migrate::Auto;
    let opened = open_store(&config.store, config.cache.max_bytes, !config.http.is_loopback()).await;
    match opened {
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
