//! Figures and tallies: what each engine answers, and what becomes of calls that an earlier release wrote.

use ringback::{
    call::{
        field::{Cost, Rank, Stamped},
        measures::Marks,
        record::{CallRecord, Settled},
        time::DAY,
    },
    store::{CallFilter, Columns, Store, StoredCall, figures::Sum, memory::MemoryStore, tally::Tally},
};

use crate::{
    store_support::{START, at, columns, found, next, open, open_with, put, stored, writing_with},
    support::{postgres, redis},
};

#[expect(clippy::unnecessary_wraps, reason = "what a field is")]
fn said<T>(value: T) -> Option<Stamped<T>> {
    Some(Stamped { value, rank: Rank::REPORT, sent_at: None })
}

/// A call that was reported, so many seconds long.
fn reported(id: &str, seconds: f64, cost: f64) -> StoredCall {
    let record = CallRecord {
        reported: true,
        webhook_received_at: Some(START),
        ended_reason: said("customer-ended-call".to_owned()),
        started_at: said(START),
        duration_seconds: said(seconds),
        cost: said(Cost(cost)),
        settled: Some(Settled::Complete),
        settled_at: Some(START.plus(2_500)),
        ended_at: said(START),
        ..CallRecord::default()
    };
    StoredCall { record, ..stored(id) }
}

fn of(assistant: &str) -> Columns {
    Columns {
        assistant_id: Some(assistant.to_owned()),
        provider_id: Some("p".to_owned()),
        customer_digits: Some("49".to_owned()),
        ..columns()
    }
}

async fn tells_figures(store: Store) {
    for (number, assistant) in ["a", "a", "b"].into_iter().enumerate() {
        let call = reported(&format!("call-{number}"), 10.0 * f64::from(u8::try_from(number).unwrap() + 1), 0.25);
        let created_at = START.plus(i64::try_from(number).unwrap() * DAY);
        put(&store, &StoredCall { created_at, ..call }, of(assistant)).await;
    }
    put(&store, &stored("live"), columns()).await;
    let all = store.figures(CallFilter::default()).await.unwrap();
    let done: Vec<_> = all.groups.iter().filter(|group| group.marks.status == "completed").collect();
    assert_eq!(done.iter().map(|group| (group.day - START.0 / DAY, group.calls)).collect::<Vec<_>>(), [(0, 1), (1, 1), (2, 1)]);
    assert_eq!((done[0].costs, done[0].durations), (Sum { count: 1, total: 0.25 }, Sum { count: 1, total: 10.0 }));
    assert!(done.iter().all(|group| group.marks.answered && group.marks.ended && group.marks.reported && !group.marks.lost));
    assert_eq!(all.groups.iter().map(|group| group.calls).sum::<u64>(), 4);
    assert_eq!((all.times.duration.p50, all.times.duration.p95, all.times.completion.p95), (Some(20.0), Some(30.0), Some(2.5)));
    assert_eq!((all.days[&(START.0 / DAY)].duration.p50, all.days.len()), (Some(10.0), 3));
    for (filter, calls) in [
        (CallFilter { assistant_id: vec!["a".to_owned()], ..CallFilter::default() }, 2),
        (CallFilter { provider_id: vec!["p".to_owned()], since: Some(at(1)), ..CallFilter::default() }, 2),
        (CallFilter { phone: vec!["49".to_owned()], until: Some(at(1)), ..CallFilter::default() }, 1),
        (CallFilter { assistant_id: vec!["c".to_owned()], ..CallFilter::default() }, 0),
    ] {
        let figures = store.figures(filter.clone()).await.unwrap();
        assert_eq!(figures.groups.iter().map(|group| group.calls).sum::<u64>(), calls, "{filter:?}");
    }
    // The next write counts, and erased calls do not.
    let call = found(&store, "call-0").await;
    let mut longer = next(&call);
    longer.record.duration_seconds = said(70.0);
    store.commit(writing_with(crate::store_support::delivery("second", "call-0"), &longer, of("a"))).await.unwrap();
    assert_eq!(store.figures(CallFilter::default()).await.unwrap().times.duration.p95, Some(70.0));
    store.delete(&call.id, START, false).await.unwrap();
    assert_eq!(store.figures(CallFilter::default()).await.unwrap().times.duration.p95, Some(30.0));
    store.close().await.unwrap();
}

async fn keeps_tallies(store: Store) {
    let tally = |hour, source: &str, name: &str, count| Tally { hour, source: source.to_owned(), name: name.to_owned(), count };
    store.tally(vec![tally(24, "a", "x", 3), tally(25, "a", "x/y", 1), tally(47, "b", "x", 4)]).await.unwrap();
    // Again, late, and more.
    store.tally(vec![tally(24, "a", "x", 3), tally(47, "b", "x", 2), tally(48, "a", "x", 9)]).await.unwrap();
    let told = |since, until| {
        let store = store.clone();
        async move {
            let all = store.tallies(since, until).await.unwrap();
            all.into_iter().map(|it| (it.day, it.name, it.count)).collect::<Vec<_>>()
        }
    };
    let (x, xy) = ("x".to_owned(), "x/y".to_owned());
    assert_eq!(told(0, 100).await, [(1, x.clone(), 7), (1, xy, 1), (2, x.clone(), 9)]);
    assert_eq!(told(26, 48).await, [(1, x, 4)]);
    store.tally(Vec::new()).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn every_engine_counts_the_same() {
    let folder = tempfile::tempdir().unwrap();
    tells_figures(Store::Memory(MemoryStore::new(u64::MAX))).await;
    tells_figures(open(&folder.path().join("ringback.db"))).await;
    tells_figures(open_with(&folder.path().join("locked.db"), &[7])).await;
    if let Some(database) = postgres::database().await {
        tells_figures(database.open().await).await;
    }
    if let Some(database) = redis::database() {
        tells_figures(database.open().await).await;
    }
}

#[tokio::test]
async fn every_engine_keeps_the_greatest_number_of_each_process() {
    let folder = tempfile::tempdir().unwrap();
    keeps_tallies(Store::Memory(MemoryStore::new(u64::MAX))).await;
    keeps_tallies(open(&folder.path().join("ringback.db"))).await;
    if let Some(database) = postgres::database().await {
        keeps_tallies(database.open().await).await;
    }
    if let Some(database) = redis::database() {
        keeps_tallies(database.open().await).await;
    }
}

/// What is told of one completed call, and how much is left for later.
async fn told(store: &Store) -> (u64, Option<f64>) {
    let figures = store.figures(CallFilter::default()).await.unwrap();
    let completed = |marks: &Marks| marks.status == "completed";
    (figures.groups.iter().filter(|group| completed(&group.marks)).map(|group| group.calls).sum(), figures.times.duration.p50)
}

#[tokio::test]
async fn calls_that_an_earlier_release_wrote_are_counted_at_once_and_measured_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let store = open(&path);
    put(&store, &reported("old", 12.0, 1.0), columns()).await;
    store.close().await.unwrap();
    // What such a release leaves behind: a row without measures, or one written anew beside them.
    for sql in ["UPDATE calls SET marks = NULL, measured = NULL, duration = NULL", "UPDATE calls SET revision = revision + 1"] {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute(sql, []).unwrap();
        assert!(db.query_row("SELECT marks IS NULL FROM calls", [], |row| row.get::<_, bool>(0)).unwrap(), "{sql}");
        drop(db);
        let store = open(&path);
        assert_eq!(told(&store).await, (1, Some(12.0)));
        assert_eq!((store.tend(START).await.unwrap(), store.tend(START).await.unwrap()), (1, 0));
        assert_eq!(told(&store).await, (1, Some(12.0)));
        store.close().await.unwrap();
        let db = rusqlite::Connection::open(&path).unwrap();
        assert!(db.query_row("SELECT marks IS NOT NULL AND duration = 12.0 FROM calls", [], |row| row.get::<_, bool>(0)).unwrap());
    }
}

#[tokio::test]
async fn a_database_that_an_earlier_release_wrote_is_measured_too() {
    let Some(database) = postgres::database().await else { return };
    let store = database.open().await;
    put(&store, &reported("old", 12.0, 1.0), columns()).await;
    let root = database.root().await;
    for sql in [
        "UPDATE ringback.calls SET marks = NULL, measured = NULL, duration = NULL",
        "UPDATE ringback.calls SET revision = revision + 1, duration = 5",
    ] {
        root.execute(sql, &[]).await.unwrap();
        assert_eq!(told(&store).await, (1, Some(12.0)), "{sql}");
        assert_eq!(store.tend(START).await.unwrap(), 0);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_redis_that_an_earlier_release_wrote_is_counted_as_it_is() {
    let Some(database) = redis::database() else { return };
    let store = database.open().await;
    put(&store, &reported("old", 12.0, 1.0), columns()).await;
    let mut db = database.raw().await;
    let _: i64 = ::redis::cmd("HINCRBY").arg("ringback:call:old").arg("revision").arg(1).query_async(&mut db).await.unwrap();
    assert_eq!(told(&store).await, (1, Some(12.0)));
    let _: i64 = ::redis::cmd("HDEL").arg("ringback:call:old").arg("measures").query_async(&mut db).await.unwrap();
    assert_eq!(told(&store).await, (1, Some(12.0)));
    store.close().await.unwrap();
}
