//! Documents.

use std::{collections::HashSet, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{PURGE_STEP, SMALL, SqliteStore, readers::Read};
use crate::{
    call::{id::CallId, time::Millis},
    store::{
        Document, DocumentKind, DocumentPage, DocumentWrite, StoreError,
        document::{are_apart, readable, sealed},
        moving::{ResealStage, Resealed},
        pack::Packer,
        rows::count,
        steps::Steps,
        vault::Place,
    },
};

/// What [`read`] reads.
macro_rules! columns {
    () => {
        "id, revision, alias, due, created_at, expires_at, body"
    };
}

fn read(kind: DocumentKind, row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        kind,
        id: row.get(0)?,
        revision: row.get::<_, i64>(1)?.cast_unsigned(),
        alias: row.get(2)?,
        due: row.get::<_, Option<i64>>(3)?.map(Millis),
        created_at: Millis(row.get(4)?),
        expires_at: row.get::<_, Option<i64>>(5)?.map(Millis),
        body: row.get(6)?,
    })
}

/// By its id if there is one of that, else by its alias.
const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM documents WHERE kind = ?1 AND (id = ?2 OR alias = ?2) AND (expires_at IS NULL OR expires_at > ?3) ORDER BY id = ?2 DESC LIMIT 1"
);

fn find(db: &Connection, kind: DocumentKind, id: &str, now: Millis) -> rusqlite::Result<Option<Document>> {
    db.prepare_cached(FIND)?.query_row(params![kind.as_str(), id, now.0], |row| read(kind, row)).optional()
}

const STANDING: &str = "SELECT revision FROM documents WHERE kind = ?1 AND id = ?2 AND (expires_at IS NULL OR expires_at > ?3)";
const HOLDERS: &str = "SELECT id FROM documents WHERE kind = ?1 AND alias = ?2 AND (expires_at IS NULL OR expires_at > ?3)";
const PUT: &str = "INSERT OR REPLACE INTO documents (kind, id, revision, alias, due, created_at, expires_at, body) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// Is each one that stands there of the expected revision, and no alias taken by one that is not among them?
fn may_be_written(db: &Connection, writes: &[DocumentWrite], now: Millis) -> rusqlite::Result<bool> {
    let (mut standing, mut holders) = (db.prepare_cached(STANDING)?, db.prepare_cached(HOLDERS)?);
    let written: HashSet<(&str, &str)> = writes.iter().map(|it| (it.document.kind.as_str(), it.document.id.as_str())).collect();
    for DocumentWrite { document: Document { kind, id, alias, .. }, expected } in writes {
        let kind = kind.as_str();
        let revision = standing.query_row(params![kind, id, now.0], |row| row.get::<_, i64>(0)).optional()?;
        if revision.map(i64::cast_unsigned) != *expected {
            return Ok(false);
        }
        let Some(alias) = alias else { continue };
        for holder in holders.query_map(params![kind, alias, now.0], |row| row.get::<_, String>(0))? {
            if !written.contains(&(kind, &holder?)) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn put(db: &Connection, writes: &[DocumentWrite], now: Millis) -> rusqlite::Result<bool> {
    if !may_be_written(db, writes, now)? {
        return Ok(false);
    }
    let mut put = db.prepare_cached(PUT)?;
    for DocumentWrite { document: it, .. } in writes {
        let (due, expires_at) = (it.due.map(|at| at.0), it.expires_at.map(|at| at.0));
        let revision = it.revision.cast_signed();
        put.execute(params![it.kind.as_str(), it.id, revision, it.alias, due, it.created_at.0, expires_at, it.body])?;
    }
    Ok(true)
}

const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM documents WHERE kind = ?1 AND (created_at, id) < (?2, ?3) AND (expires_at IS NULL OR expires_at > ?4) \
     ORDER BY created_at DESC, id DESC LIMIT ?5"
);

fn page(db: &Connection, kind: DocumentKind, after: &(Millis, String), limit: usize, now: Millis) -> rusqlite::Result<Vec<Document>> {
    let values = params![kind.as_str(), after.0.0, after.1, now.0, count(limit)];
    db.prepare_cached(PAGE)?.query_map(values, |row| read(kind, row))?.collect()
}

const READY: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM documents WHERE kind = ?1 AND due <= ?2 AND (lease_until IS NULL OR lease_until <= ?2) \
     AND (expires_at IS NULL OR expires_at > ?2) ORDER BY due, id LIMIT ?3"
);
const HOLD: &str = "UPDATE documents SET lease_until = ?3 WHERE kind = ?1 AND id = ?2";
/// What is over would be due for ever.
const LET_BE: &str = "UPDATE documents SET due = NULL \
    WHERE kind = ?1 AND due <= ?2 AND (lease_until IS NULL OR lease_until <= ?2) AND expires_at <= ?2";

fn lease(db: &Connection, kind: DocumentKind, (now, until): (Millis, Millis), limit: usize) -> rusqlite::Result<Vec<Document>> {
    let mut ready = db.prepare_cached(READY)?;
    let taken = ready.query_map(params![kind.as_str(), now.0, count(limit)], |row| read(kind, row))?;
    let taken = taken.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut hold = db.prepare_cached(HOLD)?;
    for document in &taken {
        hold.execute(params![kind.as_str(), document.id, until.0])?;
    }
    if taken.len() < limit {
        db.prepare_cached(LET_BE)?.execute(params![kind.as_str(), now.0])?;
    }
    Ok(taken)
}

const NEXT: &str = "SELECT min(max(due, ifnull(lease_until, due))) FROM documents WHERE kind = ?1 AND due IS NOT NULL";
const FORGET: &str =
    "DELETE FROM documents WHERE rowid IN (SELECT rowid FROM documents WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";

/// A body before and after: kind, id and revision of the document, what it is now.
type NewBody = (String, String, i64, Vec<u8>);

const BODIES: &str = "SELECT kind, id, revision, body FROM documents WHERE (kind, id) > (?1, ?2) ORDER BY kind, id LIMIT ?3";
const PUT_BODY: &str = "UPDATE documents SET body = ?4 WHERE kind = ?1 AND id = ?2 AND revision = ?3";

/// The bodies to write, how many were looked at, and the place of the last of them.
fn stale(
    db: &Connection,
    after: &(String, String),
    limit: usize,
    packer: &Packer,
) -> Result<(Vec<NewBody>, usize, Option<String>), StoreError> {
    let mut find = db.prepare_cached(BODIES)?;
    let rows = find.query_map(params![after.0, after.1, count(limit)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let (mut stale, mut seen, mut last) = (Vec::new(), 0, None);
    for row in rows {
        let (kind, id, revision, body): NewBody = row?;
        (seen, last) = (seen + 1, Some(ResealStage::Documents(kind.clone(), id.clone()).to_string()));
        if let Some(body) = packer.reseal(Place::Document(&kind, &id), &body)? {
            stale.push((kind, id, revision, body));
        }
    }
    Ok((stale, seen, last))
}

impl SqliteStore {
    pub(in crate::store) async fn document(&self, kind: DocumentKind, id: &str, now: Millis) -> Result<Option<Document>, StoreError> {
        let (id, packer) = (id.to_owned(), Arc::clone(&self.shared.packer));
        let find = move |db: &Connection| find(db, kind, &id, now)?.map(|it| it.opened(&packer)).transpose();
        self.shared.readers.read(Read::Lookup, find).await
    }

    pub(in crate::store) async fn put_documents(&self, writes: Vec<DocumentWrite>, now: Millis) -> Result<bool, StoreError> {
        let is_sound = are_apart(&writes);
        let writes = sealed(writes, &self.shared.packer)?;
        let weight = writes.iter().map(|write| SMALL + write.document.body.len()).sum();
        self.shared.writer.submit(weight, move |db| Ok(is_sound && put(db, &writes, now)?)).await
    }

    /// Also sees to it that it is in no file any more.
    pub(in crate::store) async fn drop_document(&self, kind: DocumentKind, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        let drop = move |db: &Connection| {
            let mut gone = db.prepare_cached("DELETE FROM documents WHERE kind = ?1 AND id = ?2")?;
            Ok(gone.execute(params![kind.as_str(), id])? > 0)
        };
        self.shared.writer.submit_and_cut(drop).await
    }

    pub(in crate::store) async fn documents(
        &self,
        kind: DocumentKind,
        after: Option<(Millis, String)>,
        limit: usize,
        now: Millis,
    ) -> Result<DocumentPage, StoreError> {
        let packer = Arc::clone(&self.shared.packer);
        let after = after.unwrap_or((Millis(i64::MAX), String::new()));
        let find = move |db: &Connection| {
            let found = page(db, kind, &after, limit.saturating_add(1), now)?;
            Ok(DocumentPage::of(found.into_iter().map(|it| it.opened(&packer)).collect::<Result<_, _>>()?, limit))
        };
        self.shared.readers.read(Read::Lookup, find).await
    }

    pub(in crate::store) async fn lease_documents(
        &self,
        kind: DocumentKind,
        now: Millis,
        until: Millis,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let taken = self.write(move |db| lease(db, kind, (now, until), limit)).await?;
        Ok(readable(taken, &self.shared.packer))
    }

    pub(in crate::store) async fn next_document(&self, kind: DocumentKind) -> Result<Option<Millis>, StoreError> {
        let next = move |db: &Connection| {
            let next = db.prepare_cached(NEXT)?.query_row([kind.as_str()], |row| row.get::<_, Option<i64>>(0))?;
            Ok(next.map(Millis))
        };
        self.shared.readers.read(Read::Lookup, next).await
    }

    #[expect(clippy::unused_async, reason = "the verbs have the same shape on every engine")]
    pub(in crate::store) async fn tell(&self, _id: &CallId, _revision: u64) -> Result<(), StoreError> {
        Ok(())
    }

    pub(in crate::store) async fn forget_documents(&self, now: Millis, limit: usize) -> Result<usize, StoreError> {
        let mut steps = Steps::of(limit, PURGE_STEP);
        while let Some(step) = steps.next() {
            let forget = move |db: &Connection| db.prepare_cached(FORGET)?.execute(params![now.0, count(step)]);
            steps.took(self.shared.writer.submit_and_cut(forget).await?);
        }
        Ok(steps.taken())
    }

    /// Encrypts documents with the newest key, at most `limit` behind a kind and id.
    pub(super) async fn reseal_documents(&self, after: (String, String), limit: usize) -> Result<Resealed, StoreError> {
        let packer = Arc::clone(&self.shared.packer);
        let (bodies, seen, next) = self.shared.readers.read(Read::Scan, move |db| stale(db, &after, limit, &packer)).await?;
        let put = move |db: &Connection| {
            let mut put = db.prepare_cached(PUT_BODY)?;
            bodies.iter().map(|(kind, id, revision, body)| put.execute(params![kind, id, revision, body])).sum()
        };
        Ok(Resealed { seen, written: self.write(put).await?, next })
    }
}
