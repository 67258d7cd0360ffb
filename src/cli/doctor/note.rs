//! Notes in the audit log what is about to be changed at Vapi: the running service does, or, if there is none, its store is asked directly.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::timeout;

use super::Practice;
use crate::{
    app::open_store,
    audit::{Audit, Deed},
    cli::service::Service,
    clock::Clock,
    config::{ClientConfig, DatabaseUrl},
    store::sqlite::inspect,
};

/// The service, and then the store, have so long each.
const DEADLINE: Duration = Duration::from_secs(10);
/// Memory of a store that is opened for a few lines, in bytes.
const LITTLE: u64 = 1_048_576;

/// Notes it; where that can't be, says so. People set things up at Vapi before there is any service, so it is no reason to stop.
pub(super) async fn note(practice: &Practice, action: &str, objects: impl Iterator<Item = String>) {
    let subjects: Vec<String> = objects.map(|object| object.replace(' ', ":")).collect();
    let Err(why) = tell_service(practice.service.as_ref(), action, &subjects).await else { return };
    match timeout(DEADLINE, write(practice, action, subjects)).await {
        Ok(Some(())) => {}
        Ok(None) | Err(_) => eprintln!("ringback: this is not noted in the audit log: {why}"),
    }
}

async fn tell_service(service: Option<&ClientConfig>, action: &str, subjects: &[String]) -> Result<(), String> {
    let service = service.ok_or("RINGBACK_URL can't be used")?.clone();
    let service = Service::new(service).map_err(|error| error.to_string())?;
    let request = service.request(Method::POST, service.at("/audit")).json(&json!({"action": action, "subjects": subjects}));
    let answer = service.send(request.timeout(DEADLINE)).await.map_err(|failure| failure.why)?;
    let url = service.url();
    match answer.status() {
        StatusCode::CREATED => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(format!("{url} wants an admin token: set RINGBACK_TOKEN")),
        status => Err(format!("{url} answers {}", status.as_u16())),
    }
}

/// Writes it where the service will find it. `None` when there is no store, or a service works on it that has to be asked.
async fn write(practice: &Practice, action: &str, subjects: Vec<String>) -> Option<()> {
    let config = &practice.config;
    match &config.store.url {
        DatabaseUrl::Memory => return None,
        DatabaseUrl::Sqlite { path, .. } => {
            inspect(path).ok().flatten().filter(|seen| !seen.in_use && seen.schema >= seen.newest)?;
        }
        DatabaseUrl::Postgres(_) | DatabaseUrl::Redis(_) => {}
    }
    let store = open_store(&config.store.only_looking(), LITTLE, !config.http.is_loopback()).await.ok()?;
    let audit = Audit::new(store.clone(), Clock::System, config.store.retention_ms);
    let mut outcome = Some(());
    for subject in subjects {
        let deed = Deed { action: action.to_owned(), subject: Some(subject), ..Deed::default() };
        outcome = outcome.and(audit.begin(deed).await.ok().map(drop));
    }
    store.close().await.ok().and(outcome)
}
