//! The log of news in memory: the latest so many.

use std::collections::VecDeque;

use crate::{
    call::{
        id::CallId,
        news::{NewsEntry, NewsItem, NewsKind},
        time::Millis,
    },
    store::NewsPage,
};

/// Entries that are kept: some ten megabytes.
const MOST: usize = 50_000;

/// The log.
#[derive(Debug)]
pub(super) struct NewsLog {
    entries: VecDeque<NewsEntry>,
    newest: u64,
    gone: u64,
}

impl Default for NewsLog {
    fn default() -> Self {
        // A version 7 UUID begins with the milliseconds since 1970.
        let milliseconds = uuid::Uuid::now_v7().as_u128() >> 80;
        let start = u64::try_from(milliseconds).unwrap_or_default() * 1_000;
        Self { entries: VecDeque::new(), newest: start, gone: start }
    }
}

impl NewsLog {
    pub(super) fn add(&mut self, id: Option<&CallId>, news: Vec<NewsItem>) {
        for item in news {
            self.newest += 1;
            self.entries.push_back(NewsEntry { position: self.newest, call_id: id.cloned(), item });
        }
        while self.entries.len() > MOST {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.gone = first.position;
        }
    }

    /// Forgets what was told of a call, and tells that it was erased if so much had been `told` of it.
    pub(super) fn erase(&mut self, id: &CallId, told: Option<u64>, at: Millis) {
        self.forget(id);
        if let Some(told) = told {
            self.add(Some(id), vec![NewsItem { at, sequence: told + 1, kind: NewsKind::Deleted, about: None }]);
        }
    }

    pub(super) fn forget(&mut self, id: &CallId) {
        self.entries.retain(|entry| entry.call_id.as_ref() != Some(id) || entry.item.kind == NewsKind::Deleted);
    }

    pub(super) fn forget_before(&mut self, before: Millis, limit: usize) -> usize {
        let old = self.entries.iter().take(limit).take_while(|entry| entry.item.at < before).count();
        (0..old).for_each(|_| self.drop_first());
        old
    }

    pub(super) fn page(&self, after: u64, call: Option<&CallId>, limit: usize) -> NewsPage {
        let first = self.entries.partition_point(|entry| entry.position <= after);
        let wanted = self.entries.range(first..).filter(|entry| call.is_none_or(|id| entry.call_id.as_ref() == Some(id)));
        let rows = wanted.take(limit).map(|entry| (entry.position, Some(entry.clone()))).collect();
        NewsPage::of(rows, (after, limit), (self.gone, self.newest))
    }
}
