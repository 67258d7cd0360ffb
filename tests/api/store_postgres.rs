//! What only the PostgreSQL store promises: outages, texts that the server can't hold, what is refused.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story stops where it goes wrong")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringback::{
    call::{event::CallEvent, record::FetchReason},
    store::{
        CallFilter, CallWrite, Columns, Commit, Committed, Loaded, Migrate, PublishedRow, Signal, Store, StoreError,
        postgres::{PostgresOptions, PostgresStore, Tls},
    },
};
use tokio::time::timeout;

use crate::{
    store_support::{
        alongside, at, call_id, columns, delivery, done, due, found, heard, lookup, metadata, next, noting, put, saying, stored, writing,
    },
    support::{
        PATIENCE, eventually,
        pooler::Pooler,
        postgres::{Server, database, open, options},
        proxy::At,
    },
};

/// Why the store can't be opened.
async fn refusal(options: &PostgresOptions) -> String {
    match PostgresStore::open(options).await {
        Err(StoreError::Unusable(why) | StoreError::Behind(why)) => why,
        other => panic!("{other:?}"),
    }
}

async fn is_open(store: &Store) -> bool {
    store.load(&call_id("anything")).await.is_ok()
}

#[tokio::test]
async fn a_commit_that_is_cut_in_the_middle_is_stored_whole_or_not_at_all_and_can_be_repeated() {
    let Some(database) = database().await else { return };
    for (place, repeated) in [(At::Asking, Committed::Done), (At::Answering, Committed::Duplicate)] {
        let (road, store) = database.on_the_road().await;
        let call = stored(&format!("call-{place:?}"));
        let commit = writing(delivery(&format!("event-{place:?}"), call.id.as_str()), &call);
        road.cut_at_commit(place);
        let outcome = store.commit(commit.clone()).await;
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "nobody can know: {outcome:?}");
        assert!(road.has_cut());
        eventually("the road is used again", async || is_open(&store).await).await;
        assert_eq!(store.commit(commit).await.unwrap(), repeated, "{place:?}");
        assert_eq!(found(&store, call.id.as_str()).await, call);
        assert_eq!(store.timeline(&call.id, false).await.unwrap().iter().filter(|entry| !entry.duplicate).count(), 1);
    }
}

/// The processes of the server that writers are connected to: the last thing they did was to commit.
const WRITERS: &str = "FROM pg_stat_activity WHERE usename = 'ringback' AND datname = current_database() AND query = 'COMMIT'";

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_without_a_connection_takes_no_work_from_one_that_has_one() {
    let Some(server) = Server::start_with("fast") else { return };
    let database = server.database();
    let (store, root) = (database.open().await, database.root().await);
    let commits = async |round: &str| {
        let commits = (0..100).map(|number| store.commit(noting(delivery(&format!("{round}-{number}"), "call-1"))));
        join_all(commits).await.into_iter().filter(|outcome| !matches!(outcome, Ok(Committed::Done))).count()
    };
    eventually("both write", async || {
        assert_eq!(commits(&uuid::Uuid::new_v4().to_string()).await, 0);
        root.query(&format!("SELECT {WRITERS}"), &[]).await.unwrap().len() == 2
    })
    .await;
    assert!(store.health().await.is_ok(), "and somebody reads");
    root.batch_execute("ALTER ROLE ringback CONNECTION LIMIT 0").await.unwrap();
    root.batch_execute(&format!("SELECT pg_terminate_backend(pid) {WRITERS} LIMIT 1")).await.unwrap();
    for round in 0..20 {
        assert_eq!(commits(&format!("round-{round}")).await, 0, "{round}");
    }
    assert!(store.health().await.is_ok());

    root.batch_execute(&format!("SELECT pg_terminate_backend(pid) {WRITERS}")).await.unwrap();
    eventually("it is not ready while nobody can write", async || store.health().await.is_err()).await;
    let begin = Instant::now();
    assert!(matches!(store.commit(noting(delivery("in vain", "call-1"))).await, Err(StoreError::Unavailable(_))));
    assert!(begin.elapsed() < Duration::from_secs(1), "who asks is told at once: {:?}", begin.elapsed());
    assert_eq!(lookup(&store, "call-1").await, "missing", "and reading goes on");
    root.batch_execute("ALTER ROLE ringback CONNECTION LIMIT -1").await.unwrap();
    eventually("it is ready again", async || store.health().await.is_ok()).await;
    assert_eq!(commits("after").await, 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_schema_that_is_dropped_under_a_running_service_is_made_anew() {
    let Some(database) = database().await else { return };
    let (store, root) = (database.open().await, database.root().await);
    put(&store, &stored("call-1"), columns()).await;
    store.delete(&call_id("call-1"), at(0), true).await.unwrap();
    root.batch_execute("DROP SCHEMA ringback CASCADE").await.unwrap();
    eventually("it can be written again", async || store.commit(noting(delivery("event-1", "call-2"))).await.is_ok()).await;
    put(&store, &stored("call-3"), columns()).await;
    assert_eq!((lookup(&store, "call-1").await, lookup(&store, "call-3").await), ("missing", "found"));
    assert!(store.health().await.is_ok());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_schema_that_is_restored_from_another_database_under_a_running_service_is_taken_as_at_a_start() {
    let (Some(database), Some(other)) = (database().await, database().await) else { return };
    let (store, root) = (database.open_with(&[1]).await, database.root().await);
    put(&store, &stored("call-1"), columns()).await;
    // What another service knows: a deleted call, under its own keys.
    let elsewhere = other.open_with(&[2, 1]).await;
    elsewhere.delete(&call_id("call-2"), at(0), true).await.unwrap();
    elsewhere.close().await.unwrap();
    let theirs = other.root().await;
    let blob = |row: &tokio_postgres::Row, at: usize| format!("'\\x{}'", hex::encode(row.get::<_, Vec<u8>>(at)));
    let key = blob(&theirs.query_one("SELECT value FROM ringback.meta WHERE key = 'tombstone_key'", &[]).await.unwrap(), 0);
    let grave = blob(&theirs.query_one("SELECT hash FROM ringback.tombstones", &[]).await.unwrap(), 0);
    let restored = format!(
        "BEGIN; DELETE FROM ringback.calls; UPDATE ringback.meta SET value = {key} WHERE key = 'tombstone_key'; \
         INSERT INTO ringback.tombstones (hash, at) VALUES ({grave}, 1); COMMIT"
    );
    let mut signals = store.signals().unwrap();
    root.batch_execute(&restored).await.unwrap();
    eventually("the key is known", async || matches!(store.load(&call_id("call-2")).await, Ok(Loaded::Deleted))).await;
    eventually("whoever remembers calls is told", async || matches!(signals.try_recv(), Ok(Signal::Missed))).await;
    assert_eq!(store.commit(noting(delivery("event-2", "call-2"))).await.unwrap(), Committed::Deleted);
    put(&store, &stored("call-3"), columns()).await;

    // And what can't be used at a start can't be used then.
    root.batch_execute("INSERT INTO ringback.migrations (version) VALUES (2001); UPDATE ringback.meta SET value = sha256(value)")
        .await
        .unwrap();
    eventually("it is refused", async || matches!(store.load(&call_id("call-3")).await, Err(StoreError::Unusable(_)))).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_start_that_can_never_succeed_is_refused_with_what_to_do() {
    let Some(database) = database().await else { return };
    let refused = async |url: String, tls: Tls| refusal(&PostgresOptions { tls, ..options(&url) }).await;
    let wrong = database.url().replacen("p%40", "q%40", 1);
    let why = refused(wrong, Tls::Prefer).await;
    assert!(why.contains("28P01") && !why.contains("ss:w/rd"), "{why}");
    let why = refused(format!("{}_too", database.url()), Tls::Prefer).await;
    assert!(why.contains("3D000"), "{why}");
    let why = refused(database.url(), Tls::Require).await;
    assert!(why.contains("TLS") && why.contains("sslmode"), "{why}");
    let why = refused("postgres://u:p%zz@h:x/d".to_owned(), Tls::Prefer).await;
    assert!(why.contains("percent-encoded"), "{why}");
    let no_file = PostgresOptions { root_cert: Some("/no/such/file".into()), tls: Tls::VerifyFull, ..database.options() };
    assert!(refusal(&no_file).await.contains("sslrootcert"));
}

#[tokio::test]
async fn a_role_that_may_not_make_the_schema_is_told_what_it_needs() {
    let Some(database) = database().await else { return };
    let root = database.root().await;
    root.batch_execute(&format!("ALTER DATABASE {} OWNER TO postgres; REVOKE ALL ON SCHEMA public FROM PUBLIC", database.name))
        .await
        .unwrap();
    let why = refusal(&database.options()).await;
    assert!(why.contains("42501") && why.contains("schema"), "{why}");
}

#[tokio::test]
async fn a_schema_that_is_behind_waits_for_migrate_and_a_newer_major_is_refused() {
    let Some(database) = database().await else { return };
    let check = PostgresOptions { migrate: Migrate::Check, ..database.options() };
    let why = refusal(&check).await;
    assert!(why.contains("`ringback migrate`"), "{why}");
    database.open().await.close().await.unwrap();
    open(&check).await.close().await.unwrap();

    let root = database.root().await;
    root.batch_execute("INSERT INTO ringback.migrations (version) VALUES (1999)").await.unwrap();
    database.open().await.close().await.unwrap();
    open(&check).await.close().await.unwrap();
    root.batch_execute("INSERT INTO ringback.migrations (version) VALUES (2001)").await.unwrap();
    for options in [&check, &database.options()] {
        let why = refusal(options).await;
        assert!(why.contains("newer major release") && why.contains("2001"), "{why}");
    }
}

#[tokio::test]
async fn of_many_instances_that_start_at_once_one_takes_each_step() {
    let Some(database) = database().await else { return };
    join_all((0..5).map(|_| database.open())).await;
    let root = database.root().await;
    let rows = root.query("SELECT count(*), count(DISTINCT version) FROM ringback.migrations", &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, i64>(0), rows[0].get::<_, i64>(1));
}

#[tokio::test]
async fn signals_that_were_missed_are_made_up_for() {
    let Some(database) = database().await else { return };
    let here = database.open().await;
    let (road, there) = database.on_the_road().await;
    let mut signals = there.signals().unwrap();
    put(&here, &stored("before"), columns()).await;
    assert_eq!(heard(&mut signals).await, Signal::Changed { id: call_id("before"), revision: 1 });
    road.close();
    eventually("it no longer hears", async || !there.hears_all()).await;
    put(&here, &stored("meanwhile"), columns()).await;
    put(&here, &stored("erased"), columns()).await;
    here.delete(&call_id("erased"), at(0), false).await.unwrap();
    road.open();
    timeout(PATIENCE, there.opened()).await.unwrap();
    eventually("it hears again", async || there.hears_all()).await;
    let mut missed = Vec::new();
    while let Ok(signal) = signals.try_recv() {
        missed.push(signal);
    }
    assert!(missed.contains(&Signal::Changed { id: call_id("meanwhile"), revision: 1 }), "{missed:?}");
    assert!(missed.contains(&Signal::Missed), "of what was erased only that something was: {missed:?}");
}

#[tokio::test]
async fn texts_that_the_server_cannot_hold_are_kept_as_well_as_can_be() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let call = saying(stored("call-1"), "AI: a\0b");
    let event = CallEvent {
        source: "odd\0type".to_owned(),
        details: Some("\0".to_owned()),
        body: br#"{"a":"\u0000"}"#.to_vec().into(),
        ..delivery("event-1", "call-1")
    };
    let columns = Columns {
        search: Some("zero\0zero".to_owned()),
        metadata: metadata(&[("k\0", "v\0"), ("back", r"\u0000")]),
        assistant_id: Some("\0".to_owned()),
        ..columns()
    };
    let published = PublishedRow {
        call_id: Some("call-1".to_owned()),
        transcript: Some("a\0b".to_owned()),
        raw_webhook_payload: Some(r#"{"a":"\u0000","n":1e400}"#.to_owned()),
        ..PublishedRow::default()
    };
    let mut commit = writing(event, &call);
    commit.write = commit.write.map(|write| CallWrite { columns, published: Some(Box::new(published)), ..write });
    assert_eq!(store.commit(commit).await.unwrap(), Committed::Done);
    assert_eq!(found(&store, "call-1").await, call, "the record itself is kept to the letter");
    let entry = store.timeline(&call.id, true).await.unwrap().remove(0);
    assert_eq!((entry.source.as_str(), entry.body.as_deref()), ("odd\u{fffd}type", Some(r#"{"a":"\u0000"}"#)));
    let with = |key: &str, value: &str| CallFilter {
        metadata: [(key.to_owned(), vec![value.to_owned()])].into(),
        words: vec!["zero".to_owned()],
        limit: 5,
        ..CallFilter::default()
    };
    assert_eq!(store.list(with("k\0", "v\0")).await.unwrap().calls.len(), 1);
    assert_eq!(store.list(with("back", r"\u0000")).await.unwrap().calls.len(), 1);
}

/// A commit whose result the documents' table can't take.
fn poisoned(id: &str) -> Commit {
    let mut commit = publishing(id, PublishedRow { messages: Some("no JSON".to_owned()), ..PublishedRow::default() });
    commit.event.id = format!("poison of {id}");
    commit
}

pub(crate) fn publishing(id: &str, row: PublishedRow) -> Commit {
    let call = done(stored(id));
    let mut commit = writing(delivery(&format!("report of {id}"), id), &call);
    let published = Some(Box::new(PublishedRow { call_id: Some(id.to_owned()), ..row }));
    commit.write = commit.write.map(|write| CallWrite { published, ..write });
    commit
}

#[tokio::test]
async fn a_result_that_cannot_be_published_is_stored_and_harms_nobody_in_its_group() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let commits = (0..20).map(|number| match number % 5 {
        2 => poisoned(&format!("call-{number}")),
        _ => publishing(&format!("call-{number}"), PublishedRow { transcript: Some(format!("{number}")), ..PublishedRow::default() }),
    });
    for outcome in join_all(commits.map(|commit| store.commit(commit))).await {
        assert_eq!(outcome.unwrap(), Committed::Done);
    }
    let root = database.root().await;
    let rows = root.query("SELECT call_id FROM public.vapi_call_results WHERE transcript IS NOT NULL", &[]).await.unwrap();
    assert_eq!(rows.len(), 16);
    assert_eq!(lookup(&store, "call-2").await, "found");
    assert_eq!(store.health().await.unwrap().pending, 0);
}

#[tokio::test]
async fn a_rule_of_somebody_elses_on_the_published_table_keeps_out_rows_and_no_calls() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let root = database.root().await;
    root.batch_execute("CREATE UNIQUE INDEX theirs ON public.vapi_call_results (assistant_id)").await.unwrap();
    let row = || PublishedRow { assistant_id: Some("one".to_owned()), ..PublishedRow::default() };
    let commits = (0..20).map(|number| store.commit(publishing(&format!("call-{number}"), row())));
    let begin = Instant::now();
    for outcome in join_all(commits).await {
        assert_eq!(outcome.unwrap(), Committed::Done);
    }
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let rows = root.query("SELECT call_id FROM public.vapi_call_results", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(lookup(&store, "call-19").await, "found");
}

#[tokio::test]
async fn a_published_table_that_can_never_be_brought_up_to_date_stops_the_start() {
    let Some(database) = database().await else { return };
    let root = database.root().await;
    root.batch_execute("CREATE TABLE public.vapi_call_results (call_id text); INSERT INTO public.vapi_call_results VALUES ('a'), ('a')")
        .await
        .unwrap();
    root.batch_execute("ALTER TABLE public.vapi_call_results OWNER TO ringback").await.unwrap();
    let why = refusal(&database.options()).await;
    assert!(why.contains("brought up to date") && why.contains("vapi_call_results"), "{why}");
}

/// What every store promises, in short: enough statements of every kind to trip over one that was not prepared where it runs.
async fn works(store: &Store) {
    for number in 0..30 {
        let mut call = stored(&format!("call-{number}"));
        call.due = Some(due(number, FetchReason::Enrich));
        put(store, &call, columns()).await;
        assert_eq!(found(store, &format!("call-{number}")).await, call);
    }
    let again = writing(delivery("first of call-1", "call-1"), &next(&stored("call-1")));
    assert_eq!(store.commit(again).await.unwrap(), Committed::Duplicate);
    assert_eq!(store.lease_due(at(100), at(200), 50).await.unwrap().len(), 30);
    assert_eq!(store.list(CallFilter { limit: 100, ..CallFilter::default() }).await.unwrap().calls.len(), 30);
    assert_eq!(store.timeline(&call_id("call-1"), true).await.unwrap().len(), 2);
    store.set_due(&call_id("call-2"), None).await.unwrap();
    assert!(store.delete(&call_id("call-3"), at(0), false).await.unwrap());
    assert_eq!(lookup(store, "call-3").await, "deleted");
    assert_eq!(store.health().await.unwrap().pending, 28);
}

#[tokio::test]
async fn over_a_transaction_pooler_everything_works_without_prepared_statements() {
    let Some(database) = database().await else { return };
    let Some(pooler) = Pooler::before(&database) else { return };
    let store = open(&PostgresOptions { pooled: true, ..options(&database.url_by(pooler.port())) }).await;
    works(&store).await;
    assert!(!store.hears_all(), "whoever remembers a call has to ask");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_pooler_that_nobody_told_of_is_found_out() {
    let Some(database) = database().await else { return };
    let Some(pooler) = Pooler::before(&database) else { return };
    let store = open(&options(&database.url_by(pooler.port()))).await;
    let others = (0..8).map(|number| {
        let store = store.clone();
        alongside(async move {
            for round in 0..20 {
                assert_eq!(store.commit(noting(delivery(&format!("event-{number}-{round}"), "other"))).await.unwrap(), Committed::Done);
                assert_eq!(lookup(&store, "other").await, "missing");
            }
        })
    });
    for other in join_all(others).await {
        other.unwrap();
    }
    works(&store).await;
    assert!(!store.hears_all());
}

#[tokio::test]
async fn over_a_transaction_pooler_changes_are_heard_within_a_second() {
    let Some(database) = database().await else { return };
    let Some(pooler) = Pooler::before(&database) else { return };
    let here = database.open().await;
    let there = open(&PostgresOptions { pooled: true, ..options(&database.url_by(pooler.port())) }).await;
    let mut signals = there.signals().unwrap();
    for number in 0..3 {
        let id = format!("call-{number}");
        put(&here, &stored(&id), columns()).await;
        let begin = Instant::now();
        assert_eq!(heard(&mut signals).await, Signal::Changed { id: call_id(&id), revision: 1 }, "once");
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    }
    here.delete(&call_id("call-0"), at(0), false).await.unwrap();
    assert_eq!(heard(&mut signals).await, Signal::Missed);
    put(&here, &stored("call-4"), columns()).await;
    assert_eq!(heard(&mut signals).await, Signal::Changed { id: call_id("call-4"), revision: 1 }, "an erasure is told once");
}
