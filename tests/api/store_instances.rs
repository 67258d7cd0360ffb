//! Several instances on one server: PostgreSQL and Redis alike.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story stops where it goes wrong")]

use std::collections::BTreeSet;

use futures_util::future::join_all;
use ringback::{
    call::record::FetchReason,
    store::{Committed, Loaded, Signal, Store},
};

use crate::{
    store_support::{alongside, at, call_id, columns, delivery, due, found, heard, lookup, next, noting, put, stored, writing},
    support::{
        app::Engine,
        servers::{Database, on_both_servers},
    },
};

on_both_servers! {
    "multi_thread":
    many_instances_may_start_at_once
    of_many_instances_that_write_one_call_at_once_each_wins_once
    an_event_that_reaches_every_instance_at_once_is_stored_once
    due_work_is_leased_by_one_instance_only
    what_one_instance_does_the_others_hear
}

/// As many instances of one new store.
async fn instances(engine: Engine, count: usize) -> Vec<Store> {
    let database = Database::of(engine).await;
    join_all((0..count).map(|_| database.open())).await
}

async fn many_instances_may_start_at_once(engine: Engine) {
    let stores = instances(engine, 5).await;
    stores[1].delete(&call_id("erased"), at(0), true).await.unwrap();
    put(&stores[0], &stored("call-1"), columns()).await;
    for store in &stores {
        assert_eq!(lookup(store, "call-1").await, "found");
        assert_eq!(lookup(store, "erased").await, "deleted", "all have the same key");
    }
}

/// Loads, counts one up, commits, and tries again when somebody was faster.
async fn count_up(engine: Engine, store: &Store, event_id: String) {
    loop {
        let call = match store.load(&call_id("call-1")).await.unwrap() {
            Loaded::Found(call) => next(&call),
            _ => stored("call-1"),
        };
        match store.commit(writing(delivery(&event_id, "call-1"), &call)).await {
            Ok(Committed::Done) => return,
            Ok(Committed::Conflict) => {}
            // PostgreSQL gives up on a machine that stands still for a while; that keeps nobody from trying again.
            Ok(Committed::Duplicate) if engine == Engine::Postgres => return,
            Err(_) if engine == Engine::Postgres => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn of_many_instances_that_write_one_call_at_once_each_wins_once(engine: Engine) {
    let stores = instances(engine, 3).await;
    let workers = (0..6).map(|worker| {
        let store = stores[worker % 3].clone();
        alongside(async move {
            for round in 0..10 {
                count_up(engine, &store, format!("event-{worker}-{round}")).await;
            }
        })
    });
    for worker in join_all(workers).await {
        worker.unwrap();
    }
    let call = found(&stores[0], "call-1").await;
    assert_eq!((call.revision, call.version), (60, 60));
    assert_eq!(stores[1].timeline(&call.id, false).await.unwrap().len(), 60);
}

async fn an_event_that_reaches_every_instance_at_once_is_stored_once(engine: Engine) {
    let stores = instances(engine, 3).await;
    for round in 0..10 {
        // One event of no call, and one that names another call each time: what a forged id would do.
        let commits = stores.iter().enumerate().flat_map(|(number, store)| {
            let stray = noting(delivery(&format!("none-{round}"), ""));
            let forged = noting(delivery(&format!("one-{round}"), &format!("call-{number}")));
            [store.commit(stray), store.commit(forged)]
        });
        let outcomes = join_all(commits).await;
        let count = |wanted| outcomes.iter().filter(|outcome| *outcome.as_ref().unwrap() == wanted).count();
        assert_eq!((count(Committed::Done), count(Committed::Duplicate)), (2, 4), "{outcomes:?}");
    }
}

async fn due_work_is_leased_by_one_instance_only(engine: Engine) {
    let stores = instances(engine, 3).await;
    for number in 0..60 {
        let mut call = stored(&format!("call-{number}"));
        call.due = Some(due(number, [FetchReason::Enrich, FetchReason::Check][usize::try_from(number % 2).unwrap()]));
        put(&stores[0], &call, columns()).await;
    }
    let rounds = (0..30).map(|round| {
        let store = stores[round % 3].clone();
        async move { store.lease_due(at(100), at(1_000), 4).await.unwrap() }
    });
    let taken: Vec<_> = join_all(rounds).await.into_iter().flatten().collect();
    let different: BTreeSet<_> = taken.iter().collect();
    assert_eq!(taken.len(), different.len(), "nothing is leased twice");
    assert!(engine != Engine::Redis || taken.len() == 60, "a script passes nothing over: {}", taken.len());
    let mut left = taken.len();
    while let rest @ 1.. = stores[0].lease_due(at(100), at(1_000), 9).await.unwrap().len() {
        left += rest;
    }
    assert_eq!(left, 60, "and nothing is passed over");
    assert_eq!(stores[2].lease_due(at(1_000), at(2_000), 100).await.unwrap().len(), 60, "a dead holder's lease runs out");
}

async fn what_one_instance_does_the_others_hear(engine: Engine) {
    let database = Database::of(engine).await;
    let (here, there) = (database.open().await, database.open().await);
    let mut signals = there.signals().unwrap();
    assert!(there.hears_all());
    put(&here, &stored("call-1"), columns()).await;
    assert_eq!(heard(&mut signals).await, Signal::Changed { id: call_id("call-1"), revision: 1 });
    here.delete(&call_id("call-1"), at(0), false).await.unwrap();
    assert_eq!(heard(&mut signals).await, Signal::Erased(call_id("call-1")));
    here.commit(noting(delivery("event-2", "call-2"))).await.unwrap();
    put(&here, &stored("call-3"), columns()).await;
    let next = heard(&mut signals).await;
    assert_eq!(next, Signal::Changed { id: call_id("call-3"), revision: 1 }, "what changes no record is not signalled");
}
