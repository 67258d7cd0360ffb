//! Lists by random filters: what SQLite answers in SQL, and Redis by walking its sets, is what memory answers in Rust, page by page.

use std::collections::BTreeMap;

use proptest::{
    collection::{btree_map, vec},
    prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest},
    sample::select,
};
use ringback::{
    call::{id::CallId, time::Millis},
    store::{CallFilter, Columns, PageCursor, SortBy, Store, StoredCall, memory::MemoryStore},
};

use crate::{
    store_support::{at, columns, open, put, stored},
    support::redis::database,
};

/// Calls in each store.
const CALLS: usize = 40;

const STATUSES: [&str; 3] = ["pending", "completed", "it's"];
const TEXTS: [&str; 4] = ["a", "b", "A", "x'; DROP TABLE calls"];
const KEYS: [&str; 3] = ["city", "odd \"key\".[0]", "ü"];
const WORDS: [&str; 4] = ["ada", "boiler", "%", "grüße"];

fn text() -> impl Strategy<Value = Option<String>> {
    prop_oneof![Just(None), select(&TEXTS[..]).prop_map(|text| Some(text.to_owned()))]
}

fn row() -> impl Strategy<Value = (i64, i64, Columns)> {
    let texts = (text(), text(), text(), text());
    let phones = (text(), text());
    let metadata = btree_map(select(&KEYS[..]), select(&TEXTS[..]), 0..3);
    let words = vec(select(&WORDS[..]), 0..4);
    let ended = prop_oneof![Just(None), (0..20_i64).prop_map(|it| Some(at(it)))];
    (0..20_i64, 0..20_i64, ended, select(&STATUSES[..]), texts, phones, metadata, words).prop_map(
        |(created, updated, ended_at, status, texts, phones, metadata, words)| {
            let columns = Columns {
                status,
                ended_at,
                assistant_id: texts.0,
                provider_id: texts.1,
                service_request_id: texts.2,
                correlation_id: texts.3,
                customer_digits: phones.0,
                provider_digits: phones.1,
                metadata: serde_json::to_string(&metadata).expect("texts are JSON"),
                search: Some(words.join(" ")),
                ..columns()
            };
            (created, updated, columns)
        },
    )
}

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop_oneof![4 => Just(Vec::new()), 1 => vec(select(values).prop_map(str::to_owned), 1..3)]
}

fn filter() -> impl Strategy<Value = CallFilter> {
    let texts = (some_of(&STATUSES), some_of(&TEXTS), some_of(&TEXTS), some_of(&TEXTS), some_of(&TEXTS), some_of(&TEXTS));
    let metadata = btree_map(select(&KEYS[..]).prop_map(str::to_owned), some_of(&TEXTS), 0..2);
    let words = vec(select(&WORDS[..]).prop_map(str::to_owned), 0..2);
    let bound = || prop_oneof![3 => Just(None), 1 => (0..20_i64).prop_map(|it| Some(at(it)))];
    let by = select(&[SortBy::CreatedAt, SortBy::UpdatedAt, SortBy::EndedAt][..]);
    let cursor = prop_oneof![2 => Just(None), 1 => (0..20_i64, 0..CALLS).prop_map(Some)];
    (texts, metadata, words, (bound(), bound()), by, (1..8_usize, 0..4_usize), cursor).prop_map(
        |(texts, metadata, words, (since, until), by, (limit, offset), cursor)| CallFilter {
            status: texts.0,
            phone: texts.1,
            assistant_id: texts.2,
            provider_id: texts.3,
            service_request_id: texts.4,
            correlation_id: texts.5,
            metadata,
            words,
            since,
            until,
            by,
            limit,
            offset,
            cursor: cursor.map(|(moment, number)| PageCursor { at: at(moment), id: id(number) }),
            ..CallFilter::default()
        },
    )
}

fn id(number: usize) -> CallId {
    CallId::parse(&format!("call-{number:02}")).expect("a call id")
}

async fn fill(store: &Store, rows: &[(i64, i64, Columns)]) {
    for (number, (created, updated, columns)) in rows.iter().enumerate() {
        let call = StoredCall { created_at: at(*created), updated_at: at(*updated), ..stored(id(number).as_str()) };
        put(store, &call, columns.clone()).await;
    }
}

/// All pages from this filter on, each as its ids.
async fn pages(store: &Store, filter: &CallFilter) -> Vec<Vec<String>> {
    let mut filter = filter.clone();
    let mut pages = Vec::new();
    loop {
        let page = store.list(filter.clone()).await.expect("the store answers");
        pages.push(page.calls.iter().map(|call| call.id.to_string()).collect());
        match page.next {
            Some(cursor) => (filter.cursor, filter.offset) = (Some(cursor), 0),
            None => return pages,
        }
    }
}

async fn compare(other: Store, rows: &[(i64, i64, Columns)], filters: &[CallFilter]) {
    let memory = Store::Memory(MemoryStore::new(u64::MAX));
    fill(&memory, rows).await;
    fill(&other, rows).await;
    for filter in filters {
        assert_eq!(pages(&other, filter).await, pages(&memory, filter).await, "{filter:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn sqlite_and_memory_list_the_same_calls(rows in vec(row(), CALLS), filters in vec(filter(), 60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a temporary folder");
        runtime.block_on(compare(open(&folder.path().join("ringback.db")), &rows, &filters));
    }

    #[test]
    fn redis_and_memory_list_the_same_calls(rows in vec(row(), CALLS), filters in vec(filter(), 60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        if let Some(database) = database() {
            runtime.block_on(async { compare(database.open().await, &rows, &filters).await });
        }
    }

    #[test]
    fn a_page_holds_what_its_filter_says(since in 0..20_i64, until in 0..20_i64, moments in vec(any::<u8>(), 30)) {
        let rows: Vec<_> = moments.iter().map(|moment| (i64::from(moment % 20), 0, columns())).collect();
        let filter = CallFilter { since: Some(at(since)), until: Some(at(until)), limit: 50, ..CallFilter::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let calls = runtime.block_on(async {
            let store = Store::Memory(MemoryStore::new(u64::MAX));
            fill(&store, &rows).await;
            store.list(filter).await.expect("the store answers").calls
        });
        let expected = rows.iter().filter(|row| row.0 >= since && row.0 < until).count();
        assert_eq!(calls.len(), expected);
        let times: Vec<Millis> = calls.iter().map(|call| call.created_at).collect();
        assert!(times.is_sorted_by(|a, b| a >= b));
    }
}

#[test]
fn filters_that_look_for_any_word_are_made() {
    // Guards the generator: a filter strategy that never yields filters would prove nothing.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let made: Vec<CallFilter> =
        (0..200).map(|_| proptest::strategy::ValueTree::current(&filter().new_tree(&mut runner).expect("a filter"))).collect();
    let count = |test: fn(&CallFilter) -> bool| made.iter().filter(|filter| test(filter)).count();
    for (name, found) in BTreeMap::from([
        ("phone", count(|it| !it.phone.is_empty())),
        ("words", count(|it| !it.words.is_empty())),
        ("metadata", count(|it| it.metadata.values().any(|wanted| !wanted.is_empty()))),
        ("cursor", count(|it| it.cursor.is_some())),
    ]) {
        assert!(found > 10, "{name}: {found}");
    }
}
