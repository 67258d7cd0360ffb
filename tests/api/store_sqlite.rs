//! What is true of the SQLite store as a file: it is kept, private, locked, versioned, copied.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story stops where it goes wrong")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ringback::{
    call::{event::CallEvent, record::FetchReason},
    store::{
        CallFilter, Committed, Migrate, Store, StoreError,
        sqlite::{SqliteOptions, SqliteStore, backup},
    },
};
use rusqlite::Connection;

use crate::store_support::{
    alongside, at, call_id, columns, delivery, due, found, lookup, noting, open, options, put, saying, stored, writing,
};

/// A path in a folder of its own.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    (folder, path)
}

/// What the store says instead of opening.
fn refusal(options: &SqliteOptions) -> String {
    match SqliteStore::open(options) {
        Ok(_) => panic!("{} opens", options.path.display()),
        Err(StoreError::Unusable(sentence) | StoreError::Behind(sentence)) => sentence,
        Err(other) => panic!("{other:?} is no answer for an operator"),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let (_folder, path) = place();
    let mut call = saying(stored("call-1"), "AI: Hello.");
    call.due = Some(due(10, FetchReason::Manual));
    let store = open(&path);
    put(&store, &call, columns()).await;
    store.delete(&call_id("call-2"), at(0), true).await.unwrap();
    assert_eq!(store.lease_due(at(20), at(999_999), 9).await.unwrap().len(), 1);
    let timeline = store.timeline(&call.id, true).await.unwrap();
    store.close().await.unwrap();
    assert!(!beside(&path, "-wal").exists(), "a closed store is one file");

    let store = open(&path);
    assert_eq!(found(&store, "call-1").await, call);
    assert_eq!(store.timeline(&call.id, true).await.unwrap(), timeline);
    assert_eq!(lookup(&store, "call-2").await, "deleted");
    assert_eq!(store.lease_due(at(20), at(999_999), 9).await.unwrap(), [call.id.clone()], "whoever held it is gone");
    assert_eq!(store.commit(noting(delivery("first of call-1", "call-1"))).await.unwrap(), Committed::Duplicate);
}

#[tokio::test]
async fn the_files_as_a_crash_leaves_them_hold_everything_acknowledged() {
    let (folder, path) = place();
    let store = open(&path);
    for number in 0..50 {
        put(&store, &stored(&format!("call-{number}")), columns()).await;
    }
    let after = folder.path().join("after.db");
    fs::copy(&path, &after).unwrap();
    fs::copy(beside(&path, "-wal"), beside(&after, "-wal")).unwrap();
    let copy = open(&after);
    for number in 0..50 {
        assert_eq!(found(&copy, &format!("call-{number}")).await, stored(&format!("call-{number}")));
    }
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_is_gone() {
    let (_folder, path) = place();
    let first = open(&path);
    let sentence = refusal(&options(&path));
    assert!(sentence.contains("in use by another Ringback process"), "{sentence}");
    assert!(sentence.contains("ringback.db"), "{sentence}");
    put(&first, &stored("call-1"), columns()).await;
    first.close().await.unwrap();
    assert_eq!(lookup(&open(&path), "call-1").await, "found");
}

#[tokio::test]
async fn another_name_of_the_file_is_the_same_store() {
    let (folder, path) = place();
    let link = folder.path().join("link.db");
    closed_with_one_call(&path).await;
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let store = open(&link);
    assert_eq!(lookup(&store, "call-1").await, "found");
    assert!(refusal(&options(&path)).contains("in use"));
    assert!(store.health().await.unwrap().size_bytes > 0);
}

#[tokio::test]
async fn the_files_are_for_the_owner_only() {
    let (_folder, path) = place();
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let store = open(&path);
    put(&store, &stored("call-1"), columns()).await;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(&beside(&path, suffix)), 0o600, "{suffix}");
    }
}

/// Changes the file behind the store's back.
fn tamper(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

async fn closed_with_one_call(path: &Path) {
    let store = open(path);
    put(&store, &stored("call-1"), columns()).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_schema_of_a_newer_major_is_refused_and_one_of_a_newer_step_is_not() {
    let (_folder, path) = place();
    closed_with_one_call(&path).await;
    tamper(&path, "PRAGMA user_version = 3001");
    let sentence = refusal(&options(&path));
    assert!(sentence.contains("newer major release") && sentence.contains("3001"), "{sentence}");

    tamper(&path, "PRAGMA user_version = 2999; ALTER TABLE calls ADD COLUMN of_the_future TEXT; CREATE TABLE more (n INTEGER)");
    let store = SqliteStore::open(&SqliteOptions { migrate: Migrate::Check, ..options(&path) }).map(Store::Sqlite).unwrap();
    assert_eq!(found(&store, "call-1").await, stored("call-1"));
    put(&store, &stored("call-2"), columns()).await;
}

#[tokio::test]
async fn check_refuses_a_schema_that_is_behind() {
    let (_folder, path) = place();
    let check = SqliteOptions { migrate: Migrate::Check, ..options(&path) };
    let sentence = refusal(&check);
    assert!(sentence.contains("ringback migrate"), "{sentence}");
    closed_with_one_call(&path).await;
    assert!(SqliteStore::open(&check).is_ok());
}

#[tokio::test]
async fn before_its_schema_changes_a_file_is_copied_beside_itself() {
    let (_folder, path) = place();
    // What a first major at step 0 would have been: ours, with data, and without today's tables.
    tamper(&path, "PRAGMA application_id = 0x52696e67; PRAGMA user_version = 1000; CREATE TABLE old (x); INSERT INTO old VALUES ('kept')");
    let store = open(&path);
    put(&store, &stored("call-1"), columns()).await;

    let copy = beside(&path, ".before-v2007");
    let old: String = Connection::open(&copy).unwrap().query_row("SELECT x FROM old", [], |row| row.get(0)).unwrap();
    assert_eq!((old.as_str(), mode(&copy)), ("kept", 0o600));
    assert!(!beside(&path, ".before-v2007.part").exists());
    store.close().await.unwrap();
    fs::remove_file(&copy).unwrap();
    open(&path).close().await.unwrap();
    assert!(!copy.exists(), "a schema that is up to date changes nothing");
}

#[tokio::test]
async fn what_the_first_schema_kept_is_served_by_todays() {
    let (_folder, path) = place();
    closed_with_one_call(&path).await;
    // Back to what the first schema had, and its words packed.
    tamper(
        &path,
        "DROP TRIGGER calls_outdated; DROP TRIGGER calls_gone; DROP INDEX calls_measured; DROP INDEX calls_unmeasured; \
         DROP INDEX calls_unsieved; DROP TABLE tallies; DROP TABLE sieve; DROP TABLE sieve_blocks",
    );
    for column in ["news", "measured", "marks", "duration", "cost", "completion", "fetches", "score", "sieved"] {
        tamper(&path, &format!("ALTER TABLE calls DROP COLUMN {column}"));
    }
    tamper(
        &path,
        "ALTER TABLE calls ADD COLUMN fingerprint INTEGER NOT NULL DEFAULT 7; DROP TABLE news; \
         DROP TABLE news_gone; DROP TABLE targets; DROP TABLE outbox; DROP TABLE deliveries; DROP TABLE documents; PRAGMA user_version = 1001",
    );
    let packed = zstd::bulk::compress(b"somebody in springfield", 1).unwrap();
    Connection::open(&path).unwrap().execute("UPDATE records SET search = ?1", [packed]).unwrap();

    let store = open(&path);
    assert_eq!(found(&store, "call-1").await, stored("call-1"));
    put(&store, &stored("call-2"), columns()).await;
    let page = store.list(CallFilter { words: vec!["springfield".to_owned()], limit: 10, ..CallFilter::default() }).await.unwrap();
    assert_eq!(page.calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["call-1"]);
}

#[test]
fn what_is_no_store_is_refused_in_words_for_the_operator() {
    let (folder, path) = place();
    fs::write(&path, "These are my notes. ".repeat(500)).unwrap();
    let sentence = refusal(&options(&path));
    assert!(sentence.contains("damaged or no SQLite file") && sentence.contains("backup"), "{sentence}");
    assert!(fs::read_to_string(&path).unwrap().starts_with("These are my notes."), "it was left alone");

    let foreign = folder.path().join("foreign.db");
    tamper(&foreign, "CREATE TABLE recipes (name TEXT)");
    assert!(refusal(&options(&foreign)).contains("another program"));

    let nowhere = refusal(&options(&folder.path().join("no/such/folder/ringback.db")));
    assert!(nowhere.contains("folder"), "{nowhere}");
    let directory = folder.path().join("directory");
    fs::create_dir(&directory).unwrap();
    assert!(refusal(&options(&directory)).contains("can't be opened"));
}

#[tokio::test]
async fn a_damaged_store_is_refused_or_fails_but_never_lies() {
    let (_folder, path) = place();
    let store = open(&path);
    for number in 0..200 {
        let body = format!("{number} ").repeat(2_000).into_bytes();
        let event = CallEvent { body: body.into(), ..delivery(&format!("event-{number}"), &format!("call-{number}")) };
        store.commit(writing(event, &stored(&format!("call-{number}")))).await.unwrap();
    }
    store.close().await.unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let (start, end) = (4_096, bytes.len());
    bytes[start..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(&path, bytes).unwrap();
    match SqliteStore::open(&options(&path)) {
        Err(StoreError::Unusable(sentence)) => assert!(sentence.contains("damaged"), "{sentence}"),
        Err(other) => panic!("{other:?}"),
        Ok(store) => assert!(Store::Sqlite(store).load(&call_id("call-7")).await.is_err()),
    }
}

#[test]
fn a_place_that_is_gone_with_the_container_is_refused_unless_accepted() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return };
    let path = folder.path().join("ringback.db");
    if ringback::store::disk::filesystem_forgets(&path).is_none() {
        return;
    }
    let sentence = refusal(&SqliteOptions { ephemeral_ok: false, ..options(&path) });
    assert!(sentence.contains("tmpfs") && sentence.contains("?ephemeral=true"), "{sentence}");
    assert!(!path.exists());
    assert!(SqliteStore::open(&options(&path)).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_store_is_whole() {
    let (folder, path) = place();
    let store = open(&path);
    put(&store, &stored("call-0"), columns()).await;
    let writer = alongside({
        let store = store.clone();
        async move {
            for number in 1..300 {
                put(&store, &stored(&format!("call-{number}")), columns()).await;
            }
        }
    });
    let copy = folder.path().join("copy.db");
    let (from, to) = (path.clone(), copy.clone());
    tokio::task::spawn_blocking(move || backup(&from, &to)).await.unwrap().unwrap();
    writer.await.unwrap();

    assert_eq!(mode(&copy), 0o600);
    let again = backup(&path, &copy).unwrap_err();
    assert!(matches!(&again, StoreError::Unusable(sentence) if sentence.contains("exists")), "{again}");
    let restored = open(&copy);
    let mut there = 0;
    for number in 0..300 {
        let id = format!("call-{number}");
        match (lookup(&restored, &id).await, restored.timeline(&call_id(&id), true).await.unwrap().len()) {
            ("found", 1) if there == number => there += 1,
            ("missing", 0) => {}
            half => panic!("{id} is half there: {half:?}"),
        }
    }
    assert!(there > 0, "what was committed before is in the copy");
    assert_eq!(lookup(&store, "call-299").await, "found");
}

#[tokio::test]
async fn a_backup_of_a_closed_store_works_and_one_of_nothing_leaves_nothing() {
    let (folder, path) = place();
    closed_with_one_call(&path).await;
    let copy = folder.path().join("copy.db");
    backup(&path, &copy).unwrap();
    assert_eq!(lookup(&open(&copy), "call-1").await, "found");
    assert_eq!(lookup(&open(&path), "call-1").await, "found");

    let to = folder.path().join("nothing.db");
    assert!(backup(&folder.path().join("no-such.db"), &to).is_err());
    tamper(&folder.path().join("empty.db"), "");
    assert!(backup(&folder.path().join("empty.db"), &to).is_err());
    assert!(!to.exists());
    assert!(backup(&path, &folder.path().join("no/such/folder/copy.db")).is_err());
}

#[tokio::test]
async fn what_another_release_could_not_read_is_handed_out_until_it_is_read() {
    let (_folder, path) = place();
    let store = open(&path);
    let unread = CallEvent { folded: false, ..delivery("event-1", "call-1") };
    store.commit(noting(unread.clone())).await.unwrap();
    store.commit(noting(CallEvent { folded: false, ..delivery("event-2", "call-2") })).await.unwrap();
    assert!(store.unfolded().await.unwrap().is_empty(), "this release need not try again");
    store.close().await.unwrap();
    tamper(&path, "UPDATE events SET app = '0.0.1'");

    let store = open(&path);
    let waiting = store.unfolded().await.unwrap();
    assert_eq!(waiting.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["event-1", "event-2"]);
    assert_eq!((&waiting[0].body[..], waiting[0].received_at), (&unread.body[..], unread.received_at));
    assert_eq!(store.commit(noting(unread)).await.unwrap(), Committed::Duplicate, "still unreadable");
    assert_eq!(store.timeline(&call_id("call-1"), false).await.unwrap().len(), 1, "that was no second delivery");
    store.commit(writing(delivery("event-2", "call-2"), &stored("call-2"))).await.unwrap();
    assert!(store.unfolded().await.unwrap().is_empty());
}
