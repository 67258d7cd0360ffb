//! Results that can't be published when they are stored, for somebody sits on `public.vapi_call_results`, or slows it down: they are published
//! when that is over, and not if their call is erased first.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use std::time::{Duration, Instant};

use ringback::store::{CallWrite, Committed, PublishedRow, Retention, Store, StoreError};
use tokio_postgres::Client;

use crate::{
    store_postgres::publishing,
    store_published::{one, row, text},
    store_support::{at, call_id, delivery, done, lookup, next, stored, writing},
    support::{
        eventually,
        postgres::{Database, database},
    },
};

/// HTTP gives up on the store after this long.
const HTTP_GIVES_UP: Duration = Duration::from_secs(5);
const LOCK: &str = "BEGIN; LOCK TABLE public.vapi_call_results IN ACCESS EXCLUSIVE MODE";
const ROWS: &str = "SELECT string_agg(concat_ws('|', call_id, status, version, raw_webhook_payload #>> '{event}'), ';' ORDER BY call_id) \
    FROM public.vapi_call_results";
const NOTES: &str = "SELECT count(*) FROM ringback.unpublished";

/// A row whose report is the body of the event that brings it.
fn reported(id: &str) -> PublishedRow {
    PublishedRow { raw_webhook_payload: text(&format!(r#"{{"event":"report of {id}"}}"#)), ..row() }
}

/// Stores a result whose row is this.
async fn publish(store: &Store, id: &str, row: PublishedRow) {
    let mut commit = publishing(id, row);
    commit.event.facts.reported = true;
    assert_eq!(store.commit(commit).await.unwrap(), Committed::Done);
}

/// Stores the call once more, with no report.
async fn publish_next(store: &Store, id: &str, status: &str) {
    let mut commit = writing(delivery(&format!("later about {id}"), id), &next(&done(stored(id))));
    let row = PublishedRow { call_id: text(id), status: text(status), version: Some(4), raw_webhook_payload: None, ..row() };
    commit.write = commit.write.map(|write| CallWrite { published: Some(Box::new(row)), ..write });
    assert_eq!(store.commit(commit).await.unwrap(), Committed::Done);
}

async fn all_published(root: &Client) {
    eventually("all is published", async || one(root, NOTES).await == "0").await;
}

/// The store, somebody who may do everything, and somebody else who holds the table.
async fn held(database: &Database) -> (Store, Client, Client) {
    let store = database.open().await;
    let (root, holder) = (database.root().await, database.root().await);
    holder.batch_execute(LOCK).await.unwrap();
    (store, root, holder)
}

#[tokio::test]
async fn what_could_not_be_published_is_published_when_the_table_is_free_again() {
    let Some(database) = database().await else { return };
    let (store, root, holder) = held(&database).await;
    publish(&store, "call-1", reported("call-1")).await;
    let begin = Instant::now();
    for number in 2..=5 {
        let id = format!("call-{number}");
        publish(&store, &id, reported(&id)).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "the lock is not waited for again and again: {:?}", begin.elapsed());
    publish_next(&store, "call-2", "error").await;
    assert_eq!(one(&root, NOTES).await, "5");
    // Whoever made a note may be gone.
    store.close().await.unwrap();
    let store = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        holder.batch_execute("ROLLBACK").await.unwrap();
    };
    let (store, ()) = tokio::join!(database.open(), store);
    all_published(&root).await;
    let rows = "call-1|completed|3|report of call-1;call-2|error|4|report of call-2;call-3|completed|3|report of call-3;\
        call-4|completed|3|report of call-4;call-5|completed|3|report of call-5";
    assert_eq!(one(&root, ROWS).await, rows);
    assert_eq!(lookup(&store, "call-5").await, "found");
}

#[tokio::test]
async fn what_was_published_since_is_not_overwritten_by_what_was_put_off() {
    let Some(database) = database().await else { return };
    let (store, root, holder) = held(&database).await;
    for id in ["call-1", "call-2"] {
        publish(&store, id, reported(id)).await;
    }
    // An instance of a neighbouring release knows of no notes: only the version tells.
    let theirs = "INSERT INTO public.vapi_call_results (call_id, status, version) VALUES ('call-2', 'theirs', 9)";
    holder.batch_execute(&format!("{theirs}; COMMIT")).await.unwrap();
    publish_next(&store, "call-1", "error").await;
    all_published(&root).await;
    eventually("the report follows", async || one(&root, ROWS).await.starts_with("call-1|error|4|report of call-1;call-2|theirs|9")).await;
}

#[tokio::test]
async fn a_call_that_is_deleted_or_purged_is_never_published_later() {
    let Some(database) = database().await else { return };
    let (store, root, holder) = held(&database).await;
    for id in ["call-1", "call-2"] {
        publish(&store, id, reported(id)).await;
    }
    let begin = Instant::now();
    let refused = store.delete(&call_id("call-1"), at(0), false).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("vapi_call_results")), "{refused}");
    assert!(begin.elapsed() < HTTP_GIVES_UP, "{:?}", begin.elapsed());
    let begin = Instant::now();
    for retention in
        [Retention { records_before: Some(at(1)), bodies_before: None }, Retention { records_before: None, bodies_before: Some(at(9)) }]
    {
        let refused = store.purge(retention, 10).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("vapi_call_results")), "{refused}");
    }
    assert!(begin.elapsed() < HTTP_GIVES_UP * 2, "{:?}", begin.elapsed());
    assert_eq!(lookup(&store, "call-1").await, "found", "deleted is what is gone everywhere");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("nobody waits for the table for ever", async || one(&root, waiting).await == "0").await;

    holder.batch_execute("ROLLBACK").await.unwrap();
    assert!(store.delete(&call_id("call-1"), at(0), false).await.unwrap());
    assert_eq!(store.purge(Retention { records_before: Some(at(1)), bodies_before: None }, 10).await.unwrap().len(), 1);
    assert_eq!(one(&root, NOTES).await, "0");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(one(&root, "SELECT count(*) FROM public.vapi_call_results").await, "0");
}

#[tokio::test]
async fn a_report_whose_body_was_dropped_is_not_published_later() {
    let Some(database) = database().await else { return };
    let (store, root, holder) = held(&database).await;
    publish(&store, "call-1", reported("call-1")).await;
    root.batch_execute("UPDATE ringback.events SET body = NULL").await.unwrap();
    holder.batch_execute("ROLLBACK").await.unwrap();
    all_published(&root).await;
    assert_eq!(one(&root, ROWS).await, "call-1|completed|3");
}

#[tokio::test]
async fn a_trigger_that_takes_its_time_keeps_no_result_from_being_stored() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let root = database.root().await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN new; END $$; \
        CREATE TRIGGER slow BEFORE INSERT ON public.vapi_call_results FOR EACH ROW EXECUTE FUNCTION slow()";
    root.batch_execute(slow).await.unwrap();
    for id in ["call-1", "call-2"] {
        let begin = Instant::now();
        publish(&store, id, reported(id)).await;
        assert!(begin.elapsed() < HTTP_GIVES_UP, "{:?}", begin.elapsed());
    }
    assert!(store.health().await.is_ok(), "nothing is wrong with the connection");
    root.batch_execute("DROP FUNCTION slow CASCADE").await.unwrap();
    all_published(&root).await;
    assert_eq!(one(&root, ROWS).await, "call-1|completed|3|report of call-1;call-2|completed|3|report of call-2");
}

#[tokio::test]
async fn what_the_table_refuses_is_published_once_it_takes_it() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let root = database.root().await;
    root.batch_execute("ALTER TABLE public.vapi_call_results ADD CONSTRAINT never CHECK (status = 'never')").await.unwrap();
    publish(&store, "call-1", reported("call-1")).await;
    assert_eq!((one(&root, ROWS).await.as_str(), one(&root, NOTES).await.as_str()), ("null", "1"));
    root.batch_execute("ALTER TABLE public.vapi_call_results DROP CONSTRAINT never").await.unwrap();
    all_published(&root).await;
    assert_eq!(one(&root, ROWS).await, "call-1|completed|3|report of call-1");
}

#[tokio::test]
async fn with_a_data_key_nothing_is_noted_in_clear() {
    let Some(database) = database().await else { return };
    let holder = database.root().await;
    let store = database.open_with(&[1]).await;
    holder.batch_execute(LOCK).await.unwrap();
    publish(&store, "call-1", reported("call-1")).await;
    let root = database.root().await;
    let noted = one(&root, "SELECT result || coalesce(report, 'none') FROM ringback.unpublished").await;
    assert!(noted.contains("completed") && noted.ends_with("none"), "{noted}");
    for secret in ["+4915112345", "Hello", "good", "quick"] {
        assert!(!noted.contains(secret), "{secret} in {noted}");
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    all_published(&root).await;
    assert_eq!(one(&root, ROWS).await, "call-1|completed|3");
}
