//! Lists: sorted sets are walked from the newest on, and what a set alone does not tell is looked up call by call.
//!
//! A filter by values walks the smallest set of calls that have one of them. Those sets are sorted by `created_at`; a list that is sorted
//! otherwise gathers the whole set if that is small, and else walks all calls in the order asked for.

use std::collections::BTreeSet;

use redis::{cmd, pipe};

use super::{
    fault::Fault,
    keys::{key_of, list_by, member, moment, moment_in, read_member, wanted},
    link::{Kind, Lines},
    rows::load_all,
};
use crate::{
    call::id::CallId,
    store::{CallFilter, CallPage, PageCursor, SortBy, StoreError, pack::Packer},
};

/// Calls that are looked up at once.
const CHUNK: usize = 250;
/// A set of at most so many calls is gathered and sorted here.
const GATHERED: u64 = 5_000;

/// One page, newest first.
pub(super) async fn list(lines: &Lines, filter: &CallFilter, packer: &Packer) -> Result<CallPage, Fault> {
    let wanted = wanted(filter);
    let source = source(lines, &wanted).await?;
    let question = Question { lines, filter, wanted, packer };
    let mut found = question.find(source).await?;
    let more = found.len() > filter.limit;
    found.truncate(filter.limit);
    let rows = found.iter().map(|member| read_member(member)).collect::<Result<Vec<_>, StoreError>>()?;
    let next = rows.last().filter(|_| more).map(|(at, id)| PageCursor { at: *at, id: id.clone() });
    let ids: Vec<CallId> = rows.into_iter().map(|(_, id)| id).collect();
    Ok(CallPage { calls: load_all(lines, &ids, packer).await?, next })
}

/// Members of the list by `created_at` of at most `limit` calls that match, from a cursor on: the newest first.
pub(super) async fn members(lines: &Lines, filter: &CallFilter, packer: &Packer) -> Result<Vec<String>, Fault> {
    let wanted = wanted(filter);
    let source = source(lines, &wanted).await?;
    let mut found = Question { lines, filter, wanted, packer }.find(source).await?;
    found.truncate(filter.limit);
    Ok(found)
}

/// The smallest of the groups that are wanted, and how many calls its sets hold.
struct Source {
    group: usize,
    size: u64,
}

async fn source(lines: &Lines, wanted: &[BTreeSet<String>]) -> Result<Option<Source>, Fault> {
    let mut words = pipe();
    for mark in wanted.iter().flatten() {
        words.cmd("ZCARD").arg(key_of("is", mark));
    }
    if words.is_empty() {
        return Ok(None);
    }
    let sizes: Vec<u64> = lines.all(Kind::Scan, &words).await?;
    let mut sizes = sizes.into_iter();
    let groups = wanted.iter().enumerate();
    let groups = groups.map(|(group, marks)| Source { group, size: sizes.by_ref().take(marks.len()).sum() });
    Ok(groups.min_by_key(|source| source.size))
}

struct Question<'a> {
    lines: &'a Lines,
    filter: &'a CallFilter,
    wanted: Vec<BTreeSet<String>>,
    packer: &'a Packer,
}

/// What is found of the page: it skips first, and ends one after the page.
struct Finding {
    skip: usize,
    most: usize,
    members: Vec<String>,
}

impl Finding {
    /// Takes one more; true when that is enough.
    fn take(&mut self, member: String) -> bool {
        match self.skip.checked_sub(1) {
            Some(left) => self.skip = left,
            None => self.members.push(member),
        }
        self.members.len() >= self.most
    }
}

impl Question<'_> {
    /// The members of the calls on the page, and of one more if there is one.
    async fn find(&self, source: Option<Source>) -> Result<Vec<String>, Fault> {
        let all = || (vec![list_by(self.filter.by)], !self.wanted.is_empty());
        let sets = |source: &Source| self.wanted[source.group].iter().map(|mark| key_of("is", mark)).collect();
        let (keys, has_more_filters) = match &source {
            Some(source) if self.filter.by == SortBy::CreatedAt => (sets(source), self.wanted.len() > 1),
            Some(source) if source.size <= GATHERED => return self.gather(sets(source)).await,
            _ => all(),
        };
        self.walk(&keys, has_more_filters || !self.filter.words.is_empty()).await
    }

    fn finding(&self) -> Finding {
        Finding { skip: self.filter.offset, most: self.filter.limit.saturating_add(1), members: Vec::new() }
    }

    /// Where the page begins and ends, as the server takes it: from the newest on.
    fn bounds(&self) -> (String, String) {
        let until = self.filter.until.map(|until| format!("({}", moment(until)));
        let cursor = self.filter.cursor.as_ref().map(|cursor| format!("({}", member(cursor.at, &cursor.id)));
        let newest = [until, cursor].into_iter().flatten().min().unwrap_or_else(|| "+".to_owned());
        let oldest = self.filter.since.map_or_else(|| "-".to_owned(), |since| format!("[{}", moment(since)));
        (newest, oldest)
    }

    /// Goes through sets that are sorted as the list is, all at once, from the newest call on.
    async fn walk(&self, keys: &[String], looks_closer: bool) -> Result<Vec<String>, Fault> {
        let (mut newest, oldest) = self.bounds();
        let mut finding = self.finding();
        let chunk = if looks_closer { CHUNK } else { CHUNK.max(finding.skip.saturating_add(finding.most).min(10 * CHUNK)) };
        loop {
            let (members, is_last) = self.next(keys, &newest, &oldest, chunk).await?;
            let Some(reached) = members.last().map(|member| format!("({member}")) else { return Ok(finding.members) };
            let fitting = if looks_closer { self.fitting(members).await? } else { members };
            for member in fitting {
                if finding.take(member) {
                    return Ok(finding.members);
                }
            }
            if is_last {
                return Ok(finding.members);
            }
            newest = reached;
        }
    }

    /// The next members of several sets together, and whether they are the last.
    async fn next(&self, keys: &[String], newest: &str, oldest: &str, chunk: usize) -> Result<(Vec<String>, bool), Fault> {
        let mut words = pipe();
        for key in keys {
            words.cmd("ZREVRANGEBYLEX").arg(key).arg(newest).arg(oldest).arg("LIMIT").arg(0).arg(chunk);
        }
        let sets: Vec<Vec<String>> = self.lines.all(Kind::Scan, &words).await?;
        // Of a set that has more, nothing is known beyond its last member; beyond the first of those, nothing is certain.
        let certain = sets.iter().filter(|set| set.len() == chunk).filter_map(|set| set.last()).max().cloned();
        let all: BTreeSet<String> = sets.into_iter().flatten().filter(|member| certain.as_ref().is_none_or(|it| member >= it)).collect();
        Ok((all.into_iter().rev().collect(), certain.is_none()))
    }

    /// Those of the members that the filter fits.
    async fn fitting(&self, members: Vec<String>) -> Result<Vec<String>, Fault> {
        let looks = self.look(&members).await?;
        let mut fitting = Vec::new();
        for (member, look) in members.into_iter().zip(looks) {
            if self.fits(&look)? {
                fitting.push(member);
            }
        }
        Ok(fitting)
    }

    /// Reads whole sets that are sorted otherwise, and sorts them.
    async fn gather(&self, keys: Vec<String>) -> Result<Vec<String>, Fault> {
        let mut all = BTreeSet::new();
        for key in keys {
            let key = &key;
            let range = |mut db| async move { cmd("ZREVRANGEBYLEX").arg(key).arg("+").arg("-").query_async(&mut db).await };
            all.extend(self.lines.ask::<Vec<String>, _>(Kind::Scan, range).await?);
        }
        let all: Vec<String> = all.into_iter().collect();
        let (newest, oldest) = self.bounds();
        let mut sorted = BTreeSet::new();
        for members in all.chunks(CHUNK) {
            for (member, look) in members.iter().zip(self.look(members).await?) {
                if self.fits(&look)?
                    && let Some(moment) = look.0.as_deref().and_then(|moments| moment_in(moments, self.filter.by))
                {
                    let (_, id) = read_member(member)?;
                    let sorting = format!("{moment}{id}");
                    if (newest == "+" || sorting.as_str() < &newest[1..]) && (oldest == "-" || sorting.as_str() >= &oldest[1..]) {
                        sorted.insert(sorting);
                    }
                }
            }
        }
        let mut finding = self.finding();
        for member in sorted.into_iter().rev() {
            if finding.take(member) {
                break;
            }
        }
        Ok(finding.members)
    }

    /// Moments, marks and, if words are looked for, the texts of calls.
    async fn look(&self, members: &[String]) -> Result<Vec<Look>, Fault> {
        let mut words = pipe();
        for member in members {
            let (_, id) = read_member(member)?;
            let search = if self.filter.words.is_empty() { "none" } else { "search" };
            words.cmd("HMGET").arg(key_of("call", id.as_str())).arg(&["moments", "marks", search][..]);
        }
        self.lines.all(Kind::Scan, &words).await
    }

    /// False also for a call that went away meanwhile.
    fn fits(&self, (_, marks, search): &Look) -> Result<bool, StoreError> {
        let Some(marks) = marks else { return Ok(false) };
        let marks: BTreeSet<&str> = marks.split(' ').collect();
        if !self.wanted.iter().all(|group| group.iter().any(|mark| marks.contains(mark.as_str()))) {
            return Ok(false);
        }
        if self.filter.words.is_empty() {
            return Ok(true);
        }
        let text = search.as_deref().map(|packed| self.packer.unpack_text(packed)).transpose()?;
        Ok(self.filter.matches_words(&text.unwrap_or_default()))
    }
}

/// Moments, marks, packed text.
type Look = (Option<String>, Option<String>, Option<Vec<u8>>);
