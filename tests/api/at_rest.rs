//! With a key, nothing that tells about people is in the files; with a wrong one, nothing starts; with a new one, all goes on.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use ringback::{
    call::{
        field::{Rank, Stamped},
        json::Json,
        record::FetchReason,
    },
    store::{
        CallFilter, Columns, PublishedRow, Store, StoreError, StoredCall, StoredTarget,
        postgres::{PostgresOptions, PostgresStore},
        redis::{RedisOptions, RedisStore},
    },
    transfer::{TransferError, rekey::rekey},
};

use crate::{
    store_support::{
        START, bytes_of, call_id, columns, delivery, done, due, found, holds, keys, metadata, next, open, open_with, put, saying, steps,
        stored, try_open_with, writing_with,
    },
    support::{postgres, redis},
};

/// Words that only the caller and the people around know.
const PRIVATE: [&str; 6] = ["grandmother", "4915112345", "492211234", "provider-7", "mine-7", "Bickendorf"];

fn private_columns() -> Columns {
    Columns {
        provider_id: Some("provider-7".to_owned()),
        correlation_id: Some("mine-7".to_owned()),
        service_request_id: Some("request-7".to_owned()),
        customer_digits: Some("4915112345".to_owned()),
        provider_digits: Some("492211234".to_owned()),
        metadata: metadata(&[("place", "Bickendorf")]),
        search: Some("grandmother 4915112345 bickendorf".to_owned()),
        ..columns()
    }
}

/// A call that tells about people.
fn private_call(id: &str) -> StoredCall {
    let said = |value: &str| Some(Stamped { value: value.to_owned(), rank: Rank::REPORT, sent_at: None });
    let mut call = done(saying(stored(id), "User: my grandmother in Bickendorf"));
    call.record.customer_number = said("+49 151 12345");
    call.record.variable_call_id = said("mine-7");
    let pairs =
        [("providerId", "provider-7"), ("serviceRequestId", "request-7"), ("providerPhone", "+49 2211234"), ("place", "Bickendorf")];
    call.record.metadata = pairs
        .map(|(key, value)| (key.to_owned(), Stamped { value: Json::from_value(&value.into()), rank: Rank::REPORT, sent_at: None }))
        .into();
    call.due = Some(due(3_000, FetchReason::Check));
    call
}

/// Stores it with a body that does.
async fn put_private(store: &Store, id: &str) {
    let call = private_call(id);
    let mut event = delivery(&format!("report of {id}"), id);
    event.body = r#"{"transcript":"my grandmother in Bickendorf"}"#.into();
    store.commit(writing_with(event, &call, private_columns())).await.unwrap();
}

/// Stores somebody to be told, with a secret.
async fn put_target(store: &Store, id: &str, scope: Option<&str>) {
    let body = br#"{"secret":"grandmother"}"#.to_vec();
    let target = StoredTarget { id: id.to_owned(), scope: scope.map(str::to_owned), revision: 1, body };
    assert!(store.put_target(target, None).await.unwrap());
}

async fn reads_targets(store: &Store, ids: &[&str]) {
    for id in ids {
        assert_eq!(store.target(id).await.unwrap().unwrap().body, br#"{"secret":"grandmother"}"#, "{id}");
    }
}

async fn finds_what_is_hidden(store: &Store, ids: &[&str]) {
    let one = |text: &str| vec![text.to_owned()];
    for filter in [
        CallFilter { phone: one("4915112345"), ..CallFilter::default() },
        CallFilter { phone: one("492211234"), ..CallFilter::default() },
        CallFilter { provider_id: one("provider-7"), ..CallFilter::default() },
        CallFilter { correlation_id: one("mine-7"), ..CallFilter::default() },
        CallFilter { service_request_id: one("request-7"), ..CallFilter::default() },
        CallFilter { metadata: [("place".to_owned(), one("Bickendorf"))].into(), ..CallFilter::default() },
    ] {
        let page = store.list(CallFilter { limit: 1_000, ..filter.clone() }).await.unwrap();
        let mut found: Vec<_> = page.calls.iter().map(|call| call.id.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, ids, "{filter:?}");
    }
    let wrong = CallFilter { phone: one("4915112346"), limit: 9, ..CallFilter::default() };
    assert!(store.list(wrong).await.unwrap().calls.is_empty());
}

async fn reads_everything(store: &Store, id: &str) {
    assert_eq!(found(store, id).await.record.transcript_text(), "User: my grandmother in Bickendorf");
    let timeline = store.timeline(&call_id(id), true).await.unwrap();
    assert_eq!(timeline[0].body.as_deref(), Some(r#"{"transcript":"my grandmother in Bickendorf"}"#));
}

#[tokio::test]
async fn no_word_of_the_caller_is_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let store = open_with(&path, &[1]);
    put_private(&store, "call-1").await;
    put_target(&store, "subscription-1", None).await;
    reads_targets(&store, &["subscription-1"]).await;
    reads_everything(&store, "call-1").await;
    finds_what_is_hidden(&store, &["call-1"]).await;
    store.close().await.unwrap();
    let bytes = bytes_of(folder.path());
    for word in PRIVATE {
        assert!(!holds(&bytes, word), "{word}");
    }
    assert!(holds(&bytes, "request-7") && holds(&bytes, "call-1"), "ids stay plain");
}

#[tokio::test]
async fn words_are_looked_for_in_ids_states_and_reasons_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(&folder.path().join("ringback.db"), &[1]);
    put_private(&store, "call-1").await;
    for (word, hits) in [("call-1", 1), ("request-7", 1), ("in-progress", 1), ("grandmother", 0), ("4915112345", 0)] {
        let filter = CallFilter { words: vec![word.to_owned()], limit: 9, ..CallFilter::default() };
        assert_eq!(store.list(filter).await.unwrap().calls.len(), hits, "{word}");
    }
}

/// The sentence by which a store refuses these keys.
fn refusal<T: std::fmt::Debug>(opened: Result<T, StoreError>) -> String {
    match opened {
        Err(StoreError::Unusable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_or_missing_key_is_found_out_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    // Before anything is stored under the key.
    open_with(&path, &[1]).close().await.unwrap();
    let sqlite = |seeds| refusal(try_open_with(&path, seeds));
    assert!(sqlite(&[]).contains("DATA_KEY is not set"), "{}", sqlite(&[]));
    assert!(sqlite(&[2]).contains("DATA_KEY is not the key"), "{}", sqlite(&[2]));
    open_with(&path, &[2, 1]).close().await.unwrap();
    assert!(sqlite(&[2]).contains("is missing"), "the old one is needed until it was rekeyed: {}", sqlite(&[2]));

    if let Some(database) = postgres::database().await {
        database.open_with(&[1]).await.close().await.unwrap();
        for seeds in [&[][..], &[2]] {
            let why = refusal(PostgresStore::open(&PostgresOptions { keys: keys(seeds), ..database.options() }).await);
            assert!(why.contains("DATA_KEY"), "{why}");
        }
    }
    if let Some(database) = redis::database() {
        database.open_with(&[1]).await.close().await.unwrap();
        for seeds in [&[][..], &[2]] {
            let why = refusal(RedisStore::open(&RedisOptions { keys: keys(seeds), ..database.options() }).await);
            assert!(why.contains("DATA_KEY"), "{why}");
        }
    }
}

#[tokio::test]
async fn whoever_has_the_wrong_key_changes_no_schema() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    open_with(&path, &[1]).close().await.unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA user_version = 2001").unwrap();
    let version = || db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap();
    for wrong in [&[][..], &[2]] {
        assert!(refusal(try_open_with(&path, wrong)).contains("DATA_KEY"));
        assert_eq!((version(), names(folder.path())), (2001, names(folder.path())), "{wrong:?}");
        assert!(!names(folder.path()).iter().any(|name| name.contains("before-v")), "and copies none: {:?}", names(folder.path()));
    }

    let Some(database) = postgres::database().await else { return };
    database.open_with(&[1]).await.close().await.unwrap();
    let root = database.root().await;
    let columns = ["measured", "marks", "duration", "cost", "completion", "fetches", "score"].map(|column| format!("DROP COLUMN {column}"));
    let back = format!(
        "ALTER TABLE ringback.calls {}; DROP TABLE ringback.tallies, ringback.documents; \
         DELETE FROM ringback.migrations WHERE version >= 1007",
        columns.join(", ")
    );
    root.batch_execute(&back).await.unwrap();
    for wrong in [&[][..], &[2]] {
        let why = refusal(PostgresStore::open(&PostgresOptions { keys: keys(wrong), ..database.options() }).await);
        assert!(why.contains("DATA_KEY"), "{why}");
        let there: Option<String> = root.query_one("SELECT to_regclass('ringback.documents')::text", &[]).await.unwrap().get(0);
        assert_eq!(there, None);
    }
    database.open_with(&[1]).await.close().await.unwrap();
}

/// The files of a folder.
fn names(folder: &std::path::Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn a_rekey_beside_an_instance_that_encrypts_with_an_older_key_says_so_and_asks_for_that_key() {
    let Some(database) = postgres::database().await else { return };
    let running = database.open_with(&[1, 2]).await;
    put_private(&running, "call-100").await;
    let store = database.open_with(&[2, 1]).await;
    let refused = rekey(&store, ("", START), &mut steps(99)).await.unwrap_err();
    assert!(matches!(&refused, TransferError::Refused(why) if why.contains("older key")), "{refused}");
    put_private(&running, "call-101").await;
    let why = refusal(PostgresStore::open(&PostgresOptions { keys: keys(&[2]), ..database.options() }).await);
    assert!(why.contains("is missing"), "what it wrote could not be read: {why}");

    running.close().await.unwrap();
    rekey(&store, ("", START), &mut steps(99)).await.unwrap();
    store.close().await.unwrap();
    reads_everything(&database.open_with(&[2]).await, "call-101").await;
}

/// A store in clear gets a key, and then another one; each time it is rekeyed, with interruptions. `reopen` opens it under other keys.
async fn keys_change<F: Future<Output = Store>>(reopen: impl Fn(&'static [u8]) -> F) {
    let ids: Vec<String> = (100..350).map(|number| format!("call-{number}")).collect();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let clear = reopen(&[]).await;
    for id in &ids[..125] {
        put_private(&clear, id).await;
    }
    put_target(&clear, "in clear", None).await;
    clear.close().await.unwrap();
    let first = reopen(&[1]).await;
    for id in &ids[125..] {
        put_private(&first, id).await;
    }
    put_target(&first, "sealed", None).await;
    put_target(&first, "of a call", Some("call-100")).await;
    // Values from before there was a key are read and found.
    reads_everything(&first, "call-100").await;
    finds_what_is_hidden(&first, &all).await;
    first.close().await.unwrap();

    let both = reopen(&[2, 1]).await;
    let before = found(&both, "call-100").await;
    let mut rounds = 0;
    loop {
        match rekey(&both, ("", START), &mut steps(1)).await {
            Ok(done) => {
                assert_eq!(done, 503, "each once");
                break;
            }
            Err(TransferError::Stopped) => rounds += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(rounds > 3, "it was interrupted: {rounds}");
    let after = found(&both, "call-100").await;
    assert_eq!((after.version, after.updated_at, after.due), (before.version, before.updated_at, before.due), "pollers see nothing of it");
    both.close().await.unwrap();

    let new = reopen(&[2]).await;
    for id in [&ids[0], &ids[124], &ids[125], &ids[249]] {
        reads_everything(&new, id).await;
    }
    finds_what_is_hidden(&new, &all).await;
    reads_targets(&new, &["in clear", "sealed", "of a call"]).await;
    let again = next(&found(&new, "call-100").await);
    assert!(new.commit(writing_with(delivery("later", "call-100"), &again, private_columns())).await.is_ok());
    new.close().await.unwrap();
}

#[tokio::test]
async fn on_sqlite_keys_change_and_nothing_old_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    keys_change(async |seeds| open_with(&path, seeds)).await;
    let bytes = bytes_of(folder.path());
    for word in PRIVATE {
        assert!(!holds(&bytes, word), "{word}");
    }
    assert!(refusal(try_open_with(&path, &[1])).contains("DATA_KEY is not the key"));
}

#[tokio::test]
async fn on_postgres_keys_change_and_nothing_old_is_left() {
    let Some(database) = postgres::database().await else { return };
    keys_change(async |seeds| database.open_with(seeds).await).await;
    let root = database.root().await;
    let rows = root.query("SELECT c::text FROM ringback.calls c", &[]).await.unwrap();
    let text: String = rows.iter().map(|row| row.get::<_, String>(0)).collect();
    let bodies = root.query("SELECT body FROM ringback.targets", &[]).await.unwrap();
    let bodies: Vec<u8> = bodies.iter().flat_map(|row| row.get::<_, Vec<u8>>(0)).collect();
    assert!(!bodies.is_empty() && !holds(&bodies, "grandmother"));
    for word in PRIVATE {
        assert!(!text.contains(word), "{word}");
    }
}

#[tokio::test]
async fn on_redis_keys_change_and_nothing_old_is_left() {
    let Some(database) = redis::database() else { return };
    keys_change(async |seeds| database.open_with(seeds).await).await;
    let mut raw = database.raw().await;
    let call: Vec<Vec<u8>> = ::redis::cmd("HVALS").arg("ringback:call:call-100").query_async(&mut raw).await.unwrap();
    let target: Vec<Vec<u8>> = ::redis::cmd("HVALS").arg("ringback:target:in clear").query_async(&mut raw).await.unwrap();
    assert!(!target.is_empty() && !holds(&target.concat(), "grandmother"));
    for word in PRIVATE {
        assert!(!holds(&call.concat(), word), "{word}");
    }
}

#[tokio::test]
async fn without_a_key_there_is_nothing_to_rekey() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("ringback.db"));
    put(&store, &stored("call-1"), columns()).await;
    let refused = rekey(&store, ("", START), &mut steps(9)).await.unwrap_err();
    assert!(refused.to_string().contains("DATA_KEY is not set"), "{refused}");
}

#[tokio::test]
async fn results_are_published_without_texts_numbers_metadata_and_bodies() {
    let Some(database) = postgres::database().await else { return };
    let row = || {
        let text = || Some("grandmother".to_owned());
        let json = || Some(r#"{"is":"grandmother"}"#.to_owned());
        Some(Box::new(PublishedRow {
            call_id: Some("call-1".to_owned()),
            status: Some("completed".to_owned()),
            service_request_id: Some("request-7".to_owned()),
            cost: Some(0.5),
            customer_phone: text(),
            transcript: text(),
            messages: json(),
            analysis_summary: text(),
            analysis_structured_data: json(),
            provider_name: text(),
            correlation_id: text(),
            metadata: json(),
            raw_webhook_payload: json(),
            ..PublishedRow::default()
        }))
    };
    let publish = async |store: &Store, event: &str, call| {
        let mut commit = writing_with(delivery(event, "call-1"), &call, private_columns());
        commit.write.as_mut().unwrap().published = row();
        store.commit(commit).await.unwrap();
    };
    let told = async || -> String {
        let root = database.root().await;
        root.query_one("SELECT r::text FROM public.vapi_call_results r", &[]).await.unwrap().get(0)
    };
    let clear = database.open().await;
    let call = private_call("call-1");
    publish(&clear, "event-1", call.clone()).await;
    assert!(told().await.contains("grandmother"));
    clear.close().await.unwrap();

    let store = database.open_with(&[1]).await;
    publish(&store, "event-2", next(&call)).await;
    rekey(&store, ("", START), &mut steps(99)).await.unwrap();
    let told = told().await;
    assert!(!told.contains("grandmother"), "{told}");
    assert!(told.contains("request-7") && told.contains("call-1"), "{told}");
    store.close().await.unwrap();
}
