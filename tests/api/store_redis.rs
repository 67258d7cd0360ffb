//! What only the Redis store promises: outages, several instances, servers that are refused, and what is left of an erased call.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::{aio::MultiplexedConnection, cmd};
use ringback::{
    call::record::FetchReason,
    store::{CallFilter, Columns, Committed, Retention, Signal, SortBy, Store, StoreError},
};
use tokio::time::timeout;

use crate::{
    redis_start::as_user,
    store_support::{
        alongside, at, call_id, columns, delivery, done, due, found, heard, lookup, metadata, next, noting, put, saying, stored, writing,
    },
    support::{
        PATIENCE, eventually,
        proxy::{At, Proxy},
        redis::{Server, database, open, options},
    },
};

/// HTTP gives up on the store after this long.
const HTTP_GIVES_UP: Duration = Duration::from_secs(5);

/// It answers, and has noticed that it does.
async fn is_open(store: &Store) -> bool {
    store.hears_all() && store.load(&call_id("anything")).await.is_ok()
}

async fn set(db: &mut MultiplexedConnection, name: &str, value: &str) {
    let () = cmd("CONFIG").arg("SET").arg(name).arg(value).query_async(db).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_the_server_was_killed() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let store = database.open().await;
    for round in 0..3 {
        let senders = (0..16).map(|sender| {
            let store = store.clone();
            alongside(async move {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let call = saying(stored(&format!("call-{round}-{sender}-{number}")), &"words ".repeat(500));
                    match store.commit(writing(delivery(&format!("of {}", call.id), call.id.as_str()), &call)).await {
                        Ok(_) => acknowledged.push(call),
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        });
        let senders: Vec<_> = senders.collect();
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.tell("kill");
        let acknowledged: Vec<_> = join_all(senders).await.into_iter().flat_map(Result::unwrap).collect();
        assert!(acknowledged.len() > 16, "{}", acknowledged.len());
        server.tell("start");
        eventually("it is found again", async || is_open(&store).await).await;
        for call in acknowledged {
            assert_eq!(found(&store, call.id.as_str()).await, call);
        }
    }
}

#[tokio::test]
async fn a_commit_that_is_cut_in_the_middle_is_asked_again_and_done_once() {
    let Some(database) = database() else { return };
    for place in [At::Asking, At::Answering] {
        let (road, store) = database.on_the_road().await;
        let call = stored(&format!("call-{place:?}"));
        road.cut_at_commit(place);
        let commit = writing(delivery(&format!("event-{place:?}"), call.id.as_str()), &call);
        assert_eq!(store.commit(commit.clone()).await.unwrap(), Committed::Done, "{place:?}");
        assert!(road.has_cut());
        assert_eq!(found(&store, call.id.as_str()).await, call);
        assert_eq!(store.timeline(&call.id, false).await.unwrap().len(), 1, "the second asking left no trace");
        assert_eq!(store.commit(commit).await.unwrap(), Committed::Duplicate);
    }
}

#[tokio::test]
async fn a_lease_and_a_deletion_whose_answer_was_lost_are_told_again() {
    let Some(database) = database() else { return };
    // A word of the question makes the road cut, and only there.
    for (word, place) in [(&b"1760000009999"[..], At::Answering), (&b"1760000009999"[..], At::Asking)] {
        let road = Proxy::of(database.port, word).await;
        let store = open(&options(&database.url_by(road.port()))).await;
        let id = format!("call-{place:?}");
        let mut call = stored(&id);
        call.due = Some(due(0, FetchReason::Enrich));
        put(&store, &call, columns()).await;
        road.cut_at_commit(place);
        assert_eq!(store.lease_due(at(10), at(9_999), 5).await.unwrap(), [call.id.clone()], "{place:?}");
        assert!(road.has_cut());
        road.cut_at_commit(place);
        assert!(store.delete(&call.id, at(9_999), false).await.unwrap(), "{place:?}");
        assert!(road.has_cut());
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time_and_what_it_took_is_found_when_it_goes_on() {
    let Some(server) = Server::start(&[]) else { return };
    let store = server.database().open().await;
    put(&store, &stored("call-1"), columns()).await;
    server.tell("freeze");
    let commits = (0..200).map(|number| {
        let store = store.clone();
        async move {
            let begin = Instant::now();
            let outcome = store.commit(noting(delivery(&format!("event-{number}"), "call-1"))).await;
            (outcome.is_err(), begin.elapsed())
        }
    });
    for (refused, took) in join_all(commits).await {
        assert!(refused && took < HTTP_GIVES_UP, "{took:?}");
    }
    server.tell("thaw");
    eventually("it is found again", async || is_open(&store).await).await;
    for number in 0..200 {
        eventually("it is taken", async || store.commit(noting(delivery(&format!("event-{number}"), "call-1"))).await.is_ok()).await;
    }
    let timeline = store.timeline(&call_id("call-1"), false).await.unwrap();
    assert_eq!(timeline.iter().filter(|entry| !entry.duplicate).count(), 201);
}

#[tokio::test]
async fn a_server_that_is_full_refuses_commits_whole_until_there_is_room() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let (store, mut raw) = (database.open().await, database.raw().await);
    put(&store, &stored("call-1"), columns()).await;
    set(&mut raw, "maxmemory", "1mb").await;
    let later = next(&stored("call-1"));
    let outcome = store.commit(writing(delivery("event-2", "call-1"), &later)).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert!(store.health().await.is_err(), "it is not ready");
    assert_eq!(found(&store, "call-1").await, stored("call-1"), "what is there is read");
    assert_eq!(store.timeline(&call_id("call-1"), false).await.unwrap().len(), 1, "nothing of the commit happened");
    assert_eq!(store.drop_oldest_bodies(5).await.unwrap(), 1, "room can be made");
    assert!(store.delete(&call_id("call-1"), at(9), false).await.unwrap(), "and who wants to be forgotten is");
    set(&mut raw, "maxmemory", "0").await;
    assert_eq!(store.commit(writing(delivery("event-3", "call-3"), &stored("call-3"))).await.unwrap(), Committed::Done);
    assert!(store.health().await.is_ok());
    set(&mut raw, "maxmemory", "500mb").await;
    let health = store.health().await.unwrap();
    assert_eq!(health.disk_bytes, Some(500 * 1_048_576));
    assert_eq!(health.free_bytes, Some(500 * 1_048_576 - health.size_bytes));
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_waited_for() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let mut only = database.raw().await;
    set(&mut only, "maxclients", "1").await;
    let store = database.open().await;
    assert!(matches!(store.health().await, Err(StoreError::Unavailable(_))));
    set(&mut only, "maxclients", "100").await;
    timeout(PATIENCE, store.opened()).await.unwrap();
    put(&store, &stored("call-1"), columns()).await;
}

#[tokio::test]
async fn a_pause_in_listening_is_told_only_if_something_happened_in_it() {
    let Some(database) = database() else { return };
    let here = database.open().await;
    let (road, there) = database.on_the_road().await;
    let mut signals = there.signals().unwrap();
    for happens in [false, true] {
        road.close();
        eventually("it no longer hears", async || !there.hears_all()).await;
        if happens {
            put(&here, &stored("meanwhile"), columns()).await;
        }
        road.open();
        eventually("it hears again", async || there.hears_all()).await;
        let told: Vec<_> = std::iter::from_fn(|| signals.try_recv().ok()).collect();
        assert_eq!(told, if happens { vec![Signal::Missed] } else { Vec::new() });
    }
}

#[tokio::test]
async fn a_user_who_may_not_listen_asks_what_happened() {
    let Some(database) = database() else { return };
    let deaf = as_user(&database, "deaf", &["-subscribe"]).await;
    let (here, there) = (database.open().await, open(&deaf).await);
    assert!(!there.hears_all(), "whoever remembers a call has to ask");
    let mut signals = there.signals().unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    while signals.try_recv().is_ok() {}
    put(&here, &stored("call-1"), columns()).await;
    assert_eq!(heard(&mut signals).await, Signal::Missed);
}

#[tokio::test]
async fn a_server_that_lost_everything_is_used_anew() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let (store, mut raw) = (database.open().await, database.raw().await);
    store.delete(&call_id("erased"), at(0), true).await.unwrap();
    let () = cmd("FLUSHALL").query_async(&mut raw).await.unwrap();
    server.tell("stop");
    server.tell("start");
    eventually("it is found again", async || is_open(&store).await).await;
    let has_key = async || {
        let mut raw = database.raw().await;
        cmd("HEXISTS").arg("ringback:meta").arg("tombstone_key").query_async(&mut raw).await.unwrap()
    };
    eventually("its key is there again", has_key).await;
    store.delete(&call_id("later"), at(0), true).await.unwrap();
    let other = database.open().await;
    assert_eq!((lookup(&other, "later").await, lookup(&other, "erased").await), ("deleted", "missing"), "by the same key");
}

/// Every key of the database, and everything in it, as text.
async fn everything(raw: &mut MultiplexedConnection) -> Vec<(String, String)> {
    let keys: Vec<String> = cmd("KEYS").arg("*").query_async(raw).await.unwrap();
    let mut all = Vec::new();
    for key in keys {
        let dump: Vec<u8> = cmd("DUMP").arg(&key).query_async(raw).await.unwrap();
        all.push((key, String::from_utf8_lossy(&dump).into_owned()));
    }
    all.sort();
    all
}

/// A call that leaves traces wherever it can.
async fn put_everywhere(store: &Store, id: &str) {
    let mut call = saying(stored(id), "AI: Hello.");
    call.due = Some(due(0, FetchReason::Check));
    let text = |what: &str| Some(format!("{what} of {id}"));
    let columns = Columns {
        ended_at: Some(at(1)),
        assistant_id: text("assistant"),
        provider_id: text("provider"),
        customer_digits: text("customer"),
        provider_digits: text("digits"),
        metadata: metadata(&[("key", id)]),
        ..columns()
    };
    put(store, &call, columns).await;
    let of = |name: &str| delivery(&format!("{name} of {id}"), id);
    store.commit(noting(of("another"))).await.unwrap();
    store.commit(noting(of("another"))).await.unwrap();
    store.commit(noting(ringback::call::event::CallEvent { folded: false, ..of("unread") })).await.unwrap();
    store.commit(writing(of("more"), &done(next(&call)))).await.unwrap();
}

#[tokio::test]
async fn of_an_erased_call_nothing_is_left_but_a_hash_and_of_a_purged_one_nothing() {
    let Some(database) = database() else { return };
    let (store, mut raw) = (database.open().await, database.raw().await);
    for id in ["erased-call", "purged-call"] {
        put_everywhere(&store, id).await;
    }
    assert_eq!(store.lease_due(at(10), at(500), 1).await.unwrap().len(), 1);
    assert!(everything(&mut raw).await.len() > 20);
    assert!(store.delete(&call_id("erased-call"), at(0), false).await.unwrap());
    assert_eq!(store.purge(Retention { records_before: Some(at(100)), bodies_before: None }, 5).await.unwrap().len(), 1);
    store.delete(&call_id("unknown"), at(200), true).await.unwrap();
    // That it was erased is told for as long as the log of news is kept; then its id goes, too.
    assert_eq!(store.forget_news(at(1), 10).await.unwrap(), 1);
    let left = everything(&mut raw).await;
    let names: BTreeSet<&str> = left.iter().map(|(key, _)| key.as_str()).filter(|key| !key.starts_with("ringback:answer:")).collect();
    assert_eq!(
        names,
        BTreeSet::from([
            "ringback:gone",
            "ringback:log",
            "ringback:meta",
            "ringback:news",
            "ringback:seq",
            "ringback:told",
            "ringback:tombstones"
        ])
    );
    for (key, value) in &left {
        let is_lease = key.starts_with("ringback:answer:");
        assert!(is_lease || !value.contains("d-call"), "{key}: {value}");
    }
}

#[tokio::test]
async fn long_lists_are_walked_to_their_end_and_nothing_is_passed_over_or_told_twice() {
    let Some(database) = database() else { return };
    let store = database.open().await;
    let commits = (0..1_300_u32).map(|number| {
        let mut call = stored(&format!("call-{number:04}"));
        // Many at the same moment, more than are asked for at once.
        call.created_at = at(i64::from(number / 400));
        call.updated_at = at(i64::from(number % 7));
        let columns = Columns {
            customer_digits: Some(format!("{}", number % 2)),
            provider_digits: Some(format!("{}", 10 + number % 3)),
            status: if number % 5 == 0 { "completed" } else { "pending" },
            search: Some(if number % 11 == 0 { "needle".to_owned() } else { "hay".to_owned() }),
            ..columns()
        };
        let store = store.clone();
        async move { put(&store, &call, columns).await }
    });
    join_all(commits).await;
    let some = |values: &[&str]| values.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
    for (filter, expected) in [
        (CallFilter::default(), 1_300),
        (CallFilter { phone: some(&["0"]), ..CallFilter::default() }, 650),
        (CallFilter { phone: some(&["0", "1"]), ..CallFilter::default() }, 1_300),
        (CallFilter { phone: some(&["0", "10"]), status: some(&["completed"]), ..CallFilter::default() }, 173),
        (CallFilter { words: some(&["needle"]), ..CallFilter::default() }, 119),
        (CallFilter { phone: some(&["12"]), words: some(&["needle"]), ..CallFilter::default() }, 40),
    ] {
        for by in [SortBy::CreatedAt, SortBy::UpdatedAt] {
            let mut seen = Vec::new();
            let mut filter = CallFilter { by, limit: 100, ..filter.clone() };
            loop {
                let page = store.list(filter.clone()).await.unwrap();
                seen.extend(page.calls.iter().map(|call| {
                    (
                        std::cmp::Reverse(if by == SortBy::CreatedAt { call.created_at } else { call.updated_at }),
                        std::cmp::Reverse(call.id.clone()),
                    )
                }));
                match page.next {
                    Some(next) => filter.cursor = Some(next),
                    None => break,
                }
            }
            assert_eq!(seen.len(), expected, "{filter:?}");
            assert!(seen.is_sorted() && seen.iter().collect::<BTreeSet<_>>().len() == expected, "{filter:?}");
        }
        let far = CallFilter { limit: 3, offset: expected - 2, ..filter };
        assert_eq!(store.list(far).await.unwrap().calls.len(), 2);
    }
}

#[tokio::test]
async fn what_time_took_at_one_instance_the_others_serve_no_more() {
    let Some(database) = database() else { return };
    let (here, there) = (database.open().await, database.open().await);
    let mut signals = there.signals().unwrap();
    put(&here, &stored("call-1"), columns()).await;
    assert_eq!(heard(&mut signals).await, Signal::Changed { id: call_id("call-1"), revision: 1 });
    here.purge(Retention { records_before: Some(at(1)), bodies_before: None }, 5).await.unwrap();
    assert_eq!(heard(&mut signals).await, Signal::Erased(call_id("call-1")));
}
