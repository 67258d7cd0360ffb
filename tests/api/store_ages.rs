//! What every engine promises of what is erased or grows old.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use ringback::{
    call::{event::CallEvent, record::FetchReason},
    store::{CallFilter, Committed, Retention, Store},
};

use crate::{
    store_contract::on_every_engine,
    store_support::{at, call_id, columns, delivery, due, lookup, noting, put, put_aged, records_before, stored, writing},
};

on_every_engine! {
    a_deleted_call_is_gone_and_stays_gone
    deleting_what_nobody_knows_leaves_nothing_unless_always
    old_calls_are_purged_oldest_first_with_their_events
    a_call_that_ended_late_is_kept_longer
    old_bodies_go_and_the_rest_of_the_timeline_stays
    events_of_no_call_are_purged_by_age
    tombstones_are_forgotten_after_the_retention_time
    zero_retention_keeps_everything
    the_oldest_bodies_make_room
}

async fn a_deleted_call_is_gone_and_stays_gone(store: Store) {
    let mut call = stored("call-1");
    call.due = Some(due(0, FetchReason::Check));
    put(&store, &call, columns()).await;
    put(&store, &stored("call-2"), columns()).await;
    assert!(store.delete(&call_id("call-1"), at(50), false).await.unwrap());

    assert_eq!(lookup(&store, "call-1").await, "deleted");
    assert!(store.timeline(&call_id("call-1"), true).await.unwrap().is_empty());
    assert_eq!(store.next_due().await.unwrap(), None);
    assert_eq!(store.list(CallFilter { limit: 10, ..CallFilter::default() }).await.unwrap().calls.len(), 1);
    for commit in [writing(delivery("event-9", "call-1"), &stored("call-1")), noting(delivery("first of call-1", "call-1"))] {
        assert_eq!(store.commit(commit).await.unwrap(), Committed::Deleted);
    }
    assert_eq!(lookup(&store, "call-1").await, "deleted");
    assert!(!store.delete(&call_id("call-1"), at(60), false).await.unwrap(), "the second time there was nothing left to erase");
    assert_eq!(lookup(&store, "call-2").await, "found");
}

async fn deleting_what_nobody_knows_leaves_nothing_unless_always(store: Store) {
    assert!(!store.delete(&call_id("call-1"), at(0), false).await.unwrap());
    assert_eq!(lookup(&store, "call-1").await, "missing");
    assert!(!store.delete(&call_id("call-1"), at(0), true).await.unwrap());
    assert_eq!(lookup(&store, "call-1").await, "deleted");
}

async fn old_calls_are_purged_oldest_first_with_their_events(store: Store) {
    for (id, created) in [("call-2", 20), ("call-4", 40), ("call-1", 10), ("call-3", 30)] {
        put_aged(&store, id, created, None).await;
    }
    let names = |calls: &[std::sync::Arc<ringback::store::StoredCall>]| calls.iter().map(|call| call.id.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&store.purgeable(records_before(40), 2).await.unwrap()), ["call-1", "call-2"]);
    assert_eq!(names(&store.purge(records_before(40), 2).await.unwrap()), ["call-1", "call-2"]);
    assert_eq!(names(&store.purge(records_before(40), 2).await.unwrap()), ["call-3"]);
    assert!(store.purge(records_before(40), 2).await.unwrap().is_empty());
    assert!(store.timeline(&call_id("call-1"), false).await.unwrap().is_empty());
    assert_eq!(lookup(&store, "call-1").await, "missing", "what time took may come back");
    assert_eq!(lookup(&store, "call-4").await, "found");
    let back = writing(delivery("first of call-1", "call-1"), &stored("call-1"));
    assert_eq!(store.commit(back).await.unwrap(), Committed::Done, "even by the same event");
}

async fn a_call_that_ended_late_is_kept_longer(store: Store) {
    put_aged(&store, "ended-late", 10, Some(90)).await;
    put_aged(&store, "ended-early", 11, Some(9)).await;
    put_aged(&store, "ended-on-the-edge", 12, Some(50)).await;
    let gone: Vec<_> = store.purge(records_before(50), 9).await.unwrap().iter().map(|call| call.id.to_string()).collect();
    assert_eq!(gone, ["ended-early"]);
}

async fn old_bodies_go_and_the_rest_of_the_timeline_stays(store: Store) {
    for (id, moment) in [("old", 10), ("new", 20)] {
        store.commit(noting(CallEvent { received_at: at(moment), ..delivery(id, "call-1") })).await.unwrap();
    }
    let retention = Retention { records_before: None, bodies_before: Some(at(20)) };
    assert!(store.purge(retention, 100).await.unwrap().is_empty());
    let left: Vec<_> =
        store.timeline(&call_id("call-1"), true).await.unwrap().into_iter().map(|entry| (entry.event_id, entry.body.is_some())).collect();
    assert_eq!(left, [("old".to_owned(), false), ("new".to_owned(), true)]);
    assert_eq!(store.commit(noting(delivery("old", "call-1"))).await.unwrap(), Committed::Duplicate, "its id still counts");
}

async fn events_of_no_call_are_purged_by_age(store: Store) {
    let of_none = |id: &str, moment| noting(CallEvent { received_at: at(moment), ..delivery(id, "") });
    store.commit(of_none("old", 10)).await.unwrap();
    store.commit(of_none("new", 60)).await.unwrap();
    let of_unknown = CallEvent { received_at: at(10), ..delivery("old of a call without record", "call-1") };
    store.commit(noting(of_unknown.clone())).await.unwrap();
    store.purge(records_before(50), 1).await.unwrap();
    assert_eq!(store.commit(of_none("old", 70)).await.unwrap(), Committed::Done);
    assert_eq!(store.commit(of_none("new", 70)).await.unwrap(), Committed::Duplicate);
    assert_eq!(store.commit(noting(of_unknown)).await.unwrap(), Committed::Done);
}

async fn tombstones_are_forgotten_after_the_retention_time(store: Store) {
    store.delete(&call_id("early"), at(10), true).await.unwrap();
    store.delete(&call_id("late"), at(50), true).await.unwrap();
    store.purge(records_before(50), 10).await.unwrap();
    assert_eq!(lookup(&store, "early").await, "missing");
    assert_eq!(lookup(&store, "late").await, "deleted");
}

async fn zero_retention_keeps_everything(store: Store) {
    put_aged(&store, "call-1", -900_000_000, None).await;
    let keep = Retention { records_before: None, bodies_before: None };
    assert!(store.purgeable(keep, 10).await.unwrap().is_empty());
    assert!(store.purge(keep, 10).await.unwrap().is_empty());
    assert!(store.timeline(&call_id("call-1"), true).await.unwrap()[0].body.is_some());
}

async fn the_oldest_bodies_make_room(store: Store) {
    for (id, moment) in [("second", 20), ("first", 10), ("third", 30)] {
        store.commit(noting(CallEvent { received_at: at(moment), ..delivery(id, "call-1") })).await.unwrap();
    }
    assert_eq!(store.drop_oldest_bodies(2).await.unwrap(), 2);
    let left: Vec<_> = store.timeline(&call_id("call-1"), true).await.unwrap().iter().map(|entry| entry.body.is_some()).collect();
    assert_eq!(left, [false, false, true]);
    assert_eq!(store.drop_oldest_bodies(5).await.unwrap(), 1);
    assert_eq!(store.drop_oldest_bodies(5).await.unwrap(), 0);
}
