//! Results that could not be published when they were stored: somebody sat on the documents' table, slowed it down, or it refused them.
//!
//! Properties wanted: no commit waits for that table for long; what was stored is published in the end, by whichever instance is there; nothing
//! that was published since, or erased, comes back.
//!
//! Design: the commit leaves a note of the row; the raw payload is not copied, for it is the body of an event. A task takes notes by lease, one
//! after another, and publishes under the lock of the call. While the table is held nobody tries but this task.
//!
//! Races, by name:
//! - *The call changes meanwhile*: its commit holds the same lock, and puts its own row into the note, or publishes and takes the row out.
//! - *The call is erased*: the same lock, and the note goes with the record.
//! - *The body is dropped*: it is locked until the payload is published, and then cleared there; or it is gone before.
//! - *An instance that knows of no notes publishes*: what has a later version stays.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::{
    Ready, Shared,
    commit::{Publication, lock_of},
    fault::Fault,
    link::Db,
    pool::Kind,
    step::{Step, Value},
    write::{BEGIN, COMMIT, LOCK},
};
use crate::store::{PublishedRow, StoreError, rows::call_id, vault::Place};

/// How often notes are looked for that nobody here made: their instance may be gone.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How soon a note of our own is looked at, and how soon a table that is held is tried again.
const SOON: Duration = Duration::from_secs(1);
/// Whoever takes a note has this long, in milliseconds; then another one may.
const LEASE: i64 = 30_000;
/// How often a row is tried that the table refuses; the waits in between double from two seconds on, to a quarter of an hour: about three hours
/// in all.
const TRIES: i32 = 20;

const LEAVE: &str = "INSERT INTO ringback.unpublished AS u (call_id, result, report, due_at) \
    SELECT i.call_id, i.result, i.report, (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
    FROM unnest($1::text[], $2::text[], $3::text[]) AS i (call_id, result, report) ON CONFLICT (call_id) DO UPDATE \
    SET result = EXCLUDED.result, report = coalesce(EXCLUDED.report, u.report), tries = 0, due_at = EXCLUDED.due_at";
const PUBLISHED: &str = "UPDATE ringback.unpublished SET result = NULL WHERE call_id = ANY ($1::text[])";
const TAKE: &str = "UPDATE ringback.unpublished u SET due_at = t.now + $1 \
    FROM (SELECT n.call_id, c.now FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) c CROSS JOIN LATERAL \
        (SELECT call_id FROM ringback.unpublished WHERE due_at <= c.now ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) n) t \
    WHERE u.call_id = t.call_id RETURNING u.call_id, u.tries, u.due_at";
/// Nobody who commits something about the call waits longer for us than they would for another commit.
const BRISK: &str = "SELECT set_config('lock_timeout', '500ms', true), set_config('statement_timeout', '2500ms', true)";
const NOTED: &str = "SELECT result, report FROM ringback.unpublished WHERE call_id = $1 AND due_at = $2";
const REPORT: &str = "SELECT body FROM ringback.events WHERE id = $1 AND call_id = $2 AND body IS NOT NULL FOR SHARE";
const FINISH: &str = "DELETE FROM ringback.unpublished WHERE call_id = $1 AND due_at = $2";
const AGAIN: &str = "UPDATE ringback.unpublished SET due_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $3, tries = tries + $4 \
    WHERE call_id = $1 AND due_at = $2";

/// A note to be left.
#[derive(Debug)]
pub(super) struct Left<'a> {
    publication: &'a Publication,
    result: String,
}

impl<'a> Left<'a> {
    /// Without their payloads: those stand in the store already.
    pub(super) fn of(publications: &[&'a Publication]) -> Result<Vec<Self>, StoreError> {
        let written = |publication: &&'a Publication| {
            let row = PublishedRow { raw_webhook_payload: None, ..publication.row.clone() };
            let result = serde_json::to_string(&row);
            Ok(Self { publication, result: result.map_err(|error| StoreError::Unavailable(format!("no JSON of a result: {error}")))? })
        };
        publications.iter().map(written).collect()
    }
}

/// Notes what is to be published later.
pub(super) fn leave<'a>(notes: &'a [Left<'a>]) -> Step<'a> {
    let values = vec![
        Value::texts(notes, |it| it.publication.row.call_id.as_deref()),
        Value::texts(notes, |it| Some(&it.result)),
        Value::texts(notes, |it| it.publication.report.as_deref()),
    ];
    Step::new(LEAVE, values)
}

/// These are published: of what was noted only a report may be left to do.
pub(super) fn published<'a>(publications: &'a [&'a Publication]) -> Step<'a> {
    Step::new(PUBLISHED, vec![Value::texts(publications, |it| it.row.call_id.as_deref())])
}

/// A note that was taken.
#[derive(Debug)]
struct Taken {
    call_id: String,
    tries: i32,
    lease: i64,
}

/// How it went with one.
enum Outcome {
    Done,
    /// The table did not take it.
    Held(Fault),
}

/// Publishes until the store is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut pause = LOOK_EVERY;
    loop {
        tokio::select! {
            () = shared.closing.cancelled() => return,
            () = shared.unpublished.notified() => sleep(SOON).await,
            () = sleep(pause) => {}
        }
        pause = match publish_all(&shared).await {
            Ok(true) => LOOK_EVERY,
            Ok(false) => SOON,
            Err(fault) => {
                debug!(?fault, "What is to be published can't be looked up");
                LOOK_EVERY
            }
        };
    }
}

/// Publishes everything that is due; false when the table is held.
async fn publish_all(shared: &Shared) -> Result<bool, Fault> {
    loop {
        let Ok(ready) = shared.ready() else { return Ok(true) };
        if shared.closing.is_cancelled() {
            return Ok(true);
        }
        let Some(note) = shared.pool.run(Kind::Scan, async |db| take(&db).await).await? else { return Ok(true) };
        match shared.pool.run(Kind::Scan, async |db| publish(&db, shared, &ready, &note).await).await? {
            Outcome::Done => {
                if ready.publisher.is_held() {
                    info!("public.vapi_call_results can be written again");
                    ready.publisher.free();
                }
            }
            Outcome::Held(fault) => {
                if put_off(shared, &ready, &note, fault).await? {
                    return Ok(false);
                }
            }
        }
    }
}

async fn take(db: &Db) -> Result<Option<Taken>, Fault> {
    let rows = db.query(&Step::new(TAKE, vec![Value::whole(LEASE)])).await?;
    rows.first().map(|row| Ok(Taken { call_id: row.try_get(0)?, tries: row.try_get(1)?, lease: row.try_get(2)? })).transpose()
}

async fn publish(db: &Db, shared: &Shared, ready: &Ready, note: &Taken) -> Result<Outcome, Fault> {
    let ours = || vec![Value::text(&note.call_id), Value::whole(note.lease)];
    let locks = [lock_of(&ready.tombstones.hash(&call_id(&note.call_id)?))];
    let begin = [Step::new(BRISK, Vec::new()), Step::new(LOCK, vec![Value::wholes(&locks, |lock| Some(*lock))]), Step::new(NOTED, ours())];
    let noted = db.pipeline(Some(BEGIN), &begin, None).await?.pop().unwrap_or_default();
    let Some(noted) = noted.first() else {
        // Somebody else changed it, or it is gone.
        db.simple("ROLLBACK").await?;
        return Ok(Outcome::Done);
    };
    let payload = payload(db, shared, note, noted.try_get(1)?).await?;
    let result: Option<&str> = noted.try_get(0)?;
    let row = match result.map(serde_json::from_str::<PublishedRow>) {
        // A key may have come since.
        Some(Ok(row)) => Some(shared.packer.vault().hide_published(PublishedRow { raw_webhook_payload: payload.clone(), ..row })),
        Some(Err(error)) => return Err(Fault::Refused(format!("a note of a result can't be read: {error}"))),
        None => None,
    };
    let rows: Vec<&PublishedRow> = row.iter().collect();
    let step = match (&row, &payload) {
        (Some(_), _) => Some(ready.publisher.belated(&rows)),
        (None, Some(payload)) => Some(ready.publisher.fill(&note.call_id, payload)),
        (None, None) => None,
    };
    if let Some(step) = step
        && let Err(fault) = db.query(&step).await
    {
        if matches!(fault, Fault::Lost(_) | Fault::Pooled(_)) {
            return Err(fault);
        }
        db.simple("ROLLBACK").await?;
        return Ok(Outcome::Held(fault));
    }
    db.pipeline(None, &[Step::new(FINISH, ours())], Some(COMMIT)).await?;
    Ok(Outcome::Done)
}

/// The body of the report, if it is there still and may be read in clear.
async fn payload(db: &Db, shared: &Shared, note: &Taken, report: Option<&str>) -> Result<Option<String>, Fault> {
    let Some(event) = report.filter(|_| !shared.packer.vault().is_locked()) else { return Ok(None) };
    let rows = db.query(&Step::new(REPORT, vec![Value::text(event), Value::text(&note.call_id)])).await?;
    let Some(body) = rows.first().map(|row| row.try_get(0)).transpose()? else { return Ok(None) };
    let opened = shared.packer.open_text(Place::Body { call: Some(&note.call_id), event }, body);
    Ok(opened
        .inspect_err(|error| error!(%error, call_id = note.call_id, "A report can't be read; its result is published without it"))
        .ok())
}

/// It is tried again later, or given up; tells whether the others had better wait too.
async fn put_off(shared: &Shared, ready: &Ready, note: &Taken, fault: Fault) -> Result<bool, Fault> {
    let (call_id, tries) = (&note.call_id, note.tries);
    let again = (1_000_i64 << tries.saturating_add(1).clamp(1, 10)).min(900_000);
    let (is_held, wait, counted) = match &fault {
        // Somebody sits there; it costs little to see whether they still do.
        Fault::Again(_) => (true, i64::try_from(SOON.as_millis()).unwrap_or_default(), 0),
        Fault::Slow(_) => (true, again, i64::from(tries < TRIES)),
        _ => (false, again, 1),
    };
    if is_held {
        debug!(?fault, call_id, "public.vapi_call_results is still held");
        ready.publisher.hold();
    } else if tries >= TRIES {
        error!(?fault, call_id, "A result is refused by public.vapi_call_results again and again; given up until its call changes");
        let finish = async |db: Arc<Db>| db.query(&Step::new(FINISH, vec![Value::text(call_id), Value::whole(note.lease)])).await.map(drop);
        return shared.pool.run(Kind::Scan, finish).await.map(|()| false);
    } else {
        warn!(?fault, call_id, tries, "A result is refused by public.vapi_call_results; it is tried again");
    }
    let values = || vec![Value::text(call_id), Value::whole(note.lease), Value::whole(wait), Value::whole(counted)];
    shared.pool.run(Kind::Scan, async |db| db.query(&Step::new(AGAIN, values())).await.map(drop)).await?;
    Ok(is_held)
}
