//! Documents keep their promises on every engine.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use ringback::store::{Document, DocumentKind, DocumentWrite, Store, StoreError};

use crate::{
    store_contract::on_every_engine,
    store_support::{START, at},
};

on_every_engine! {
    what_is_written_is_found_by_its_id_and_by_its_alias
    each_kind_has_ids_and_aliases_of_its_own
    who_writes_over_another_revision_loses
    documents_are_written_together_or_not_at_all
    an_alias_belongs_to_one_document
    of_many_who_write_one_document_one_wins
    batches_that_cross_do_not_mix
    of_many_who_want_an_alias_one_gets_it
    due_documents_are_leased_the_longest_overdue_first
    of_many_who_lease_at_once_each_gets_others
    a_lease_ends_by_time
    a_lease_ends_with_the_next_write
    the_next_due_document_is_told
    what_is_over_is_as_good_as_gone
    what_is_over_makes_room_for_another
    what_is_over_is_not_leased_and_keeps_nobody_busy
    what_is_over_is_forgotten
    pages_are_newest_first
    a_dropped_document_is_gone
    among_ten_thousand_a_lease_takes_milliseconds
    a_closed_store_refuses_every_verb
}

const KIND: DocumentKind = DocumentKind::Placement;

fn document(id: &str) -> Document {
    Document {
        kind: KIND,
        id: id.to_owned(),
        revision: 1,
        alias: None,
        due: None,
        created_at: START,
        expires_at: None,
        body: format!("body of {id}").into_bytes(),
    }
}

fn called(id: &str, alias: &str) -> Document {
    Document { alias: Some(alias.to_owned()), ..document(id) }
}

fn due(id: &str, milliseconds: i64) -> Document {
    Document { due: Some(at(milliseconds)), ..document(id) }
}

fn ending(milliseconds: i64, document: Document) -> Document {
    Document { expires_at: Some(at(milliseconds)), ..document }
}

/// The first write of a document.
fn new(document: Document) -> DocumentWrite {
    DocumentWrite { document, expected: None }
}

/// A write over this one.
fn over(standing: &Document, change: impl FnOnce(&mut Document)) -> DocumentWrite {
    let mut document = Document { revision: standing.revision + 1, ..standing.clone() };
    change(&mut document);
    DocumentWrite { document, expected: Some(standing.revision) }
}

fn again(standing: &Document) -> DocumentWrite {
    over(standing, |_| {})
}

async fn put(store: &Store, documents: impl IntoIterator<Item = Document>) {
    assert!(store.put_documents(documents.into_iter().map(new).collect(), START).await.unwrap());
}

async fn wrote(store: &Store, writes: impl IntoIterator<Item = DocumentWrite>) -> bool {
    store.put_documents(Vec::from_iter(writes), START).await.unwrap()
}

async fn found(store: &Store, id: &str) -> Option<Document> {
    store.document(KIND, id, START).await.unwrap()
}

async fn leased(store: &Store, (now, until): (i64, i64), limit: usize) -> Vec<String> {
    let taken = store.lease_documents(KIND, at(now), at(until), limit).await.unwrap();
    taken.into_iter().map(|document| document.id).collect()
}

async fn what_is_written_is_found_by_its_id_and_by_its_alias(store: Store) {
    let mut whole = ending(900, called("id: 1 \u{1f4de} 'x'%*", "alias: 1 \u{1f4de} \"y\" \\"));
    (whole.due, whole.revision, whole.body) = (Some(at(-7)), 41, vec![0, 255, 1, 0, 128, 10]);
    let empty = Document { body: Vec::new(), ..document("empty") };
    let large = Document { body: (0..200_000_u32).flat_map(u32::to_le_bytes).collect(), created_at: at(-3), ..document("large") };
    put(&store, [whole.clone(), empty.clone(), large.clone()]).await;
    for document in [&whole, &empty, &large] {
        assert_eq!(found(&store, &document.id).await.as_ref(), Some(document));
    }
    assert_eq!(found(&store, whole.alias.as_deref().unwrap()).await, Some(whole.clone()));
    assert_eq!(found(&store, "nobody").await, None);
    let next = over(&whole, |next| (next.alias, next.due, next.expires_at, next.body) = (None, None, None, b"more".to_vec()));
    assert!(wrote(&store, [next.clone()]).await);
    assert_eq!(found(&store, &whole.id).await, Some(next.document));
    assert_eq!(found(&store, whole.alias.as_deref().unwrap()).await, None, "it has no alias any more");
    assert!(wrote(&store, []).await, "nothing stands in the way of nothing");
}

async fn each_kind_has_ids_and_aliases_of_its_own(store: Store) {
    let all = DocumentKind::ALL.map(|kind| Document { kind, body: kind.as_str().into(), due: Some(START), ..called("same", "other") });
    put(&store, all.clone()).await;
    for document in all {
        let kind = document.kind;
        for name in ["same", "other"] {
            assert_eq!(store.document(kind, name, START).await.unwrap().as_ref(), Some(&document));
        }
        assert_eq!(store.documents(kind, None, 9, START).await.unwrap().documents.as_slice(), std::slice::from_ref(&document));
        assert_eq!(store.lease_documents(kind, START, at(9), 9).await.unwrap(), [document]);
        assert!(store.drop_document(kind, "same").await.unwrap());
    }
}

async fn who_writes_over_another_revision_loses(store: Store) {
    assert!(!wrote(&store, [again(&document("a"))]).await, "it is not there yet");
    put(&store, [document("a")]).await;
    assert!(!wrote(&store, [new(document("a"))]).await, "it is there already");
    let second = again(&document("a"));
    assert!(wrote(&store, [second.clone()]).await);
    assert!(!wrote(&store, [second.clone()]).await, "another was faster");
    assert_eq!(found(&store, "a").await, Some(second.document));
}

async fn documents_are_written_together_or_not_at_all(store: Store) {
    put(&store, [document("a"), called("b", "alias of b")]).await;
    let fresh = || new(Document { kind: DocumentKind::Answer, ..document("fresh") });
    let a = over(&document("a"), |a| (a.due, a.body) = (Some(START), b"changed".to_vec()));
    let refused = [
        again(&Document { revision: 7, ..document("b") }),
        new(document("b")),
        again(&document("nobody")),
        new(called("c", "alias of b")),
        over(&document("a"), |_| {}),
        new(Document { kind: DocumentKind::Answer, ..document("fresh") }),
    ];
    for refused in refused {
        assert!(!wrote(&store, [a.clone(), fresh(), refused.clone()]).await, "{refused:?}");
        assert!(!wrote(&store, [refused.clone(), fresh(), a.clone()]).await, "{refused:?}");
        assert_eq!(found(&store, "a").await, Some(document("a")), "{refused:?}");
        assert_eq!(store.document(DocumentKind::Answer, "fresh", START).await.unwrap(), None, "{refused:?}");
        assert_eq!(store.next_document(KIND).await.unwrap(), None, "{refused:?}");
    }
    assert!(wrote(&store, [a.clone(), fresh(), again(&called("b", "alias of b"))]).await);
    assert_eq!(found(&store, "a").await, Some(a.document));
    assert!(store.document(DocumentKind::Answer, "fresh", START).await.unwrap().is_some());
}

async fn an_alias_belongs_to_one_document(store: Store) {
    put(&store, [called("a", "x"), called("b", "y"), document("c")]).await;
    let named = |alias: &str| over(&document("c"), |c| c.alias = Some(alias.to_owned()));
    assert!(!wrote(&store, [named("x")]).await);
    assert!(!wrote(&store, [new(called("d", "z")), named("z")]).await, "nor may two take it at once");
    assert!(wrote(&store, [again(&called("a", "x"))]).await, "it may keep its own");
    let (a, b) = (found(&store, "a").await.unwrap(), found(&store, "b").await.unwrap());
    // Two exchange theirs.
    let swap = [over(&a, |a| a.alias = Some("y".to_owned())), over(&b, |b| b.alias = Some("x".to_owned()))];
    assert!(wrote(&store, swap).await);
    assert_eq!((found(&store, "x").await.unwrap().id, found(&store, "y").await.unwrap().id), ("b".to_owned(), "a".to_owned()));
    let b = found(&store, "b").await.unwrap();
    assert!(wrote(&store, [named("x"), over(&b, |b| b.alias = None)]).await, "one hands it to another");
    assert_eq!(found(&store, "x").await.unwrap().id, "c");
    assert!(store.drop_document(KIND, "c").await.unwrap());
    assert_eq!(found(&store, "x").await, None);
    put(&store, [called("d", "x")]).await;
    assert_eq!(found(&store, "x").await.unwrap().id, "d");
    put(&store, [called("y", "b")]).await;
    assert_eq!((found(&store, "y").await.unwrap().id, found(&store, "b").await.unwrap().id), ("y".to_owned(), "b".to_owned()), "ids first");
}

async fn of_many_who_write_one_document_one_wins(store: Store) {
    for round in 0..6_u64 {
        let writes = (0..20_u8).map(|writer| DocumentWrite {
            document: Document { revision: round + 1, body: vec![writer], ..document("a") },
            expected: (round > 0).then_some(round),
        });
        let outcomes = join_all(writes.map(|write| store.put_documents(vec![write], START))).await;
        let winners: Vec<u8> = (0..).zip(outcomes).filter(|(_, outcome)| *outcome.as_ref().unwrap()).map(|(writer, _)| writer).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(found(&store, "a").await.unwrap().body, winners);
    }
}

async fn batches_that_cross_do_not_mix(store: Store) {
    put(&store, [document("a"), document("b")]).await;
    for revision in 2..8 {
        let writes = |writer: u8| {
            let write = |id| over(&Document { revision: revision - 1, ..document(id) }, |it| it.body = vec![writer]);
            if writer.is_multiple_of(2) { vec![write("a"), write("b")] } else { vec![write("b"), write("a")] }
        };
        let outcomes = join_all((0..12).map(|writer| store.put_documents(writes(writer), START))).await;
        assert_eq!(outcomes.into_iter().filter(|outcome| *outcome.as_ref().unwrap()).count(), 1);
        assert_eq!(found(&store, "a").await.unwrap().body, found(&store, "b").await.unwrap().body);
    }
}

async fn of_many_who_want_an_alias_one_gets_it(store: Store) {
    for alias in ["x", "y", "z"] {
        let ids: Vec<String> = (0..20).map(|number| format!("{alias} of {number}")).collect();
        let outcomes = join_all(ids.iter().map(|id| store.put_documents(vec![new(called(id, alias))], START))).await;
        let winners: Vec<&String> = ids.iter().zip(outcomes).filter(|(_, outcome)| *outcome.as_ref().unwrap()).map(|it| it.0).collect();
        assert_eq!(winners, [&found(&store, alias).await.unwrap().id]);
    }
}

async fn due_documents_are_leased_the_longest_overdue_first(store: Store) {
    put(&store, [due("d", 40), due("a", 10), due("c", 30), due("b", 30), document("never"), due("later", 60)]).await;
    put(&store, [Document { kind: DocumentKind::Batch, ..due("of another kind", 0) }]).await;
    assert_eq!(leased(&store, (9, 90), 9).await, [""; 0]);
    assert_eq!(leased(&store, (50, 90), 0).await, [""; 0]);
    let first = store.lease_documents(KIND, at(50), at(90), 3).await.unwrap();
    assert_eq!(first, [due("a", 10), due("b", 30), due("c", 30)], "whole, as they stand, and of one moment by id");
    assert_eq!(leased(&store, (50, 90), 9).await, ["d"]);
    assert_eq!(leased(&store, (50, 90), 9).await, [""; 0]);
    assert_eq!(leased(&store, (60, 90), 9).await, ["later"]);
}

async fn of_many_who_lease_at_once_each_gets_others(store: Store) {
    put(&store, (0..120).map(|number| due(&format!("{number:03}"), number))).await;
    let all = join_all((0..12).map(|_| leased(&store, (500, 900), 10))).await.concat();
    let each: BTreeSet<&String> = all.iter().collect();
    assert_eq!(each.len(), all.len(), "two hold the same one");
    // Whoever asks while others are taken may get fewer, but nothing is lost.
    let rest = leased(&store, (500, 900), 120).await;
    assert_eq!(all.len() + rest.len(), 120);
}

async fn a_lease_ends_by_time(store: Store) {
    put(&store, [due("a", 10), due("b", 20)]).await;
    assert_eq!(leased(&store, (30, 40), 1).await, ["a"]);
    assert_eq!(leased(&store, (39, 50), 9).await, ["b"]);
    assert_eq!(leased(&store, (39, 60), 9).await, [""; 0]);
    assert_eq!(leased(&store, (40, 60), 9).await, ["a"]);
    assert_eq!(leased(&store, (60, 70), 9).await, ["a", "b"], "both ran out, and the one that is longer overdue goes first");
    let revisions = [found(&store, "a").await.unwrap().revision, found(&store, "b").await.unwrap().revision];
    assert_eq!(revisions, [1, 1], "a lease is no write");
}

async fn a_lease_ends_with_the_next_write(store: Store) {
    put(&store, [due("a", 10), due("b", 20)]).await;
    assert_eq!(leased(&store, (30, 900), 9).await, ["a", "b"]);
    let a = again(&due("a", 10));
    assert!(!wrote(&store, [a.clone(), new(due("b", 20))]).await);
    assert_eq!(leased(&store, (30, 900), 9).await, [""; 0], "a refused write ends none");
    assert!(wrote(&store, [a.clone()]).await);
    assert_eq!(leased(&store, (30, 900), 9).await, ["a"], "it is still due");
    assert!(wrote(&store, [over(&a.document, |a| a.due = Some(at(50)))]).await);
    assert_eq!(leased(&store, (49, 900), 9).await, [""; 0]);
    assert_eq!(leased(&store, (50, 900), 9).await, ["a"]);
    assert!(wrote(&store, [over(&due("b", 20), |b| b.due = None)]).await);
    assert_eq!(leased(&store, (5_000, 9_000), 9).await, ["a"], "the other one is not due any more");
}

async fn the_next_due_document_is_told(store: Store) {
    let next = async || store.next_document(KIND).await.unwrap();
    put(&store, [document("never"), Document { kind: DocumentKind::Progress, ..due("of another kind", 1) }]).await;
    assert_eq!(next().await, None);
    put(&store, [due("b", 20), due("a", 10)]).await;
    assert_eq!(next().await, Some(at(10)));
    leased(&store, (10, 15), 9).await;
    assert_eq!(next().await, Some(at(15)), "free again when its lease is over");
    assert!(wrote(&store, [over(&due("a", 10), |a| a.due = None)]).await);
    assert_eq!(next().await, Some(at(20)));
    assert!(store.drop_document(KIND, "b").await.unwrap());
    assert_eq!(next().await, None);
}

async fn what_is_over_is_as_good_as_gone(store: Store) {
    put(&store, [ending(50, called("a", "x")), ending(51, document("b"))]).await;
    let seen = async |now: i64| {
        let of = async |name| store.document(KIND, name, at(now)).await.unwrap().is_some();
        (of("a").await, of("x").await, store.documents(KIND, None, 9, at(now)).await.unwrap().documents.len())
    };
    assert_eq!((seen(49).await, seen(50).await, seen(51).await), ((true, true, 2), (false, false, 1), (false, false, 0)));
    let write = |expected| DocumentWrite { document: Document { body: b"anew".to_vec(), ..document("a") }, expected };
    assert!(!store.put_documents(vec![write(None)], at(49)).await.unwrap());
    assert!(!store.put_documents(vec![write(Some(1))], at(50)).await.unwrap(), "there is nothing to write over");
    assert!(store.put_documents(vec![write(None)], at(50)).await.unwrap());
    assert_eq!(store.document(KIND, "a", at(900)).await.unwrap(), Some(write(None).document));
    assert_eq!((found(&store, "x").await, store.forget_documents(at(900), 9).await.unwrap()), (None, 1), "only the other one went");
}

async fn what_is_over_makes_room_for_another(store: Store) {
    put(&store, [ending(50, called("a", "x"))]).await;
    assert!(!store.put_documents(vec![new(called("b", "x"))], at(49)).await.unwrap());
    assert!(store.put_documents(vec![new(called("b", "x"))], at(50)).await.unwrap());
    assert_eq!(store.document(KIND, "x", at(50)).await.unwrap(), Some(called("b", "x")));
    assert_eq!(store.forget_documents(at(50), 9).await.unwrap(), 1);
    assert_eq!(store.document(KIND, "x", at(50)).await.unwrap(), Some(called("b", "x")), "the alias stays with who has it now");
}

async fn what_is_over_is_not_leased_and_keeps_nobody_busy(store: Store) {
    put(&store, (0..30).map(|number| ending(50, due(&format!("over {number}"), number)))).await;
    put(&store, [due("a", 40), ending(90, due("b", 41))]).await;
    assert_eq!(leased(&store, (60, 70), 2).await, ["a", "b"]);
    assert_eq!(leased(&store, (60, 70), 2).await, [""; 0]);
    assert_eq!(store.next_document(KIND).await.unwrap(), Some(at(70)), "what is over does not wake anybody again and again");
    assert_eq!(leased(&store, (95, 99), 9).await, ["a"], "one was over before its lease was");
    assert_eq!(store.next_document(KIND).await.unwrap(), Some(at(99)));
    assert_eq!(store.forget_documents(at(95), 99).await.unwrap(), 31);
}

async fn what_is_over_is_forgotten(store: Store) {
    put(&store, (0..130).map(|number| ending(number, document(&format!("{number:03}"))))).await;
    put(&store, [document("stays"), Document { kind: DocumentKind::Answer, ..ending(0, document("of another kind")) }]).await;
    assert_eq!(store.forget_documents(at(-1), 999).await.unwrap(), 0);
    assert_eq!(store.forget_documents(at(120), 100).await.unwrap(), 100);
    assert_eq!(store.forget_documents(at(120), 100).await.unwrap(), 22);
    assert_eq!(store.forget_documents(at(120), 100).await.unwrap(), 0);
    assert!(!store.drop_document(KIND, "120").await.unwrap());
    assert!(store.drop_document(KIND, "121").await.unwrap(), "its time was not over");
    assert!(found(&store, "stays").await.is_some());
}

async fn pages_are_newest_first(store: Store) {
    let made = |id: &str, milliseconds: i64| Document { created_at: at(milliseconds), ..document(id) };
    put(&store, [made("a", 10), made("c", 20), made("b", 20), made("d", -5), made("e", 0)]).await;
    put(&store, (0..40).map(|number| ending(1, made(&format!("over {number}"), 5)))).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.documents(KIND, after, 2, at(1)).await.unwrap();
        seen.push(page.documents.iter().map(|document| document.id.clone()).collect::<Vec<_>>().join(" "));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["c b", "a e", "d"], "and no page is shorter for what is over");
    let page = store.documents(KIND, Some((at(10), "a".to_owned())), 2, at(1)).await.unwrap();
    assert_eq!((page.documents, page.next), (vec![made("e", 0), made("d", -5)], None));
}

async fn a_dropped_document_is_gone(store: Store) {
    put(&store, [Document { due: Some(START), ..ending(50, called("a", "x")) }, document("b")]).await;
    assert!(!store.drop_document(KIND, "x").await.unwrap(), "it is dropped by its id only");
    assert!(!store.drop_document(DocumentKind::Answer, "a").await.unwrap());
    assert!(store.drop_document(KIND, "a").await.unwrap());
    assert!(!store.drop_document(KIND, "a").await.unwrap());
    assert_eq!((found(&store, "a").await, found(&store, "x").await), (None, None));
    assert_eq!(store.documents(KIND, None, 9, START).await.unwrap().documents, [document("b")]);
    assert_eq!((leased(&store, (60, 90), 9).await.len(), store.forget_documents(at(60), 9).await.unwrap()), (0, 0));
    put(&store, [called("a", "x")]).await;
}

/// How long a lease may take here, tests of other engines running beside it.
const MILLISECONDS: Duration = Duration::from_millis(30);

async fn among_ten_thousand_a_lease_takes_milliseconds(store: Store) {
    for hundred in 0..100 {
        put(&store, (0..100).map(|number| due(&format!("{hundred} {number}"), hundred * 100 + number))).await;
    }
    let mut fastest = Duration::MAX;
    for round in 0..20 {
        let begun = Instant::now();
        let taken = store.lease_documents(KIND, at(20_000), at(30_000), 20).await.unwrap();
        fastest = fastest.min(begun.elapsed());
        let expected: Vec<i64> = (round * 20..round * 20 + 20).collect();
        assert_eq!(taken.iter().map(|it| it.due.unwrap().since(START)).collect::<Vec<_>>(), expected);
    }
    assert!(fastest < MILLISECONDS, "{fastest:?}");
    let begun = Instant::now();
    assert_eq!(store.next_document(KIND).await.unwrap(), Some(at(400)));
    assert!(begun.elapsed() < MILLISECONDS * 10, "{:?}", begun.elapsed());
}

async fn a_closed_store_refuses_every_verb(store: Store) {
    put(&store, [document("a")]).await;
    store.close().await.unwrap();
    let refusals = [
        store.document(KIND, "a", START).await.err(),
        store.put_documents(vec![new(document("b"))], START).await.err(),
        store.drop_document(KIND, "a").await.err(),
        store.documents(KIND, None, 9, START).await.err(),
        store.lease_documents(KIND, START, START, 9).await.err(),
        store.next_document(KIND).await.err(),
        store.forget_documents(START, 9).await.err(),
    ];
    for (verb, refusal) in refusals.into_iter().enumerate() {
        assert!(matches!(refusal, Some(StoreError::Unavailable(_))), "verb {verb}: {refusal:?}");
    }
}
