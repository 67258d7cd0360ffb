//! Documents at rest, across restarts, on bad roads and under new keys.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use futures_util::future::join_all;
use ringback::{
    store::{Document, DocumentKind, DocumentWrite, Store},
    transfer::{TransferError, rekey::rekey},
};
use rusqlite::Connection;

use crate::{
    store_support::{START, at, bytes_of, holds, open, open_with, steps},
    support::{
        postgres,
        proxy::{At, Proxy},
        redis,
    },
};

const KIND: DocumentKind = DocumentKind::Placement;
/// A word that only stands in bodies.
const PRIVATE: &str = "grandmother";

fn private(kind: DocumentKind, id: &str) -> Document {
    Document {
        kind,
        id: id.to_owned(),
        revision: 1,
        alias: Some(format!("alias of {id}")),
        due: Some(START),
        created_at: START,
        expires_at: None,
        body: format!("the {PRIVATE} of {id}").into_bytes(),
    }
}

async fn put(store: &Store, documents: impl IntoIterator<Item = Document>) -> bool {
    let writes = documents.into_iter().map(|document| DocumentWrite { document, expected: None }).collect();
    store.put_documents(writes, START).await.unwrap()
}

async fn leased(store: &Store, limit: usize) -> Vec<String> {
    let taken = store.lease_documents(KIND, at(10), at(9_999), limit).await.unwrap();
    taken.into_iter().map(|document| document.id).collect()
}

#[tokio::test]
async fn documents_and_their_order_outlive_a_restart_and_leases_in_a_file_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let store = open_with(&path, &[]);
    assert!(put(&store, [private(KIND, "a"), private(KIND, "b")]).await);
    assert_eq!(leased(&store, 1).await, ["a"]);
    store.close().await.unwrap();
    let store = open_with(&path, &[]);
    assert_eq!(store.document(KIND, "alias of b", START).await.unwrap(), Some(private(KIND, "b")));
    assert_eq!(leased(&store, 9).await, ["a", "b"], "whoever held them is no more");
}

#[tokio::test]
async fn bodies_are_sealed_where_there_is_a_key_and_leave_the_files_when_they_are_dropped() {
    for (seeds, is_plain) in [(&[][..], true), (&[1], false)] {
        let folder = tempfile::tempdir().unwrap();
        let store = open_with(&folder.path().join("ringback.db"), seeds);
        assert!(put(&store, [private(KIND, "a"), Document { expires_at: Some(at(5)), ..private(KIND, "b") }]).await);
        assert_eq!(holds(&bytes_of(folder.path()), PRIVATE), is_plain);
        assert!(holds(&bytes_of(folder.path()), "alias of a"), "names stay plain");
        assert!(store.drop_document(KIND, "a").await.unwrap());
        assert_eq!(store.forget_documents(at(5), 9).await.unwrap(), 1);
        store.close().await.unwrap();
        assert!(!holds(&bytes_of(folder.path()), PRIVATE));
        assert!(!holds(&bytes_of(folder.path()), "alias of"));
    }
}

#[tokio::test]
async fn a_body_in_the_place_of_another_is_refused_and_keeps_nobody_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let store = open_with(&path, &[1]);
    assert!(put(&store, [private(KIND, "a"), private(KIND, "b"), private(DocumentKind::Answer, "b")]).await);
    for donor in ["kind = 'placement' AND id = 'a'", "kind = 'answer' AND id = 'b'"] {
        let swap = format!("UPDATE documents SET body = (SELECT body FROM documents WHERE {donor}) WHERE kind = 'placement' AND id = 'b'");
        assert_eq!(Connection::open(&path).unwrap().execute(&swap, []).unwrap(), 1);
        let refused = store.document(KIND, "b", START).await.unwrap_err();
        assert!(refused.to_string().contains("not in its place"), "{refused}");
    }
    assert_eq!(leased(&store, 9).await, ["a"]);
}

/// A store in clear gets a key, and then another one; each time it is rekeyed, with interruptions. `reopen` opens it under other keys.
async fn keys_change<F: Future<Output = Store>>(reopen: impl Fn(&'static [u8]) -> F) {
    let names: Vec<(DocumentKind, String)> =
        DocumentKind::ALL.into_iter().flat_map(|kind| (0..150).map(move |number| (kind, format!("{number}: {kind:?}")))).collect();
    let all = |of: std::ops::Range<usize>| names[of].iter().map(|(kind, id)| private(*kind, id)).collect::<Vec<_>>();
    let reads_all = async |store: &Store| {
        for (kind, id) in &names {
            assert_eq!(store.document(*kind, id, START).await.unwrap(), Some(private(*kind, id)));
        }
    };
    for (seeds, part) in [(&[][..], 0..200), (&[1], 200..names.len())] {
        let store = reopen(seeds).await;
        assert!(put(&store, all(part)).await);
        store.close().await.unwrap();
    }
    let both = reopen(&[2, 1]).await;
    reads_all(&both).await;
    assert_eq!(leased(&both, 2).await.len(), 2);
    let mut rounds = 0;
    while let Err(stopped) = rekey(&both, ("", START), &mut steps(1)).await {
        assert!(matches!(stopped, TransferError::Stopped), "{stopped}");
        rounds += 1;
    }
    assert!(rounds > 3, "it was interrupted: {rounds}");
    assert_eq!(leased(&both, 999).await.len(), 148, "leases stay");
    both.close().await.unwrap();
    let new = reopen(&[2]).await;
    reads_all(&new).await;
    new.close().await.unwrap();
}

#[tokio::test]
async fn on_sqlite_keys_change_and_nothing_old_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    keys_change(async |seeds| open_with(&path, seeds)).await;
    assert!(!holds(&bytes_of(folder.path()), PRIVATE));
}

#[tokio::test]
async fn on_postgres_keys_change() {
    let Some(database) = postgres::database().await else { return };
    keys_change(async |seeds| database.open_with(seeds).await).await;
}

#[tokio::test]
async fn on_redis_keys_change() {
    let Some(database) = redis::database() else { return };
    keys_change(async |seeds| database.open_with(seeds).await).await;
}

/// Two instances see, and keep off, each other's.
async fn between_instances(one: Store, other: Store) {
    for round in 0..10 {
        let id = format!("{round:02}");
        let put = |writer: u8| Document { body: vec![writer], ..private(KIND, &id) };
        let (a, b) = tokio::join!(self::put(&one, [put(1)]), self::put(&other, [put(2)]));
        assert!(a ^ b, "round {round}: {a} {b}");
        let seen = one.document(KIND, &id, START).await.unwrap();
        assert_eq!(other.document(KIND, &id, START).await.unwrap(), seen);
        assert_eq!(seen.unwrap().body, [if a { 1 } else { 2 }]);
    }
    let (a, b) = tokio::join!(leased(&one, 5), leased(&other, 5));
    let mut all = [a, b, leased(&one, 9).await].concat();
    all.sort_unstable();
    assert_eq!(all.len(), 10);
    all.dedup();
    assert_eq!(all.len(), 10, "two hold the same one");
    let writes = (0..10).map(|round| {
        let standing = private(KIND, &format!("{round:02}"));
        DocumentWrite { document: Document { revision: 2, ..standing }, expected: Some(1) }
    });
    let writes: Vec<_> = writes.collect();
    let backwards = writes.iter().rev().cloned().collect();
    let (a, b) = tokio::join!(one.put_documents(writes, START), other.put_documents(backwards, START));
    assert!(a.unwrap() ^ b.unwrap(), "batches that cross");
}

#[tokio::test]
async fn instances_on_postgres_keep_off_each_others() {
    let Some(database) = postgres::database().await else { return };
    between_instances(database.open().await, database.open_with(&[]).await).await;
}

#[tokio::test]
async fn instances_on_redis_keep_off_each_others() {
    let Some(database) = redis::database() else { return };
    between_instances(database.open().await, database.open_with(&[]).await).await;
}

/// A first write during which the road is cut is done once, and is told as done.
async fn is_written_once(store: &Store, road: &Proxy, place: At) {
    let document = private(KIND, &format!("{place:?}"));
    assert!(put(store, [private(KIND, "before")]).await || place == At::Asking);
    road.cut_at_commit(place);
    assert!(put(store, [document.clone()]).await, "{place:?}");
    assert!(road.has_cut());
    assert_eq!(store.document(KIND, &document.id, START).await.unwrap(), Some(document.clone()));
    assert!(!put(store, [document]).await, "{place:?}");
}

#[tokio::test]
async fn a_write_to_postgres_whose_answer_was_lost_counts_as_written() {
    let Some(database) = postgres::database().await else { return };
    for place in [At::Answering, At::Asking] {
        let road = Proxy::to(database.port).await;
        let store = postgres::open(&postgres::options(&database.url_by(road.port()))).await;
        is_written_once(&store, &road, place).await;
    }
}

#[tokio::test]
async fn a_write_and_a_lease_on_redis_whose_answer_was_lost_are_told_again() {
    let Some(database) = redis::database() else { return };
    for place in [At::Answering, At::Asking] {
        // A word of the question makes the road cut, and only there.
        let road = Proxy::of(database.port, b"alias of A").await;
        let store = redis::open(&redis::options(&database.url_by(road.port()))).await;
        is_written_once(&store, &road, place).await;
        let road = Proxy::of(database.port, b"1760000009999").await;
        let store = redis::open(&redis::options(&database.url_by(road.port()))).await;
        road.cut_at_commit(place);
        assert_eq!(leased(&store, 1).await.len(), 1, "{place:?}");
        assert!(road.has_cut());
        assert_eq!(store.next_document(KIND).await.unwrap(), Some(START));
    }
}

#[tokio::test]
async fn the_writer_of_a_file_takes_many_documents_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("ringback.db"));
    let ids: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let outcomes = join_all(ids.iter().map(|id| put(&store, [private(KIND, id)]))).await;
    assert!(outcomes.iter().all(|it| *it));
    let page = store.documents(KIND, None, 1_000, START).await.unwrap();
    assert_eq!((page.documents.len(), page.next), (500, None));
}
