//! Documents.
//!
//! *Two write at once*: whoever writes or drops documents holds the locks of their ids, and of the aliases wanted, from before it looks until
//! its commit. So what stands there can't change between the look and the write, and no two take one alias.
//! *An answer is lost on its way and the write asked again*: each write has a name, and what stands there under it was written.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;

use super::{
    PostgresStore,
    commit::lock_of,
    fault::Fault,
    link::Db,
    pool::Kind,
    signal::{self, CHANNEL},
    step::{Step, Value},
    write::{BEGIN, COMMIT, LOCK, NOTIFY},
};
use crate::{
    call::{id::CallId, time::Millis},
    store::{
        Document, DocumentKind, DocumentPage, DocumentWrite, Signal, StoreError,
        document::{are_apart, readable, sealed},
        moving::{ResealStage, Resealed},
        pack::Packer,
        vault::Place,
    },
};

fn read(kind: DocumentKind, row: &Row) -> Result<Document, Fault> {
    Ok(Document {
        kind,
        id: row.try_get(0)?,
        revision: row.try_get::<_, i64>(1)?.cast_unsigned(),
        alias: row.try_get(2)?,
        due: row.try_get::<_, Option<i64>>(3)?.map(Millis),
        created_at: Millis(row.try_get(4)?),
        expires_at: row.try_get::<_, Option<i64>>(5)?.map(Millis),
        body: row.try_get(6)?,
    })
}

fn lock(what: &str, kind: DocumentKind, name: &str) -> i64 {
    lock_of(&Sha256::digest([what, kind.as_str(), name].join("\0")).into())
}

/// By its id if there is one of that, else by its alias.
const FIND: &str = "SELECT id, revision, alias, due, created_at, expires_at, body FROM ringback.documents \
    WHERE kind = $1 AND (id = $2 OR alias = $2) AND (expires_at IS NULL OR expires_at > $3) ORDER BY id = $2 DESC LIMIT 1";

async fn find(db: &Db, kind: DocumentKind, id: &str, now: Millis) -> Result<Option<Document>, Fault> {
    let rows = db.query(&Step::new(FIND, vec![Value::text(kind.as_str()), Value::text(id), Value::whole(now.0)])).await?;
    rows.first().map(|row| read(kind, row)).transpose()
}

const PUT: &str = "WITH i AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::bigint[])
    AS i (kind, id, revision, alias, due, created_at, expires_at, body, expected)
),
told AS (
    SELECT EXISTS (SELECT FROM i JOIN ringback.documents d ON d.kind = i.kind AND d.id = i.id WHERE d.written_by = $11) AS done,
    EXISTS (
        SELECT FROM i LEFT JOIN ringback.documents d ON d.kind = i.kind AND d.id = i.id AND (d.expires_at IS NULL OR d.expires_at > $10)
        WHERE d.revision IS DISTINCT FROM i.expected
    ) OR EXISTS (
        SELECT FROM i JOIN ringback.documents d ON d.kind = i.kind AND d.alias = i.alias AND (d.expires_at IS NULL OR d.expires_at > $10)
        WHERE NOT EXISTS (SELECT FROM i AS j WHERE j.kind = d.kind AND j.id = d.id)
    ) AS refused
),
written AS (
    INSERT INTO ringback.documents (kind, id, revision, alias, due, created_at, expires_at, body, written_by)
    SELECT i.kind, i.id, i.revision, i.alias, i.due, i.created_at, i.expires_at, i.body, $11 FROM i, told WHERE NOT done AND NOT refused
    ON CONFLICT (kind, id) DO UPDATE SET revision = EXCLUDED.revision, alias = EXCLUDED.alias, due = EXCLUDED.due, lease_until = NULL,
        created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at, body = EXCLUDED.body, written_by = EXCLUDED.written_by
)
SELECT done OR NOT refused FROM told";

async fn put(db: &Db, writes: &[DocumentWrite], now: Millis, name: &str) -> Result<bool, Fault> {
    let ids = writes.iter().map(|DocumentWrite { document: it, .. }| lock("document", it.kind, &it.id));
    let aliases = writes.iter().filter_map(|DocumentWrite { document: it, .. }| Some(lock("alias", it.kind, it.alias.as_deref()?)));
    // In one order, so that nobody waits for who waits for him.
    let locks: Vec<i64> = ids.chain(aliases).collect::<BTreeSet<_>>().into_iter().collect();
    let values = vec![
        Value::texts(writes, |it| Some(it.document.kind.as_str())),
        Value::texts(writes, |it| Some(&it.document.id)),
        Value::wholes(writes, |it| Some(it.document.revision.cast_signed())),
        Value::texts(writes, |it| it.document.alias.as_deref()),
        Value::wholes(writes, |it| it.document.due.map(|at| at.0)),
        Value::wholes(writes, |it| Some(it.document.created_at.0)),
        Value::wholes(writes, |it| it.document.expires_at.map(|at| at.0)),
        Value::blobs(writes, |it| Some(it.document.body.as_slice())),
        Value::wholes(writes, |it| it.expected.map(u64::cast_signed)),
        Value::whole(now.0),
        Value::text(name),
    ];
    told(db, &locks, Step::new(PUT, values)).await?.ok_or_else(|| Fault::Refused("a row is missing".to_owned()))
}

/// What a statement answers that runs while locks are held, if it does.
async fn told(db: &Db, locks: &[i64], step: Step<'_>) -> Result<Option<bool>, Fault> {
    let lock = Step::new(LOCK, vec![Value::wholes(locks, |lock| Some(*lock))]);
    let answers = db.pipeline(Some(BEGIN), &[lock, step], Some(COMMIT)).await?;
    answers.last().and_then(|rows| rows.first()).map(|row| Ok(row.try_get(0)?)).transpose()
}

const DROP: &str = "DELETE FROM ringback.documents WHERE kind = $1 AND id = $2 RETURNING true";
const PAGE: &str = "SELECT id, revision, alias, due, created_at, expires_at, body FROM ringback.documents \
    WHERE kind = $1 AND (created_at, id) < ($2, $3) AND (expires_at IS NULL OR expires_at > $4) ORDER BY created_at DESC, id DESC LIMIT $5";

async fn page(db: &Db, kind: DocumentKind, after: &(Millis, String), limit: usize, now: Millis) -> Result<Vec<Document>, Fault> {
    let values = vec![Value::text(kind.as_str()), Value::whole(after.0.0), Value::text(&after.1), Value::whole(now.0), Value::count(limit)];
    db.query(&Step::new(PAGE, values)).await?.iter().map(|row| read(kind, row)).collect()
}

/// What is held by somebody is passed over, so that instances don't wait for each other.
const LEASE: &str = "WITH ready AS (
    SELECT kind, id FROM ringback.documents
    WHERE kind = $1 AND due <= $2 AND (lease_until IS NULL OR lease_until <= $2) AND (expires_at IS NULL OR expires_at > $2)
    ORDER BY due, id LIMIT $4 FOR UPDATE SKIP LOCKED
)
UPDATE ringback.documents d SET lease_until = $3 FROM ready WHERE d.kind = ready.kind AND d.id = ready.id
RETURNING d.id, d.revision, d.alias, d.due, d.created_at, d.expires_at, d.body";
/// What is over would be due for ever.
const LET_BE: &str = "WITH over AS (
    SELECT kind, id FROM ringback.documents
    WHERE kind = $1 AND due <= $2 AND (lease_until IS NULL OR lease_until <= $2) AND expires_at <= $2 FOR UPDATE SKIP LOCKED
)
UPDATE ringback.documents d SET due = NULL FROM over WHERE d.kind = over.kind AND d.id = over.id";

async fn lease(db: &Db, kind: DocumentKind, (now, until): (Millis, Millis), limit: usize) -> Result<Vec<Document>, Fault> {
    let values = vec![Value::text(kind.as_str()), Value::whole(now.0), Value::whole(until.0), Value::count(limit)];
    let mut taken: Vec<Document> =
        db.query(&Step::new(LEASE, values)).await?.iter().map(|row| read(kind, row)).collect::<Result<_, _>>()?;
    if taken.len() < limit {
        db.query(&Step::new(LET_BE, vec![Value::text(kind.as_str()), Value::whole(now.0)])).await?;
    }
    taken.sort_unstable_by(|a, b| (a.due, &a.id).cmp(&(b.due, &b.id)));
    Ok(taken)
}

const NEXT: &str = "SELECT min(greatest(due, coalesce(lease_until, due))) FROM ringback.documents WHERE kind = $1 AND due IS NOT NULL";
const FORGET: &str = "WITH old AS (
    SELECT kind, id FROM ringback.documents WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
),
gone AS (DELETE FROM ringback.documents d USING old WHERE d.kind = old.kind AND d.id = old.id RETURNING true)
SELECT count(*) FROM gone";

async fn forget(db: &Db, now: Millis, limit: usize) -> Result<usize, Fault> {
    let row = db.query_one(&Step::new(FORGET, vec![Value::whole(now.0), Value::count(limit)])).await?;
    Ok(usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default())
}

const BODIES: &str = "SELECT kind, id, revision, body FROM ringback.documents WHERE (kind, id) > ($1, $2) ORDER BY kind, id LIMIT $3";
const PUT_BODIES: &str = "UPDATE ringback.documents d SET body = i.body \
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[]) AS i (kind, id, revision, body) \
    WHERE d.kind = i.kind AND d.id = i.id AND d.revision = i.revision";

/// Encrypts documents with the newest key, at most `limit` behind a kind and id.
pub(super) async fn reseal(db: &Db, after: (&str, &str), limit: usize, packer: &Packer) -> Result<Resealed, Fault> {
    let rows = db.query(&Step::new(BODIES, vec![Value::text(after.0), Value::text(after.1), Value::count(limit)])).await?;
    let (mut stale, mut next) = (Vec::new(), None);
    for row in &rows {
        let (kind, id): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        next = Some(ResealStage::Documents(kind.to_owned(), id.to_owned()).to_string());
        if let Some(body) = packer.reseal(Place::Document(kind, id), row.try_get(3)?)? {
            stale.push((kind, id, row.try_get::<_, i64>(2)?, body));
        }
    }
    if !stale.is_empty() {
        let values = vec![
            Value::texts(&stale, |it| Some(it.0)),
            Value::texts(&stale, |it| Some(it.1)),
            Value::wholes(&stale, |it| Some(it.2)),
            Value::blobs(&stale, |it| Some(it.3.as_slice())),
        ];
        db.pipeline(Some(BEGIN), &[Step::new(PUT_BODIES, values)], Some(COMMIT)).await?;
    }
    Ok(Resealed { seen: rows.len(), written: stale.len(), next })
}

impl PostgresStore {
    pub(in crate::store) async fn document(&self, kind: DocumentKind, id: &str, now: Millis) -> Result<Option<Document>, StoreError> {
        let found = self.run(Kind::Lookup, async |db| find(&db, kind, id, now).await).await?;
        found.map(|document| document.opened(&self.shared.packer)).transpose()
    }

    pub(in crate::store) async fn put_documents(&self, writes: Vec<DocumentWrite>, now: Millis) -> Result<bool, StoreError> {
        self.shared.ready()?;
        if !are_apart(&writes) {
            return Ok(false);
        }
        let (writes, name) = (sealed(writes, &self.shared.packer)?, uuid::Uuid::new_v4().to_string());
        self.run(Kind::Lookup, async |db| put(&db, &writes, now, &name).await).await
    }

    pub(in crate::store) async fn drop_document(&self, kind: DocumentKind, id: &str) -> Result<bool, StoreError> {
        let drop = || Step::new(DROP, vec![Value::text(kind.as_str()), Value::text(id)]);
        let told = self.run(Kind::Lookup, async |db| told(&db, &[lock("document", kind, id)], drop()).await).await?;
        Ok(told == Some(true))
    }

    pub(in crate::store) async fn documents(
        &self,
        kind: DocumentKind,
        after: Option<(Millis, String)>,
        limit: usize,
        now: Millis,
    ) -> Result<DocumentPage, StoreError> {
        let after = after.unwrap_or((Millis(i64::MAX), String::new()));
        let found = self.run(Kind::Lookup, async |db| page(&db, kind, &after, limit.saturating_add(1), now).await).await?;
        Ok(DocumentPage::of(found.into_iter().map(|it| it.opened(&self.shared.packer)).collect::<Result<_, _>>()?, limit))
    }

    pub(in crate::store) async fn lease_documents(
        &self,
        kind: DocumentKind,
        now: Millis,
        until: Millis,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let taken = self.run(Kind::Lookup, async |db| lease(&db, kind, (now, until), limit).await).await?;
        Ok(readable(taken, &self.shared.packer))
    }

    pub(in crate::store) async fn next_document(&self, kind: DocumentKind) -> Result<Option<Millis>, StoreError> {
        let next = || Step::new(NEXT, vec![Value::text(kind.as_str())]);
        let next = self.run(Kind::Lookup, async |db| Ok(db.query_one(&next()).await?.try_get::<_, Option<i64>>(0)?)).await?;
        Ok(next.map(Millis))
    }

    pub(in crate::store) async fn tell(&self, id: &CallId, revision: u64) -> Result<(), StoreError> {
        let texts = signal::told(&[Signal::Changed { id: id.clone(), revision }]);
        let notify = || Step::new(NOTIFY, vec![Value::text(CHANNEL), Value::texts(&texts, |text| Some(text))]);
        self.run(Kind::Lookup, async |db| db.query(&notify()).await.map(drop)).await
    }

    pub(in crate::store) async fn forget_documents(&self, now: Millis, limit: usize) -> Result<usize, StoreError> {
        self.run(Kind::Scan, async |db| forget(&db, now, limit).await).await
    }
}
