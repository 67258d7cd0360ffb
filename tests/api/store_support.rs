//! Words that the store's stories are told in: events, calls, commits.

#![expect(clippy::panic, reason = "a story stops where it goes wrong")]

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ringback::{
    call::{
        event::{CallEvent, EventKind, Keep},
        field::{Longest, Rank, Stamped},
        id::CallId,
        record::{CallRecord, CallState, FetchReason, Settled},
        time::Millis,
    },
    store::{
        CallWrite, Columns, Commit, DataKeys, Due, Loaded, Migrate, Retention, Signal, Store, StoreError, StoredCall,
        memory::MemoryStore,
        sqlite::{SqliteOptions, SqliteStore},
    },
    transfer::Watcher,
};
use tokio::{sync::broadcast::Receiver, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::support::PATIENCE;

/// The moment at which most stories begin.
pub(crate) const START: Millis = Millis(1_760_000_000_000);

/// How tests open the file at `path`.
pub(crate) fn options(path: &Path) -> SqliteOptions {
    SqliteOptions { path: path.to_owned(), max_connections: 5, migrate: Migrate::Auto, ephemeral_ok: true, keys: DataKeys::default() }
}

/// Keys, each made of one byte, newest first.
pub(crate) fn keys(seeds: &[u8]) -> DataKeys {
    let texts: Vec<secrecy::SecretString> = seeds.iter().map(|seed| STANDARD.encode([*seed; 32]).into()).collect();
    DataKeys::from_base64(&texts).expect("these are keys")
}

/// The store in the file at `path`, under these keys.
pub(crate) fn open_with(path: &Path, seeds: &[u8]) -> Store {
    Store::Sqlite(try_open_with(path, seeds).expect("the store opens"))
}

/// The same, if it can be opened. Whoever starts a server meanwhile holds on to the lock of a store that was just closed, for a moment.
pub(crate) fn try_open_with(path: &Path, seeds: &[u8]) -> Result<SqliteStore, StoreError> {
    let mut tries = 0;
    loop {
        let opened = SqliteStore::open(&SqliteOptions { keys: keys(seeds), ..options(path) });
        match &opened {
            Err(error) if tries < 100 && error.to_string().contains("in use by another") => tries += 1,
            _ => return opened,
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Room enough for every story, in bytes.
const ROOM: u64 = 64 * 1_048_576;

/// A store that is nowhere but in memory.
pub(crate) fn in_memory() -> Store {
    Store::Memory(MemoryStore::new(ROOM))
}

/// The store in the file at `path`.
pub(crate) fn open(path: &Path) -> Store {
    Store::Sqlite(SqliteStore::open(&options(path)).expect("the store opens"))
}

pub(crate) fn at(milliseconds: i64) -> Millis {
    START.plus(milliseconds)
}

pub(crate) fn call_id(id: &str) -> CallId {
    CallId::parse(id).expect("a call id")
}

/// A webhook that was kept whole, about this call.
pub(crate) fn delivery(event_id: &str, call: &str) -> CallEvent {
    CallEvent {
        id: event_id.to_owned(),
        kind: EventKind::Delivery,
        source: "end-of-call-report".to_owned(),
        call_id: (!call.is_empty()).then(|| call_id(call)),
        sent_at: Some(START),
        received_at: at(5),
        proof: Some("signature"),
        keep: Keep::Whole,
        facts: Box::default(),
        folded: true,
        body: format!(r#"{{"event":"{event_id}"}}"#).into_bytes().into(),
        details: None,
    }
}

/// A call as it stands after its first commit.
pub(crate) fn stored(id: &str) -> StoredCall {
    StoredCall {
        id: call_id(id),
        record: CallRecord { state: CallState::InProgress, heard_live: true, ..CallRecord::default() },
        revision: 1,
        version: 1,
        created_at: START,
        updated_at: START,
        due: None,
        news: 0,
    }
}

/// The same call with a report, settled.
pub(crate) fn done(mut call: StoredCall) -> StoredCall {
    call.record.reported = true;
    call.record.settled = Some(Settled::Complete);
    call
}

/// The same call with words in it.
pub(crate) fn saying(mut call: StoredCall, transcript: &str) -> StoredCall {
    let summary = Stamped { value: "They talked.".to_owned(), rank: Rank::REPORT, sent_at: Some(START) };
    call.record.summary = Some(summary);
    call.record.transcript = Some(Longest { value: transcript.to_owned(), authoritative: true, sent_at: None });
    call
}

/// The call one write later.
pub(crate) fn next(call: &StoredCall) -> StoredCall {
    StoredCall { revision: call.revision + 1, version: call.version + 1, updated_at: call.updated_at.plus(1), ..call.clone() }
}

pub(crate) fn due(milliseconds: i64, reason: FetchReason) -> Due {
    Due { at: at(milliseconds), reason }
}

/// Columns such as a view would make.
pub(crate) fn columns() -> Columns {
    Columns {
        status: "pending",
        call_status: "in-progress",
        data_status: "pending",
        search: Some("ada lovelace +4915112345 they talked.".to_owned()),
        ..Columns::default()
    }
}

pub(crate) fn metadata(pairs: &[(&str, &str)]) -> String {
    serde_json::to_string(&pairs.iter().copied().collect::<BTreeMap<_, _>>()).expect("texts are JSON")
}

/// A commit of this event that writes nothing.
pub(crate) fn noting(event: CallEvent) -> Commit {
    Commit { event, changed: Vec::new(), more: Vec::new(), past: Vec::new(), write: None }
}

/// A commit of this event that writes this call over the revision before it.
pub(crate) fn writing(event: CallEvent, call: &StoredCall) -> Commit {
    writing_with(event, call, columns())
}

pub(crate) fn writing_with(event: CallEvent, call: &StoredCall, columns: Columns) -> Commit {
    let expected = call.revision.checked_sub(1).filter(|revision| *revision > 0);
    let write = CallWrite { call: Arc::new(call.clone()), expected, columns, published: None, news: Vec::new() };
    Commit { event, changed: vec!["callStatus", "transcript"], more: Vec::new(), past: Vec::new(), write: Some(write) }
}

/// Stores a call by a first event named after it.
pub(crate) async fn put(store: &Store, call: &StoredCall, columns: Columns) {
    let event = CallEvent { received_at: call.created_at, ..delivery(&format!("first of {}", call.id), call.id.as_str()) };
    let outcome = store.commit(writing_with(event, call, columns)).await.expect("the store takes it");
    assert_eq!(outcome, ringback::store::Committed::Done);
}

pub(crate) fn records_before(moment: i64) -> Retention {
    Retention { records_before: Some(at(moment)), bodies_before: None }
}

/// A call first heard of at this moment.
pub(crate) async fn put_aged(store: &Store, id: &str, created: i64, ended: Option<i64>) {
    let mut call = stored(id);
    call.created_at = at(created);
    put(store, &call, Columns { ended_at: ended.map(at), ..columns() }).await;
}

/// The call as the store has it.
pub(crate) async fn found(store: &Store, id: &str) -> StoredCall {
    match store.load(&call_id(id)).await.expect("the store answers") {
        Loaded::Found(call) => StoredCall::clone(&call),
        other => panic!("{id} is {other:?}"),
    }
}

/// The word for what a load finds.
pub(crate) async fn lookup(store: &Store, id: &str) -> &'static str {
    match store.load(&call_id(id)).await.expect("the store answers") {
        Loaded::Found(_) => "found",
        Loaded::Deleted => "deleted",
        Loaded::Missing => "missing",
    }
}

/// Runs beside the story, which waits for it.
#[expect(clippy::disallowed_methods, reason = "the story itself waits for the task")]
pub(crate) fn alongside<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn(task)
}

/// The next signal.
pub(crate) async fn heard(signals: &mut Receiver<Signal>) -> Signal {
    timeout(PATIENCE, signals.recv()).await.expect("there is one").expect("somebody sends")
}

/// What stands in the files of a store, closed or not.
pub(crate) fn bytes_of(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    files.flat_map(|path| fs::read(path).expect("a file")).collect()
}

pub(crate) fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|part| part == word.as_bytes())
}

/// Whoever watches a store being moved or rekeyed, and stops it.
pub(crate) struct Steps(CancellationToken, u32);

impl Watcher for Steps {
    fn told(&mut self, _done: u64, _all: u64) {
        self.1 = self.1.saturating_sub(1);
        if self.1 == 0 {
            self.0.cancel();
        }
    }

    fn stop(&self) -> &CancellationToken {
        &self.0
    }
}

/// Watches until so many steps are told, then stops.
pub(crate) fn steps(count: u32) -> Steps {
    Steps(CancellationToken::new(), count)
}
