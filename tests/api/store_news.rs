//! The log of news keeps its promises on every engine.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use futures_util::future::join_all;
use ringback::{
    call::news::{NewsEntry, NewsItem, NewsKind},
    store::{Commit, Committed, Store, StoredCall, StoredTarget},
};

use crate::{
    store_contract::on_every_engine,
    store_support::{at, call_id, delivery, next, stored, writing},
};

on_every_engine! {
    entries_come_back_in_the_order_of_commits
    a_refused_commit_tells_nothing
    an_erased_call_leaves_only_that_it_was
    old_entries_go_and_the_log_knows
    who_follows_commits_as_they_come_misses_none
    news_about_no_call_is_told_with_the_change_of_a_target_or_not_at_all
}

/// A commit with a piece of news for each name.
fn telling(event: &str, mut call: StoredCall, names: &[Option<&str>]) -> Commit {
    let first = call.news + 1;
    call.news += names.len() as u64;
    let items = names.iter().zip(first..).map(|(about, sequence)| NewsItem {
        at: at(i64::try_from(sequence).unwrap()),
        sequence,
        kind: if about.is_some() { NewsKind::Tool } else { NewsKind::Updated },
        about: about.map(str::to_owned),
    });
    let items = items.collect();
    let mut commit = writing(delivery(event, call.id.as_str()), &call);
    commit.write.as_mut().unwrap().news = items;
    commit
}

fn briefs(entries: &[NewsEntry]) -> Vec<(String, u64, &'static str, Option<&str>)> {
    let call = |entry: &NewsEntry| entry.call_id.as_ref().map_or("-", |id| id.as_str()).to_owned();
    let brief = |entry: &'_ NewsEntry| (call(entry), entry.item.sequence, entry.item.kind.as_str());
    entries.iter().map(|entry| (brief(entry).0, brief(entry).1, brief(entry).2, entry.item.about.as_deref())).collect()
}

async fn entries_come_back_in_the_order_of_commits(store: Store) {
    let start = store.news(0, None, 10).await.unwrap();
    assert!(start.entries.is_empty() && !start.more && start.newest >= start.gone, "{start:?}");
    store.commit(telling("1", stored("a"), &[Some("tool \u{1f4de} 'x'"), None])).await.unwrap();
    store.commit(telling("2", stored("b"), &[None])).await.unwrap();
    let a = store.load(&call_id("a")).await.unwrap();
    let ringback::store::Loaded::Found(a) = a else { panic!("{a:?}") };
    assert_eq!(a.news, 2);
    store.commit(telling("3", next(&a), &[None])).await.unwrap();
    let all = store.news(0, None, 10).await.unwrap();
    let (updated, tool) = ("call.updated", "call.tool");
    let told = [("a", 1, tool, Some("tool \u{1f4de} 'x'")), ("a", 2, updated, None), ("b", 1, updated, None), ("a", 3, updated, None)];
    assert_eq!(briefs(&all.entries), told.map(|(id, sequence, kind, about)| (id.to_owned(), sequence, kind, about)));
    let positions: Vec<u64> = all.entries.iter().map(|entry| entry.position).collect();
    assert!(positions.is_sorted_by(|a, b| a < b) && positions[0] > 1_700_000_000_000_000, "{positions:?}");
    assert_eq!((all.more, all.until, all.newest), (false, positions[3], positions[3]));
    let page = store.news(positions[0], None, 2).await.unwrap();
    assert_eq!((page.more, page.until, &page.entries[..]), (true, positions[2], &all.entries[1..3]));
    let of_a = store.news(positions[0], Some(&call_id("a")), 10).await.unwrap();
    assert_eq!(of_a.entries, [all.entries[1].clone(), all.entries[3].clone()]);
    let nothing = store.news(positions[3], None, 10).await.unwrap();
    assert_eq!((nothing.entries.len(), nothing.until, nothing.newest), (0, positions[3], positions[3]));
}

async fn a_refused_commit_tells_nothing(store: Store) {
    store.commit(telling("1", stored("a"), &[None])).await.unwrap();
    assert_eq!(store.commit(telling("1", next(&stored("a")), &[None])).await.unwrap(), Committed::Duplicate);
    assert_eq!(store.commit(telling("2", stored("a"), &[None])).await.unwrap(), Committed::Conflict);
    store.delete(&call_id("b"), at(1), true).await.unwrap();
    assert_eq!(store.commit(telling("3", stored("b"), &[None])).await.unwrap(), Committed::Deleted);
    assert_eq!(store.news(0, None, 10).await.unwrap().entries.len(), 1, "and nobody hears of the end of a call that never was");
}

async fn an_erased_call_leaves_only_that_it_was(store: Store) {
    store.commit(telling("1", stored("a"), &[None, Some("tool")])).await.unwrap();
    store.commit(telling("2", stored("b"), &[None])).await.unwrap();
    assert!(store.delete(&call_id("a"), at(7), false).await.unwrap());
    store.delete(&call_id("a"), at(8), false).await.unwrap();
    let page = store.news(0, None, 10).await.unwrap();
    let told = [("b", 1, "call.updated"), ("a", 3, "call.deleted")];
    assert_eq!(briefs(&page.entries), told.map(|(id, sequence, kind)| (id.to_owned(), sequence, kind, None)));
    assert_eq!((page.entries[1].item.at, page.newest), (at(7), page.entries[1].position));
}

async fn old_entries_go_and_the_log_knows(store: Store) {
    for number in 0..120_i64 {
        store.commit(telling(&number.to_string(), stored(&format!("call-{number}")), &[None, None])).await.unwrap();
    }
    let before = store.news(0, None, 1_000).await.unwrap();
    // Of each call the first entry is older than the second; but order in the log is that of commits.
    assert_eq!(store.forget_news(at(1), 1_000).await.unwrap(), 0);
    assert_eq!(store.forget_news(at(10), 130).await.unwrap(), 130);
    let left = store.news(0, None, 1_000).await.unwrap();
    assert_eq!(left.entries, before.entries[130..]);
    assert_eq!((left.gone, left.newest), (before.entries[129].position, before.newest));
    assert_eq!(store.forget_news(at(10), 1_000).await.unwrap(), 110);
    let empty = store.news(before.newest, None, 10).await.unwrap();
    assert_eq!((empty.entries.len(), empty.gone, empty.newest), (0, before.newest, before.newest));
    store.commit(telling("more", stored("more"), &[None])).await.unwrap();
    let more = store.news(before.newest, None, 10).await.unwrap();
    assert_eq!((more.entries.len(), more.gone), (1, before.newest), "positions go on");
}

async fn news_about_no_call_is_told_with_the_change_of_a_target_or_not_at_all(store: Store) {
    let target = |revision| StoredTarget { id: "sub_1".to_owned(), scope: None, revision, body: b"{}".to_vec() };
    let news = || NewsItem { at: at(5), sequence: 0, kind: NewsKind::Disabled, about: Some("sub_1".to_owned()) };
    store.put_target(target(1), None).await.unwrap();
    store.commit(telling("1", stored("a"), &[None])).await.unwrap();
    let before = store.outbox().await.unwrap().generation;
    assert!(!store.put_target_and_tell(target(3), Some(2), news()).await.unwrap(), "somebody changed it meanwhile");
    assert_eq!(store.news(0, None, 10).await.unwrap().entries.len(), 1);
    assert!(store.put_target_and_tell(target(2), Some(1), news()).await.unwrap());
    store.commit(telling("2", stored("b"), &[None])).await.unwrap();
    let page = store.news(0, None, 10).await.unwrap();
    let told = [("a", 1, "call.updated", None), ("-", 0, "subscription.disabled", Some("sub_1")), ("b", 1, "call.updated", None)];
    assert_eq!(briefs(&page.entries), told.map(|(id, sequence, kind, about)| (id.to_owned(), sequence, kind, about)));
    assert_eq!(page.entries[1].item, news());
    assert_eq!((store.target("sub_1").await.unwrap().unwrap().revision, store.outbox().await.unwrap().generation), (2, before + 1));
    store.delete(&call_id("a"), at(6), false).await.unwrap();
    assert_eq!(store.news(0, None, 10).await.unwrap().entries[0].item, news(), "it goes with no call");
    assert_eq!(store.forget_news(at(9), 10).await.unwrap(), 3);
}

/// Many commit at once; whoever reads on from where it was sees each entry once.
async fn who_follows_commits_as_they_come_misses_none(store: Store) {
    let commits = (0..200).map(|number| store.commit(telling(&number.to_string(), stored(&format!("call-{number}")), &[None, None, None])));
    let following = async {
        let (mut seen, mut after) = (Vec::new(), 0);
        while seen.len() < 600 {
            let page = store.news(after, None, 70).await.unwrap();
            after = page.until;
            seen.extend(page.entries);
            tokio::task::yield_now().await;
        }
        seen
    };
    let (seen, _) = tokio::join!(following, join_all(commits));
    assert!(seen.is_sorted_by(|a, b| a.position < b.position));
    for calls in seen.chunk_by(|a, b| a.call_id == b.call_id) {
        assert_eq!(calls.iter().map(|entry| entry.item.sequence).collect::<Vec<_>>(), [1, 2, 3], "in one piece");
    }
}
