//! From every engine to every other one and back: nothing is lost, nothing is added, nothing is overwritten.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use ringback::{
    call::{
        event::{CallEvent, EventKind},
        record::FetchReason,
    },
    store::{CallFilter, Committed, Store, StoredCall, StoredTarget, TimelineEntry, memory::MemoryStore},
    transfer::{
        TransferError,
        export::{Written, export, written},
        import::{Imported, Next, import},
    },
};
use tempfile::TempDir;

use crate::{
    store_support::{
        START, at, call_id, columns, delivery, done, due, found, lookup, next, noting, open, open_with, put, saying, steps, stored,
        writing, writing_with,
    },
    support::{postgres, redis},
};

/// A store that is opened again as often as is wanted.
enum Place {
    File(TempDir, &'static [u8]),
    Postgres(postgres::Database),
    Redis(redis::Database),
}

impl Place {
    fn file(seeds: &'static [u8]) -> Self {
        Self::File(tempfile::tempdir().unwrap(), seeds)
    }

    async fn open(&self) -> Store {
        match self {
            Self::File(folder, seeds) => open_with(&folder.path().join("ringback.db"), seeds),
            Self::Postgres(database) => database.open().await,
            Self::Redis(database) => database.open().await,
        }
    }

    /// One of each engine that is tested here, and a file with a key.
    async fn all() -> Vec<Self> {
        let mut all = vec![Self::file(&[]), Self::file(&[1])];
        all.extend(postgres::database().await.map(Self::Postgres));
        all.extend(redis::database().map(Self::Redis));
        all
    }
}

async fn exported(store: &Store) -> Vec<u8> {
    let mut lines = Vec::new();
    export(store, &mut lines, Written::default(), at(9_000), &mut steps(u32::MAX)).await.unwrap();
    lines
}

async fn imported(place: &Place, lines: &[u8]) -> Imported {
    loop {
        let store = place.open().await;
        let outcome = import(&store, lines, lines.len() as u64, ("", at(99_000)), &mut steps(u32::MAX)).await.unwrap();
        store.close().await.unwrap();
        if let Next::Done(imported) = outcome {
            return imported;
        }
    }
}

async fn all_of(place: &Place) -> Told {
    let store = place.open().await;
    let all = told(&store).await;
    store.close().await.unwrap();
    all
}

/// Calls, their timelines, events without a record, tombstones.
type Told = (Vec<StoredCall>, Vec<Vec<TimelineEntry>>, Vec<(Option<String>, TimelineEntry)>, Vec<(Vec<u8>, i64)>);

/// Everything there is to tell.
async fn told(store: &Store) -> Told {
    let page = store.list(CallFilter { limit: 1_000, ..CallFilter::default() }).await.unwrap();
    let mut timelines = Vec::new();
    for call in &page.calls {
        timelines.push(store.timeline(&call.id, true).await.unwrap());
    }
    let mut strays: Vec<_> =
        store.strays(None, 1_000).await.unwrap().events.into_iter().map(|(id, entry)| (id.map(|id| id.to_string()), entry)).collect();
    strays.sort_by_key(|(_, entry)| (entry.at, entry.event_id.clone(), entry.duplicate));
    let mut graves = store.graves().await.unwrap().all;
    graves.sort();
    (page.calls.iter().map(|call| StoredCall::clone(call)).collect(), timelines, strays, graves)
}

/// Calls of every kind, repeats, events of no call and of none yet, an unread one, one whose body is gone, deleted ones.
async fn fill(store: &Store) {
    for number in 0..130 {
        let mut call = saying(stored(&format!("call-{number:03}")), &format!("AI: Hello {number}. User: grüße 👋"));
        call.created_at = at(i64::from(number) / 2 * 10);
        put(store, &call, columns()).await;
    }
    let mut call = done(next(&found(store, "call-007").await));
    call.due = Some(due(5_000, FetchReason::Manual));
    let settled =
        CallEvent { details: Some("complete".to_owned()), proof: None, body: bytes::Bytes::new(), ..delivery("settled", "call-007") };
    let mut commit = writing_with(delivery("second of call-007", "call-007"), &call, columns());
    commit.more.push(settled);
    for kind in EventKind::ALL {
        commit.more.push(CallEvent { kind, ..delivery(&format!("of kind {}", kind.as_str()), "call-007") });
    }
    assert_eq!(store.commit(commit).await.unwrap(), Committed::Done);
    let again = CallEvent { received_at: at(700), proof: Some("secret"), ..delivery("second of call-007", "call-007") };
    assert_eq!(store.commit(noting(again)).await.unwrap(), Committed::Duplicate);
    let unread = CallEvent { folded: false, received_at: at(800), ..delivery("unread", "call-008") };
    store.commit(noting(unread)).await.unwrap();
    store.commit(noting(delivery("of no call", ""))).await.unwrap();
    store.commit(noting(CallEvent { received_at: at(900), ..delivery("of no call", "") })).await.unwrap();
    store.commit(noting(CallEvent { received_at: at(950), ..delivery("early", "call-999") })).await.unwrap();
    store.delete(&call_id("call-100"), at(60), false).await.unwrap();
    store.delete(&call_id("never-heard-of"), at(61), true).await.unwrap();
}

#[tokio::test]
async fn every_engine_gives_to_every_other_all_it_has() {
    for from in Place::all().await {
        let source = from.open().await;
        fill(&source).await;
        let (lines, before) = (exported(&source).await, told(&source).await);
        assert_eq!((before.0.len(), before.2.len(), before.3.len()), (129, 3, 2));
        source.close().await.unwrap();
        for to in Place::all().await {
            let done = imported(&to, &lines).await;
            assert_eq!((done.calls, done.new, done.unknown_graves), (129, 129, 0));
            let target = to.open().await;
            assert_eq!(told(&target).await, before);
            assert_eq!(lookup(&target, "call-100").await, "deleted", "what was deleted stays deleted");
            assert_eq!(
                target.commit(writing(delivery("late", "never-heard-of"), &stored("never-heard-of"))).await.unwrap(),
                Committed::Deleted
            );
            assert_eq!(target.next_due().await.unwrap(), Some(at(5_000)));
            // And back: the same lines but for the moment.
            let back = exported(&target).await;
            target.close().await.unwrap();
            let home = Place::file(&[]);
            imported(&home, &back).await;
            assert_eq!(all_of(&home).await, before);
        }
    }
}

#[tokio::test]
async fn nothing_of_a_deleted_call_is_exported() {
    let store = Store::Memory(MemoryStore::new(1 << 26));
    fill(&store).await;
    let lines = String::from_utf8(exported(&store).await).unwrap();
    assert!(lines.contains("call-099") && !lines.contains("call-100") && !lines.contains("never-heard-of"));
}

#[tokio::test]
async fn subscriptions_move_with_their_secrets_and_overwrite_none() {
    for to in Place::all().await {
        let from = Place::file(&[1]);
        let store = from.open().await;
        for (id, scope) in [("mine", None), ("yours", None), ("callback", Some("call-1"))] {
            assert!(store.put_target(target(id, scope, "from there"), None).await.unwrap());
        }
        let lines = exported(&store).await;
        let there = to.open().await;
        assert!(there.put_target(target("yours", None, "was here"), None).await.unwrap());
        there.close().await.unwrap();
        for _ in 0..2 {
            imported(&to, &lines).await;
        }
        let there = to.open().await;
        let targets = there.targets(None).await.unwrap().targets;
        assert_eq!(targets, [target("mine", None, "from there"), target("yours", None, "was here")]);
        assert_eq!(there.target("callback").await.unwrap(), None, "it belongs to its call's service");
        there.close().await.unwrap();
    }
}

fn target(id: &str, scope: Option<&str>, secret: &str) -> StoredTarget {
    let (scope, body) = (scope.map(str::to_owned), format!(r#"{{"secret":"{secret}"}}"#).into_bytes());
    StoredTarget { id: id.to_owned(), scope, revision: 3, body }
}

#[tokio::test]
async fn what_comes_twice_changes_nothing() {
    let source = Store::Memory(MemoryStore::new(1 << 26));
    fill(&source).await;
    let lines = exported(&source).await;
    for place in Place::all().await {
        imported(&place, &lines).await;
        let before = all_of(&place).await;
        let again = imported(&place, &lines).await;
        assert_eq!((again.calls, again.new), (129, 0));
        assert_eq!(all_of(&place).await, before);
    }
}

#[tokio::test]
async fn calls_that_are_there_are_joined_and_not_overwritten() {
    for place in Place::all().await {
        let store = place.open().await;
        let here = done(saying(stored("call-1"), "short"));
        put(&store, &here, columns()).await;
        put(&store, &saying(stored("only-here"), "stays"), columns()).await;
        store.delete(&call_id("gone-here"), START, true).await.unwrap();
        put(&store, &stored("gone-there"), columns()).await;
        store.close().await.unwrap();

        let source = Store::Memory(MemoryStore::new(1 << 26));
        let longer = saying(stored("call-1"), "a longer transcript");
        put(&source, &StoredCall { version: 5, revision: 1, created_at: at(50), ..longer }, columns()).await;
        put(&source, &stored("gone-here"), columns()).await;
        put(&source, &stored("gone-there"), columns()).await;
        source.delete(&call_id("gone-there"), at(70), false).await.unwrap();
        source.delete(&call_id("nobody-knows"), at(71), true).await.unwrap();
        let done = imported(&place, &exported(&source).await).await;
        assert_eq!((done.calls, done.new, done.deleted, done.erased, done.unknown_graves), (2, 0, 1, 1, 1));

        let store = place.open().await;
        let joined = found(&store, "call-1").await;
        assert_eq!(joined.record.transcript_text(), "a longer transcript");
        assert!(joined.record.is_done(), "what was settled stays settled");
        assert_eq!((joined.version, joined.created_at, joined.updated_at), (6, START, at(99_000)));
        assert_eq!(found(&store, "only-here").await.record.transcript_text(), "stays");
        assert_eq!((lookup(&store, "gone-here").await, lookup(&store, "gone-there").await), ("deleted", "deleted"));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_export_that_was_interrupted_goes_on_where_it_was() {
    for place in Place::all().await {
        let store = place.open().await;
        fill(&store).await;
        let whole = String::from_utf8(exported(&store).await).unwrap();
        // Wherever it was cut, also within a line.
        let cuts = [
            0,
            10,
            whole.find('\n').unwrap() + 1,
            whole.len() / 3,
            whole.len() / 2 + 7,
            whole.len() - 400,
            whole.len() - 90,
            whole.len() - 1,
        ];
        for cut in cuts {
            let part = &whole.as_bytes()[..cut];
            let there = written(part).unwrap();
            let mut lines = part[..usize::try_from(there.bytes).unwrap()].to_vec();
            export(&store, &mut lines, there, at(9_000), &mut steps(u32::MAX)).await.unwrap();
            assert_eq!(String::from_utf8(lines).unwrap(), whole, "cut at {cut}");
        }
        let mut lines = Vec::new();
        let stopped = export(&store, &mut lines, Written::default(), at(9_000), &mut steps(1)).await;
        assert!(matches!(stopped, Err(TransferError::Stopped)) && !lines.is_empty());
        store.close().await.unwrap();
    }
    assert!(written(&b"my diary\nof 2024\n"[..]).is_err(), "what is no export is not continued");
}

#[tokio::test]
async fn an_import_that_was_interrupted_goes_on_where_it_was() {
    let source = Store::Memory(MemoryStore::new(1 << 26));
    fill(&source).await;
    let lines = exported(&source).await;
    for place in Place::all().await {
        let mut stops = 0;
        let done = loop {
            let store = place.open().await;
            let outcome = import(&store, &lines[..], 0, ("", at(99_000)), &mut steps(1)).await;
            store.close().await.unwrap();
            match outcome {
                Ok(Next::Done(done)) => break done,
                Ok(Next::Reopen) => {}
                Err(TransferError::Stopped) => stops += 1,
                Err(error) => panic!("{error}"),
            }
        };
        assert!(stops > 0 && done.calls < 129, "the last run had only the rest to do: {stops} {done:?}");
        let (target, whole) = (all_of(&place).await, told(&source).await);
        assert_eq!(target.0, whole.0);
        assert_eq!(target.1, whole.1);
    }
}

#[tokio::test]
async fn a_file_that_is_cut_broken_or_newer_is_refused_by_line_and_without_its_words() {
    let source = Store::Memory(MemoryStore::new(1 << 26));
    put(&source, &saying(stored("call-1"), "secret words"), columns()).await;
    let whole = String::from_utf8(exported(&source).await).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let refused = async |name: &str, lines: String| {
        let place = open(&folder.path().join(name));
        let outcome = import(&place, lines.as_bytes(), 0, ("", START), &mut steps(u32::MAX)).await;
        let outcome = match outcome {
            Ok(Next::Reopen) => {
                import(&open_again(place, &folder.path().join(name)).await, lines.as_bytes(), 0, ("", START), &mut steps(u32::MAX)).await
            }
            outcome => outcome,
        };
        outcome.err().unwrap().to_string()
    };
    let lines: Vec<&str> = whole.lines().collect();
    let cut = refused("cut", lines[..2].join("\n") + "\n").await;
    assert!(cut.contains("was cut"), "{cut}");
    let missing = refused("missing", [lines[0], lines[2], ""].join("\n")).await;
    assert!(missing.contains("lines are missing"), "{missing}");
    let broken = refused("broken", whole.replace("\"transcript\":", "\"transcript\"!")).await;
    assert!(broken.contains("line 2") && !broken.contains("secret"), "{broken}");
    let newer = refused("newer", whole.replace("\"format\":1", "\"format\":2")).await;
    assert!(newer.contains("newer release"), "{newer}");
    let other = refused("other", "{\"message\":{}}\n".to_owned()).await;
    assert!(other.contains("no export"), "{other}");
}

async fn open_again(store: Store, path: &std::path::Path) -> Store {
    store.close().await.unwrap();
    open(path)
}
