//! Rows as they come out, and what they mean.

use tokio_postgres::Row;

use super::{
    commit::APP,
    fault::Fault,
    link::Db,
    step::{Step, Value},
};
use crate::{
    call::{id::CallId, time::Millis},
    store::{
        Due, Loaded, TimelineEntry, UnfoldedEvent,
        pack::Packer,
        rows::{CallRow, UNFOLDED, call_id},
        tombstone::TombstoneHash,
        vault::Place,
    },
};

/// What [`CallRow::read`] reads of `calls c` and `dues d`.
macro_rules! call_columns {
    () => {
        "c.id, c.revision, c.version, c.created_at, c.updated_at, c.record, d.reason, d.at, c.news"
    };
}
pub(super) use call_columns;

const LOAD: &str = concat!(
    "SELECT ",
    call_columns!(),
    ", EXISTS (SELECT FROM ringback.tombstones WHERE hash = $2::bytea) FROM (VALUES ($1::text)) AS asked (id) \
     LEFT JOIN ringback.calls c ON c.id = asked.id LEFT JOIN ringback.dues d ON d.call_id = c.id"
);

impl CallRow {
    pub(super) fn read(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            id: row.try_get(0)?,
            revision: row.try_get(1)?,
            version: row.try_get(2)?,
            created_at: row.try_get(3)?,
            updated_at: row.try_get(4)?,
            record: row.try_get(5)?,
            due: due(row, 6)?,
            news: row.try_get(8)?,
        })
    }

    /// When it was first heard of, and its id: the order of a purge.
    pub(super) fn age(&self) -> (i64, &str) {
        (self.created_at, &self.id)
    }
}

/// The call as it stands.
pub(super) async fn load(db: &Db, id: &CallId, tombstone: &TombstoneHash, packer: &Packer) -> Result<Loaded, Fault> {
    let row = db.query_one(&Step::new(LOAD, vec![Value::text(id.as_str()), Value::bytes(tombstone)])).await?;
    if row.try_get::<_, Option<&str>>(0)?.is_some() {
        return Ok(Loaded::Found(CallRow::read(&row)?.unpacked(packer)?));
    }
    Ok(if row.try_get(9)? { Loaded::Deleted } else { Loaded::Missing })
}

/// Reason and time from two columns on; the first is null when nothing is due.
pub(super) fn due(row: &Row, first: usize) -> Result<Option<Due>, Fault> {
    let urgency = row.try_get::<_, Option<i16>>(first)?;
    urgency.map(|urgency| Ok(Due::of_urgency(urgency.into(), Millis(row.try_get(first + 1)?)))).transpose()
}

const TIMELINE: &str = "\
SELECT received_at, kind, source, id, sent_at, proof, false AS repeat, changed, version, details, CASE WHEN $2 THEN body END, seq AS place, folded
FROM ringback.events WHERE call_id = $1
UNION ALL
SELECT r.received_at, e.kind, e.source, e.id, r.sent_at, r.proof, true, NULL, NULL, NULL, NULL, r.n, e.folded
FROM ringback.events e JOIN ringback.repeats r ON r.event = e.seq WHERE e.call_id = $1
ORDER BY received_at, repeat, place";

/// Everything that happened to a call, in order of time.
pub(super) async fn timeline(db: &Db, id: &CallId, bodies: bool, packer: &Packer) -> Result<Vec<TimelineEntry>, Fault> {
    let rows = db.query(&Step::new(TIMELINE, vec![Value::text(id.as_str()), Value::yes_or_no(bodies)])).await?;
    rows.iter().map(|row| timeline_entry(row, Some(id.as_str()), packer)).collect()
}

/// An entry about this call, or none.
pub(super) fn timeline_entry(row: &Row, call: Option<&str>, packer: &Packer) -> Result<TimelineEntry, Fault> {
    let changed: Option<&str> = row.try_get(7)?;
    let stored: Option<&[u8]> = row.try_get(10)?;
    Ok(TimelineEntry {
        at: Millis(row.try_get(0)?),
        kind: row.try_get(1)?,
        source: row.try_get(2)?,
        event_id: row.try_get(3)?,
        folded: row.try_get(12)?,
        sent_at: row.try_get::<_, Option<i64>>(4)?.map(Millis),
        proof: row.try_get(5)?,
        duplicate: row.try_get(6)?,
        changed: changed.iter().flat_map(|names| names.split(',')).map(str::to_owned).collect(),
        version: row.try_get::<_, Option<i64>>(8)?.map(i64::cast_unsigned),
        details: row.try_get(9)?,
        body: stored.map(|body| packer.open_text(Place::Body { call, event: row.try_get(3).unwrap_or_default() }, body)).transpose()?,
    })
}

const UNREAD: &str = "SELECT id, call_id, source, received_at, body FROM ringback.events \
    WHERE NOT folded AND app IS DISTINCT FROM $1 AND body IS NOT NULL ORDER BY seq LIMIT $2";

/// Events that another release could not read.
pub(super) async fn unfolded(db: &Db, packer: &Packer) -> Result<Vec<UnfoldedEvent>, Fault> {
    let rows = db.query(&Step::new(UNREAD, vec![Value::text(APP), Value::count(UNFOLDED)])).await?;
    let event = |row: &Row| {
        let call = row.try_get::<_, Option<&str>>(1)?;
        let body = packer.open(Place::Body { call, event: row.try_get(0)? }, row.try_get(4)?)?;
        let call_id = call.map(call_id).transpose()?;
        Ok(UnfoldedEvent { id: row.try_get(0)?, call_id, source: row.try_get(2)?, received_at: Millis(row.try_get(3)?), body })
    };
    rows.iter().map(event).collect()
}
