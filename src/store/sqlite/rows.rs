//! Rows as they come out, and what they mean.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    call::{id::CallId, time::Millis, words},
    store::{
        Due, StoreError, TimelineEntry, UnfoldedEvent,
        pack::Packer,
        rows::{CallRow, UNFOLDED, call_id, count},
        vault::Place,
    },
};

/// What [`CallRow::read`] reads, of `calls c`, `records r` and `dues d`.
macro_rules! call_columns {
    () => {
        "c.id, c.revision, c.version, c.created_at, c.updated_at, r.record, d.reason, d.at, c.news \
         FROM calls c JOIN records r ON r.call = c.n LEFT JOIN dues d ON d.call = c.n "
    };
}

const CALL_BY_ID: &str = concat!("SELECT ", call_columns!(), "WHERE c.id = ?1");
const CALL_BY_N: &str = concat!("SELECT ", call_columns!(), "WHERE c.n = ?1");

/// What [`words_of`] reads, and more about the call. The record is large: it is read where it is looked at, and nowhere else.
macro_rules! words_columns {
    () => {
        "SELECT c.id, r.search, iif(length(r.search) = 0, r.record, NULL), c.n, c.revision, c.sieved IS c.revision \
         FROM calls c JOIN records r ON r.call = c.n WHERE "
    };
}

/// The words of a call.
pub(super) const WORDS_BY_N: &str = concat!(words_columns!(), "c.n = ?1");
/// The words of so many calls, from a number on; then the number of each, its revision, and whether that one is sieved.
pub(super) const WORDS_FROM_N: &str = concat!(words_columns!(), "c.n >= ?1 AND c.n < ?1 + ?2");

fn read(row: &Row<'_>) -> rusqlite::Result<CallRow> {
    Ok(CallRow {
        id: row.get(0)?,
        revision: row.get(1)?,
        version: row.get(2)?,
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
        record: row.get(5)?,
        due: due(row, 6)?,
        news: row.get(8)?,
    })
}

impl CallRow {
    pub(super) fn by_id(db: &Connection, id: &CallId) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached(CALL_BY_ID)?.query_row([id.as_str()], read).optional()
    }

    pub(super) fn by_n(db: &Connection, n: i64) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached(CALL_BY_N)?.query_row([n], read).optional()
    }
}

/// The text in which words are looked for: the one that stands beside the record, or else what the record tells.
pub(super) fn words_of<'r>(row: &'r Row<'_>, packer: &Packer) -> Result<Cow<'r, str>, StoreError> {
    let noted = row.get_ref(1)?.as_blob().unwrap_or_default();
    if !noted.is_empty() {
        return packer.text(noted);
    }
    let id = row.get_ref(0)?.as_str().unwrap_or_default();
    let record = packer.open_json(Place::Record(id), row.get_ref(2)?.as_blob().unwrap_or_default())?;
    Ok(Cow::Owned(words::of(&call_id(id)?, &record)))
}

/// Reason and time from two columns on; the first is null when nothing is due.
pub(super) fn due(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Due>> {
    let urgency = row.get::<_, Option<i64>>(first)?;
    urgency.map(|urgency| Ok(Due::of_urgency(urgency, Millis(row.get(first + 1)?)))).transpose()
}

const TIMELINE: &str = "\
SELECT received_at, kind, source, id, sent_at, proof, 0 AS repeat, changed, version, details, iif(?2, body, NULL), seq, folded
FROM events WHERE call_id = ?1
UNION ALL
SELECT r.received_at, e.kind, e.source, e.id, r.sent_at, r.proof, 1, NULL, NULL, NULL, NULL, r.n, e.folded
FROM events e JOIN repeats r ON r.event = e.seq WHERE e.call_id = ?1
ORDER BY 1, 7, 12";

/// Everything that happened to a call, in order of time.
pub(super) fn timeline(db: &Connection, id: &CallId, bodies: bool, packer: &Packer) -> Result<Vec<TimelineEntry>, StoreError> {
    let mut find = db.prepare_cached(TIMELINE)?;
    let rows = find.query_map((id.as_str(), bodies), |row| Ok((timeline_entry(row)?, row.get::<_, Option<Vec<u8>>>(10)?)))?;
    rows.map(|row| {
        let (entry, blob) = row?;
        let place = Place::Body { call: Some(id.as_str()), event: &entry.event_id };
        let body = blob.map(|blob| packer.open_text(place, &blob)).transpose()?;
        Ok(TimelineEntry { body, ..entry })
    })
    .collect()
}

pub(super) fn timeline_entry(row: &Row<'_>) -> rusqlite::Result<TimelineEntry> {
    let changed: Option<String> = row.get(7)?;
    Ok(TimelineEntry {
        at: Millis(row.get(0)?),
        kind: row.get(1)?,
        source: row.get(2)?,
        event_id: row.get(3)?,
        sent_at: row.get::<_, Option<i64>>(4)?.map(Millis),
        proof: row.get(5)?,
        duplicate: row.get(6)?,
        changed: changed.iter().flat_map(|names| names.split(',')).map(str::to_owned).collect(),
        version: row.get::<_, Option<i64>>(8)?.map(i64::cast_unsigned),
        details: row.get(9)?,
        folded: row.get(12)?,
        body: None,
    })
}

/// Events that another release could not read.
pub(super) fn unfolded(db: &Connection, app: &str, packer: &Packer) -> Result<Vec<UnfoldedEvent>, StoreError> {
    let mut find = db.prepare_cached(
        "SELECT id, call_id, source, received_at, body FROM events WHERE folded = 0 AND app IS NOT ?1 AND has_body = 1 ORDER BY seq LIMIT ?2",
    )?;
    let row = |row: &Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get(2)?, row.get(3)?, row.get::<_, Vec<u8>>(4)?))
    };
    let rows = find.query_map(params![app, count(UNFOLDED)], row)?;
    rows.map(|row| {
        let (id, call, source, received_at, body) = row?;
        let call_id = call.as_deref().map(call_id).transpose()?;
        let body = packer.open(Place::Body { call: call.as_deref(), event: &id }, &body)?;
        Ok(UnfoldedEvent { id, call_id, source, received_at: Millis(received_at), body })
    })
    .collect()
}
