//! The SQLite store under load: many at once, in groups, in order, within bounds; and what is erased is gone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story stops where it goes wrong")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use ringback::{
    call::{event::CallEvent, record::CallRecord},
    store::{CallFilter, Columns, Committed, Loaded, Store, StoreError, StoredCall, memory::MemoryStore},
};
use rusqlite::Connection;

use crate::store_support::{
    alongside, at, call_id, columns, delivery, found, lookup, metadata, next, noting, open, put, stored, writing, writing_with,
};

/// Bytes that no compression makes smaller.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length / 8).flat_map(step).collect()
}

/// Loads, counts one up, commits, and tries again when somebody was faster.
async fn count_up(store: &Store, event_id: String) {
    loop {
        let call = match store.load(&call_id("call-1")).await.unwrap() {
            Loaded::Found(call) => next(&call),
            _ => stored("call-1"),
        };
        match store.commit(writing(delivery(&event_id, "call-1"), &call)).await.unwrap() {
            Committed::Done => return,
            Committed::Conflict => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn everyone_counts(store: Store) {
    let workers = (0..8).map(|worker| {
        let store = store.clone();
        alongside(async move {
            for round in 0..25 {
                count_up(&store, format!("event-{worker}-{round}")).await;
            }
        })
    });
    for worker in join_all(workers).await {
        worker.unwrap();
    }
    let call = found(&store, "call-1").await;
    assert_eq!((call.revision, call.version), (200, 200));
    assert_eq!(store.timeline(&call.id, false).await.unwrap().len(), 200, "the losers' events came with their second try, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_write_one_call_at_once_each_wins_once() {
    let folder = tempfile::tempdir().unwrap();
    everyone_counts(open(&folder.path().join("ringback.db"))).await;
    everyone_counts(Store::Memory(MemoryStore::new(1 << 26))).await;
}

#[tokio::test]
async fn a_group_is_committed_in_the_order_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("ringback.db"));
    // Each is only right if the one before was written already. (Tokio lets one task queue up about a hundred things at a time.)
    let versions = std::iter::successors(Some(stored("call-1")), |call| Some(next(call))).take(60);
    let commits = versions.enumerate().map(|(number, call)| store.commit(writing(delivery(&format!("event-{number}"), "call-1"), &call)));
    let outcomes = join_all(commits).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Committed::Done))), "{outcomes:?}");
    assert_eq!(found(&store, "call-1").await.revision, 60);
}

#[tokio::test]
async fn a_refusal_harms_nobody_in_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("ringback.db"));
    put(&store, &stored("call-0"), columns()).await;
    store.delete(&call_id("gone"), at(0), true).await.unwrap();
    let commits = (1..40).map(|number| match number % 4 {
        0 => writing(delivery("first of call-0", "call-0"), &next(&stored("call-0"))),
        1 => writing(delivery(&format!("late-{number}"), "call-0"), &stored("call-0")),
        2 => writing(delivery(&format!("for the dead {number}"), "gone"), &stored("gone")),
        _ => writing(delivery(&format!("event-{number}"), &format!("call-{number}")), &stored(&format!("call-{number}"))),
    });
    let outcomes = join_all(commits.map(|commit| store.commit(commit))).await;
    for (number, outcome) in (1..40).zip(outcomes) {
        let expected = [Committed::Duplicate, Committed::Conflict, Committed::Deleted, Committed::Done][number % 4];
        assert_eq!(outcome.unwrap(), expected, "{number}");
    }
    assert_eq!(found(&store, "call-0").await, stored("call-0"));
    assert_eq!(lookup(&store, "call-39").await, "found");
}

#[tokio::test]
async fn who_stops_waiting_is_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("ringback.db"));
    let hasty = store.commit(writing(delivery("event-1", "call-1"), &stored("call-1"))).now_or_never();
    assert!(hasty.is_none(), "the disk is not that fast");
    store.commit(noting(delivery("event-2", ""))).await.unwrap();
    assert_eq!(lookup(&store, "call-1").await, "found", "it was first in the queue");
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let store = open(&path);
    let commits = (0..100).map(|number| store.commit(noting(delivery(&format!("event-{number}"), "call-1"))));
    let (outcomes, closed) = futures_util::join!(join_all(commits), store.close());
    closed.unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    assert!(matches!(store.commit(noting(delivery("event-x", "call-1"))).await, Err(StoreError::Unavailable(_))));
    assert_eq!(open(&path).timeline(&call_id("call-1"), false).await.unwrap().len(), 100);
}

fn log_size(path: &Path) -> u64 {
    fs::metadata(PathBuf::from(format!("{}-wal", path.display()))).map_or(0, |log| log.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_within_bounds_however_much_is_written() {
    const BODY: usize = 500_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let store = open(&path);
    // Eight never let the writer pause, so the log could not start over by itself.
    let writers = (0..8).map(|writer| {
        let (store, path) = (store.clone(), path.clone());
        alongside(async move {
            let mut longest = 0;
            for number in 0..80 {
                let event =
                    CallEvent { body: noise(writer * 80 + number, BODY).into(), ..delivery(&format!("event-{writer}-{number}"), "call-1") };
                assert_eq!(store.commit(noting(event)).await.unwrap(), Committed::Done);
                longest = longest.max(log_size(&path));
            }
            longest
        })
    });
    let longest = join_all(writers).await.into_iter().map(Result::unwrap).max().unwrap();
    assert!(longest < 150 << 20, "the log grew to {} MB of 320 written", longest >> 20);
    store.close().await.unwrap();
    assert_eq!(log_size(&path), 0);
}

/// Does any file of the store hold these bytes?
fn holds(path: &Path, bytes: &[u8]) -> bool {
    ["", "-wal"].iter().any(|suffix| {
        let file = fs::read(format!("{}{suffix}", path.display())).unwrap_or_default();
        memchr(&file, bytes)
    })
}

fn memchr(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// A call with something to find in every column and blob.
fn secretive(version: u64) -> (CallEvent, StoredCall, Columns) {
    let event = CallEvent {
        body: noise(version, 20_000).into(),
        details: Some("marker-in-details".to_owned()),
        ..delivery(&format!("event-marker-{version}"), "call-marker")
    };
    let call = StoredCall { revision: version, record: CallRecord::default(), ..stored("call-marker") };
    let columns = Columns {
        customer_digits: Some("4915599988877".to_owned()),
        provider_id: Some("marker-in-provider".to_owned()),
        metadata: metadata(&[("key", "marker-in-metadata")]),
        ..columns()
    };
    (event, call, columns)
}

const MARKERS: [&[u8]; 5] = [b"call-marker", b"marker-in-details", b"4915599988877", b"marker-in-provider", b"marker-in-metadata"];

async fn put_secrets(store: &Store) {
    for version in 1..=5 {
        let (event, call, columns) = secretive(version);
        assert_eq!(store.commit(writing_with(event, &call, columns)).await.unwrap(), Committed::Done);
        // Others come in between, so that pages are shared, split and moved.
        for number in 0..40 {
            let other = format!("other-{version}-{number}");
            put(store, &stored(&other), columns_of(&other)).await;
        }
    }
}

fn columns_of(other: &str) -> Columns {
    Columns { provider_id: Some(format!("provider of {other}")), customer_digits: Some(other.to_owned()), ..columns() }
}

#[tokio::test]
async fn no_byte_of_a_deleted_call_is_left_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let store = open(&path);
    put_secrets(&store).await;
    // In the middle of what zstd stored of the third body; it lies in pages of its own.
    let blob: Vec<u8> =
        Connection::open(&path).unwrap().query_row("SELECT body FROM events WHERE id = 'event-marker-3'", [], |row| row.get(0)).unwrap();
    let piece = &blob[10_000..10_032];
    assert!(holds(&path, piece) && MARKERS.iter().all(|marker| holds(&path, marker)));

    assert!(store.delete(&call_id("call-marker"), at(0), false).await.unwrap());
    assert!(!holds(&path, piece));
    for marker in &MARKERS[1..] {
        assert!(!holds(&path, marker), "{}", String::from_utf8_lossy(marker));
    }
    // That it was erased is told for as long as the log of news is kept; then its id goes, too.
    assert_eq!(store.forget_news(at(1), 10).await.unwrap(), 1);
    assert!(!holds(&path, MARKERS[0]));
    assert_eq!(lookup(&store, "other-3-7").await, "found");
}

#[tokio::test]
async fn a_reader_in_the_way_only_delays_that_erased_bytes_leave_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let store = open(&path);
    put_secrets(&store).await;
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM calls").unwrap();
    assert!(store.delete(&call_id("call-marker"), at(0), false).await.unwrap(), "nobody waits for the reader");
    assert_eq!(store.forget_news(at(1), 10).await.unwrap(), 1);
    put(&store, &stored("call-after"), columns()).await;
    assert!(holds(&path, b"call-marker"));

    reader.execute_batch("COMMIT").unwrap();
    for _ in 0..100 {
        if !holds(&path, b"call-marker") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the bytes are still there");
}

#[tokio::test]
async fn dropping_bodies_gives_room_back_to_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let store = open(&path);
    for number in 0..100 {
        store
            .commit(noting(CallEvent { body: noise(number, 100_000).into(), ..delivery(&format!("event-{number}"), "call-1") }))
            .await
            .unwrap();
    }
    let before = store.health().await.unwrap();
    assert!(before.free_bytes.is_some() && before.disk_bytes >= before.free_bytes);
    assert_eq!(store.drop_oldest_bodies(75).await.unwrap(), 75);
    store.close().await.unwrap();
    let after = fs::metadata(&path).unwrap().len();
    assert!(after < before.size_bytes / 3, "{after} bytes of {}", before.size_bytes);
    let left = open(&path).timeline(&call_id("call-1"), true).await.unwrap();
    assert_eq!((left.len(), left.iter().filter(|entry| entry.body.is_some()).count()), (100, 25));
}

#[tokio::test]
async fn lookups_go_on_while_lists_take_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("ringback.db"));
    for number in 0..200 {
        put(&store, &stored(&format!("call-{number}")), columns()).await;
    }
    let slow = || store.list(CallFilter { words: vec!["nowhere".to_owned()], limit: 10, ..CallFilter::default() });
    let (lists, lookup) = futures_util::join!(join_all((0..50).map(|_| slow())), lookup(&store, "call-7"));
    assert_eq!(lookup, "found");
    assert!(lists.into_iter().all(|page| page.unwrap().calls.is_empty()));
}
