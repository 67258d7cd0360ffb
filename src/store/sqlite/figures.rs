//! Numbers about calls, and tallies.

use std::sync::Arc;

use rusqlite::{Connection, Row, params, params_from_iter};

use super::{PURGE_STEP, SMALL, SqliteStore, list::Conditions, readers::Read};
use crate::{
    call::{measures::Measures, time::Millis},
    store::{
        CallFilter, StoreError,
        figures::{Counting, Figures, Packed},
        pack::Packer,
        rows::{CallRow, count},
        tally::{Counted, Tally, counted},
    },
};

/// Calls that one transaction measures.
const STEP: i64 = 200;

/// The six columns of measures, from one on.
pub(super) fn packed(row: &Row<'_>, first: usize) -> rusqlite::Result<Packed> {
    Ok(Packed {
        marks: row.get(first)?,
        duration: row.get(first + 1)?,
        cost: row.get(first + 2)?,
        completion: row.get(first + 3)?,
        fetches: row.get(first + 4)?,
        score: row.get(first + 5)?,
    })
}

/// Counts the calls that match, from one snapshot.
fn figures(db: &Connection, filter: &CallFilter, packer: &Packer) -> Result<Figures, StoreError> {
    let snapshot = db.unchecked_transaction()?;
    let (conditions, values) = Conditions::of(filter).with_phone(filter).parts();
    let mut counting = Counting::default();
    let measured = format!(
        "SELECT c.created_at, c.marks, c.duration, c.cost, c.completion, c.fetches, c.score FROM calls c INDEXED BY calls_measured \
         WHERE c.marks IS NOT NULL{conditions}"
    );
    let mut find = snapshot.prepare_cached(&measured)?;
    let mut rows = find.query(params_from_iter(&values))?;
    while let Some(row) = rows.next()? {
        counting.add(row.get(0)?, &packed(row, 1)?);
    }
    let unmeasured = format!("SELECT c.n FROM calls c INDEXED BY calls_unmeasured WHERE c.marks IS NULL{conditions}");
    let mut find = snapshot.prepare_cached(&unmeasured)?;
    let mut rows = find.query(params_from_iter(&values))?;
    while let Some(row) = rows.next()? {
        if let Some(row) = CallRow::by_n(&snapshot, row.get(0)?)? {
            let call = row.unpacked(packer)?;
            counting.add(call.created_at.0, &Packed::of(&Measures::of(&call.record, call.created_at), packer.vault().is_locked()));
        }
    }
    Ok(counting.figures())
}

/// A call that is to be measured: number, revision, measures.
type Measured = (i64, u64, Packed);

/// Measures some of the calls that another release wrote, the newest first.
fn unmeasured(db: &Connection, packer: &Packer) -> Result<Vec<Measured>, StoreError> {
    let mut find =
        db.prepare_cached("SELECT n FROM calls INDEXED BY calls_unmeasured WHERE marks IS NULL ORDER BY created_at DESC LIMIT ?1")?;
    let numbers = find.query_map([STEP], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut found = Vec::with_capacity(numbers.len());
    for n in numbers {
        if let Some(row) = CallRow::by_n(db, n)? {
            // What can't be read is counted as a call of which nothing is known, or it would be tried for ever.
            let call = row.unpacked(packer);
            let (revision, heard_at, record) = call.map(|call| (call.revision, call.created_at, call.record.clone())).unwrap_or_default();
            found.push((n, revision, Packed::of(&Measures::of(&record, heard_at), packer.vault().is_locked())));
        }
    }
    Ok(found)
}

/// Writes measures. One that is of an older revision by now is as good as none.
fn put(db: &Connection, measured: &[Measured]) -> rusqlite::Result<usize> {
    let mut put = db.prepare_cached(
        "UPDATE calls SET measured = ?2, marks = ?3, duration = ?4, cost = ?5, completion = ?6, fetches = ?7, score = ?8 \
         WHERE n = ?1 AND (revision = ?2 OR ?2 = 0)",
    )?;
    for (n, revision, it) in measured {
        put.execute(params![n, revision.cast_signed(), it.marks, it.duration, it.cost, it.completion, it.fetches, it.score])?;
    }
    Ok(measured.len())
}

fn put_tallies(db: &Connection, tallies: &[Tally]) -> rusqlite::Result<()> {
    let mut put = db.prepare_cached(
        "INSERT INTO tallies (hour, source, name, count) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (hour, source, name) DO UPDATE SET count = max(count, excluded.count)",
    )?;
    for Tally { hour, source, name, count } in tallies {
        put.execute(params![hour, source, name, count.cast_signed()])?;
    }
    Ok(())
}

fn tallies(db: &Connection, since: i64, until: i64) -> Result<Vec<Counted>, StoreError> {
    let mut find = db.prepare_cached("SELECT hour, name, sum(count) FROM tallies WHERE hour >= ?1 AND hour < ?2 GROUP BY hour, name")?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned()));
    let rows = find.query_map([since, until], row)?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(counted(rows))
}

/// Drops at most `limit` tallies of hours before this one; returns how many went.
pub(super) fn drop_tallies(db: &Connection, before: i64, limit: usize) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM tallies WHERE (hour, source, name) IN (SELECT hour, source, name FROM tallies WHERE hour < ?1 LIMIT ?2)",
    )?
    .execute(params![before, count(limit)])
}

impl SqliteStore {
    pub(in crate::store) async fn figures(&self, filter: CallFilter) -> Result<Figures, StoreError> {
        let packer = Arc::clone(&self.shared.packer);
        let filter = packer.vault().hide_filter(filter);
        self.shared.readers.read(Read::Scan, move |db| figures(db, &filter, &packer)).await
    }

    pub(in crate::store) async fn tally(&self, tallies: Vec<Tally>) -> Result<(), StoreError> {
        self.write(move |db| put_tallies(db, &tallies)).await
    }

    pub(in crate::store) async fn tallies(&self, since: i64, until: i64) -> Result<Vec<Counted>, StoreError> {
        self.shared.readers.read(Read::Lookup, move |db| tallies(db, since, until)).await
    }

    /// Calls that are measured first: it takes less.
    pub(in crate::store) async fn tend(&self, now: Millis) -> Result<usize, StoreError> {
        match self.measure().await? {
            0 => self.sift(now).await,
            measured => Ok(measured),
        }
    }

    async fn measure(&self) -> Result<usize, StoreError> {
        let packer = Arc::clone(&self.shared.packer);
        let found = self.shared.readers.read(Read::Scan, move |db| unmeasured(db, &packer)).await?;
        if found.is_empty() {
            return Ok(0);
        }
        self.shared.writer.submit(SMALL, move |db| put(db, &found)).await
    }

    pub(super) async fn purge_tallies(&self, before: i64) -> Result<(), StoreError> {
        self.write_all(move |db| drop_tallies(db, before, PURGE_STEP)).await
    }
}
