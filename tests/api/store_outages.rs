//! The server behind a store is down, goes away, or is at the end of a bad road: PostgreSQL and Redis alike.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story stops where it goes wrong")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringback::store::{Committed, Store, StoreError};
use tokio::time::timeout;

use crate::{
    store_support::{alongside, call_id, columns, delivery, lookup, noting, put, stored, writing},
    support::{
        PATIENCE,
        app::Engine,
        eventually,
        proxy::At,
        servers::{Database, Server, on_both_servers},
    },
};

/// HTTP gives up on the store after this long.
const HTTP_GIVES_UP: Duration = Duration::from_secs(5);

on_both_servers! {
    "current_thread":
    a_server_that_is_down_at_the_start_is_waited_for
    a_server_that_goes_away_is_noticed_and_found_again_with_everything_in_it
    connections_that_are_cut_while_nobody_uses_them_are_not_missed
    nothing_acknowledged_is_lost_or_done_twice_on_a_road_that_is_cut_again_and_again
    a_road_that_leads_nowhere_is_given_up_in_time_for_http
}

/// It answers, and has noticed that it does.
async fn is_open(store: &Store) -> bool {
    store.hears_all() && store.load(&call_id("anything")).await.is_ok()
}

async fn a_server_that_is_down_at_the_start_is_waited_for(engine: Engine) {
    let server = Server::start(engine);
    let database = server.database();
    server.tell("stop");
    let begin = Instant::now();
    let store = database.open().await;
    assert!(engine != Engine::Redis || begin.elapsed() < Duration::from_secs(1), "opening it waits for nothing");
    let begin = Instant::now();
    assert!(matches!(store.commit(noting(delivery("event-1", "call-1"))).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.health().await, Err(StoreError::Unavailable(_))));
    assert!(begin.elapsed() < Duration::from_secs(1), "who asks is told at once");
    assert!(timeout(Duration::from_millis(100), store.opened()).await.is_err());

    server.tell("start");
    timeout(PATIENCE, store.opened()).await.unwrap();
    assert_eq!(store.commit(noting(delivery("event-1", "call-1"))).await.unwrap(), Committed::Done);
    store.close().await.unwrap();
}

async fn a_server_that_goes_away_is_noticed_and_found_again_with_everything_in_it(engine: Engine) {
    let server = Server::start(engine);
    let store = server.database().open().await;
    put(&store, &stored("call-1"), columns()).await;
    for how in server.ends() {
        server.tell(how);
        let begin = Instant::now();
        let outcome = store.commit(noting(delivery(how, "call-1"))).await;
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
        assert!(begin.elapsed() < HTTP_GIVES_UP, "{:?}", begin.elapsed());
        eventually("it is known to be down", async || {
            let begin = Instant::now();
            store.load(&call_id("call-1")).await.is_err() && begin.elapsed() < Duration::from_millis(100)
        })
        .await;

        server.tell("start");
        eventually("it is found again", async || is_open(&store).await).await;
        assert_eq!(lookup(&store, "call-1").await, "found");
        eventually("it can be written again", async || store.commit(noting(delivery(how, "call-1"))).await.is_ok()).await;
    }
    store.close().await.unwrap();
}

async fn connections_that_are_cut_while_nobody_uses_them_are_not_missed(engine: Engine) {
    let database = Database::of(engine).await;
    let (road, store) = database.on_the_road().await;
    put(&store, &stored("call-1"), columns()).await;
    let id = call_id("call-1");
    join_all((0..8).map(|_| store.load(&id))).await;
    for round in 0..5 {
        road.cut();
        assert_eq!(store.commit(noting(delivery(&format!("event-{round}"), "call-1"))).await.unwrap(), Committed::Done, "{round}");
        road.cut();
        assert_eq!(lookup(&store, "call-1").await, "found", "{round}");
    }
}

async fn nothing_acknowledged_is_lost_or_done_twice_on_a_road_that_is_cut_again_and_again(engine: Engine) {
    let database = Database::of(engine).await;
    let (road, store) = database.on_the_road().await;
    let senders = (0..4).map(|sender| {
        let store = store.clone();
        alongside(async move {
            let mut acknowledged = Vec::new();
            for number in 0..40 {
                let call = stored(&format!("call-{sender}-{number}"));
                let commit = writing(delivery(&format!("event-{sender}-{number}"), call.id.as_str()), &call);
                loop {
                    match store.commit(commit.clone()).await {
                        Ok(Committed::Done | Committed::Duplicate) => break acknowledged.push(call.id.clone()),
                        Ok(other) => panic!("{other:?}"),
                        Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            acknowledged
        })
    });
    let cutter = alongside(async move {
        for round in 0..20 {
            tokio::time::sleep(Duration::from_millis(37)).await;
            road.delay(Duration::from_millis(round % 4));
            match round % 3 {
                0 => road.cut(),
                1 => road.cut_at_commit(At::Answering),
                _ => road.cut_at_commit(At::Asking),
            }
        }
        road
    });
    let acknowledged: Vec<_> = join_all(senders).await.into_iter().flat_map(Result::unwrap).collect();
    let _road = cutter.await.unwrap();
    let store = database.open().await;
    for id in &acknowledged {
        assert_eq!(lookup(&store, id.as_str()).await, "found");
        assert_eq!(store.timeline(id, false).await.unwrap().iter().filter(|entry| !entry.duplicate).count(), 1, "{id}");
    }
    assert_eq!(acknowledged.len(), 160);
}

async fn a_road_that_leads_nowhere_is_given_up_in_time_for_http(engine: Engine) {
    let database = Database::of(engine).await;
    let (road, store) = database.on_the_road().await;
    put(&store, &stored("call-1"), columns()).await;
    road.delay(Duration::from_hours(1));
    for round in 0..3 {
        let begin = Instant::now();
        assert!(store.load(&call_id("call-1")).await.is_err());
        assert!(begin.elapsed() < HTTP_GIVES_UP, "{:?}", begin.elapsed());
        let begin = Instant::now();
        assert!(store.commit(noting(delivery(&format!("event-{round}"), "call-1"))).await.is_err());
        assert!(begin.elapsed() < HTTP_GIVES_UP, "{:?}", begin.elapsed());
    }
    road.delay(Duration::ZERO);
    road.cut();
    eventually("it is found again", async || is_open(&store).await).await;
}
