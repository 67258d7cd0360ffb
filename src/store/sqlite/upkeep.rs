//! Work of the writer beside commits: due times, deletion, retention, room.

use rusqlite::{Connection, OptionalExtension, params};

use super::{commit::put_due, deliveries};
use crate::{
    call::{id::CallId, time::Millis},
    store::{
        Due,
        rows::{CallRow, count},
        tombstone::TombstoneHash,
    },
};

fn number_of(db: &Connection, id: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT n FROM calls WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

pub(super) fn set_due(db: &Connection, id: &CallId, due: Option<Due>) -> rusqlite::Result<()> {
    number_of(db, id.as_str())?.map_or(Ok(()), |n| put_due(db, n, due))
}

/// Kinds of due work, in the order in which they are taken: see `dues.reason`.
const REASONS: [i64; 3] = [0, 1, 2];

pub(super) fn lease_due(db: &Connection, now: Millis, until: Millis, limit: usize) -> rusqlite::Result<Vec<String>> {
    let mut find = db.prepare_cached(
        "SELECT d.call, c.id FROM dues d JOIN calls c ON c.n = d.call \
         WHERE d.reason = ?1 AND d.at <= ?2 AND (d.lease_until IS NULL OR d.lease_until <= ?2) ORDER BY d.at LIMIT ?3",
    )?;
    let mut hold = db.prepare_cached("UPDATE dues SET lease_until = ?2 WHERE call = ?1")?;
    let mut taken = Vec::new();
    for reason in REASONS {
        let wanted = count(limit - taken.len());
        let ready = find.query_map(params![reason, now.0, wanted], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
        for (n, id) in ready.collect::<rusqlite::Result<Vec<_>>>()? {
            hold.execute(params![n, until.0])?;
            taken.push(id);
        }
    }
    Ok(taken)
}

/// When [`lease_due`] will find something: a leased call is free again when its lease is over.
pub(super) fn next_due(db: &Connection) -> rusqlite::Result<Option<Millis>> {
    let mut find = db.prepare_cached("SELECT min(max(at, ifnull(lease_until, at))) FROM dues")?;
    find.query_row([], |row| row.get::<_, Option<i64>>(0)).map(|at| at.map(Millis))
}

/// Nobody holds a lease when a store is opened: it has one process, and that just began.
pub(super) fn end_leases(db: &Connection) -> rusqlite::Result<()> {
    db.execute("UPDATE deliveries SET held = NULL WHERE due IS NOT NULL AND held IS NOT NULL", [])?;
    db.execute("UPDATE documents SET lease_until = NULL WHERE due IS NOT NULL AND lease_until IS NOT NULL", [])?;
    db.execute("UPDATE dues SET lease_until = NULL WHERE lease_until IS NOT NULL", []).map(|_| ())
}

/// Erases everything about a call; tells whether there was anything.
pub(super) fn erase(db: &Connection, id: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("DELETE FROM repeats WHERE event IN (SELECT seq FROM events WHERE call_id = ?1)")?.execute([id])?;
    let events = db.prepare_cached("DELETE FROM events WHERE call_id = ?1")?.execute([id])?;
    // That an earlier life of the call was erased stays told.
    db.prepare_cached("DELETE FROM news WHERE call_id = ?1 AND kind <> 'call.deleted'")?.execute([id])?;
    deliveries::erase(db, id)?;
    let Some(n) = number_of(db, id)? else { return Ok(events > 0) };
    for sql in ["DELETE FROM dues WHERE call = ?1", "DELETE FROM records WHERE call = ?1", "DELETE FROM calls WHERE n = ?1"] {
        db.prepare_cached(sql)?.execute([n])?;
    }
    Ok(true)
}

/// Leaves a tombstone; the earliest counts.
pub(super) fn bury(db: &Connection, hash: &TombstoneHash, at: Millis) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO tombstones (hash, at) VALUES (?1, ?2)")?.execute(params![hash, at.0]).map(|_| ())
}

/// Calls whose later of end and first sight lies before a moment, oldest first.
pub(super) fn calls_before(db: &Connection, before: Millis, limit: usize) -> rusqlite::Result<Vec<CallRow>> {
    let mut find = db.prepare_cached(
        "SELECT n FROM calls WHERE created_at < ?1 AND (ended_at IS NULL OR ended_at < ?1) ORDER BY created_at, id LIMIT ?2",
    )?;
    let numbers = find.query_map(params![before.0, count(limit)], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    numbers.into_iter().filter_map(|n| CallRow::by_n(db, n).transpose()).collect()
}

/// Drops those calls with their events and returns them.
pub(super) fn purge_calls(db: &Connection, before: Millis, limit: usize) -> rusqlite::Result<Vec<CallRow>> {
    let gone = calls_before(db, before, limit)?;
    for call in &gone {
        erase(db, &call.id)?;
    }
    Ok(gone)
}

/// Drops at most `limit` tombstones and events without a record; returns how many of each.
pub(super) fn purge_leftovers(db: &Connection, before: Millis, limit: usize) -> rusqlite::Result<usize> {
    let limit = count(limit);
    let mut find = db.prepare_cached(
        "SELECT seq FROM events e WHERE has_body IN (0, 1) AND received_at < ?1 \
         AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.id = e.call_id) LIMIT ?2",
    )?;
    let events = find.query_map(params![before.0, limit], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for seq in &events {
        db.prepare_cached("DELETE FROM repeats WHERE event = ?1")?.execute([seq])?;
        db.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([seq])?;
    }
    let tombstones = db
        .prepare_cached("DELETE FROM tombstones WHERE hash IN (SELECT hash FROM tombstones WHERE at < ?1 LIMIT ?2)")?
        .execute(params![before.0, limit])?;
    Ok(events.len().max(tombstones))
}

/// Drops the bodies of the oldest events that have one, if they were received before a moment; returns how many.
pub(super) fn drop_bodies(db: &Connection, before: Millis, limit: usize) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "UPDATE events SET body = NULL, has_body = 0 \
         WHERE seq IN (SELECT seq FROM events WHERE has_body = 1 AND received_at < ?1 ORDER BY received_at LIMIT ?2)",
    )?
    .execute(params![before.0, count(limit)])
}

/// Gives at most `limit` free pages back to the disk; returns how many. The file is shorter after the next checkpoint.
pub(super) fn shrink(db: &Connection, limit: usize) -> rusqlite::Result<usize> {
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({limit})"))?;
    let mut pages = vacuum.query([])?;
    let mut given = 0;
    while pages.next()?.is_some() {
        given += 1;
    }
    Ok(given)
}

/// How many calls wait, and when the longest waiting of them fell due.
pub(super) fn waiting(db: &Connection) -> rusqlite::Result<(u64, Option<Millis>)> {
    let mut count = db.prepare_cached("SELECT count(*), min(at) FROM dues")?;
    count.query_row([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, Option<i64>>(1)?.map(Millis))))
}

/// Bytes of a [`probe`]: as much as a webhook brings. Less might fit where nothing else does.
const PROBE: i64 = 65_536;

/// Proves that the store can be written. Each time something else: what stands there already, SQLite does not write again.
pub(super) fn probe(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', randomblob(?1))")?.execute([PROBE]).map(|_| ())
}
