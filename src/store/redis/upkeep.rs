//! What is written besides commits: due times, deletion, retention.

use std::sync::Arc;

use redis::cmd;

use super::{
    commit,
    fault::Fault,
    keys::{key, moment, read_member},
    link::{Kind, Lines},
    rows::{CALL_FIELDS, CallRow, load_all, unpacked},
    scripts::{Scripts, token},
};
use crate::{
    call::{id::CallId, time::Millis},
    store::{Due, StoredCall, pack::Packer, rows::call_id, tombstone::TombstoneHash},
};

/// More than this at once is the same as everything, and a number that the scripts can count to.
const MOST: usize = 1_000_000;
/// Kinds of due work, in the order in which they are taken.
const KINDS: u8 = 3;

pub(super) async fn set_due(lines: &Lines, scripts: &Scripts, id: &CallId, due: Option<Due>) -> Result<(), Fault> {
    let mut call = scripts.due();
    call.arg(id.as_str()).arg(&commit::due(due)[..]);
    lines.run(Kind::Lookup, &call).await
}

pub(super) async fn lease_due(
    lines: &Lines,
    scripts: &Scripts,
    (now, until): (Millis, Millis),
    limit: usize,
) -> Result<Vec<CallId>, Fault> {
    let mut call = scripts.lease();
    call.arg(token()).arg(now.0).arg(until.0).arg(limit.min(MOST));
    let taken: Vec<String> = lines.run(Kind::Lookup, &call).await?;
    Ok(taken.iter().map(|id| call_id(id)).collect::<Result<_, _>>()?)
}

/// When [`lease_due`] will find something: a held call is free again when its lease is over.
pub(super) async fn next_due(lines: &Lines) -> Result<Option<Millis>, Fault> {
    let mut words = redis::pipe();
    for place in (0..KINDS).map(|kind| format!("due:{kind}")).chain(["leased".to_owned()]) {
        words.cmd("ZRANGE").arg(key(&place)).arg(0).arg(0).arg("WITHSCORES");
    }
    let firsts: Vec<Vec<(String, i64)>> = lines.all(Kind::Lookup, &words).await?;
    Ok(firsts.into_iter().flatten().map(|(_, at)| Millis(at)).min())
}

/// Erases everything about a call, leaves a tombstone if it was known or `always`, and tells everyone; tells whether there was anything.
pub(super) async fn erase(
    lines: &Lines,
    scripts: &Scripts,
    id: &CallId,
    (hash, at, always): (&TombstoneHash, Millis, bool),
) -> Result<bool, Fault> {
    let mut call = scripts.delete();
    call.arg(token()).arg(id.as_str()).arg(&hash[..]).arg(at.0).arg(u8::from(always));
    let known: Vec<u8> = lines.run(Kind::Lookup, &call).await?;
    Ok(known == [1])
}

/// Calls whose later of end and first sight lies before a moment, oldest first.
pub(super) async fn calls_before(lines: &Lines, before: Millis, limit: usize, packer: &Packer) -> Result<Vec<Arc<StoredCall>>, Fault> {
    let end = &format!("({}", moment(before));
    let mut range = cmd("ZRANGEBYLEX");
    range.arg(key("by:age")).arg("-").arg(end).arg("LIMIT").arg(0).arg(limit.min(MOST));
    let members: Vec<String> = lines.one(Kind::Scan, &range).await?;
    let ids = members.iter().map(|member| Ok(read_member(member)?.1)).collect::<Result<Vec<_>, Fault>>()?;
    load_all(lines, &ids, packer).await
}

/// Drops at most `limit` of those calls with their events. Returns how many went, and those of them that can be read.
pub(super) async fn purge_calls(
    lines: &Lines,
    scripts: &Scripts,
    (before, limit): (Millis, usize),
    packer: &Packer,
) -> Result<(usize, Vec<Arc<StoredCall>>), Fault> {
    let mut call = scripts.purge();
    call.arg(moment(before)).arg(limit).arg(&CALL_FIELDS[..]);
    let rows: Vec<(String, CallRow)> = lines.run(Kind::Scan, &call).await?;
    let count = rows.len();
    let calls = rows.into_iter().filter_map(|(id, row)| unpacked(call_id(&id).ok()?, row, packer).ok()?);
    Ok((count, calls.collect()))
}

/// Drops at most `limit` tombstones and events without a record; returns how many of each.
pub(super) async fn purge_leftovers(lines: &Lines, scripts: &Scripts, before: Millis, limit: usize) -> Result<usize, Fault> {
    let mut call = scripts.leftovers();
    call.arg(before.0).arg(limit);
    lines.run(Kind::Scan, &call).await
}

/// Drops the bodies of the oldest events that have one, if they were received before a moment; returns how many.
pub(super) async fn drop_bodies(lines: &Lines, scripts: &Scripts, before: Option<Millis>, limit: usize) -> Result<usize, Fault> {
    let mut call = scripts.bodies();
    call.arg(before.map_or_else(|| "+inf".to_owned(), |before| format!("({}", before.0))).arg(limit);
    lines.run(Kind::Scan, &call).await
}
