//! What it takes to move a store and to rekey it: notes, tombstones, events without a record, bodies under the newest key.

use tokio_postgres::Row;

use super::{
    PostgresStore, document,
    fault::Fault,
    link::Db,
    outbox,
    pool::Kind,
    rows::timeline_entry,
    step::{Step, Value},
    upkeep::everywhere,
    write::{BEGIN, COMMIT},
};
use crate::store::{
    StoreError,
    moving::{Amounts, Graves, ResealStage, Resealed, Strays},
    pack::Packer,
    rows::call_id,
    vault::{Place, RING, Vault},
};

/// Fails when a store that is there already needs other keys; writes nothing.
pub(super) async fn refuse_strangers(db: &Db, vault: &Vault) -> Result<(), Fault> {
    let note = match ring(db).await {
        // No such table.
        Err(Fault::Refused(why)) if why.starts_with("42P01") => return Ok(()),
        note => note?,
    };
    vault.admits(note.as_deref()).map_err(|why| Fault::Unusable(format!("the store can't be read: {why}")))
}

/// Finds out whether the keys are those that the store needs.
/// Returns what the store notes of them.
pub(super) async fn admit(db: &Db, vault: &Vault) -> Result<Option<Vec<u8>>, Fault> {
    let has_calls: bool = db.query_one(&Step::new("SELECT EXISTS (SELECT FROM ringback.calls)", Vec::new())).await?.try_get(0)?;
    loop {
        let note = note(db, RING).await?;
        let refused = |why| Fault::Unusable(format!("the store can't be read: {why}"));
        let Some(next) = vault.admit(note.as_deref(), has_calls).map_err(refused)? else { return Ok(note) };
        set_note(db, RING, note.as_deref(), &next).await?;
    }
}

/// What the store notes of its data keys.
pub(super) async fn ring(db: &Db) -> Result<Option<Vec<u8>>, Fault> {
    note(db, RING).await
}

async fn note(db: &Db, name: &str) -> Result<Option<Vec<u8>>, Fault> {
    let rows = db.query(&Step::new("SELECT value FROM ringback.meta WHERE key = $1", vec![Value::text(name)])).await?;
    rows.first().map(|row| Ok(row.try_get(0)?)).transpose()
}

const FIRST_NOTE: &str = "INSERT INTO ringback.meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING RETURNING true";
const NEXT_NOTE: &str = "UPDATE ringback.meta SET value = $2 WHERE key = $1 AND value = $3 RETURNING true";

async fn set_note(db: &Db, name: &str, from: Option<&[u8]>, to: &[u8]) -> Result<bool, Fault> {
    let mut values = vec![Value::text(name), Value::bytes(to)];
    values.extend(from.map(Value::bytes));
    let step = Step::new(if from.is_some() { NEXT_NOTE } else { FIRST_NOTE }, values);
    Ok(!db.query(&step).await?.is_empty())
}

/// Events without a record and, behind each, its repeats.
const STRAYS: &str = "WITH stray AS (
    SELECT e.* FROM ringback.events e WHERE e.seq > $1 AND NOT EXISTS (SELECT FROM ringback.calls c WHERE c.id = e.call_id) ORDER BY e.seq LIMIT $2
)
SELECT received_at, kind, source, id, sent_at, proof, false AS repeat, changed, version, details, body, seq AS place, folded, call_id, 0::bigint AS n
FROM stray
UNION ALL
SELECT r.received_at, e.kind, e.source, e.id, r.sent_at, r.proof, true, NULL, NULL, NULL, NULL, e.seq, e.folded, e.call_id, r.n
FROM stray e JOIN ringback.repeats r ON r.event = e.seq
ORDER BY place, n";

async fn strays(db: &Db, after: Option<&str>, limit: usize, packer: &Packer) -> Result<Strays, Fault> {
    let rows = db.query(&Step::new(STRAYS, vec![Value::whole(place(after)), Value::count(limit)])).await?;
    let mut strays = Strays::default();
    for row in &rows {
        let call: Option<&str> = row.try_get(13)?;
        strays.events.push((call.map(call_id).transpose()?, timeline_entry(row, call, packer)?));
        strays.next = Some(row.try_get::<_, i64>(11)?.to_string());
    }
    Ok(strays)
}

/// The place in the order of arrival that a text names.
fn place(after: Option<&str>) -> i64 {
    after.and_then(|text| text.parse().ok()).unwrap_or(i64::MIN)
}

async fn graves(db: &Db) -> Result<Vec<(Vec<u8>, i64)>, Fault> {
    let rows = db.query(&Step::new("SELECT hash, at FROM ringback.tombstones ORDER BY hash", Vec::new())).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

const ADOPT: &str = "UPDATE ringback.meta SET value = $1 WHERE key = 'tombstone_key' AND NOT EXISTS (SELECT FROM ringback.calls) \
    AND NOT EXISTS (SELECT FROM ringback.events) AND NOT EXISTS (SELECT FROM ringback.tombstones) RETURNING true";
const BURY: &str =
    "INSERT INTO ringback.tombstones (hash, at) SELECT * FROM unnest($1::bytea[], $2::bigint[]) ON CONFLICT (hash) DO NOTHING";

async fn bury(db: &Db, graves: &Graves, is_ours: bool) -> Result<bool, Fault> {
    if !is_ours && db.query(&Step::new(ADOPT, vec![Value::bytes(&graves.key)])).await?.is_empty() {
        return Ok(false);
    }
    let values = vec![Value::blobs(&graves.all, |(hash, _)| Some(hash.as_slice())), Value::wholes(&graves.all, |(_, at)| Some(*at))];
    db.pipeline(Some(BEGIN), &[Step::new(BURY, values)], Some(COMMIT)).await?;
    Ok(true)
}

const BODIES: &str = "SELECT seq, id, call_id, body FROM ringback.events WHERE seq > $1 AND body IS NOT NULL ORDER BY seq LIMIT $2";
const PUT_BODIES: &str = "UPDATE ringback.events e SET body = i.body FROM unnest($1::bigint[], $2::bytea[]) AS i (seq, body) \
    WHERE e.seq = i.seq AND e.body IS NOT NULL";

async fn reseal(db: &Db, after: Option<String>, limit: usize, packer: &Packer) -> Result<Resealed, Fault> {
    let mut stage = ResealStage::at(after);
    loop {
        let resealed = match &stage {
            ResealStage::Bodies(after) => reseal_bodies(db, after.as_deref(), limit, packer).await?,
            ResealStage::Targets(after) => outbox::reseal(db, after, limit, packer).await?,
            ResealStage::Documents(kind, id) => document::reseal(db, (kind, id), limit, packer).await?,
        };
        match stage.next() {
            Some(next) if resealed.seen == 0 => stage = next,
            _ => return Ok(resealed),
        }
    }
}

async fn reseal_bodies(db: &Db, after: Option<&str>, limit: usize, packer: &Packer) -> Result<Resealed, Fault> {
    let rows = db.query(&Step::new(BODIES, vec![Value::whole(place(after)), Value::count(limit)])).await?;
    let read = |row: &Row| -> Result<_, Fault> {
        let body = packer.reseal(Place::Body { call: row.try_get(2)?, event: row.try_get(1)? }, row.try_get(3)?)?;
        Ok((row.try_get::<_, i64>(0)?, body))
    };
    let all = rows.iter().map(read).collect::<Result<Vec<_>, Fault>>()?;
    let (seen, next) = (all.len(), all.last().map(|(seq, _)| seq.to_string()));
    let stale: Vec<(i64, Vec<u8>)> = all.into_iter().filter_map(|(seq, body)| Some((seq, body?))).collect();
    if !stale.is_empty() {
        let values = vec![Value::wholes(&stale, |(seq, _)| Some(*seq)), Value::blobs(&stale, |(_, body)| Some(body.as_slice()))];
        db.pipeline(Some(BEGIN), &[Step::new(PUT_BODIES, values)], Some(COMMIT)).await?;
    }
    Ok(Resealed { seen, written: stale.len(), next })
}

/// What may still stand there in clear: reports, which are left when a row is written again. Rows of other programs stay as they are.
const CLEAR: &str = "UPDATE public.vapi_call_results r SET raw_webhook_payload = NULL FROM ringback.calls c \
    WHERE c.id = r.call_id::text AND r.raw_webhook_payload IS NOT NULL";

impl PostgresStore {
    pub(in crate::store) fn data_key(&self) -> Option<String> {
        self.shared.packer.vault().newest()
    }

    pub(in crate::store) async fn strays(&self, after: Option<String>, limit: usize) -> Result<Strays, StoreError> {
        self.run(Kind::Scan, async |db| strays(&db, after.as_deref(), limit, &self.shared.packer).await).await
    }

    pub(in crate::store) async fn graves(&self) -> Result<Graves, StoreError> {
        let key = self.shared.ready()?.tombstones.as_bytes().to_vec();
        let all = self.run(Kind::Scan, async |db| graves(&db).await).await?;
        Ok(Graves { key, all })
    }

    pub(in crate::store) async fn bury(&self, graves: Graves) -> Result<bool, StoreError> {
        let is_ours = self.shared.ready()?.tombstones.as_bytes()[..] == graves.key;
        self.run(Kind::Scan, async |db| bury(&db, &graves, is_ours).await).await
    }

    pub(in crate::store) async fn amounts(&self) -> Result<Amounts, StoreError> {
        const COUNT: &str = "SELECT (SELECT count(*) FROM ringback.calls), (SELECT count(*) FROM ringback.events WHERE body IS NOT NULL)";
        let count = async |db: std::sync::Arc<Db>| {
            let row = db.query_one(&Step::new(COUNT, Vec::new())).await?;
            Ok(Amounts { calls: row.try_get::<_, i64>(0)?.cast_unsigned(), bodies: row.try_get::<_, i64>(1)?.cast_unsigned() })
        };
        self.run(Kind::Scan, count).await
    }

    pub(in crate::store) async fn note(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        self.run(Kind::Lookup, async |db| note(&db, name).await).await
    }

    pub(in crate::store) async fn set_note(&self, name: &'static str, from: Option<Vec<u8>>, to: Vec<u8>) -> Result<bool, StoreError> {
        self.run(Kind::Lookup, async |db| set_note(&db, name, from.as_deref(), &to).await).await
    }

    pub(in crate::store) async fn reseal(&self, after: Option<String>, limit: usize) -> Result<Resealed, StoreError> {
        self.run(Kind::Scan, async |db| reseal(&db, after.clone(), limit, &self.shared.packer).await).await
    }

    pub(in crate::store) async fn forget_keys(&self) -> Result<(), StoreError> {
        let vault = self.shared.packer.vault();
        self.run(Kind::Scan, async |db| {
            everywhere(&db, &[], &[Step::new(CLEAR, Vec::new())]).await?;
            let there = note(&db, RING).await?;
            match there.as_deref().and_then(|there| vault.rekeyed(there)) {
                Some(next) => set_note(&db, RING, there.as_deref(), &next).await.map(drop),
                None => Ok(()),
            }
        })
        .await
    }
}
