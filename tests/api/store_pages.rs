//! What every engine promises of lists: their order, their pages, and what filters leave.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use ringback::store::{CallFilter, Columns, PageCursor, SortBy, Store};

use crate::{
    store_contract::on_every_engine,
    store_support::{at, columns, metadata, put, put_aged, stored},
};

on_every_engine! {
    lists_are_newest_first_and_page_by_cursor
    lists_page_by_offset
    equal_moments_are_told_apart_by_id
    lists_sort_and_bound_by_the_moment_asked_for
    filters_are_joined_and_their_values_are_alternatives
    phone_finds_customer_and_provider
    metadata_is_found_by_any_key
    words_must_all_occur
}

async fn page(store: &Store, filter: CallFilter) -> (Vec<String>, Option<PageCursor>) {
    let page = store.list(filter).await.unwrap();
    (page.calls.iter().map(|call| call.id.to_string()).collect(), page.next)
}

async fn ids(store: &Store, filter: CallFilter) -> Vec<String> {
    page(store, CallFilter { limit: 100, ..filter }).await.0
}

async fn lists_are_newest_first_and_page_by_cursor(store: Store) {
    for (id, created) in [("call-2", 20), ("call-1", 10), ("call-3", 30)] {
        put_aged(&store, id, created, None).await;
    }
    let (first, cursor) = page(&store, CallFilter { limit: 2, ..CallFilter::default() }).await;
    assert_eq!(first, ["call-3", "call-2"]);
    put_aged(&store, "call-4", 40, None).await;
    let (second, end) = page(&store, CallFilter { limit: 2, cursor, ..CallFilter::default() }).await;
    assert_eq!((second, end), (vec!["call-1".to_owned()], None), "newer calls don't shift the pages");
    let (all, end) = page(&store, CallFilter { limit: 4, ..CallFilter::default() }).await;
    assert_eq!((all.len(), end), (4, None), "a page that is just full is the last");
}

async fn lists_page_by_offset(store: Store) {
    for created in 0..5 {
        put_aged(&store, &format!("call-{created}"), created, None).await;
    }
    let (rows, next) = page(&store, CallFilter { limit: 2, offset: 1, ..CallFilter::default() }).await;
    assert_eq!((rows, next.is_some()), (vec!["call-3".to_owned(), "call-2".to_owned()], true));
    let (rows, next) = page(&store, CallFilter { limit: 2, offset: 4, ..CallFilter::default() }).await;
    assert_eq!((rows, next), (vec!["call-0".to_owned()], None));
    assert!(page(&store, CallFilter { limit: 2, offset: 5, ..CallFilter::default() }).await.0.is_empty());
}

async fn equal_moments_are_told_apart_by_id(store: Store) {
    for id in ["b", "d", "a", "c"] {
        put_aged(&store, id, 7, None).await;
    }
    let mut cursor = None;
    let mut seen = Vec::new();
    loop {
        let (mut rows, next) = page(&store, CallFilter { limit: 1, cursor, ..CallFilter::default() }).await;
        seen.append(&mut rows);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["d", "c", "b", "a"]);
}

async fn lists_sort_and_bound_by_the_moment_asked_for(store: Store) {
    for (id, created, updated, ended) in [("a", 10, 90, Some(50)), ("b", 20, 80, None), ("c", 30, 70, Some(40))] {
        let mut call = stored(id);
        (call.created_at, call.updated_at) = (at(created), at(updated));
        put(&store, &call, Columns { ended_at: ended.map(at), ..columns() }).await;
    }
    let by =
        |by, since: Option<i64>, until: Option<i64>| CallFilter { by, since: since.map(at), until: until.map(at), ..CallFilter::default() };
    assert_eq!(ids(&store, by(SortBy::CreatedAt, None, None)).await, ["c", "b", "a"]);
    assert_eq!(ids(&store, by(SortBy::UpdatedAt, None, None)).await, ["a", "b", "c"]);
    assert_eq!(ids(&store, by(SortBy::EndedAt, None, None)).await, ["a", "c"], "live calls have no end to sort by");
    assert_eq!(ids(&store, by(SortBy::CreatedAt, Some(20), Some(30))).await, ["b"], "from since on, before until");
    assert_eq!(ids(&store, by(SortBy::UpdatedAt, Some(80), None)).await, ["a", "b"]);
    assert_eq!(ids(&store, by(SortBy::EndedAt, None, Some(50))).await, ["c"]);
}

/// One call with a value in every column.
async fn put_columns(store: &Store, id: &str, change: impl FnOnce(&mut Columns)) {
    let mut columns = columns();
    change(&mut columns);
    put(store, &stored(id), columns).await;
}

async fn filters_are_joined_and_their_values_are_alternatives(store: Store) {
    let text = |text: &str| Some(text.to_owned());
    put_columns(&store, "a", |it| (it.status, it.data_status, it.assistant_id) = ("completed", "complete", text("assistant-1"))).await;
    put_columns(&store, "b", |it| (it.status, it.data_status, it.provider_id) = ("no_answer", "complete", text("provider-1"))).await;
    put_columns(&store, "c", |it| (it.service_request_id, it.correlation_id) = (text("request-1"), text("O'Brien; --"))).await;
    put_columns(&store, "d", |it| it.call_status = "ended").await;

    let some = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
    let none = CallFilter::default;
    assert_eq!(ids(&store, none()).await, ["d", "c", "b", "a"]);
    assert_eq!(ids(&store, CallFilter { status: some(&["completed", "no_answer", "error"]), ..none() }).await, ["b", "a"]);
    assert_eq!(ids(&store, CallFilter { data_status: some(&["complete"]), status: some(&["completed"]), ..none() }).await, ["a"]);
    assert_eq!(ids(&store, CallFilter { call_status: some(&["ended"]), ..none() }).await, ["d"]);
    assert_eq!(ids(&store, CallFilter { assistant_id: some(&["assistant-1"]), ..none() }).await, ["a"]);
    assert_eq!(ids(&store, CallFilter { provider_id: some(&["provider-1", "provider-2"]), ..none() }).await, ["b"]);
    assert_eq!(ids(&store, CallFilter { service_request_id: some(&["request-1"]), ..none() }).await, ["c"]);
    assert_eq!(ids(&store, CallFilter { correlation_id: some(&["O'Brien; --"]), ..none() }).await, ["c"]);
    assert!(
        ids(&store, CallFilter { assistant_id: some(&["assistant-1"]), provider_id: some(&["provider-1"]), ..none() }).await.is_empty()
    );
}

async fn phone_finds_customer_and_provider(store: Store) {
    put_columns(&store, "customer", |it| it.customer_digits = Some("4915112345".to_owned())).await;
    put_columns(&store, "provider", |it| it.provider_digits = Some("4915112345".to_owned())).await;
    put_columns(&store, "other", |it| it.customer_digits = Some("49151123456".to_owned())).await;
    let phone = |digits: &[&str]| CallFilter { phone: digits.iter().map(|&it| it.to_owned()).collect(), ..CallFilter::default() };
    assert_eq!(ids(&store, phone(&["4915112345"])).await, ["provider", "customer"]);
    assert_eq!(ids(&store, phone(&["49151123456", "1"])).await, ["other"]);
    assert!(ids(&store, phone(&["4915"])).await.is_empty());
}

async fn metadata_is_found_by_any_key(store: Store) {
    let odd = r#"it's "quoted".[0] $.x \ ü"#;
    put_columns(&store, "plain", |it| it.metadata = metadata(&[("city", "Köln"), ("code", "1")])).await;
    put_columns(&store, "odd", |it| it.metadata = metadata(&[(odd, "yes"), ("city", "Bonn")])).await;
    put_columns(&store, "none", |it| it.metadata = String::new()).await;
    let with = |pairs: &[(&str, &[&str])]| CallFilter {
        metadata: pairs.iter().map(|(key, values)| ((*key).to_owned(), values.iter().map(|&it| it.to_owned()).collect())).collect(),
        ..CallFilter::default()
    };
    assert_eq!(ids(&store, with(&[("city", &["Köln"])])).await, ["plain"]);
    assert_eq!(ids(&store, with(&[("city", &["Köln", "Bonn"])])).await, ["plain", "odd"]);
    assert_eq!(ids(&store, with(&[("city", &["Köln"]), ("code", &["1"])])).await, ["plain"]);
    assert_eq!(ids(&store, with(&[(odd, &["yes"])])).await, ["odd"]);
    assert!(ids(&store, with(&[("city", &["Köln"]), (odd, &["yes"])])).await.is_empty());
    assert_eq!(ids(&store, with(&[("city", &[])])).await.len(), 3, "a key without values is no filter");
}

async fn words_must_all_occur(store: Store) {
    if store.data_key().is_some() {
        // These words are not stored then; `at_rest` tells which are.
        return;
    }
    put_columns(&store, "a", |it| it.search = Some("ada called about the %_ boiler in köln".to_owned())).await;
    put_columns(&store, "b", |it| it.search = Some("ada called about the roof".to_owned())).await;
    let words = |words: &[&str]| CallFilter { words: words.iter().map(|&it| it.to_owned()).collect(), ..CallFilter::default() };
    assert_eq!(ids(&store, words(&["ada"])).await, ["b", "a"]);
    assert_eq!(ids(&store, words(&["köln", "ada"])).await, ["a"]);
    assert_eq!(ids(&store, words(&["%_"])).await, ["a"]);
    assert!(ids(&store, words(&["roof", "boiler"])).await.is_empty());
    let (rows, next) = page(&store, CallFilter { limit: 1, ..words(&["called"]) }).await;
    assert_eq!((rows, next.is_some()), (vec!["b".to_owned()], true));
    let rest = CallFilter { limit: 1, offset: 1, ..words(&["called"]) };
    assert_eq!(page(&store, rest).await, (vec!["a".to_owned()], None));
}
