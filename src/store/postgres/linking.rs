//! Telling other programs' tables, `public.providers` and `public.interaction_logs`, how their calls went.
//!
//! Properties wanted: once in effect; tried again when it fails; never in the way of a commit, whatever those tables are like.
//!
//! Design: a commit only notes that there is something to tell. A task of its own takes what is noted by lease, reads the record as it stands,
//! and tells; in one transaction with the note that this is done. The tables may lack columns, or have types of their own: what is there is
//! written, cast to what it is. Tables that are not there are not told.
//!
//! Races, by name:
//! - *Two instances tell the same*: whoever ends second finds the note changed, and undoes what it did.
//! - *The call changes meanwhile*: the commit moves the note, and it is told again.
//! - *Somebody holds a lock on a row of those tables*: the note is locked last, so that commits wait for nobody but us.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, error, warn};

use super::{
    Shared,
    fault::Fault,
    link::Db,
    pool::Kind,
    published::types_of,
    rows,
    step::{Step, Value},
    told::{LOGS, PROVIDERS, Telling, statement},
    write::{BEGIN, COMMIT},
};
use crate::{
    call::record::{CallRecord, CallState},
    store::{Columns, Loaded, rows::call_id, tombstone::TombstoneKey},
};

/// Whom to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Provider = 0,
    Log = 1,
}

/// Something to tell about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) target: Target,
    pub(super) stage: i64,
}

/// The call goes on.
const LIVE: i64 = 1;
/// Its result is complete.
const DONE: i64 = 2;

/// What there is to tell of a record.
pub(super) fn notes(record: &CallRecord, columns: &Columns) -> Vec<Note> {
    let is_uuid = |id: &Option<String>| id.as_deref().is_some_and(|id| uuid::Uuid::try_parse(id).is_ok());
    let is_live = !record.has_result() && record.state >= CallState::Queued && record.state < CallState::Ended;
    let stage = if record.is_done() {
        DONE
    } else if is_live {
        LIVE
    } else {
        return Vec::new();
    };
    let provider = is_uuid(&columns.provider_id).then_some(Note { target: Target::Provider, stage });
    let log = (stage == DONE && is_uuid(&columns.service_request_id)).then_some(Note { target: Target::Log, stage });
    provider.into_iter().chain(log).collect()
}

/// Notes what is new: a log entry is made once, a provider is told again when a complete result becomes a better one.
pub(super) const NOTE: &str = "INSERT INTO ringback.links AS l (call_id, target, stage, due_at) \
    SELECT i.call_id, i.target, i.stage, (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS i (call_id, target, stage) ON CONFLICT (call_id, target) DO UPDATE \
    SET stage = EXCLUDED.stage, due_at = EXCLUDED.due_at, tries = 0 \
    WHERE l.stage < EXCLUDED.stage OR (EXCLUDED.target = 0 AND EXCLUDED.stage = 2)";

/// How often notes are looked for that nobody here made: their instance may be gone.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After the store failed, the next look comes after this long.
const PAUSE: Duration = Duration::from_secs(2);
/// Whoever takes a note has this long, in milliseconds; then another one may.
const LEASE: i64 = 30_000;
/// Notes taken at once: all of them may have to wait for a lock, one after another, within one lease.
const AT_ONCE: i64 = 5;
/// How often a note is tried; the waits in between double from two seconds on, to a quarter of an hour: about three hours in all.
const TRIES: i32 = 20;

const TAKE: &str = "UPDATE ringback.links l SET due_at = t.now + $1, tries = l.tries + 1 \
    FROM (SELECT n.call_id, n.target, c.now FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) c CROSS JOIN LATERAL \
        (SELECT call_id, target FROM ringback.links WHERE due_at <= c.now ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED) n) t \
    WHERE l.call_id = t.call_id AND l.target = t.target RETURNING l.call_id, l.target, l.tries, l.due_at";
/// Nothing comes back when somebody else changed the note.
const FINISH: &str = "UPDATE ringback.links SET due_at = NULL WHERE call_id = $1 AND target = $2 AND due_at = $3 RETURNING true";
const AGAIN: &str = "UPDATE ringback.links SET due_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $4 \
    WHERE call_id = $1 AND target = $2 AND due_at = $3";

/// A note that was taken.
#[derive(Debug, Clone)]
struct Taken {
    call_id: String,
    target: Target,
    tries: i32,
    lease: i64,
}

/// Tells until the store is closed.
pub(super) async fn run(shared: std::sync::Arc<Shared>) {
    loop {
        let pause = match tell_all(&shared).await {
            Ok(()) => LOOK_EVERY,
            Err(fault) => {
                debug!(?fault, "What is to be told to other tables can't be looked up");
                PAUSE
            }
        };
        tokio::select! {
            () = shared.closing.cancelled() => return,
            () = shared.noted.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Tells everything that is due.
async fn tell_all(shared: &Shared) -> Result<(), Fault> {
    loop {
        if shared.condition.check().is_err() {
            return Ok(());
        }
        let taken = shared.pool.run(Kind::Scan, async |db| take(&db).await).await?;
        if taken.is_empty() {
            return Ok(());
        }
        for note in taken {
            if shared.closing.is_cancelled() {
                return Ok(());
            }
            if let Err(fault) = tell(shared, &note).await {
                put_off(shared, &note, fault).await?;
            }
        }
    }
}

async fn take(db: &Db) -> Result<Vec<Taken>, Fault> {
    let rows = db.query(&Step::new(TAKE, vec![Value::whole(LEASE), Value::whole(AT_ONCE)])).await?;
    let taken = |row: &tokio_postgres::Row| {
        let target = if row.try_get::<_, i16>(1)? == 0 { Target::Provider } else { Target::Log };
        Ok(Taken { call_id: row.try_get(0)?, target, tries: row.try_get(2)?, lease: row.try_get(3)? })
    };
    rows.iter().map(taken).collect()
}

async fn tell(shared: &Shared, note: &Taken) -> Result<(), Fault> {
    let Some(ready) = shared.known() else { return Ok(()) };
    shared.pool.run(Kind::Scan, async |db| tell_on(&db, shared, &ready.tombstones, note).await).await
}

async fn tell_on(db: &Db, shared: &Shared, tombstones: &TombstoneKey, note: &Taken) -> Result<(), Fault> {
    let id = call_id(&note.call_id)?;
    let Loaded::Found(call) = rows::load(db, &id, &tombstones.hash(&id), &shared.packer).await? else {
        return db.query(&changed(note, FINISH, None)).await.map(drop);
    };
    let telling = Telling::of(&call);
    let (table, values) = match note.target {
        Target::Provider => (&PROVIDERS, telling.provider()),
        Target::Log => (&LOGS, telling.log()),
    };
    let types = types_of(db, table.name).await?;
    let sql = statement(table, &values, &types);
    db.simple(BEGIN).await?;
    if let Some(sql) = sql {
        db.query(&Step::once(sql, values.into_iter().map(|(_, _, value)| value).collect())).await?;
    }
    let is_ours = !db.query(&changed(note, FINISH, None)).await?.is_empty();
    db.simple(if is_ours { COMMIT } else { "ROLLBACK" }).await
}

/// It is tried again later, or given up.
async fn put_off(shared: &Shared, note: &Taken, fault: Fault) -> Result<(), Fault> {
    let table = if note.target == Target::Provider { PROVIDERS.name } else { LOGS.name };
    if note.tries >= TRIES {
        error!(?fault, call_id = note.call_id, table, "A call's outcome could not be told to this table; given up");
        return shared.pool.run(Kind::Scan, async |db| db.query(&changed(note, FINISH, None)).await.map(drop)).await;
    }
    warn!(?fault, call_id = note.call_id, table, tries = note.tries, "A call's outcome could not be told to this table; it is tried again");
    let wait = (1_000_i64 << note.tries.clamp(1, 10)).min(900_000);
    shared.pool.run(Kind::Scan, async |db| db.query(&changed(note, AGAIN, Some(wait))).await.map(drop)).await
}

/// Changes the note, if it is still ours.
fn changed<'a>(note: &'a Taken, sql: &'a str, wait: Option<i64>) -> Step<'a> {
    let mut values = vec![Value::text(&note.call_id), Value::whole(note.target as i64), Value::whole(note.lease)];
    values.extend(wait.map(Value::whole));
    Step::new(sql, values)
}

#[cfg(test)]
mod tests {
    use super::{DONE, LIVE, Note, Target, notes};
    use crate::{
        call::record::{CallRecord, CallState, Settled},
        store::Columns,
    };

    const ID: &str = "00000000-0000-0000-0000-00000000000a";

    fn columns(provider: &str, request: &str) -> Columns {
        Columns { provider_id: Some(provider.to_owned()), service_request_id: Some(request.to_owned()), ..Columns::default() }
    }

    #[test]
    fn what_is_told_depends_on_how_far_the_call_is_and_on_the_ids() {
        let at = |state| CallRecord { state, ..CallRecord::default() };
        let reported = CallRecord { reported: true, ..at(CallState::Ended) };
        let done = CallRecord { settled: Some(Settled::Complete), ..reported.clone() };
        let (provider, log) = (|stage| Note { target: Target::Provider, stage }, Note { target: Target::Log, stage: DONE });
        for (record, told) in [
            (at(CallState::Unknown), vec![]),
            (at(CallState::Scheduled), vec![]),
            (at(CallState::Ringing), vec![provider(LIVE)]),
            (at(CallState::InProgress), vec![provider(LIVE)]),
            (at(CallState::Ended), vec![]),
            (reported, vec![]),
            (done.clone(), vec![provider(DONE), log]),
        ] {
            assert_eq!(notes(&record, &columns(ID, ID)), told, "{record:?}");
        }
        assert_eq!(notes(&done, &columns("42", ID)), [log]);
        assert_eq!(notes(&done, &columns(ID, "request-1")), [provider(DONE)]);
        assert_eq!(notes(&done, &Columns::default()), []);
    }
}
