//! The sieve of a file: whatever of it is made yet, a search finds what a look at every call finds.

use std::path::Path;

use futures_util::future::join_all;
use proptest::{
    prelude::any,
    prop_assert_eq,
    test_runner::{Config, TestRunner},
};
use ringback::{
    call::time::{Millis, SECOND},
    store::{CallFilter, Columns, SortBy, Store, StoredCall, memory::MemoryStore},
};

use crate::store_support::{START, at, call_id, columns, delivery, found, next, open, open_with, saying, stored, writing_with};

/// More than two blocks of calls; the third is still filling.
const CALLS: usize = 2_100;
/// Long after every call was written last.
const LATER: Millis = Millis(START.0 + 3_600 * SECOND);
const WORDS: [&str; 9] = ["boiler", "plumbing", "grüße", "leak", "thursday", "ada", "%", "c'est", "日本語です"];

fn id(number: usize) -> String {
    format!("call-{number:04}")
}

/// What call number `number` says.
fn text(number: usize) -> String {
    let rare = if number.is_multiple_of(500) { "rare-word " } else { "" };
    format!("{} {rare}{} {}", id(number), WORDS[number % WORDS.len()], WORDS[number / 7 % WORDS.len()])
}

/// Of every other call the record alone tells the words.
fn columns_saying(text: &str, number: usize) -> Columns {
    Columns {
        search: number.is_multiple_of(2).then(|| text.to_owned()),
        status: if number.is_multiple_of(3) { "completed" } else { "pending" },
        ..columns()
    }
}

fn call(number: usize) -> StoredCall {
    // Not quite in the order in which they come.
    let created_at = at(i64::try_from(number ^ 5).unwrap() / 4);
    saying(StoredCall { created_at, updated_at: created_at, ..stored(&id(number)) }, &text(number))
}

async fn fill(store: &Store) {
    let numbers: Vec<usize> = (0..CALLS).collect();
    for part in numbers.chunks(200) {
        let commits = part.iter().map(|number| {
            let event = delivery(&format!("first of {number}"), &id(*number));
            store.commit(writing_with(event, &call(*number), columns_saying(&text(*number), *number)))
        });
        assert!(join_all(commits).await.into_iter().all(|outcome| outcome.is_ok()));
    }
}

/// The same file and the same calls in memory.
async fn both(path: &Path) -> (Store, Store) {
    let (file, memory) = (open(path), Store::Memory(MemoryStore::new(u64::MAX)));
    fill(&file).await;
    fill(&memory).await;
    (file, memory)
}

async fn tend(store: &Store) -> usize {
    let mut done = 0;
    loop {
        match store.tend(LATER).await.unwrap() {
            0 => return done,
            worked => done += worked,
        }
    }
}

/// The first two pages.
async fn pages(store: &Store, filter: &CallFilter) -> Vec<String> {
    let first = store.list(filter.clone()).await.unwrap();
    let mut ids: Vec<String> = first.calls.iter().map(|call| call.id.to_string()).collect();
    if let Some(cursor) = first.next {
        let second = store.list(CallFilter { cursor: Some(cursor), offset: 0, ..filter.clone() }).await.unwrap();
        ids.push("next".to_owned());
        ids.extend(second.calls.iter().map(|call| call.id.to_string()));
    }
    ids
}

async fn compare(file: &Store, memory: &Store, context: &str) {
    let words = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    for query in [
        "boiler",
        "oile",
        "rare-word",
        "rare-word ada",
        "call-0500",
        "all-1",
        "grüß",
        "本語",
        "%",
        "c'est leak",
        "thursday boiler x",
        "new-words",
        "nowhere",
        "-0",
        "a",
    ] {
        for filter in [
            CallFilter { limit: 5, ..CallFilter::default() },
            CallFilter { limit: 3, offset: 2, status: vec!["completed".to_owned()], ..CallFilter::default() },
            CallFilter { limit: 4, by: SortBy::UpdatedAt, since: Some(at(100)), until: Some(at(400)), ..CallFilter::default() },
        ] {
            let filter = CallFilter { words: words(query), ..filter };
            assert_eq!(pages(file, &filter).await, pages(memory, &filter).await, "{context}: {query} by {filter:?}");
        }
    }
}

/// Writes a call again, with other words.
async fn rewrite(store: &Store, number: usize) {
    let call = saying(next(&found(store, &id(number)).await), "new-words");
    let event = delivery(&format!("{} of {number}", call.revision), &id(number));
    store.commit(writing_with(event, &call, columns_saying("new-words", number))).await.unwrap();
}

fn count(path: &Path, sql: &str) -> i64 {
    rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

const TAIL: &str = "SELECT count(*) FROM calls WHERE sieved IS NOT revision";

#[tokio::test]
async fn a_search_finds_the_same_before_and_after_the_sieve_is_made_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let (file, memory) = both(&path).await;
    compare(&file, &memory, "without a sieve").await;
    assert!(tend(&file).await >= 2_047, "two blocks, but for the number 0 that no row has");
    assert_eq!(count(&path, TAIL), i64::try_from(CALLS).unwrap() - 2_047);
    compare(&file, &memory, "sieved").await;
    for number in (0..CALLS).step_by(70) {
        rewrite(&file, number).await;
        rewrite(&memory, number).await;
    }
    compare(&file, &memory, "some were written since").await;
    for number in (5..CALLS).step_by(90) {
        file.delete(&call_id(&id(number)), LATER, false).await.unwrap();
        memory.delete(&call_id(&id(number)), LATER, false).await.unwrap();
    }
    compare(&file, &memory, "some were erased since").await;
    tend(&file).await;
    assert_eq!(count(&path, "SELECT sum(stale) FROM sieve_blocks"), 0, "blocks with erased calls were made anew");
    assert_eq!(count(&path, "SELECT count(*) FROM sieve_blocks"), 2, "and what was before is gone");
    compare(&file, &memory, "made anew").await;
    file.close().await.unwrap();
    let file = open(&path);
    compare(&file, &memory, "after a restart").await;
    file.close().await.unwrap();
}

#[tokio::test]
async fn random_parts_of_texts_are_found_through_the_sieve() {
    let folder = tempfile::tempdir().unwrap();
    let (file, memory) = both(&folder.path().join("ringback.db")).await;
    tend(&file).await;
    let handle = tokio::runtime::Handle::current();
    let (file, memory) = tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config { cases: 60, ..Config::default() });
        let strategy = (0..CALLS, any::<u8>(), 1_usize..9, 1_usize..4);
        let outcome = runner.run(&strategy, |(number, from, length, limit)| {
            let text = text(number);
            let from = usize::from(from) % text.chars().count();
            let part: String = text.chars().skip(from).take(length).collect();
            let words = part.split_whitespace().map(str::to_owned).collect();
            let filter = CallFilter { words, limit, ..CallFilter::default() };
            prop_assert_eq!(handle.block_on(pages(&file, &filter)), handle.block_on(pages(&memory, &filter)));
            Ok(())
        });
        outcome.unwrap();
        (file, memory)
    })
    .await
    .unwrap();
    file.close().await.unwrap();
    memory.close().await.unwrap();
}

#[tokio::test]
async fn calls_that_are_not_quiet_yet_wait_in_the_tail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let file = open(&path);
    fill(&file).await;
    assert_eq!(file.tend(START).await.unwrap(), 0, "all of them were written just now");
    assert_eq!(count(&path, TAIL), i64::try_from(CALLS).unwrap());
    file.close().await.unwrap();
}

#[tokio::test]
async fn a_block_that_was_left_half_made_is_swept_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let (file, memory) = both(&path).await;
    file.close().await.unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "INSERT INTO sieve_blocks (build, block, slices, live) VALUES (9, 0, 64, 0); \
         WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 1500) INSERT INTO sieve SELECT 9, n, zeroblob(128) FROM n",
    )
    .unwrap();
    drop(db);
    let file = open(&path);
    tend(&file).await;
    assert_eq!(
        count(&path, "SELECT count(*) FROM sieve WHERE build = 9") + count(&path, "SELECT count(*) FROM sieve_blocks WHERE live = 0"),
        0
    );
    compare(&file, &memory, "after the sweeping").await;
    file.close().await.unwrap();
}

#[tokio::test]
async fn blocks_whose_calls_are_all_gone_go_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let file = open(&path);
    fill(&file).await;
    tend(&file).await;
    let everything = ringback::store::Retention { records_before: Some(LATER), bodies_before: None };
    assert_eq!(file.purge(everything, 10_000).await.unwrap().len(), CALLS);
    tend(&file).await;
    assert_eq!(count(&path, "SELECT (SELECT count(*) FROM sieve) + (SELECT count(*) FROM sieve_blocks)"), 0);
    file.close().await.unwrap();
}

#[tokio::test]
async fn what_was_sieved_in_clear_is_gone_once_the_store_is_rekeyed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let file = open(&path);
    fill(&file).await;
    tend(&file).await;
    file.close().await.unwrap();
    assert!(count(&path, "SELECT count(*) FROM sieve") > 100);
    let file = open_with(&path, &[7]);
    file.forget_keys().await.unwrap();
    file.close().await.unwrap();
    assert_eq!((count(&path, "SELECT count(*) FROM sieve"), count(&path, TAIL)), (0, i64::try_from(CALLS).unwrap()));
}
