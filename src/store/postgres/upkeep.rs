//! What is written besides commits: due times, deletion, retention.

use std::sync::Arc;

use super::{
    commit::lock_of,
    deliveries,
    fault::Fault,
    link::Db,
    news::LOG,
    rows::call_columns,
    signal::{CHANNEL, told},
    step::{Step, Value},
    write::{BEGIN, COMMIT, HURRY, LOCK, NOTIFY},
};
use crate::{
    call::{id::CallId, time::Millis},
    store::{
        Due, Signal, StoredCall,
        pack::Packer,
        rows::{CallRow, call_id},
        seldom::Counts,
        tombstone::{TombstoneHash, TombstoneKey},
    },
};

const SET_DUE: &str = "INSERT INTO ringback.dues (call_id, reason, at) SELECT c.id, $2::bigint, $3::bigint FROM ringback.calls c WHERE c.id = $1 \
    ON CONFLICT (call_id) DO UPDATE SET reason = EXCLUDED.reason, at = EXCLUDED.at, lease_until = NULL";
const UNSET_DUE: &str = "DELETE FROM ringback.dues WHERE call_id = $1::text";

/// Does something that touches the documents' table, while the locks of these calls are held; returns the rows of the first statement. Whoever
/// sits on that table is waited for only so long: it is locked as soon as a statement is prepared, so that comes after the limits are set. Nothing is
/// done then: what is erased is erased everywhere.
pub(super) async fn everywhere(db: &Db, locks: &[i64], steps: &[Step<'_>]) -> Result<Vec<tokio_postgres::Row>, Fault> {
    let begin = [Step::new(LOCK, vec![Value::wholes(locks, |lock| Some(*lock))]), Step::new(HURRY, Vec::new())];
    db.pipeline(Some(BEGIN), &begin, None).await?;
    let answers = db.pipeline(None, steps, Some(COMMIT)).await.map_err(|fault| match fault {
        Fault::Again(why) if why.starts_with(LOCKED) => Fault::Again(format!("somebody holds public.vapi_call_results ({why})")),
        Fault::Slow(why) => Fault::Slow(format!("public.vapi_call_results takes too long ({why})")),
        other => other,
    })?;
    Ok(answers.into_iter().next().unwrap_or_default())
}

/// What the server says when a lock could not be had in time.
const LOCKED: &str = "55P03";

pub(super) async fn set_due(db: &Db, id: &CallId, hash: &TombstoneHash, due: Option<Due>) -> Result<(), Fault> {
    let id = Value::text(id.as_str());
    let step = match due {
        Some(due) => Step::new(SET_DUE, vec![id, Value::whole(due.urgency().into()), Value::whole(due.at.0)]),
        None => Step::new(UNSET_DUE, vec![id]),
    };
    let locks = [lock_of(hash)];
    let lock = Step::new(LOCK, vec![Value::wholes(&locks, |lock| Some(*lock))]);
    db.pipeline(Some(BEGIN), &[lock, step], Some(COMMIT)).await.map(drop)
}

/// What is held by somebody is passed over, so that instances don't wait for each other.
const LEASE: &str = "WITH ready AS (
    SELECT d.call_id, d.reason, d.at FROM (VALUES (0), (1), (2)) AS kinds (reason) CROSS JOIN LATERAL (
        SELECT call_id, reason, at FROM ringback.dues
        WHERE reason = kinds.reason AND at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
        ORDER BY at LIMIT $3 FOR UPDATE SKIP LOCKED
    ) d ORDER BY d.reason, d.at LIMIT $3
)
UPDATE ringback.dues SET lease_until = $2 FROM ready WHERE dues.call_id = ready.call_id RETURNING ready.call_id, ready.reason, ready.at";

pub(super) async fn lease_due(db: &Db, now: Millis, until: Millis, limit: usize) -> Result<Vec<CallId>, Fault> {
    let step = Step::new(LEASE, vec![Value::whole(now.0), Value::whole(until.0), Value::count(limit)]);
    let rows = db.query(&step).await?;
    let mut taken = rows
        .iter()
        .map(|row| Ok((row.try_get::<_, i16>(1)?, row.try_get::<_, i64>(2)?, row.try_get::<_, &str>(0)?)))
        .collect::<Result<Vec<_>, Fault>>()?;
    taken.sort_unstable();
    taken.into_iter().map(|(_, _, id)| Ok(call_id(id)?)).collect()
}

/// When [`lease_due`] will find something: a leased call is free again when its lease is over.
const NEXT_DUE: &str = "SELECT min(greatest(at, coalesce(lease_until, at))) FROM ringback.dues";

pub(super) async fn next_due(db: &Db) -> Result<Option<Millis>, Fault> {
    Ok(db.query_one(&Step::new(NEXT_DUE, Vec::new())).await?.try_get::<_, Option<i64>>(0)?.map(Millis))
}

const COUNTS: &str = "SELECT count(*), min(at), (SELECT count(*) FROM ringback.deliveries WHERE state = 'pending'), \
    (SELECT count(*) FROM ringback.deliveries WHERE state = 'dead') FROM ringback.dues";

/// What waits, row by row.
pub(super) async fn counts(db: &Db) -> Result<Counts, Fault> {
    let row = db.query_one(&Step::new(COUNTS, Vec::new())).await?;
    let count = |column: usize| Ok::<_, Fault>(row.try_get::<_, i64>(column)?.cast_unsigned());
    Ok(Counts { due: (count(0)?, row.try_get::<_, Option<i64>>(1)?.map(Millis)), push: (count(2)?, count(3)?) })
}

const ERASE: &str = "WITH events AS (DELETE FROM ringback.events WHERE call_id = $1 RETURNING seq),
repeats AS (DELETE FROM ringback.repeats r USING events WHERE r.event = events.seq),
calls AS (DELETE FROM ringback.calls WHERE id = $1 RETURNING id, news),
news AS (DELETE FROM ringback.news WHERE call_id = $1 AND kind <> 'call.deleted'),
told AS (INSERT INTO ringback.news (at, call_id, sequence, kind) SELECT $3, id, news + 1, 'call.deleted' FROM calls),
dues AS (DELETE FROM ringback.dues WHERE call_id = $1),
links AS (DELETE FROM ringback.links WHERE call_id = $1),
published AS (DELETE FROM public.vapi_call_results WHERE call_id::text = $1),
known AS (SELECT EXISTS (SELECT FROM events) OR EXISTS (SELECT FROM calls) AS known),
buried AS (INSERT INTO ringback.tombstones (hash, at) SELECT $2, $3 FROM known WHERE known OR $4 ON CONFLICT (hash) DO NOTHING)
SELECT known FROM known";

/// Erases everything about a call, leaves a tombstone if it was known or `always`, and tells everyone; tells whether there was anything.
pub(super) async fn erase(db: &Db, id: &CallId, hash: &TombstoneHash, at: Millis, always: bool) -> Result<bool, Fault> {
    let texts = told(&[Signal::Erased(id.clone())]);
    let values = vec![Value::text(id.as_str()), Value::bytes(hash), Value::whole(at.0), Value::yes_or_no(always)];
    let notify = vec![Value::text(CHANNEL), Value::texts(&texts, |text| Some(text))];
    let ids = [id.as_str()];
    let mut steps = vec![Step::new(ERASE, values), Step::new(NOTIFY, notify)];
    steps.extend(deliveries::erase(&ids));
    let rows = everywhere(db, &[lock_of(hash), LOG], &steps).await?;
    let row = rows.first().ok_or_else(|| Fault::Refused("a row is missing".to_owned()))?;
    Ok(row.try_get(0)?)
}

const OLD: &str = concat!(
    "SELECT ",
    call_columns!(),
    " FROM ringback.calls c LEFT JOIN ringback.dues d ON d.call_id = c.id \
     WHERE c.created_at < $1 AND (c.ended_at IS NULL OR c.ended_at < $1) ORDER BY c.created_at, c.id LIMIT $2"
);

/// Calls whose later of end and first sight lies before a moment, oldest first.
pub(super) async fn calls_before(db: &Db, before: Millis, limit: usize, packer: &Packer) -> Result<Vec<Arc<StoredCall>>, Fault> {
    let rows = db.query(&Step::new(OLD, vec![Value::whole(before.0), Value::count(limit)])).await?;
    rows.iter().map(|row| Ok(CallRow::read(row)?.unpacked(packer)?)).collect()
}

/// The calls named, unless they ended lately after all.
const PURGE: &str = concat!(
    "WITH gone AS (DELETE FROM ringback.calls WHERE id = ANY ($1::text[]) AND created_at < $2 AND (ended_at IS NULL OR ended_at < $2) RETURNING *),
events AS (DELETE FROM ringback.events e USING gone WHERE e.call_id = gone.id RETURNING e.seq),
repeats AS (DELETE FROM ringback.repeats r USING events WHERE r.event = events.seq),
dues AS (DELETE FROM ringback.dues d USING gone WHERE d.call_id = gone.id),
links AS (DELETE FROM ringback.links l USING gone WHERE l.call_id = gone.id),
news AS (DELETE FROM ringback.news n USING gone WHERE n.call_id = gone.id AND n.kind <> 'call.deleted'),
published AS (DELETE FROM public.vapi_call_results p USING gone WHERE p.call_id::text = gone.id)
SELECT ",
    call_columns!(),
    " FROM gone c LEFT JOIN ringback.dues d ON d.call_id = c.id"
);

/// Drops at most `limit` of those calls with their events and returns them, oldest first.
pub(super) async fn purge_calls(db: &Db, before: Millis, limit: usize, key: &TombstoneKey) -> Result<Vec<CallRow>, Fault> {
    let old = db.query(&Step::new(OLD_IDS, vec![Value::whole(before.0), Value::count(limit)])).await?;
    let ids = old.iter().map(|row| Ok(call_id(row.try_get(0)?)?)).collect::<Result<Vec<_>, Fault>>()?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut locks: Vec<i64> = ids.iter().map(|id| lock_of(&key.hash(id))).collect();
    locks.sort_unstable();
    let ids: Vec<&str> = ids.iter().map(CallId::as_str).collect();
    let steps = vec![Step::new(PURGE, vec![Value::texts(&ids, |id| Some(id)), Value::whole(before.0)])];
    let steps: Vec<_> = steps.into_iter().chain(deliveries::erase(&ids)).collect();
    let gone = everywhere(db, &locks, &steps).await?;
    let mut gone = gone.iter().map(CallRow::read).collect::<Result<Vec<_>, _>>()?;
    gone.sort_by(|a, b| a.age().cmp(&b.age()));
    Ok(gone)
}

const OLD_IDS: &str =
    "SELECT id FROM ringback.calls WHERE created_at < $1 AND (ended_at IS NULL OR ended_at < $1) ORDER BY created_at, id LIMIT $2";

const LEFTOVERS: &str = "WITH events AS (DELETE FROM ringback.events WHERE seq IN (
    SELECT seq FROM ringback.events e WHERE received_at < $1 AND NOT EXISTS (SELECT FROM ringback.calls c WHERE c.id = e.call_id) LIMIT $2
) RETURNING seq),
repeats AS (DELETE FROM ringback.repeats r USING events WHERE r.event = events.seq),
tombstones AS (DELETE FROM ringback.tombstones WHERE hash IN (SELECT hash FROM ringback.tombstones WHERE at < $1 LIMIT $2) RETURNING hash)
SELECT greatest((SELECT count(*) FROM events), (SELECT count(*) FROM tombstones))";

/// Drops at most `limit` tombstones and events without a record; returns how many of each.
pub(super) async fn purge_leftovers(db: &Db, before: Millis, limit: usize) -> Result<usize, Fault> {
    counted(&[db.query_one(&Step::new(LEFTOVERS, vec![Value::whole(before.0), Value::count(limit)])).await?])
}

const DROP_BODIES: &str = "WITH dropped AS (UPDATE ringback.events SET body = NULL WHERE seq IN (
    SELECT seq FROM ringback.events WHERE body IS NOT NULL AND received_at < $1 ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED
) RETURNING call_id, source),
cleared AS (UPDATE public.vapi_call_results SET raw_webhook_payload = NULL
    WHERE call_id::text IN (SELECT call_id FROM dropped WHERE source = 'end-of-call-report') AND raw_webhook_payload IS NOT NULL)
SELECT count(*) FROM dropped";

/// Drops the bodies of the oldest events that have one, if they were received before a moment; returns how many. A published report goes with
/// the body of a report of its call.
pub(super) async fn drop_bodies(db: &Db, before: Millis, limit: usize) -> Result<usize, Fault> {
    counted(&everywhere(db, &[], &[Step::new(DROP_BODIES, vec![Value::whole(before.0), Value::count(limit)])]).await?)
}

/// The number in the only row.
fn counted(rows: &[tokio_postgres::Row]) -> Result<usize, Fault> {
    let row = rows.first().ok_or_else(|| Fault::Refused("a row is missing".to_owned()))?;
    Ok(usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default())
}
