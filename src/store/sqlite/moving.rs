//! What it takes to move a store and to rekey it: notes, tombstones, events without a record, bodies under the newest key.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{SqliteStore, open::Failure as _, readers::Read, rows::timeline_entry, schema, sieve};
use crate::store::{
    StoreError, TimelineEntry,
    moving::{Amounts, Graves, ResealStage, Resealed, Strays},
    pack::Packer,
    rows::{call_id, count},
    vault::{Place, RING, Vault},
};

/// Fails when a store that is there already needs other keys; writes nothing.
pub(super) fn refuse_strangers(db: &Connection, path: &Path, vault: &Vault) -> Result<(), StoreError> {
    let has_notes = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'meta')";
    if !schema::is_ours(db, path)? || !db.query_row(has_notes, [], |row| row.get(0)).broken(path)? {
        return Ok(());
    }
    let note = note(db, RING).broken(path)?;
    vault.admits(note.as_deref()).map_err(|why| StoreError::Unusable(format!("{} can't be read: {why}", path.display())))
}

/// Finds out whether the keys are those that the store needs.
pub(super) fn admit(db: &Connection, path: &Path, vault: &Vault) -> Result<(), StoreError> {
    let has_calls = db.query_row("SELECT EXISTS (SELECT 1 FROM calls)", [], |row| row.get(0)).broken(path)?;
    loop {
        let note = note(db, RING).broken(path)?;
        let refused = |why| StoreError::Unusable(format!("{} can't be read: {why}", path.display()));
        let Some(next) = vault.admit(note.as_deref(), has_calls).map_err(refused)? else { return Ok(()) };
        set_note(db, RING, note.as_deref(), &next).broken(path)?;
    }
}

fn note(db: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    db.query_row("SELECT value FROM meta WHERE key = ?1", [name], |row| row.get(0)).optional()
}

fn set_note(db: &Connection, name: &str, from: Option<&[u8]>, to: &[u8]) -> rusqlite::Result<bool> {
    let written = match from {
        None => db.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?1, ?2)", params![name, to])?,
        Some(from) => db.execute("UPDATE meta SET value = ?3 WHERE key = ?1 AND value = ?2", params![name, from, to])?,
    };
    Ok(written > 0)
}

/// Events without a record and, behind each, its repeats.
const STRAYS: &str = "\
WITH stray AS (
    SELECT e.seq FROM events e WHERE e.seq > ?1 AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.id = e.call_id) ORDER BY e.seq LIMIT ?2
)
SELECT e.received_at, e.kind, e.source, e.id, e.sent_at, e.proof, 0, e.changed, e.version, e.details, e.body, e.seq, e.folded, e.call_id, 0 AS n
FROM stray JOIN events e ON e.seq = stray.seq
UNION ALL
SELECT r.received_at, e.kind, e.source, e.id, r.sent_at, r.proof, 1, NULL, NULL, NULL, NULL, e.seq, e.folded, e.call_id, r.n
FROM stray JOIN events e ON e.seq = stray.seq JOIN repeats r ON r.event = e.seq
ORDER BY 12, 15";

fn strays(db: &Connection, after: Option<&str>, limit: usize, packer: &Packer) -> Result<Strays, StoreError> {
    let mut find = db.prepare_cached(STRAYS)?;
    let row = |row: &Row<'_>| Ok((timeline_entry(row)?, row.get(10)?, row.get(11)?, row.get(13)?));
    let rows = find.query_map(params![place(after), count(limit)], row)?;
    let mut strays = Strays::default();
    for row in rows {
        let (entry, blob, seq, call): (TimelineEntry, Option<Vec<u8>>, i64, Option<String>) = row?;
        let body = blob.map(|blob| packer.open_text(Place::Body { call: call.as_deref(), event: &entry.event_id }, &blob)).transpose()?;
        strays.events.push((call.as_deref().map(call_id).transpose()?, TimelineEntry { body, ..entry }));
        strays.next = Some(seq.to_string());
    }
    Ok(strays)
}

/// The place in the order of arrival that a text names.
fn place(after: Option<&str>) -> i64 {
    after.and_then(|text| text.parse().ok()).unwrap_or(i64::MIN)
}

fn graves(db: &Connection) -> rusqlite::Result<Vec<(Vec<u8>, i64)>> {
    let mut find = db.prepare_cached("SELECT hash, at FROM tombstones ORDER BY hash")?;
    find.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn bury(db: &Connection, graves: &Graves, is_ours: bool) -> rusqlite::Result<bool> {
    if !is_ours {
        let is_used = "SELECT EXISTS (SELECT 1 FROM calls) OR EXISTS (SELECT 1 FROM events) OR EXISTS (SELECT 1 FROM tombstones)";
        if db.query_row(is_used, [], |row| row.get(0))? {
            return Ok(false);
        }
        db.execute("UPDATE meta SET value = ?1 WHERE key = 'tombstone_key'", [&graves.key])?;
    }
    for (hash, at) in &graves.all {
        db.prepare_cached("INSERT OR IGNORE INTO tombstones (hash, at) VALUES (?1, ?2)")?.execute(params![hash, at])?;
    }
    Ok(true)
}

/// A body before and after: its place in the order of arrival, what it is now.
type NewBody = (i64, Vec<u8>);

/// The bodies to write, how many were looked at, and the last of them.
fn stale(db: &Connection, after: Option<&str>, limit: usize, packer: &Packer) -> Result<(Vec<NewBody>, usize, Option<i64>), StoreError> {
    let mut find =
        db.prepare_cached("SELECT seq, id, call_id, body FROM events WHERE seq > ?1 AND body IS NOT NULL ORDER BY seq LIMIT ?2")?;
    let rows = find.query_map(params![place(after), count(limit)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let (mut stale, mut seen, mut last) = (Vec::new(), 0, None);
    for row in rows {
        let (seq, id, call, body): (i64, String, Option<String>, Vec<u8>) = row?;
        if let Some(body) = packer.reseal(Place::Body { call: call.as_deref(), event: &id }, &body)? {
            stale.push((seq, body));
        }
        (seen, last) = (seen + 1, Some(seq));
    }
    Ok((stale, seen, last))
}

fn put_bodies(db: &Connection, bodies: &[NewBody]) -> rusqlite::Result<usize> {
    let mut put = db.prepare_cached("UPDATE events SET body = ?2 WHERE seq = ?1 AND body IS NOT NULL")?;
    bodies.iter().map(|(seq, body)| put.execute(params![seq, body])).sum()
}

impl SqliteStore {
    pub(in crate::store) fn data_key(&self) -> Option<String> {
        self.shared.packer.vault().newest()
    }

    pub(in crate::store) async fn strays(&self, after: Option<String>, limit: usize) -> Result<Strays, StoreError> {
        let packer = Arc::clone(&self.shared.packer);
        self.shared.readers.read(Read::Scan, move |db| strays(db, after.as_deref(), limit, &packer)).await
    }

    pub(in crate::store) async fn graves(&self) -> Result<Graves, StoreError> {
        let key = self.shared.tombstones.as_bytes().to_vec();
        self.shared.readers.read(Read::Scan, move |db| Ok(Graves { key, all: graves(db)? })).await
    }

    pub(in crate::store) async fn bury(&self, graves: Graves) -> Result<bool, StoreError> {
        let is_ours = self.shared.tombstones.as_bytes()[..] == graves.key;
        self.write(move |db| bury(db, &graves, is_ours)).await
    }

    pub(in crate::store) async fn amounts(&self) -> Result<Amounts, StoreError> {
        const COUNT: &str = "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM events WHERE has_body = 1)";
        let amounts =
            |row: &Row<'_>| Ok(Amounts { calls: row.get::<_, i64>(0)?.cast_unsigned(), bodies: row.get::<_, i64>(1)?.cast_unsigned() });
        self.shared.readers.read(Read::Scan, move |db| Ok(db.query_row(COUNT, [], amounts)?)).await
    }

    pub(in crate::store) async fn note(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.readers.read(Read::Lookup, move |db| Ok(note(db, name)?)).await
    }

    pub(in crate::store) async fn set_note(&self, name: &'static str, from: Option<Vec<u8>>, to: Vec<u8>) -> Result<bool, StoreError> {
        self.write(move |db| set_note(db, name, from.as_deref(), &to)).await
    }

    pub(in crate::store) async fn reseal(&self, after: Option<String>, limit: usize) -> Result<Resealed, StoreError> {
        let mut stage = ResealStage::at(after);
        loop {
            let next = stage.next();
            let resealed = match stage {
                ResealStage::Bodies(after) => self.reseal_bodies(after, limit).await?,
                ResealStage::Targets(after) => self.reseal_targets(after, limit).await?,
                ResealStage::Documents(kind, id) => self.reseal_documents((kind, id), limit).await?,
            };
            match next {
                Some(next) if resealed.seen == 0 => stage = next,
                _ => return Ok(resealed),
            }
        }
    }

    async fn reseal_bodies(&self, after: Option<String>, limit: usize) -> Result<Resealed, StoreError> {
        let packer = Arc::clone(&self.shared.packer);
        let find = move |db: &Connection| stale(db, after.as_deref(), limit, &packer);
        let (bodies, seen, last) = self.shared.readers.read(Read::Scan, find).await?;
        let written = self.write(move |db| put_bodies(db, &bodies)).await?;
        Ok(Resealed { seen, written, next: last.map(|seq| seq.to_string()) })
    }

    /// Also sees to it that what was there in clear, or under another key, is in no file any more.
    pub(in crate::store) async fn forget_keys(&self) -> Result<(), StoreError> {
        let packer = Arc::clone(&self.shared.packer);
        let forget = move |db: &Connection| {
            sieve::clear(db)?;
            let Some(there) = note(db, RING)? else { return Ok(()) };
            packer.vault().rekeyed(&there).map_or(Ok(()), |next| set_note(db, RING, Some(&there), &next).map(drop))
        };
        self.shared.writer.submit_and_cut(forget).await
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn without_a_place_it_begins_at_the_first() {
        assert_eq!((place(None), place(Some("7")), place(Some("no number"))), (i64::MIN, 7, i64::MIN));
    }
}
