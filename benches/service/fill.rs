//! Fills a store by the library, past the webhooks: a million of those would take all day.

use std::{path::Path, sync::Arc};

use ringback::{
    call::{
        id::CallId,
        record::{CallRecord, Settled},
        time::{Millis, SECOND},
    },
    clock::Clock,
    simulate::{CallScript, bodies},
    store::{
        CallFilter, CallWrite, Columns, Commit, DataKeys, Migrate, Store, StoredCall,
        sqlite::{SqliteOptions, SqliteStore},
    },
    vapi::message::{self, Delivery},
};
use tokio::task::JoinSet;

use crate::report;

/// The run whose ids these calls have: no run under load gets that far.
pub(crate) const RUN: u32 = u32::MAX;
/// Commits at once.
pub(crate) const AT_ONCE: u32 = 512;

/// The store in this file.
pub(crate) fn sqlite(file: &Path) -> anyhow::Result<Store> {
    let keys = DataKeys::default();
    let options = SqliteOptions { path: file.to_owned(), max_connections: 1, migrate: Migrate::Auto, ephemeral_ok: true, keys };
    Ok(Store::Sqlite(SqliteStore::open(&options)?))
}

/// Sees to it that a store has so many calls that nobody picked up, and closes it. One that has them already is left as it is.
pub(crate) async fn fill(store: Store, calls: u32) -> anyhow::Result<()> {
    let found = store.list(CallFilter { limit: 1, ..CallFilter::default() }).await?.calls.len();
    let last = CallId::parse(&report::id(RUN, calls - 1))?;
    let is_there = found > 0 && matches!(store.load(&last).await?, ringback::store::Loaded::Found(_));
    if !is_there {
        eprintln!("filling a store with {calls} calls");
        let store = Arc::new(store.clone());
        let mut tasks = JoinSet::new();
        for worker in 0..AT_ONCE {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                for index in (worker..calls).step_by(AT_ONCE.try_into()?) {
                    store.commit(commit(index, calls - index)?).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(worker) = tasks.join_next().await {
            worker??;
        }
    }
    store.close().await?;
    Ok(())
}

/// A call that nobody picked up, so many seconds ago.
fn commit(index: u32, ago: u32) -> anyhow::Result<Commit> {
    let id = &report::id(RUN, index);
    let at = Clock::System.now().plus(-i64::from(ago) * SECOND);
    let script = CallScript::unanswered(id, at, "customer-did-not-answer");
    let body = bodies::end_of_call_report(&script, script.ended_at).to_string();
    let event = message::read(body.as_bytes(), Delivery::default(), at)?.event;
    let record = CallRecord { settled: Some(Settled::Complete), ..(*event.facts).clone() };
    let call = StoredCall { id: CallId::parse(id)?, record, revision: 1, version: 1, created_at: at, updated_at: at, due: None, news: 0 };
    let columns = columns(id, index, script.ended_at);
    Ok(Commit {
        event,
        changed: vec!["status"],
        more: Vec::new(),
        past: Vec::new(),
        write: Some(CallWrite { call: Arc::new(call), expected: None, columns, published: None, news: Vec::new() }),
    })
}

/// The digits of the number that was called: there are a hundred of them.
pub(crate) fn digits(index: u32) -> String {
    format!("155501991{:02}", index % 100)
}

fn columns(id: &str, index: u32, ended_at: Millis) -> Columns {
    Columns {
        status: "no_answer",
        call_status: "ended",
        data_status: "complete",
        ended_at: Some(ended_at),
        customer_digits: Some(digits(index)),
        search: Some(id.to_owned()),
        ..Columns::default()
    }
}
