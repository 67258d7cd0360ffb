//! Deliveries: rows, whose turn it is, what is leased.
//!
//! *Somebody makes a delivery while the one before it is settled*: the one would wait for a turn that the other does not see it waiting for. So
//! who makes deliveries holds the lock of the outbox, and who settles them shares it.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::Row;

use super::{
    fault::Fault,
    link::Db,
    step::{Step, Value},
    write::{BEGIN, BEGIN_LIGHT, COMMIT, LOCK},
};
use crate::{
    call::{id::CallId, time::Millis},
    store::{
        Delivery, DeliveryFilter, DeliveryLease, DeliveryMark, DeliveryPage, DeliveryState, FanOut, GiveUp, LeasedDeliveries,
        OutgoingEvent, Redelivery, StoreError, outbox::MOST_HELD, rows::call_id,
    },
};

/// The lock of the outbox: `RingOutb` in ASCII.
pub(super) const OUTBOX: i64 = 0x5269_6e67_4f75_7462;
const SHARE: &str = "SELECT pg_advisory_xact_lock_shared($1)";
/// Ends a transaction that came to nothing.
pub(super) const ROLLBACK: &str = "ROLLBACK";

/// What [`read`] reads.
macro_rules! delivery_columns {
    ($row:literal) => {
        concat!(
            $row,
            "n, ",
            $row,
            "target, ",
            $row,
            "event_id, ",
            $row,
            "kind, ",
            $row,
            "call_id, ",
            $row,
            "sequence, ",
            $row,
            "at, ",
            $row,
            "about, ",
            $row,
            "state, ",
            $row,
            "tries, ",
            $row,
            "due, ",
            $row,
            "created_at, ",
            $row,
            "settled_at, ",
            $row,
            "attempts, ",
            $row,
            "held"
        )
    };
}

/// A row, its place and until when it is held.
struct Kept {
    n: i64,
    delivery: Delivery,
    held: Option<Millis>,
}

fn read(row: &Row) -> Result<Kept, Fault> {
    let broken = || Fault::Refused("a delivery can't be read".to_owned());
    let millis = |column: usize| Ok::<_, Fault>(row.try_get::<_, Option<i64>>(column)?.map(Millis));
    let event = OutgoingEvent {
        id: row.try_get(2)?,
        kind: row.try_get(3)?,
        call_id: row.try_get::<_, Option<&str>>(4)?.map(call_id).transpose()?,
        sequence: row.try_get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
        at: Millis(row.try_get(6)?),
        about: row.try_get(7)?,
    };
    let delivery = Delivery {
        target: row.try_get(1)?,
        event,
        state: DeliveryState::parse(row.try_get(8)?).ok_or_else(broken)?,
        tries: u32::try_from(row.try_get::<_, i64>(9)?).unwrap_or(u32::MAX),
        due: millis(10)?,
        created_at: Millis(row.try_get(11)?),
        settled_at: millis(12)?,
        attempts: serde_json::from_str(row.try_get(13)?).map_err(|_unreadable| broken())?,
    };
    Ok(Kept { n: row.try_get(0)?, delivery, held: millis(14)? })
}

/// The lock of the outbox, alone.
pub(super) fn lock() -> Step<'static> {
    Step::new(LOCK, vec![Value::wholes(&[OUTBOX], |lock| Some(*lock))])
}

/// Takes the turn from whoever has it while an older one waits, unless it is held.
const YIELD: &str = "UPDATE ringback.deliveries d SET due = NULL, held = NULL FROM unnest($1::text[], $2::text[]) AS l (target, call_id) \
    WHERE d.target = l.target AND d.call_id = l.call_id AND d.due IS NOT NULL AND (d.held IS NULL OR d.held <= $3) \
    AND d.n > (SELECT o.n FROM ringback.deliveries o WHERE o.target = l.target AND o.call_id = l.call_id AND o.state = 'pending' ORDER BY o.n LIMIT 1)";
/// Gives the turn to the oldest where nobody has it.
const ADVANCE: &str = "UPDATE ringback.deliveries d SET due = $3 FROM unnest($1::text[], $2::text[]) AS l (target, call_id) \
    WHERE d.n = (SELECT o.n FROM ringback.deliveries o WHERE o.target = l.target AND o.call_id = l.call_id AND o.state = 'pending' ORDER BY o.n LIMIT 1) \
    AND NOT EXISTS (SELECT FROM ringback.deliveries t WHERE t.target = l.target AND t.call_id = l.call_id AND t.due IS NOT NULL)";

/// Target and call of deliveries that wait for each other.
type Line = (String, CallId);

fn turns(lines: &[Line], now: Millis) -> [Step<'_>; 2] {
    let values = || vec![Value::texts(lines, |line| Some(&line.0)), Value::texts(lines, |line| Some(line.1.as_str())), Value::whole(now.0)];
    [Step::new(YIELD, values()), Step::new(ADVANCE, values())]
}

fn lines<'a>(deliveries: impl Iterator<Item = (&'a str, &'a OutgoingEvent)>) -> Vec<Line> {
    let lines = deliveries.filter_map(|(target, event)| Some((target.to_owned(), event.call_id.clone()?)));
    lines.collect::<BTreeSet<_>>().into_iter().collect()
}

const GO_ON: &str = "UPDATE ringback.outbox SET fanned = $3 WHERE generation = $1 AND fanned = $2 RETURNING true";
const REPLACE: &str = "DELETE FROM ringback.deliveries d USING unnest($1::text[], $2::text[]) AS l (target, call_id) \
    WHERE d.target = l.target AND d.call_id = l.call_id AND d.state = 'pending' AND d.kind = 'call.updated' AND (d.held IS NULL OR d.held <= $3)";
const ADD: &str = "INSERT INTO ringback.deliveries (target, scoped, event_id, kind, call_id, sequence, at, about, due, created_at) \
    SELECT i.target, t.scope IS NOT NULL, i.event_id, i.kind, i.call_id, i.sequence, i.at, i.about, CASE WHEN i.call_id IS NULL THEN $8 END, $8 \
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[]) \
    WITH ORDINALITY AS i (target, event_id, kind, call_id, sequence, at, about, place) JOIN ringback.targets t ON t.id = i.target \
    WHERE i.call_id IS NULL OR i.kind = 'call.deleted' OR EXISTS (SELECT FROM ringback.calls c WHERE c.id = i.call_id) \
    ORDER BY i.place ON CONFLICT (target, event_id) DO NOTHING";
const KNOWN: &str = "SELECT d.target, d.event_id FROM unnest($1::text[], $2::text[]) AS i (target, event_id) \
    JOIN ringback.deliveries d ON d.target = i.target AND d.event_id = i.event_id";

/// Makes deliveries, if fanning out still stands where it did.
pub(super) async fn fan_out(db: &Db, step: &FanOut) -> Result<bool, Fault> {
    let whole = |number: u64| Value::whole(number.cast_signed());
    let deliveries = &step.deliveries;
    let look = [
        lock(),
        Step::new(GO_ON, vec![whole(step.generation), whole(step.from), whole(step.until)]),
        Step::new(KNOWN, vec![Value::texts(deliveries, |it| Some(&it.0)), Value::texts(deliveries, |it| Some(&it.1.id))]),
    ];
    let answers = db.pipeline(Some(BEGIN_LIGHT), &look, None).await?;
    if answers[1].is_empty() {
        db.simple(ROLLBACK).await?;
        return Ok(false);
    }
    let known = answers[2].iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<BTreeSet<(&str, &str)>, Fault>>()?;
    let new: Vec<_> = deliveries.iter().filter(|(target, event)| !known.contains(&(target.as_str(), event.id.as_str()))).collect();
    let replacing = lines(new.iter().filter(|it| it.1.replaces_updates()).map(|it| (it.0.as_str(), &it.1)));
    let new = without_replaced(new);
    let values = vec![
        Value::texts(&new, |it| Some(&it.0)),
        Value::texts(&new, |it| Some(&it.1.id)),
        Value::texts(&new, |it| Some(&it.1.kind)),
        Value::texts(&new, |it| it.1.call_id.as_ref().map(CallId::as_str)),
        Value::wholes(&new, |it| it.1.sequence.map(u64::cast_signed)),
        Value::wholes(&new, |it| Some(it.1.at.0)),
        Value::texts(&new, |it| it.1.about.as_deref()),
        Value::whole(step.at.0),
    ];
    let gone = vec![
        Value::texts(&replacing, |line| Some(&line.0)),
        Value::texts(&replacing, |line| Some(line.1.as_str())),
        Value::whole(step.at.0),
    ];
    let lines = lines(new.iter().map(|it| (it.0.as_str(), &it.1)));
    let mut steps = vec![Step::new(REPLACE, gone), Step::new(ADD, values)];
    steps.extend(turns(&lines, step.at));
    db.pipeline(None, &steps, Some(COMMIT)).await?;
    Ok(true)
}

/// Leaves out updates that something later in the same step replaces.
fn without_replaced(new: Vec<&(String, OutgoingEvent)>) -> Vec<&(String, OutgoingEvent)> {
    let line = |it: &&(String, OutgoingEvent)| it.1.call_id.clone().map(|id| (it.0.clone(), id));
    let last: HashMap<Line, usize> =
        new.iter().enumerate().filter(|(_, it)| it.1.replaces_updates()).filter_map(|(place, it)| Some((line(it)?, place))).collect();
    let stays = |place: usize, it: &&(String, OutgoingEvent)| {
        it.1.kind != "call.updated" || line(it).is_none_or(|line| last.get(&line).is_none_or(|last| *last <= place))
    };
    new.into_iter().enumerate().filter(|(place, it)| stays(*place, it)).map(|(_, it)| it).collect()
}

/// What is held by somebody is passed over. Of subscriptions, which are few, each is asked; of calls' own targets, which have few deliveries
/// each, the first are taken.
const LEASE: &str = concat!(
    "WITH subscribed AS MATERIALIZED (
    SELECT d.n, d.ready FROM ringback.targets t CROSS JOIN LATERAL (
        SELECT n, ready FROM ringback.deliveries WHERE target = t.id AND due IS NOT NULL AND ready <= $1
        ORDER BY ready, n LIMIT $4 FOR UPDATE SKIP LOCKED
    ) d WHERE t.scope IS NULL AND t.id <> ALL ($5::text[])
), called AS MATERIALIZED (
    SELECT n, ready, target FROM ringback.deliveries WHERE scoped AND due IS NOT NULL AND ready <= $1 AND target <> ALL ($5::text[])
    ORDER BY ready, n LIMIT $3 FOR UPDATE SKIP LOCKED
), taken AS (
    SELECT n, ready FROM (
        SELECT n, ready FROM subscribed
        UNION ALL
        SELECT n, ready FROM (SELECT n, ready, row_number() OVER (PARTITION BY target ORDER BY ready, n) AS place FROM called) c WHERE place <= $4
    ) found ORDER BY ready, n LIMIT $3
)
UPDATE ringback.deliveries d SET held = $2 FROM taken WHERE d.n = taken.n RETURNING ",
    delivery_columns!("d."),
    ", taken.ready"
);
const NEXT_READY: &str = "SELECT least(
    (SELECT min((SELECT d.ready FROM ringback.deliveries d WHERE d.target = t.id AND d.due IS NOT NULL ORDER BY d.ready LIMIT 1))
        FROM ringback.targets t WHERE t.scope IS NULL AND t.id <> ALL ($1::text[])),
    (SELECT ready FROM ringback.deliveries WHERE scoped AND due IS NOT NULL AND target <> ALL ($1::text[]) ORDER BY ready LIMIT 1))";

/// Holds what is ready.
pub(super) async fn lease(db: &Db, lease: &DeliveryLease) -> Result<LeasedDeliveries, Fault> {
    let except = || Value::texts(&lease.except, |id| Some(id));
    let values =
        vec![Value::whole(lease.now.0), Value::whole(lease.until.0), Value::count(lease.limit), Value::count(lease.per_target), except()];
    let steps = [Step::new(LEASE, values), Step::new(NEXT_READY, vec![except()])];
    let answers = db.pipeline(Some(BEGIN_LIGHT), &steps, Some(COMMIT)).await?;
    let taken = answers[0].iter().map(|row| Ok((row.try_get::<_, i64>(15)?, read(row)?)));
    let mut taken = taken.collect::<Result<Vec<_>, Fault>>()?;
    taken.sort_unstable_by_key(|(ready, kept)| (*ready, kept.n));
    let next = answers[1].first().map(|row| row.try_get::<_, Option<i64>>(0)).transpose()?.flatten();
    Ok(LeasedDeliveries { deliveries: taken.into_iter().map(|(_, kept)| kept.delivery).collect(), next: next.map(Millis) })
}

const MARKED: &str = concat!(
    "SELECT ",
    delivery_columns!("d."),
    " FROM unnest($1::text[], $2::text[]) AS i (target, event_id) \
     JOIN ringback.deliveries d ON d.target = i.target AND d.event_id = i.event_id ORDER BY d.n FOR UPDATE OF d"
);
const PUT: &str = "UPDATE ringback.deliveries d SET state = i.state, tries = i.tries, due = i.due, settled_at = i.settled_at, \
    attempts = i.attempts, held = NULL FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) \
    AS i (n, state, tries, due, settled_at, attempts) WHERE d.n = i.n";
const DROP: &str = "DELETE FROM ringback.deliveries WHERE n = ANY ($1::bigint[])";

/// A row as it is to be written.
type Put = (i64, Delivery, String);

fn put(kept: Kept) -> Put {
    let attempts = serde_json::to_string(&kept.delivery.attempts).unwrap_or_default();
    (kept.n, kept.delivery, attempts)
}

fn put_step(rows: &[Put]) -> Step<'_> {
    let values = vec![
        Value::wholes(rows, |(n, _, _)| Some(*n)),
        Value::texts(rows, |(_, it, _)| Some(it.state.as_str())),
        Value::wholes(rows, |(_, it, _)| Some(it.tries.into())),
        Value::wholes(rows, |(_, it, _)| it.due.map(|at| at.0)),
        Value::wholes(rows, |(_, it, _)| it.settled_at.map(|at| at.0)),
        Value::jsons(rows, |(_, _, attempts)| Some(attempts)),
    ];
    Step::new(PUT, values)
}

/// Notes what came of tries, each unless the lease was lost; tells which were noted.
pub(super) async fn mark(db: &Db, marks: &[DeliveryMark]) -> Result<Vec<bool>, Fault> {
    let look = [
        Step::new(SHARE, vec![Value::whole(OUTBOX)]),
        Step::new(MARKED, vec![Value::texts(marks, |it| Some(&it.target)), Value::texts(marks, |it| Some(&it.event_id))]),
    ];
    let answers = db.pipeline(Some(BEGIN_LIGHT), &look, None).await?;
    let rows = answers[1].iter().map(read).collect::<Result<Vec<_>, Fault>>()?;
    let mut found: HashMap<(String, String), Kept> =
        rows.into_iter().map(|kept| ((kept.delivery.target.clone(), kept.delivery.event.id.clone()), kept)).collect();
    let (mut noted, mut puts, mut drops, mut lines) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
    for mark in marks {
        let kept = found.remove(&(mark.target.clone(), mark.event_id.clone()));
        let kept = kept.filter(|kept| kept.held == Some(mark.lease) && mark.lease > mark.at);
        noted.push(kept.is_some());
        let Some(mut kept) = kept else { continue };
        lines.extend(kept.delivery.event.call_id.clone().map(|id| (mark.target.clone(), id)));
        if mark.drops() {
            drops.push(kept.n);
        } else {
            kept.delivery.note(mark.clone());
            puts.push(put(kept));
        }
    }
    let now = marks.iter().map(|mark| mark.at).max().unwrap_or(Millis(0));
    let lines: Vec<Line> = lines.into_iter().collect();
    let mut steps = vec![put_step(&puts), Step::new(DROP, vec![Value::wholes(&drops, |n| Some(*n))])];
    steps.extend(turns(&lines, now));
    db.pipeline(None, &steps, Some(COMMIT)).await?;
    Ok(noted)
}

/// Deliveries, the newest first.
pub(super) async fn page(db: &Db, filter: &DeliveryFilter) -> Result<DeliveryPage, Fault> {
    let mut wanted = vec!["n < $1".to_owned()];
    let mut values = vec![Value::whole(filter.cursor.map_or(i64::MAX, u64::cast_signed)), Value::count(filter.limit.saturating_add(1))];
    let state = filter.state.map(DeliveryState::as_str);
    for (column, value) in [("state", state), ("target", filter.target.as_deref()), ("call_id", filter.call.as_ref().map(CallId::as_str))] {
        if let Some(value) = value {
            values.push(Value::text(value));
            wanted.push(format!("{column} = ${}", values.len()));
        }
    }
    let columns = concat!("SELECT ", delivery_columns!(""), " FROM ringback.deliveries WHERE ");
    let sql = format!("{columns}{} ORDER BY n DESC LIMIT $2", wanted.join(" AND "));
    let rows = db.query(&Step::once(sql, values)).await?;
    let mut rows = rows.iter().map(read).collect::<Result<Vec<_>, Fault>>()?;
    let more = rows.len() > filter.limit;
    rows.truncate(filter.limit);
    let next = rows.last().filter(|_| more).map(|kept| kept.n.cast_unsigned());
    Ok(DeliveryPage { deliveries: rows.into_iter().map(|kept| kept.delivery).collect(), next })
}

const SETTLED: &str = concat!(
    "SELECT ",
    delivery_columns!(""),
    " FROM ringback.deliveries WHERE target = $1 AND n > $2 AND state IN ('delivered', 'dead') ORDER BY n LIMIT $3 FOR UPDATE"
);

/// Makes deliveries pending again, at most `limit` of those behind a place; returns how many, and the place of the last that was looked at.
pub(super) async fn redeliver(
    db: &Db,
    target: &str,
    which: &Redelivery,
    (after, limit, now): (i64, usize, Millis),
) -> Result<(usize, Option<i64>), Fault> {
    let look = [lock(), Step::new(SETTLED, vec![Value::text(target), Value::whole(after), Value::count(limit)])];
    let answers = db.pipeline(Some(BEGIN), &look, None).await?;
    let rows = answers[1].iter().map(read).collect::<Result<Vec<_>, Fault>>()?;
    let last = rows.last().map(|kept| kept.n);
    let again = rows.into_iter().filter(|kept| which.takes(&kept.delivery)).map(|mut kept| {
        kept.delivery.begin_again(now);
        put(kept)
    });
    let again: Vec<Put> = again.collect();
    let lines = lines(again.iter().map(|(_, it, _)| (target, &it.event)));
    let mut steps = vec![put_step(&again)];
    steps.extend(turns(&lines, now));
    db.pipeline(None, &steps, Some(COMMIT)).await?;
    Ok((again.len(), last))
}

const OLD: &str = concat!(
    "SELECT ",
    delivery_columns!(""),
    " FROM ringback.deliveries WHERE n = ANY (ARRAY(
        SELECT n FROM ringback.deliveries WHERE state = 'pending' AND target = $1 ORDER BY n LIMIT $5
    )) AND created_at < $2 AND (held IS NULL OR held <= $3) ORDER BY n LIMIT $4 FOR UPDATE"
);

/// Gives up at most `limit` pending deliveries; returns how many.
pub(super) async fn give_up(db: &Db, give_up: &GiveUp, limit: usize) -> Result<usize, Fault> {
    let GiveUp { target, before, note, .. } = give_up;
    // The oldest come first: behind them there is nothing to look for.
    let looked_at = Value::count(limit.saturating_add(MOST_HELD));
    let values = vec![Value::text(target), Value::whole(before.0), Value::whole(note.at.0), Value::count(limit), looked_at];
    let answers = db.pipeline(Some(BEGIN), &[lock(), Step::new(OLD, values)], None).await?;
    let rows = answers[1].iter().map(read).collect::<Result<Vec<_>, Fault>>()?;
    let old = rows.into_iter().map(|mut kept| {
        kept.delivery.give_up(note.clone());
        put(kept)
    });
    let old: Vec<Put> = old.collect();
    let lines = lines(old.iter().map(|(_, it, _)| (target.as_str(), &it.event)));
    let mut steps = vec![put_step(&old)];
    steps.extend(turns(&lines, note.at));
    db.pipeline(None, &steps, Some(COMMIT)).await?;
    Ok(old.len())
}

const ERASE: &str = "WITH targets AS (DELETE FROM ringback.targets t WHERE t.scope = ANY ($1::text[]) \
    AND NOT EXISTS (SELECT FROM ringback.calls c WHERE c.id = t.scope) RETURNING id)
DELETE FROM ringback.deliveries d WHERE d.call_id = ANY ($1::text[]) AND (d.kind <> 'call.deleted' OR d.scoped) \
    AND NOT EXISTS (SELECT FROM ringback.calls c WHERE c.id = d.call_id)";
const LEFT: &str = "UPDATE ringback.deliveries SET due = created_at WHERE call_id = ANY ($1::text[]) AND state = 'pending' AND due IS NULL \
    AND kind = 'call.deleted'";

/// Drops what is on its way of those calls that are gone, but for the news of that, and whoever waits for them. After the calls themselves: who
/// makes deliveries holds the lock, and looks whether there is the call.
pub(super) fn erase<'a>(ids: &'a [&'a str]) -> [Step<'a>; 3] {
    let ids = || vec![Value::texts(ids, |id| Some(id))];
    [lock(), Step::new(ERASE, ids()), Step::new(LEFT, ids())]
}

/// A place in the order of deliveries, for whoever begins at the first.
pub(super) const FIRST: i64 = 0;

/// The store's words for a row that is not there.
pub(super) fn missing() -> Fault {
    StoreError::Unavailable("a row is missing".to_owned()).into()
}
