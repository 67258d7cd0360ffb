//! Deliveries: rows, whose turn it is, what is leased.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, Row, params, types::Type};

use crate::{
    call::{id::CallId, time::Millis},
    store::{
        Delivery, DeliveryFilter, DeliveryLease, DeliveryMark, DeliveryState, FanOut, GiveUp, OutgoingEvent, Redelivery, outbox::MOST_HELD,
        rows::count,
    },
};

/// What [`read`] reads.
macro_rules! delivery_columns {
    () => {
        "n, target, event_id, kind, call_id, sequence, at, about, state, tries, due, created_at, settled_at, attempts, held FROM deliveries "
    };
}

/// A row, its place and until when it is held.
pub(super) struct Kept {
    pub(super) n: i64,
    pub(super) delivery: Delivery,
    held: Option<Millis>,
}

fn broken(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "deliveries".to_owned(), Type::Text)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let millis = |column: usize| row.get::<_, Option<i64>>(column).map(|at| at.map(Millis));
    let call_id = row.get_ref(4)?.as_str_or_null()?.map(CallId::parse).transpose().map_err(|_unreadable| broken(4))?;
    let event = OutgoingEvent {
        id: row.get(2)?,
        kind: row.get(3)?,
        call_id,
        sequence: row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
        at: Millis(row.get(6)?),
        about: row.get(7)?,
    };
    let delivery = Delivery {
        target: row.get(1)?,
        event,
        state: DeliveryState::parse(row.get_ref(8)?.as_str()?).ok_or_else(|| broken(8))?,
        tries: row.get(9)?,
        due: millis(10)?,
        created_at: Millis(row.get(11)?),
        settled_at: millis(12)?,
        attempts: serde_json::from_str(row.get_ref(13)?.as_str()?).map_err(|_unreadable| broken(13))?,
    };
    Ok(Kept { n: row.get(0)?, delivery, held: millis(14)? })
}

fn by_n(db: &Connection, n: i64) -> rusqlite::Result<Option<Kept>> {
    db.prepare_cached(concat!("SELECT ", delivery_columns!(), "WHERE n = ?1"))?.query_row([n], read).optional()
}

/// Writes what changes of a delivery.
fn put(db: &Connection, n: i64, delivery: &Delivery) -> rusqlite::Result<()> {
    let attempts = serde_json::to_string(&delivery.attempts).unwrap_or_default();
    let mut update = db.prepare_cached(
        "UPDATE deliveries SET state = ?2, tries = ?3, due = ?4, settled_at = ?5, attempts = ?6, held = NULL WHERE n = ?1",
    )?;
    update
        .execute(params![
            n,
            delivery.state.as_str(),
            delivery.tries,
            delivery.due.map(|at| at.0),
            delivery.settled_at.map(|at| at.0),
            attempts
        ])
        .map(|_| ())
}

/// Gives the turn to the oldest of the deliveries of a call to a target, unless it is held by another.
fn advance(db: &Connection, target: &str, call: Option<&CallId>, now: Millis) -> rusqlite::Result<()> {
    let Some(id) = call else { return Ok(()) };
    let line = params![target, id.as_str()];
    let mut oldest = db.prepare_cached("SELECT min(n) FROM deliveries WHERE target = ?1 AND call_id = ?2 AND state = 'pending'")?;
    let Some(oldest) = oldest.query_row(line, |row| row.get::<_, Option<i64>>(0))? else { return Ok(()) };
    let mut turns = db.prepare_cached("SELECT n, held FROM deliveries WHERE target = ?1 AND call_id = ?2 AND due IS NOT NULL")?;
    let turn = turns.query_row(line, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))).optional()?;
    if let Some((n, held)) = turn {
        if n == oldest || held.is_some_and(|until| until > now.0) {
            return Ok(());
        }
        db.prepare_cached("UPDATE deliveries SET due = NULL, held = NULL WHERE n = ?1")?.execute([n])?;
    }
    db.prepare_cached("UPDATE deliveries SET due = ?2 WHERE n = ?1")?.execute(params![oldest, now.0]).map(|_| ())
}

/// Makes deliveries, if fanning out still stands where it did.
pub(super) fn fan_out(db: &Connection, step: &FanOut) -> rusqlite::Result<bool> {
    let mut go_on = db.prepare_cached("UPDATE outbox SET fanned = ?3 WHERE generation = ?1 AND fanned = ?2")?;
    if go_on.execute([step.generation, step.from, step.until].map(u64::cast_signed))? == 0 {
        return Ok(false);
    }
    let (mut targets, mut calls) = (HashMap::new(), HashMap::new());
    for (target, event) in &step.deliveries {
        if !targets.contains_key(target) {
            let mut find = db.prepare_cached("SELECT scope IS NOT NULL FROM targets WHERE id = ?1")?;
            targets.insert(target, find.query_row([target], |row| row.get::<_, bool>(0)).optional()?);
        }
        if let Some(id) = &event.call_id
            && !calls.contains_key(id)
        {
            calls.insert(id, db.prepare_cached("SELECT 1 FROM calls WHERE id = ?1")?.exists([id.as_str()])?);
        }
        let is_known = event.outlives_call() || event.call_id.as_ref().is_none_or(|id| calls.get(id) == Some(&true));
        if let Some(Some(scoped)) = targets.get(target)
            && is_known
        {
            add(db, (target, *scoped), event, step.at)?;
        }
    }
    Ok(true)
}

fn add(db: &Connection, (target, scoped): (&str, bool), event: &OutgoingEvent, at: Millis) -> rusqlite::Result<()> {
    if db.prepare_cached("SELECT 1 FROM deliveries WHERE target = ?1 AND event_id = ?2")?.exists([target, &event.id])? {
        return Ok(());
    }
    let call = event.call_id.as_ref().map(CallId::as_str);
    if event.replaces_updates() {
        db.prepare_cached(
            "DELETE FROM deliveries WHERE target = ?1 AND call_id = ?2 AND state = 'pending' AND kind = 'call.updated' \
             AND (held IS NULL OR held <= ?3)",
        )?
        .execute(params![target, call, at.0])?;
    }
    db.prepare_cached(
        "INSERT INTO deliveries (target, scoped, event_id, kind, call_id, sequence, at, about, state, tries, due, created_at, attempts) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'pending', 0, ?9, ?10, '[]')",
    )?
    .execute(params![
        target,
        scoped,
        event.id,
        event.kind,
        call,
        event.sequence.map(u64::cast_signed),
        event.at.0,
        event.about,
        call.is_none().then_some(at.0),
        at.0
    ])?;
    advance(db, target, event.call_id.as_ref(), at)
}

/// Places and moments of what is ready, of each target at most so many; and when what is not taken by then can be, without what is excepted.
fn ready(db: &Connection, lease: &DeliveryLease) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut ready = Vec::new();
    let mut find = db.prepare_cached(
        "SELECT ready, n FROM deliveries WHERE target = ?1 AND due IS NOT NULL AND ready <= ?2 ORDER BY ready, n LIMIT ?3",
    )?;
    for target in subscriptions(db, lease)? {
        let rows = find.query_map(params![target, lease.now.0, count(lease.per_target)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        ready.extend(rows.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?);
    }
    let mut of_calls = db
        .prepare_cached("SELECT ready, n, target FROM deliveries WHERE scoped = 1 AND due IS NOT NULL AND ready <= ?1 ORDER BY ready, n")?;
    let mut rows = of_calls.query([lease.now.0])?;
    let (mut of_each, mut taken) = (HashMap::<String, usize>::new(), 0);
    while taken < lease.limit
        && let Some(row) = rows.next()?
    {
        let target: String = row.get(2)?;
        if lease.except.contains(&target) {
            continue;
        }
        let count = of_each.entry(target).or_default();
        if *count < lease.per_target {
            (*count, taken) = (*count + 1, taken + 1);
            ready.push((row.get(0)?, row.get(1)?));
        }
    }
    ready.sort_unstable();
    ready.truncate(lease.limit);
    Ok(ready)
}

fn subscriptions(db: &Connection, lease: &DeliveryLease) -> rusqlite::Result<Vec<String>> {
    let except: HashSet<&str> = lease.except.iter().map(String::as_str).collect();
    let mut find = db.prepare_cached("SELECT id FROM targets WHERE scope IS NULL")?;
    let all = find.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(all.into_iter().filter(|id| !except.contains(id.as_str())).collect())
}

/// When the next one can be leased.
fn next_ready(db: &Connection, lease: &DeliveryLease) -> rusqlite::Result<Option<Millis>> {
    let mut first = db.prepare_cached("SELECT min(ready) FROM deliveries WHERE target = ?1 AND due IS NOT NULL")?;
    let mut next: Option<i64> = None;
    for target in subscriptions(db, lease)? {
        let at = first.query_row([target], |row| row.get::<_, Option<i64>>(0))?;
        next = next.into_iter().chain(at).min();
    }
    let mut of_calls = db.prepare_cached("SELECT ready, target FROM deliveries WHERE scoped = 1 AND due IS NOT NULL ORDER BY ready, n")?;
    let mut rows = of_calls.query([])?;
    while let Some(row) = rows.next()? {
        if !lease.except.contains(&row.get(1)?) {
            next = next.into_iter().chain(Some(row.get(0)?)).min();
            break;
        }
    }
    Ok(next.map(Millis))
}

/// Holds what is ready. Returns it, and when there will be more.
pub(super) fn lease(db: &Connection, lease: &DeliveryLease) -> rusqlite::Result<(Vec<Delivery>, Option<Millis>)> {
    let mut hold = db.prepare_cached("UPDATE deliveries SET held = ?2 WHERE n = ?1")?;
    let mut taken = Vec::new();
    for (_, n) in ready(db, lease)? {
        hold.execute(params![n, lease.until.0])?;
        taken.extend(by_n(db, n)?.map(|kept| kept.delivery));
    }
    Ok((taken, next_ready(db, lease)?))
}

/// Notes what came of a try, unless the lease was lost; tells whether it did.
pub(super) fn mark(db: &Connection, mark: DeliveryMark) -> rusqlite::Result<bool> {
    let mut find = db.prepare_cached(concat!("SELECT ", delivery_columns!(), "WHERE target = ?1 AND event_id = ?2"))?;
    let kept = find.query_row([&mark.target, &mark.event_id], read).optional()?;
    let Some(mut kept) = kept.filter(|kept| kept.held == Some(mark.lease) && mark.lease > mark.at) else { return Ok(false) };
    let (target, at) = (mark.target.clone(), mark.at);
    if mark.drops() {
        db.prepare_cached("DELETE FROM deliveries WHERE n = ?1")?.execute([kept.n])?;
    } else {
        kept.delivery.note(mark);
        put(db, kept.n, &kept.delivery)?;
    }
    advance(db, &target, kept.delivery.event.call_id.as_ref(), at)?;
    Ok(true)
}

const PAGE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    "WHERE n < ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR target = ?3) ORDER BY n DESC LIMIT ?4"
);
const PAGE_OF_TARGET: &str =
    concat!("SELECT ", delivery_columns!(), "WHERE n < ?1 AND state = ?2 AND target = ?3 ORDER BY n DESC LIMIT ?4");
const PAGE_OF_CALL: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    "WHERE n < ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR target = ?3) AND call_id = ?5 ORDER BY n DESC LIMIT ?4"
);

/// Deliveries, the newest first: at most `limit`.
pub(super) fn page(db: &Connection, filter: &DeliveryFilter, limit: usize) -> rusqlite::Result<Vec<Kept>> {
    let before = filter.cursor.map_or(i64::MAX, u64::cast_signed);
    let state = filter.state.map(DeliveryState::as_str);
    let rows = |sql: &str, state: Option<&str>| -> rusqlite::Result<Vec<Kept>> {
        let mut find = db.prepare_cached(sql)?;
        let wanted = params![before, state, filter.target, count(limit)];
        find.query_map(wanted, read)?.collect()
    };
    if let Some(id) = &filter.call {
        let mut find = db.prepare_cached(PAGE_OF_CALL)?;
        return find.query_map(params![before, state, filter.target, count(limit), id.as_str()], read)?.collect();
    }
    if filter.target.is_none() {
        return rows(PAGE, state);
    }
    // By the index of states and targets, which has them in order.
    let mut all = Vec::new();
    for one in DeliveryState::ALL.into_iter().filter(|one| filter.state.is_none_or(|state| state == *one)) {
        all.extend(rows(PAGE_OF_TARGET, Some(one.as_str()))?);
    }
    all.sort_unstable_by_key(|kept| std::cmp::Reverse(kept.n));
    all.truncate(limit);
    Ok(all)
}

/// Makes deliveries pending again, at most `limit` of those behind a place; returns how many, and the place of the last that was looked at.
pub(super) fn redeliver(
    db: &Connection,
    target: &str,
    which: &Redelivery,
    (after, limit, now): (i64, usize, Millis),
) -> rusqlite::Result<(usize, Option<i64>)> {
    let mut find = db.prepare_cached(concat!(
        "SELECT ",
        delivery_columns!(),
        "WHERE target = ?1 AND n > ?2 AND state IN ('delivered', 'dead') ORDER BY n LIMIT ?3"
    ))?;
    let rows = find.query_map(params![target, after, count(limit)], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let last = rows.last().map(|kept| kept.n);
    let mut count = 0;
    for mut kept in rows.into_iter().filter(|kept| which.takes(&kept.delivery)) {
        kept.delivery.begin_again(now);
        put(db, kept.n, &kept.delivery)?;
        advance(db, target, kept.delivery.event.call_id.as_ref(), now)?;
        count += 1;
    }
    Ok((count, last))
}

/// Gives up at most `limit` pending deliveries; returns how many.
pub(super) fn give_up(db: &Connection, give_up: &GiveUp, limit: usize) -> rusqlite::Result<usize> {
    let GiveUp { target, before, note, .. } = give_up;
    let mut find = db.prepare_cached(concat!(
        "SELECT ",
        delivery_columns!(),
        "WHERE n IN (SELECT n FROM deliveries WHERE state = 'pending' AND target = ?1 ORDER BY n LIMIT ?5) \
         AND created_at < ?2 AND (held IS NULL OR held <= ?3) ORDER BY n LIMIT ?4"
    ))?;
    // The oldest come first: behind them there is nothing to look for.
    let looked_at = count(limit.saturating_add(MOST_HELD));
    let rows =
        find.query_map(params![target, before.0, note.at.0, count(limit), looked_at], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let count = rows.len();
    for mut kept in rows {
        kept.delivery.give_up(note.clone());
        put(db, kept.n, &kept.delivery)?;
        advance(db, target, kept.delivery.event.call_id.as_ref(), note.at)?;
    }
    Ok(count)
}

/// Drops what is on its way of a call that is gone, but for the news of that, and whoever waits for it.
pub(super) fn erase(db: &Connection, id: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM deliveries WHERE call_id = ?1 AND (kind <> 'call.deleted' OR scoped = 1)")?.execute([id])?;
    db.prepare_cached("DELETE FROM targets WHERE scope = ?1")?.execute([id])?;
    db.prepare_cached("UPDATE deliveries SET due = created_at WHERE call_id = ?1 AND state = 'pending' AND due IS NULL")?
        .execute([id])
        .map(|_| ())
}

/// How many are pending, and how many were given up.
pub(super) fn counts(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let mut count = db.prepare_cached(
        "SELECT (SELECT count(*) FROM deliveries WHERE state = 'pending'), (SELECT count(*) FROM deliveries WHERE state = 'dead')",
    )?;
    count.query_row([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned())))
}
