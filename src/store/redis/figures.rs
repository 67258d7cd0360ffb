//! Numbers about calls, and tallies. Calls are read one after another: a server of this kind adds nothing up.

use redis::{cmd, pipe};

use super::{
    RedisStore,
    fault::Fault,
    keys::{key, key_of, read_member},
    link::{Kind, Lines},
    list::members,
    rows::load_all,
    scripts::Scripts,
};
use crate::{
    call::{id::CallId, measures::Measures, time::Millis},
    store::{
        CallFilter, PageCursor, StoreError, StoredCall,
        figures::{Counting, Figures, Packed},
        pack::Packer,
        tally::{Counted, HOUR, Tally, counted},
    },
};

/// Calls, or hours, that are read at once.
const CHUNK: usize = 1_000;
/// Stands for a measure that a call has not.
const NONE: &str = "-";
/// Divides source and name of a tally; no source has one.
const DIVIDER: char = '/';

/// The revision that is measured, and its measures, as a text.
pub(super) fn written(call: &StoredCall, hides: bool) -> Vec<u8> {
    let it = Packed::of(&Measures::of(&call.record, call.created_at), hides);
    let numbers =
        [it.duration, it.cost, it.completion, it.score].map(|value| value.map_or_else(|| NONE.to_owned(), |value| value.to_string()));
    format!("{} {} {} {}", call.revision, it.marks, it.fetches, numbers.join(" ")).into_bytes()
}

/// What [`written`] wrote of this revision; `None` when it is of another one: a release wrote the call that knows nothing of this.
fn read(text: &str, revision: u64) -> Option<Packed> {
    let mut words = text.split(' ');
    if words.next()?.parse() != Ok(revision) {
        return None;
    }
    let (marks, fetches) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let mut number = || match words.next()? {
        NONE => Some(None),
        value => value.parse().ok().map(Some),
    };
    Some(Packed { marks, fetches, duration: number()?, cost: number()?, completion: number()?, score: number()? })
}

async fn figures(lines: &Lines, mut filter: CallFilter, packer: &Packer) -> Result<Figures, Fault> {
    let mut counting = Counting::default();
    filter.limit = CHUNK;
    loop {
        let members = members(lines, &filter, packer).await?;
        let calls = members.iter().map(|member| read_member(member)).collect::<Result<Vec<_>, StoreError>>()?;
        count(lines, &calls, &mut counting, packer).await?;
        match calls.into_iter().last() {
            Some((at, id)) if members.len() == CHUNK => filter.cursor = Some(PageCursor { at, id }),
            _ => return Ok(counting.figures()),
        }
    }
}

async fn count(lines: &Lines, calls: &[(Millis, CallId)], counting: &mut Counting, packer: &Packer) -> Result<(), Fault> {
    let mut words = pipe();
    for (_, id) in calls {
        words.cmd("HMGET").arg(key_of("call", id.as_str())).arg(&["revision", "measures"][..]);
    }
    if words.is_empty() {
        return Ok(());
    }
    let rows: Vec<(Option<u64>, Option<String>)> = lines.all(Kind::Scan, &words).await?;
    let mut unmeasured = Vec::new();
    for ((at, id), row) in calls.iter().zip(rows) {
        match row {
            (Some(revision), Some(text)) if let Some(call) = read(&text, revision) => counting.add(at.0, &call),
            (Some(_), _) => unmeasured.push(id.clone()),
            // It was erased meanwhile.
            (None, _) => {}
        }
    }
    for call in load_all(lines, &unmeasured, packer).await? {
        counting.add(call.created_at.0, &Packed::of(&Measures::of(&call.record, call.created_at), packer.vault().is_locked()));
    }
    Ok(())
}

async fn put_tallies(lines: &Lines, scripts: &Scripts, tallies: &[Tally]) -> Result<(), Fault> {
    for tallies in tallies.chunks(CHUNK) {
        let mut call = scripts.tally();
        call.arg(tallies.len());
        for Tally { hour, source, name, count } in tallies {
            call.arg(*hour).arg(format!("{source}{DIVIDER}{name}")).arg(*count);
        }
        let _: u8 = lines.run(Kind::Lookup, &call).await?;
    }
    Ok(())
}

/// The hours from one on and before another in which something was counted.
async fn hours(lines: &Lines, since: &str, until: i64) -> Result<Vec<i64>, Fault> {
    lines.one(Kind::Lookup, cmd("ZRANGEBYSCORE").arg(key("tallies")).arg(since).arg(format!("({until}"))).await
}

async fn tallies(lines: &Lines, since: i64, until: i64) -> Result<Vec<Counted>, Fault> {
    let mut rows = Vec::new();
    for hours in hours(lines, &since.to_string(), until).await?.chunks(CHUNK) {
        let mut words = pipe();
        for hour in hours {
            words.cmd("HGETALL").arg(key_of("tally", &hour.to_string()));
        }
        let found: Vec<Vec<(String, u64)>> = lines.all(Kind::Scan, &words).await?;
        for (hour, found) in hours.iter().zip(found) {
            rows.extend(found.into_iter().filter_map(|(place, count)| Some((*hour, place.split_once(DIVIDER)?.1.to_owned(), count))));
        }
    }
    Ok(counted(rows))
}

/// Drops tallies of hours that were over before a moment.
pub(super) async fn forget_tallies(lines: &Lines, before: Millis) -> Result<(), Fault> {
    let before = before.0.div_euclid(HOUR);
    for hours in hours(lines, "-inf", before).await?.chunks(CHUNK) {
        let mut words = pipe();
        for hour in hours {
            words.cmd("DEL").arg(key_of("tally", &hour.to_string())).ignore().cmd("ZREM").arg(key("tallies")).arg(*hour).ignore();
        }
        let () = lines.all(Kind::Scan, &words).await?;
    }
    Ok(())
}

impl RedisStore {
    pub(in crate::store) async fn figures(&self, filter: CallFilter) -> Result<Figures, StoreError> {
        let filter = self.shared.packer.vault().hide_filter(filter);
        Ok(figures(self.lines()?, filter, &self.shared.packer).await?)
    }

    pub(in crate::store) async fn tally(&self, tallies: Vec<Tally>) -> Result<(), StoreError> {
        Ok(put_tallies(self.lines()?, &self.shared.scripts, &tallies).await?)
    }

    pub(in crate::store) async fn tallies(&self, since: i64, until: i64) -> Result<Vec<Counted>, StoreError> {
        Ok(tallies(self.lines()?, since, until).await?)
    }

    /// Nothing is ever left for later.
    #[expect(clippy::unused_async, reason = "the verbs have the same shape on every engine")]
    pub(in crate::store) async fn tend(&self, _now: Millis) -> Result<usize, StoreError> {
        self.lines().map(|_| 0)
    }
}
