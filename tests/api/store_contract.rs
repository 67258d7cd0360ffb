//! What every engine promises, told once and run on each of them.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use ringback::{
    call::{
        event::{CallEvent, EventKind, Keep},
        field::{Rank, Stamped},
        record::FetchReason,
        time::Millis,
    },
    store::{CallFilter, Committed, Store, TimelineEntry, memory::MemoryStore},
};

use crate::store_support::{
    START, at, call_id, columns, delivery, done, due, found, lookup, next, noting, put, records_before, saying, stored, writing,
    writing_with,
};

/// Runs each story on every engine, as a test of its own.
macro_rules! on_every_engine {
    ($($story:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $story() {
                super::$story($crate::store_support::in_memory()).await;
            })*
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $story() {
                let folder = tempfile::tempdir().expect("a temporary folder");
                super::$story($crate::store_support::open(&folder.path().join("ringback.db"))).await;
            })*
        }

        mod sqlite_encrypted {
            $(#[tokio::test]
            async fn $story() {
                let folder = tempfile::tempdir().expect("a temporary folder");
                super::$story(crate::store_support::open_with(&folder.path().join("ringback.db"), &[1])).await;
            })*
        }

        mod postgres_encrypted {
            $(#[tokio::test]
            async fn $story() {
                if let Some(database) = crate::support::postgres::database().await {
                    super::$story(database.open_with(&[1]).await).await;
                }
            })*
        }

        mod redis_encrypted {
            $(#[tokio::test]
            async fn $story() {
                if let Some(database) = crate::support::redis::database() {
                    super::$story(database.open_with(&[1]).await).await;
                }
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $story() {
                if let Some(database) = crate::support::postgres::database().await {
                    super::$story(database.open().await).await;
                }
            })*
        }

        mod redis {
            $(#[tokio::test]
            async fn $story() {
                if let Some(database) = crate::support::redis::database() {
                    super::$story(database.open().await).await;
                }
            })*
        }
    };
}

pub(crate) use on_every_engine;

on_every_engine! {
    what_is_committed_is_loaded_as_it_was
    numbers_are_loaded_to_the_last_digit
    a_call_never_heard_of_is_missing
    a_repeated_event_changes_nothing_but_is_noted
    an_event_id_counts_once_across_all_calls
    who_writes_over_an_older_revision_loses
    a_second_first_write_loses
    one_commit_carries_all_its_events
    events_that_are_not_kept_leave_no_trace_but_their_facts
    the_longest_of_replacing_events_stays
    an_event_that_could_not_be_read_is_replaced_by_one_that_could
    a_timeline_is_in_order_of_time
    bodies_are_shown_when_asked_for
    due_calls_are_leased_enrichment_first
    a_lease_ends_by_time_by_a_new_due_and_by_a_commit_that_moves_it
    a_commit_that_leaves_the_due_time_leaves_the_lease
    the_next_due_is_told
    health_counts_what_waits
    a_closed_store_refuses_every_verb
}

async fn what_is_committed_is_loaded_as_it_was(store: Store) {
    let mut call = saying(stored("call-1"), "AI: Hello.\nUser: Grüße! 👋");
    call.due = Some(due(3_000, FetchReason::Enrich));
    let outcome = store.commit(writing(delivery("event-1", "call-1"), &call)).await.unwrap();
    assert_eq!(outcome, Committed::Done);
    assert_eq!(found(&store, "call-1").await, call);

    let later = done(next(&call));
    assert_eq!(store.commit(writing(delivery("event-2", "call-1"), &later)).await.unwrap(), Committed::Done);
    assert_eq!(found(&store, "call-1").await, later);
}

async fn numbers_are_loaded_to_the_last_digit(store: Store) {
    // serde_json reads floats less exactly unless it is built with `float_roundtrip`.
    for (number, cost) in [0.1 + 0.2, 1.0 / 3.0, 88.172_645_463_325_26, 5e-324, f64::MAX].into_iter().enumerate() {
        let mut call = stored(&format!("call-{number}"));
        call.record.duration_seconds = Some(Stamped { value: cost, rank: Rank::REPORT, sent_at: None });
        put(&store, &call, columns()).await;
        assert_eq!(found(&store, call.id.as_str()).await, call);
    }
}

async fn a_call_never_heard_of_is_missing(store: Store) {
    assert_eq!(lookup(&store, "call-1").await, "missing");
    assert!(store.timeline(&call_id("call-1"), true).await.unwrap().is_empty());
    store.set_due(&call_id("call-1"), Some(due(0, FetchReason::Check))).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), None);
}

async fn a_repeated_event_changes_nothing_but_is_noted(store: Store) {
    let call = stored("call-1");
    store.commit(writing(delivery("event-1", "call-1"), &call)).await.unwrap();
    let again = CallEvent { received_at: at(900), proof: Some("secret"), ..delivery("event-1", "call-1") };
    assert_eq!(store.commit(writing(again, &next(&call))).await.unwrap(), Committed::Duplicate);

    assert_eq!(found(&store, "call-1").await, call);
    let timeline = store.timeline(&call_id("call-1"), false).await.unwrap();
    let told: Vec<_> = timeline.iter().map(|entry| (entry.at, entry.duplicate, entry.proof.as_deref(), entry.version)).collect();
    assert_eq!(told, [(at(5), false, Some("signature"), Some(1)), (at(900), true, Some("secret"), None)]);
    assert!(timeline.iter().all(|entry| entry.event_id == "event-1" && entry.source == "end-of-call-report"));
}

async fn an_event_id_counts_once_across_all_calls(store: Store) {
    store.commit(writing(delivery("event-1", "call-1"), &stored("call-1"))).await.unwrap();
    let elsewhere = writing(delivery("event-1", "call-2"), &stored("call-2"));
    assert_eq!(store.commit(elsewhere).await.unwrap(), Committed::Duplicate);
    assert_eq!(lookup(&store, "call-2").await, "missing");
    assert_eq!(store.timeline(&call_id("call-1"), false).await.unwrap().len(), 2, "the repeat is noted where the event is");
    assert!(store.timeline(&call_id("call-2"), false).await.unwrap().is_empty());
}

async fn who_writes_over_an_older_revision_loses(store: Store) {
    let first = stored("call-1");
    let winner = saying(next(&first), "the winner");
    store.commit(writing(delivery("event-1", "call-1"), &first)).await.unwrap();
    store.commit(writing(delivery("event-2", "call-1"), &winner)).await.unwrap();
    let loser = writing(delivery("event-3", "call-1"), &saying(next(&first), "the loser"));
    assert_eq!(store.commit(loser.clone()).await.unwrap(), Committed::Conflict);
    assert_eq!(found(&store, "call-1").await, winner);
    assert_eq!(store.timeline(&call_id("call-1"), false).await.unwrap().len(), 2, "the loser's event is not stored");

    let again = writing(loser.event, &next(&winner));
    assert_eq!(store.commit(again).await.unwrap(), Committed::Done, "it can be tried again");
}

async fn a_second_first_write_loses(store: Store) {
    store.commit(writing(delivery("event-1", "call-1"), &stored("call-1"))).await.unwrap();
    let second = writing(delivery("event-2", "call-1"), &saying(stored("call-1"), "me too"));
    assert_eq!(store.commit(second).await.unwrap(), Committed::Conflict);
    let of_nothing = writing(delivery("event-3", "call-2"), &next(&stored("call-2")));
    assert_eq!(store.commit(of_nothing).await.unwrap(), Committed::Conflict, "there is no revision 1 of call-2");
    assert_eq!(lookup(&store, "call-2").await, "missing");
}

async fn one_commit_carries_all_its_events(store: Store) {
    let settled = CallEvent {
        kind: EventKind::Settled,
        source: "policy".to_owned(),
        sent_at: None,
        proof: None,
        body: Vec::new().into(),
        details: Some("complete: no key".to_owned()),
        ..delivery("settled-1", "call-1")
    };
    let mut commit = writing(delivery("event-1", "call-1"), &done(stored("call-1")));
    commit.more.push(settled);
    store.commit(commit).await.unwrap();

    let timeline = store.timeline(&call_id("call-1"), true).await.unwrap();
    let first = TimelineEntry {
        at: at(5),
        kind: "delivery".to_owned(),
        source: "end-of-call-report".to_owned(),
        event_id: "event-1".to_owned(),
        sent_at: Some(START),
        proof: Some("signature".to_owned()),
        duplicate: false,
        changed: vec!["callStatus".to_owned(), "transcript".to_owned()],
        version: Some(1),
        details: None,
        folded: true,
        body: Some(r#"{"event":"event-1"}"#.to_owned()),
    };
    let second = TimelineEntry {
        kind: "settled".to_owned(),
        source: "policy".to_owned(),
        event_id: "settled-1".to_owned(),
        sent_at: None,
        proof: None,
        changed: Vec::new(),
        details: Some("complete: no key".to_owned()),
        body: None,
        ..first.clone()
    };
    assert_eq!(timeline, [first, second]);
}

async fn events_that_are_not_kept_leave_no_trace_but_their_facts(store: Store) {
    let heard = CallEvent { keep: Keep::Nothing, ..delivery("speech-1", "call-1") };
    assert_eq!(store.commit(writing(heard.clone(), &stored("call-1"))).await.unwrap(), Committed::Done);
    assert_eq!(store.commit(noting(heard)).await.unwrap(), Committed::Done, "what is not kept is never a repeat");
    assert_eq!(lookup(&store, "call-1").await, "found");
    assert!(store.timeline(&call_id("call-1"), true).await.unwrap().is_empty());
}

async fn the_longest_of_replacing_events_stays(store: Store) {
    let update = |id: &str, words: &str, call: &str| CallEvent {
        source: "conversation-update".to_owned(),
        keep: Keep::Replacing,
        body: format!("[\"{words}\"]").into_bytes().into(),
        ..delivery(id, call)
    };
    store.commit(noting(delivery("event-1", "call-1"))).await.unwrap();
    store.commit(noting(update("other", "another call's words", "call-2"))).await.unwrap();
    for (id, words) in [("update-1", "one"), ("update-2", "one two"), ("update-3", "one two three"), ("update-late", "one two")] {
        assert_eq!(store.commit(noting(update(id, words, "call-1"))).await.unwrap(), Committed::Done);
    }
    let kept: Vec<_> =
        store.timeline(&call_id("call-1"), true).await.unwrap().into_iter().map(|entry| (entry.event_id, entry.body)).collect();
    let body = |text: &str| Some(text.to_owned());
    let expected = [("event-1".to_owned(), body(r#"{"event":"event-1"}"#)), ("update-3".to_owned(), body(r#"["one two three"]"#))];
    assert_eq!(kept, expected);
    assert_eq!(store.timeline(&call_id("call-2"), false).await.unwrap().len(), 1, "other calls keep theirs");
}

async fn an_event_that_could_not_be_read_is_replaced_by_one_that_could(store: Store) {
    let unread = CallEvent { folded: false, ..delivery("event-1", "call-1") };
    assert_eq!(store.commit(noting(unread.clone())).await.unwrap(), Committed::Done);
    assert_eq!(store.commit(noting(unread)).await.unwrap(), Committed::Duplicate, "still unread");
    let read = writing(delivery("event-1", "call-1"), &stored("call-1"));
    assert_eq!(store.commit(read.clone()).await.unwrap(), Committed::Done);
    assert_eq!(lookup(&store, "call-1").await, "found");
    assert_eq!(store.commit(read).await.unwrap(), Committed::Duplicate);
    let timeline = store.timeline(&call_id("call-1"), true).await.unwrap();
    let told: Vec<_> = timeline.iter().map(|entry| (entry.duplicate, entry.version, entry.body.is_some())).collect();
    assert_eq!(told, [(false, Some(1), true), (true, None, false), (true, None, false)]);
    assert!(store.unfolded().await.unwrap().is_empty());
}

async fn a_timeline_is_in_order_of_time(store: Store) {
    for (id, moment) in [("third", 30), ("first", 10), ("second", 20), ("tied with second", 20)] {
        store.commit(noting(CallEvent { received_at: at(moment), ..delivery(id, "call-1") })).await.unwrap();
    }
    let order: Vec<_> = store.timeline(&call_id("call-1"), false).await.unwrap().into_iter().map(|entry| entry.event_id).collect();
    assert_eq!(order, ["first", "second", "tied with second", "third"]);
}

async fn bodies_are_shown_when_asked_for(store: Store) {
    let body = format!(r#"{{"words":"{}"}}"#, "Grüße, 60 KB. ".repeat(4_500));
    store.commit(noting(CallEvent { body: body.clone().into_bytes().into(), ..delivery("event-1", "call-1") })).await.unwrap();
    assert_eq!(store.timeline(&call_id("call-1"), true).await.unwrap()[0].body.as_deref(), Some(body.as_str()));
    assert_eq!(store.timeline(&call_id("call-1"), false).await.unwrap()[0].body, None);
}

async fn put_due(store: &Store, id: &str, milliseconds: i64, reason: FetchReason) {
    let mut call = stored(id);
    call.due = Some(due(milliseconds, reason));
    put(store, &call, columns()).await;
}

async fn lease(store: &Store, now: i64, until: i64, limit: usize) -> Vec<String> {
    store.lease_due(at(now), at(until), limit).await.unwrap().iter().map(ToString::to_string).collect()
}

async fn due_calls_are_leased_enrichment_first(store: Store) {
    put_due(&store, "check-early", 1, FetchReason::Check).await;
    put_due(&store, "enrich-late", 9, FetchReason::Enrich).await;
    put_due(&store, "enrich-early", 5, FetchReason::Enrich).await;
    put_due(&store, "manual", 7, FetchReason::Manual).await;
    put_due(&store, "not-yet", 11, FetchReason::Enrich).await;
    put(&store, &stored("never"), columns()).await;
    assert_eq!(lease(&store, 10, 100, 3).await, ["enrich-early", "enrich-late", "manual"]);
    assert_eq!(lease(&store, 10, 100, 3).await, ["check-early"]);
    assert!(lease(&store, 10, 100, 3).await.is_empty());
    assert_eq!(found(&store, "manual").await.due, Some(due(7, FetchReason::Manual)), "a lease leaves the due time");
}

async fn a_lease_ends_by_time_by_a_new_due_and_by_a_commit_that_moves_it(store: Store) {
    for id in ["by-time", "by-due", "by-commit"] {
        put_due(&store, id, 0, FetchReason::Check).await;
    }
    assert_eq!(lease(&store, 10, 100, 9).await.len(), 3);
    store.set_due(&call_id("by-due"), Some(due(20, FetchReason::Check))).await.unwrap();
    let mut moved = next(&found(&store, "by-commit").await);
    moved.due = Some(due(21, FetchReason::Check));
    store.commit(writing(delivery("event-9", "by-commit"), &moved)).await.unwrap();
    assert_eq!(lease(&store, 30, 130, 9).await, ["by-due", "by-commit"]);
    assert_eq!(lease(&store, 100, 200, 9).await, ["by-time"]);
    store.set_due(&call_id("by-due"), None).await.unwrap();
    assert_eq!(lease(&store, 500, 600, 9).await, ["by-time", "by-commit"]);
    assert_eq!(found(&store, "by-due").await.due, None);
}

async fn a_commit_that_leaves_the_due_time_leaves_the_lease(store: Store) {
    put_due(&store, "call-1", 0, FetchReason::Check).await;
    assert_eq!(lease(&store, 10, 100, 9).await.len(), 1);
    let same = next(&found(&store, "call-1").await);
    store.commit(writing(delivery("event-9", "call-1"), &same)).await.unwrap();
    assert!(lease(&store, 20, 200, 9).await.is_empty(), "somebody is still asking Vapi about it");
}

async fn the_next_due_is_told(store: Store) {
    assert_eq!(store.next_due().await.unwrap(), None);
    put_due(&store, "later", 500, FetchReason::Enrich).await;
    put_due(&store, "sooner", 20, FetchReason::Check).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(20)));
    lease(&store, 30, 400, 9).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(400)), "if its worker dies, it is free when the lease is over");
    store.set_due(&call_id("sooner"), None).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(at(500)));
}

async fn health_counts_what_waits(store: Store) {
    assert_eq!((store.health().await.unwrap().pending, store.health().await.unwrap().oldest_due), (0, None));
    put_due(&store, "call-1", 500, FetchReason::Enrich).await;
    put_due(&store, "call-2", 100, FetchReason::Check).await;
    lease(&store, 100, 900, 1).await;
    let health = store.health().await.unwrap();
    assert_eq!((health.pending, health.oldest_due), (2, Some(at(100))));
    assert!(health.size_bytes > 0);
}

async fn a_closed_store_refuses_every_verb(store: Store) {
    put(&store, &stored("call-1"), columns()).await;
    store.close().await.unwrap();
    let id = call_id("call-1");
    assert!(store.load(&id).await.is_err());
    assert!(store.commit(noting(delivery("event-2", "call-1"))).await.is_err());
    assert!(store.list(CallFilter::default()).await.is_err());
    assert!(store.timeline(&id, false).await.is_err());
    assert!(store.lease_due(START, START, 1).await.is_err());
    assert!(store.next_due().await.is_err());
    assert!(store.set_due(&id, None).await.is_err());
    assert!(store.delete(&id, START, false).await.is_err());
    assert!(store.purge(records_before(0), 1).await.is_err());
    assert!(store.purgeable(records_before(0), 1).await.is_err());
    assert!(store.unfolded().await.is_err());
    assert!(store.drop_oldest_bodies(1).await.is_err());
    assert!(matches!(store.health().await, Err(ringback::store::StoreError::Unavailable(_))));
}

#[tokio::test]
async fn over_its_size_memory_lets_the_oldest_done_calls_go_first() {
    let store = Store::Memory(MemoryStore::new(40_000));
    for (id, created, is_done) in [("live", 0, false), ("done-old", 10, true), ("done-new", 20, true)] {
        let mut call = if is_done { done(stored(id)) } else { stored(id) };
        call.created_at = Millis(START.0 + created);
        put(&store, &saying(call, &"words ".repeat(1_500)), columns()).await;
    }
    assert_eq!(lookup(&store, "done-old").await, "found", "three of them fit");
    put(&store, &saying(stored("more"), &"words ".repeat(1_500)), columns()).await;
    assert_eq!(lookup(&store, "done-old").await, "missing");
    assert!(store.timeline(&call_id("done-old"), false).await.unwrap().is_empty(), "events leave with their call");
    put(&store, &saying(stored("still-more"), &"words ".repeat(1_500)), columns()).await;
    assert_eq!(lookup(&store, "done-new").await, "missing");
    assert_eq!(lookup(&store, "live").await, "found");
    put(&store, &saying(stored("huge"), &"words ".repeat(15_000)), columns()).await;
    assert_eq!(lookup(&store, "huge").await, "found", "what was just written stays, whatever its size");
    assert!(store.health().await.unwrap().size_bytes < 130_000);
    let back = writing_with(delivery("first of done-old", "done-old"), &stored("done-old"), columns());
    assert_eq!(store.commit(back).await.unwrap(), Committed::Done);
}
