//! Answers kept in memory, so that a poll costs a look-up.
//!
//! moka bounds the memory. Its clock can't be injected, so each entry has its own `expires_at`, checked on every read; moka's time to live only
//! frees the memory of entries that nobody asks for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::CachedCall;
use crate::{
    call::{id::CallId, time::Millis},
    telemetry::Metrics,
};

/// How long a signalled revision is remembered: longer than a load may take.
const NEWS_KEPT: Duration = Duration::from_mins(1);
/// Signalled revisions that are remembered at once.
const MOST_NEWS: u64 = 100_000;

/// The cache; a cheap handle.
#[derive(Clone)]
pub struct Cache {
    entries: moka::sync::Cache<CallId, Arc<CachedCall>>,
    /// Revisions that others wrote lately: no older one is kept.
    news: moka::sync::Cache<CallId, u64>,
    counts: Arc<Counts>,
    ttl: i64,
    max_bytes: u64,
    metrics: Metrics,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How the cache is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheStats {
    /// Entries that are not expired.
    pub size: usize,
    /// Bytes they take.
    pub bytes: u64,
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Milliseconds an entry lives.
    pub ttl: i64,
    /// Bytes at most.
    pub max_bytes: u64,
    /// The first entries, newest first.
    pub entries: Vec<CachedEntry>,
}

/// One entry of the statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedEntry {
    /// The call.
    pub id: CallId,
    /// When it was put here.
    pub cached_at: Millis,
    /// From when on it is not served any more.
    pub expires_at: Millis,
}

impl Cache {
    /// A cache of at most `max_bytes`, whose entries live `ttl` milliseconds.
    #[must_use]
    pub fn new(ttl: i64, max_bytes: u64, metrics: Metrics) -> Self {
        let entries = moka::sync::Cache::builder()
            .weigher(|_, call: &Arc<CachedCall>| u32::try_from(call.weight()).unwrap_or(u32::MAX))
            .max_capacity(max_bytes)
            .time_to_live(Duration::from_millis(u64::try_from(ttl.max(1)).unwrap_or(1)))
            .build();
        let news = moka::sync::Cache::builder().max_capacity(MOST_NEWS).time_to_live(NEWS_KEPT).build();
        Self { entries, news, counts: Arc::default(), ttl, max_bytes, metrics }
    }

    /// The entry, if it is there and not expired at `now`. Counts the look-up.
    #[must_use]
    pub fn find(&self, id: &str, now: Millis) -> Option<Arc<CachedCall>> {
        let found = self.entries.get(id).filter(|call| call.expires_at > now);
        if found.is_some() {
            self.counts.hits.fetch_add(1, Ordering::Relaxed);
            self.metrics.cache_hit();
        } else {
            self.counts.misses.fetch_add(1, Ordering::Relaxed);
            self.metrics.cache_missed();
        }
        found
    }

    /// The entry whatever its age, uncounted: its record is the latest even when its answer is too old to serve.
    #[must_use]
    pub(super) fn peek(&self, id: &CallId) -> Option<Arc<CachedCall>> {
        self.entries.get(id)
    }

    /// Somebody wrote this revision: an older entry is dropped, and none is kept for a while. Tells whether the entry is as new.
    pub(super) fn knows(&self, id: &CallId, revision: u64) -> bool {
        self.news.insert(id.clone(), revision.max(self.news.get(id).unwrap_or(0)));
        let is_new = self.entries.get(id).is_some_and(|call| call.revision >= revision);
        if !is_new {
            self.entries.invalidate(id);
        }
        is_new
    }

    /// Keeps an entry, unless a newer one is there or was heard of; returns the one that is kept.
    pub(super) fn put(&self, mut call: CachedCall) -> Arc<CachedCall> {
        call.expires_at = call.cached_at.plus(self.ttl);
        let call = Arc::new(call);
        let newer = |there: &Arc<CachedCall>| there.revision > call.revision;
        let kept = self.entries.entry(call.id.clone()).and_compute_with(|there| match there {
            Some(there) if newer(there.value()) => moka::ops::compute::Op::Nop,
            _ => moka::ops::compute::Op::Put(Arc::clone(&call)),
        });
        let kept = kept.into_entry().map_or(call, moka::Entry::into_value);
        // Put first, look second; who hears of a revision notes it first and drops second. One of the two takes an older entry out.
        if self.news.get(&kept.id).is_some_and(|revision| revision > kept.revision) {
            self.entries.invalidate(&kept.id);
        }
        kept
    }

    /// Drops one entry.
    pub fn forget(&self, id: &CallId) {
        self.entries.invalidate(id);
    }

    /// Drops all entries; returns how many there were.
    #[must_use]
    pub fn clear(&self) -> usize {
        let size = self.entries.iter().count();
        self.entries.invalidate_all();
        size
    }

    /// How the cache is doing at `now`, with at most `limit` entries.
    #[must_use]
    pub fn stats(&self, now: Millis, limit: usize) -> CacheStats {
        // What is too much leaves a little later, unless it is asked to.
        self.entries.run_pending_tasks();
        let mut bytes = 0;
        let mut entries = Vec::new();
        for (_, call) in self.entries.iter().filter(|(_, call)| call.expires_at > now) {
            bytes += call.weight() as u64;
            entries.push(CachedEntry { id: call.id.clone(), cached_at: call.cached_at, expires_at: call.expires_at });
        }
        entries.sort_by(|a, b| b.cached_at.cmp(&a.cached_at).then_with(|| a.id.cmp(&b.id)));
        let size = entries.len();
        entries.truncate(limit);
        let [hits, misses] = [&self.counts.hits, &self.counts.misses].map(|count| count.load(Ordering::Relaxed));
        CacheStats { size, bytes, hits, misses, ttl: self.ttl, max_bytes: self.max_bytes, entries }
    }

    /// Bytes that moka counts.
    #[must_use]
    pub fn weighted_size(&self) -> u64 {
        self.entries.weighted_size()
    }
}
